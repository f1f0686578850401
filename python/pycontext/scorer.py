"""Scorers: the Protocol of what says how relevant blocks are to a query, and the built-in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pycontext.errors import PluginError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycontext.blockset import BlockSet

__all__ = ["ConversationScorer", "LexicalScorer", "Scorer"]


@runtime_checkable
class Scorer(Protocol):
    """Scores blocks against a query, all in one call before the kernel runs."""

    def score(self, query: str, blocks: BlockSet, /) -> NDArray[np.float64]:
        """One number from 0 to 1 for every block, in order."""


@runtime_checkable
class ConversationScorer(Scorer, Protocol):
    """A scorer that also reads what the user said before; where it is one, it is asked this way."""

    def score_turns(self, turns: Sequence[str], blocks: BlockSet, /) -> NDArray[np.float64]:
        """One number from 0 to 1 for every block, in order; the newest turn is the last and the question."""


class LexicalScorer:
    """Scores blocks by the words that they share with the query; `prune` uses it where there is no other.

    BM25 (Robertson and Zaragoza, 2009) with k1 = 1.5 and b = 0.9, as a part of the best score in the set: the best
    match has 1, and a block without a word of the query 0. Words are runs of letters, digits, marks and underscores;
    English stop words and single letters do not count. They are stemmed by Snowball's rules, by script: Latin letters
    as English, Cyrillic as Russian, Arabic, Armenian, Devanagari as Hindi, Greek, Tamil. Chinese, Japanese, Korean,
    Thai, Lao, Khmer and Burmese are cut into pairs of characters. A block's words are those of its content and of the
    calls it makes. A set indexes them at its first query, and from then on those of each block that came since.
    """

    def score(self, query: str, blocks: BlockSet, /) -> NDArray[np.float64]:
        """One number from 0 to 1 for every block, in order.

        Raises:
            ValidationError: `query` is no str.
        """
        return blocks.matches(query)


def score_with(scorer: Scorer, turns: Sequence[str], blocks: BlockSet) -> NDArray[np.float64]:
    """Ask a scorer and check what it returns.

    Raises:
        PluginError: it raised, or did not return one number from 0 to 1 for every block.
    """
    import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

    name = type(scorer).__name__
    try:
        if isinstance(scorer, ConversationScorer):
            returned = np.asarray(scorer.score_turns(turns, blocks))
        else:
            returned = np.asarray(scorer.score(turns[-1], blocks))
    except Exception as cause:
        raise PluginError(f"scorer {name} raised {type(cause).__name__}") from cause
    if returned.dtype.kind not in "fiu":
        raise PluginError(f"scorer {name} returned {returned.dtype}, not real numbers")
    scores = np.require(returned, np.float64, ["C", "A"])
    if scores.shape != (len(blocks),):
        raise PluginError(f"scorer {name} returned shape {scores.shape} for {len(blocks)} blocks")
    outside = ~((scores >= 0) & (scores <= 1))
    if outside.any():
        row = int(outside.argmax())
        raise PluginError(f"scorer {name} returned {scores[row]} for blocks[{row}], not 0 to 1")
    return scores
