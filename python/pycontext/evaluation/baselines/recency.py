"""The newest first: what most programs do."""

from __future__ import annotations

from pycontext.evaluation.baselines.ranked import Ranked
from pycontext.evaluation.history import Case

__all__ = ["RECENT", "recent"]

RECENT = "recent"


def recent() -> Ranked:
    """Return the baseline that keeps what came last."""
    return Ranked(RECENT, _places)


def _places(case: Case) -> range:
    return range(len(case.history.units))
