"""Intervals by drawing whole clusters again: questions about one conversation are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Interval", "Resampling", "clusters_of"]

# With fewer contexts than this, drawing them again says nothing: the questions are drawn.
_FEWEST: Final = 10

_LOW: Final = 2.5
_HIGH: Final = 97.5


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def excludes(self, number: float) -> bool:
        """Return whether a number is outside the interval."""
        return not self.low <= number <= self.high


def clusters_of(cids: Sequence[str], qids: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return what is drawn again, and each question's cluster: contexts where there are ten or more, else questions."""
    return ("contexts", cids) if len(set(cids)) >= _FEWEST else ("questions", qids)


class Resampling:
    """How often each question is drawn, resample after resample; the same for all that is compared.

    Args:
        clusters: one for every question.
        resamples: how many, 1 or more.
        seed: for the same ones every time.

    Attributes:
        weights: one row a resample, one column a question, each row with a sum of 1.
    """

    def __init__(self, clusters: Sequence[str], resamples: int, seed: int) -> None:
        names = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
        of_question = np.array([names[name] for name in clusters])
        drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
        weights = drawn[:, of_question].astype(float)
        self.weights: Final[NDArray[np.float64]] = weights / weights.sum(axis=1, keepdims=True)

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of one value a question in every resample."""
        return self.weights @ values

    def mean(self, values: NDArray[np.float64]) -> Interval:
        """Return the mean with its interval."""
        return interval(float(values.mean()), self.means(values))


def interval(value: float, resampled: NDArray[np.float64]) -> Interval:
    """Return a value with the percentiles of its resamples, those left out in which it is not defined."""
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.percentile(known, (_LOW, _HIGH))
    return Interval(value, float(low), float(high))
