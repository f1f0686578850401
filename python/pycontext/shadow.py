"""What a manager would have done, had it been allowed to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontext.selection import Selection

__all__ = ["ShadowReport"]


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """What pruning would have done to a session so far; nothing of it was done.

    The session keeps all its blocks, so that each look is at all of them: what fell in one look falls again in the
    next, and `selection` is what the whole session would come to.

    Attributes:
        looks: how often the session would have been pruned.
        refused: how often a block or a prune would have been refused because the pinned blocks do not fit.
        selection: of the last look, with a reason for every block; None where there was none.
    """

    looks: int = 0
    refused: int = 0
    selection: Selection | None = None
