"""How an agent gets back what a request had no room for."""

from __future__ import annotations

from typing import Any, Final

from pycontext.errors import UnknownBlockError, shown
from pycontext.manager import ContextManager

__all__ = ["RECALL_TOOL", "recall"]

RECALL_TOOL: Final[dict[str, Any]] = {
    "type": "function",
    "function": {
        "name": "recall_context",
        "description": "Get the whole text of an earlier message or tool result that was shortened or left out.",
        "parameters": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "description": "The id that stands in the shortened text."},
            },
            "required": ["id"],
        },
    },
}
"""The tool that marks of shortened texts name, in OpenAI's form; `recall` answers it."""


def recall(manager: ContextManager, session_id: str, block_id: str) -> str:
    """Return the whole text of a block of a session, also of one that fell; a sentence where there is none.

    Raises:
        UnknownSessionError: there is no such session.
    """
    try:
        return manager.get_block(session_id, block_id).content
    except UnknownBlockError:
        return f"there is no text {shown(block_id)}"
