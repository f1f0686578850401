"""Formatters: the Protocol of the plug-ins that render blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from pycontext.block import ContextBlock

__all__ = ["Formatter", "Render"]


@runtime_checkable
class Formatter(Protocol):
    """Renders blocks for a model.

    A formatter is asked for the cost of every block before the kernel runs, and for the rendering after it.
    """

    def render(self, blocks: Sequence[ContextBlock], /) -> str | list[dict[str, Any]]:
        """The request as text, or as OpenAI chat messages."""

    def cost(self, block: ContextBlock, /) -> int:
        """Tokens of one block as rendered, separators included."""


# What a caller may say about the rendering: a name, a formatter, or a function that renders blocks.
Render = str | Formatter | Callable[[list[ContextBlock]], str | list[dict[str, Any]]]
