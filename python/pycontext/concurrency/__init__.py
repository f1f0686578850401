"""Who may work on which session, and how many at once."""

from pycontext.concurrency.manager import ContextConcurrencyManager

__all__ = ["ContextConcurrencyManager"]
