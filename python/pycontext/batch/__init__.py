"""Conversations by the million, cut to a budget."""
