"""Pruning inside other frameworks' agents: one module a framework, each for an extra of its own."""
