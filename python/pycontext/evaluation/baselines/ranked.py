"""Baselines that give every unit a score and take the best first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pycontext.evaluation.baselines.packing import pack
from pycontext.evaluation.contender import Choice, Role, choice_of
from pycontext.evaluation.history import Case

__all__ = ["Ranked"]

Score = Callable[[Case], Sequence[float]]


class Ranked:
    """Takes units by their scores, of equal scores the newer first.

    Args:
        name: shown in tables.
        score: one number for every unit of a case.
        role: what it is compared as.
    """

    def __init__(self, name: str, score: Score, *, role: Role = Role.SINGLE) -> None:
        self.name: Final = name
        self.role: Final = role
        self._score: Final = score
        self._last: tuple[Case, list[int]] | None = None

    def choices(self, case: Case, budget: int, /) -> Sequence[Choice]:
        """Return the one choice; none where what must stay does not fit."""
        kept = pack(case.history, self.order(case), budget)
        return [] if kept is None else [choice_of(case.history, kept)]

    def order(self, case: Case) -> list[int]:
        """Return the places of the units, best first."""
        # One case is asked for at budget after budget.
        if self._last is None or self._last[0] is not case:
            scores, units = self._score(case), case.history.units
            self._last = case, sorted(range(len(units)), key=lambda place: (-scores[place], -units[place][-1]))
        return self._last[1]
