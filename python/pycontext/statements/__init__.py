"""Statements in texts: rules, preferences, goals, decisions and facts, found, brought up to date and kept."""

from __future__ import annotations

from pycontext.statements.compact import compact, rule_blocks, select_statements
from pycontext.statements.extract import extract_statements
from pycontext.statements.statement import Statement, StatementKind

__all__ = ["Statement", "StatementKind", "compact", "extract_statements", "rule_blocks", "select_statements"]
