"""Scorers: the Protocol of the plug-ins that say how relevant blocks are to a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pycontext.errors import PluginError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycontext.blockset import BlockSet

__all__ = ["Scorer"]


@runtime_checkable
class Scorer(Protocol):
    """Scores blocks against a query, all in one call before the kernel runs."""

    def score(self, query: str, blocks: BlockSet, /) -> NDArray[np.float64]:
        """One number from 0 to 1 for every block, in order."""


def score_with(scorer: Scorer, query: str, blocks: BlockSet) -> NDArray[np.float64]:
    """Ask a scorer and check what it returns.

    Raises:
        PluginError: it raised, or did not return one number from 0 to 1 for every block.
    """
    import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

    name = type(scorer).__name__
    try:
        returned = np.asarray(scorer.score(query, blocks))
    except Exception as cause:
        raise PluginError(f"scorer {name} raised {type(cause).__name__}") from cause
    if returned.dtype.kind not in "fiu":
        raise PluginError(f"scorer {name} returned {returned.dtype}, not real numbers")
    scores = np.ascontiguousarray(returned, dtype=np.float64)
    if scores.shape != (len(blocks),):
        raise PluginError(f"scorer {name} returned shape {scores.shape} for {len(blocks)} blocks")
    outside = ~((scores >= 0) & (scores <= 1))
    if outside.any():
        row = int(outside.argmax())
        raise PluginError(f"scorer {name} returned {scores[row]} for blocks[{row}], not 0 to 1")
    return scores
