"""Sessions in less memory."""

from __future__ import annotations

from typing import Final

from pycontext.manager import ContextManager

__all__ = ["ContextMemoryOptimizer"]

_MEGABYTE: Final = 1024 * 1024


class ContextMemoryOptimizer:
    """Takes less memory for sessions, and changes nothing of what their blocks say.

    Args:
        context_manager: whose sessions they are.
    """

    def __init__(self, context_manager: ContextManager) -> None:
        self.context_manager: Final = context_manager

    def optimize_memory_usage(self, session_id: str, *, forget_originals: bool = False) -> float:
        """Remove exact duplicates among facts, give back unused room, and return what that saved.

        Both sizes are measured: the columns with their unused room, the index of words, and every text once. What falls
        can still be fetched, and so takes memory until it is forgotten.

        Args:
            session_id: of the session.
            forget_originals: True to forget what fell of the session, now and before.

        Returns:
            Megabytes of 1,048,576 bytes; below 0 where to remember what fell takes more than was given back.

        Raises:
            UnknownSessionError: there is no such session.
        """
        return self.context_manager.shrink(session_id, forget_originals=forget_originals) / _MEGABYTE
