"""Sessions cut to a window of tokens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from pycontext.block import ContextType
from pycontext.manager import ContextManager
from pycontext.policy import Policy, Tier

if TYPE_CHECKING:
    from pycontext.selection import Selection

__all__ = ["ContextWindowOptimizer"]

# What the other types leave of their 30 % goes back to the conversation.
_CONVERSATION: Final = (ContextType.USER, ContextType.AGENT)
_WINDOW: Final = Policy("window", (*Policy.named("window").tiers, Tier("remainder", _CONVERSATION, order="time")))


class ContextWindowOptimizer:
    """Keeps the conversation, newest first, up to 70 % of a window, then the best of the other blocks.

    What either leaves is the other's; blocks that stay keep their order. What always stays is said by `prune`.

    Args:
        context_manager: whose sessions they are.
    """

    def __init__(self, context_manager: ContextManager) -> None:
        self.context_manager: Final = context_manager

    async def optimize_session(self, session_id: str, max_tokens: int = 4096) -> Selection:
        """Remove from a session what does not fit a window; `get_block` still finds it.

        The work is done in a thread: the event loop goes on.

        Args:
            session_id: of the session.
            max_tokens: of the session as text, headers included.

        Returns:
            What stays and why the rest fell.

        Raises:
            UnknownSessionError: there is no such session.
            BudgetExceededError: the blocks that must stay do not fit; nothing was removed.
            ValidationError: `max_tokens` is outside its limits.
        """
        return await asyncio.to_thread(
            self.context_manager.prune, session_id, max_tokens, policy=_WINDOW, render="text"
        )
