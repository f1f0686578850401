"""Several scorers made one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal

from pycontext.errors import ValidationError, shown
from pycontext.query import turns_of
from pycontext.scorer import Scorer, score_with

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycontext.blockset import BlockSet

__all__ = ["HybridScorer"]

# How much the first ranks stand out (Cormack, Clarke and Buettcher, 2009).
_RANK_OFFSET: Final = 60
# Below it a difference is rounding: scorers that contradict each other exactly would differ by it.
_NOISE: Final = 1e-12


class HybridScorer:
    """Scores blocks by what several scorers say.

    Under the policy "evidence" words count already: there one scorer of meaning is enough.

    Args:
        scorers: one at least.
        weights: how much each counts, above 0; None for all alike.
        method: "zscore" adds the scores in units of their deviation, which keeps how far the best stands out; "rrf"
            adds 1 / (60 + rank), reciprocal rank fusion, where equal scores have equal ranks.

    Raises:
        ValidationError: an argument is outside its limits.
    """

    def __init__(
        self,
        scorers: Sequence[Scorer],
        *,
        weights: Sequence[float] | None = None,
        method: Literal["zscore", "rrf"] = "zscore",
    ) -> None:
        self.scorers: Final = tuple(scorers) if isinstance(scorers, Iterable) else ()
        if not self.scorers or not all(isinstance(scorer, Scorer) for scorer in self.scorers):
            raise ValidationError(f"scorers {shown(scorers)} are not one Scorer at least")
        given = (1.0,) * len(self.scorers) if weights is None else weights
        self.weights: Final = tuple(given) if isinstance(given, Iterable) else ()
        if len(self.weights) != len(self.scorers) or not all(_is_weight(weight) for weight in self.weights):
            raise ValidationError(f"weights {shown(weights)} are not {len(self.scorers)} numbers above 0, one a scorer")
        if not isinstance(method, str) or method not in _METHODS:
            raise ValidationError(f"method {shown(method)} is not one of {', '.join(_METHODS)}")
        self.method: Final = method

    def score(self, query: str, blocks: BlockSet, /) -> NDArray[np.float64]:
        """One number from 0 to 1 for every block, in order: 1 for the best, 0 for the last.

        Raises:
            ValidationError: `query` is no str.
            PluginError: a scorer raised, or did not return one number from 0 to 1 for every block.
        """
        return self.score_turns([query], blocks)

    def score_turns(self, turns: Sequence[str], blocks: BlockSet, /) -> NDArray[np.float64]:
        """The same for several turns of the user, the newest last."""
        import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

        turns = turns_of(turns)
        total = np.zeros(len(blocks))
        heaviest = max(self.weights)
        for scorer, weight in zip(self.scorers, self.weights, strict=True):
            total += weight / heaviest * _METHODS[self.method](score_with(scorer, turns, blocks))
        if not len(total):
            return total
        low, high = total.min(), total.max()
        # Where all are alike nothing speaks for one of them.
        return np.zeros(len(total)) if high - low <= _NOISE else np.clip((total - low) / (high - low), 0.0, 1.0)


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def _standard(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    deviation = scores.std() if len(scores) else 0.0
    return scores * 0.0 if deviation <= _NOISE else (scores - scores.mean()) / deviation


def _by_rank(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

    # The rank of the first of those that are equal, from 1.
    ranks = 1 + np.searchsorted(np.sort(-scores), -scores, side="left")
    return 1.0 / (_RANK_OFFSET + ranks)


_METHODS: Final[dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "zscore": _standard,
    "rrf": _by_rank,
}
