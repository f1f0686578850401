"""The newest first: what most programs do."""

from __future__ import annotations

from pycontext.evaluation.baselines.ranked import Ranked
from pycontext.evaluation.history import Case

__all__ = ["RECENT", "recent"]

RECENT = "recent"


def recent() -> Ranked:
    """Return the baseline that keeps what came last."""
    return Ranked(RECENT, _newest)


def _newest(case: Case) -> list[int]:
    """A call is as new as the last of its results."""
    return [unit[-1] for unit in case.history.units]
