"""How much of what there was to gain was gained, and whether ours keeps what is promised of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pycontext.evaluation.baselines.recency import RECENT
from pycontext.evaluation.bootstrap import Interval, interval
from pycontext.evaluation.contender import Role
from pycontext.evaluation.trial import Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MOST_BELOW", "NARROWEST", "Duel", "Lead", "duels", "headroom", "leads", "mean_headroom"]

MOST_BELOW: Final = 0.02
"""So far ours may be below the best single scorer of a set and budget."""

NARROWEST: Final = 0.05
"""Where the oracle gains less than this over the newest first, there is nothing to close."""


@dataclass(frozen=True, slots=True)
class Duel:
    """Ours against the best single scorer of a set under a budget, paired by question.

    Attributes:
        trial: name of the set.
        budget: in tokens.
        ours: name of ours.
        rival: name of the best single scorer.
        recall: of both.
        difference: ours less the rival's.
    """

    trial: str
    budget: int
    ours: str
    rival: str
    recall: tuple[float, float]
    difference: Interval

    @property
    def is_met(self) -> bool:
        """Whether ours is not more than 2 points below."""
        # Recalls are counts over counts: what is just 2 points may be written a little lower.
        return self.difference.value >= -MOST_BELOW - 1e-9


@dataclass(frozen=True, slots=True)
class Lead:
    """Ours against a single scorer over all sets and budgets.

    Attributes:
        ours: name of ours.
        rival: name of the single scorer.
        headroom: mean headroom closed of both.
        difference: ours less the rival's.
        cells: sets and budgets that are in the mean.
    """

    ours: str
    rival: str
    headroom: tuple[float, float]
    difference: Interval
    cells: int

    @property
    def is_met(self) -> bool:
        """Whether ours is above with an interval that excludes zero."""
        return self.difference.low > 0


def headroom(trial: Trial, name: str, budget: int) -> Interval | None:
    """Return the part closed of what the oracle gains over the newest first; None where that is too little to say."""
    if not _has_room(trial, budget):
        return None
    return interval(*_closed(trial, name, budget))


def mean_headroom(trials: Sequence[Trial], name: str) -> Interval | None:
    """Return the mean headroom closed over all sets and budgets where there is any; None where there is none."""
    found = [_closed(trial, name, budget) for trial, budget in _cells(trials)]
    return interval(*_mean(found)) if found else None


def duels(trials: Sequence[Trial]) -> list[Duel]:
    """Return ours against the best single scorer, set by set and budget by budget."""
    found = []
    for trial in trials:
        for ours, rivals in _pairs(trial):
            for budget in trial.budgets:
                # Of equal ones the first of the table.
                rival = max(rivals, key=lambda name: trial.recall(name, budget).mean())
                mine, best = trial.recall(ours, budget), trial.recall(rival, budget)
                recalls = float(mine.mean()), float(best.mean())
                difference = trial.resampling.mean(mine - best)
                found.append(Duel(trial.name, budget, ours, rival, recalls, difference))
    return found


def leads(trials: Sequence[Trial]) -> list[Lead]:
    """Return ours against every single scorer in the mean headroom closed; empty where there is no headroom."""
    cells = _cells(trials)
    if not cells:
        return []
    found = []
    for ours, rivals in _pairs(trials[0]):
        for rival in rivals:
            both = [[_closed(trial, name, budget) for trial, budget in cells] for name in (ours, rival)]
            (mine, my_draws), (other, other_draws) = map(_mean, both)
            difference = interval(mine - other, my_draws - other_draws)
            found.append(Lead(ours, rival, (mine, other), difference, len(cells)))
    return found


def _pairs(trial: Trial) -> Iterator[tuple[str, list[str]]]:
    """Each of ours with its rivals."""
    for name, role in trial.roles.items():
        if rivals := trial.of_role(*role.rivals):
            yield name, rivals


def _cells(trials: Sequence[Trial]) -> list[tuple[Trial, int]]:
    return [(trial, budget) for trial in trials for budget in trial.budgets if _has_room(trial, budget)]


def _has_room(trial: Trial, budget: int) -> bool:
    ceiling = trial.of_role(Role.CEILING)
    if not ceiling or RECENT not in trial.roles:
        return False
    return float(trial.recall(ceiling[0], budget).mean() - trial.recall(RECENT, budget).mean()) >= NARROWEST


def _closed(trial: Trial, name: str, budget: int) -> tuple[float, NDArray[np.float64]]:
    """The headroom closed, and the same in every resample; NaN in one with too little headroom."""
    names = name, RECENT, trial.of_role(Role.CEILING)[0]
    recalls = [trial.recall(one, budget) for one in names]
    ours, floor, ceiling = (float(recall.mean()) for recall in recalls)
    my_draws, low, high = (trial.resampling.means(recall) for recall in recalls)
    # As for the set itself: where a resample has too little to gain, it says nothing here.
    room = np.where(high - low >= NARROWEST, high - low, np.nan)
    return (ours - floor) / (ceiling - floor), (my_draws - low) / room


def _mean(found: Sequence[tuple[float, NDArray[np.float64]]]) -> tuple[float, NDArray[np.float64]]:
    draws = np.array([drawn for _, drawn in found])
    known = ~np.isnan(draws)
    sums = np.where(known, draws, 0.0).sum(axis=0)
    means = np.full(draws.shape[1], np.nan)
    np.divide(sums, known.sum(axis=0), out=means, where=known.any(axis=0))
    return float(np.mean([value for value, _ in found])), means
