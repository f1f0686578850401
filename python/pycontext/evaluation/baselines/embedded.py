"""An embedding model alone, and fused with BM25 by ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pycontext.evaluation.baselines.bm25 import scores
from pycontext.evaluation.baselines.ranked import Ranked
from pycontext.evaluation.contender import Role
from pycontext.evaluation.history import Case
from pycontext.scorer import Scorer

__all__ = ["embedded", "fused"]

# Cormack, Clarke and Büttcher, 2009.
_K: Final = 60


def embedded(name: str, scorer: Scorer) -> Ranked:
    """Return the baseline that takes what a scorer finds most like the question; a unit has the best of its blocks."""
    return Ranked(name, lambda case: _similar(scorer, case), role=Role.MODEL)


def fused(name: str, scorer: Scorer) -> Ranked:
    """Return reciprocal rank fusion of BM25 and the scorer, k = 60."""

    def score(case: Case) -> list[float]:
        found = scores(case.query, case.history.texts), _similar(scorer, case)
        ranks = [_ranks(one) for one in found]
        return [sum(1 / (_K + rank[place]) for rank in ranks) for place in range(len(case.history.units))]

    return Ranked(name, score, role=Role.FUSION)


def _similar(scorer: Scorer, case: Case) -> list[float]:
    values = scorer.score(case.query, case.history.set)
    return [max(float(values[row]) for row in unit) for unit in case.history.units]


def _ranks(values: Sequence[float]) -> list[int]:
    order = sorted(range(len(values)), key=lambda place: (-values[place], -place))
    ranks = [0] * len(values)
    for rank, place in enumerate(order, 1):
        ranks[place] = rank
    return ranks
