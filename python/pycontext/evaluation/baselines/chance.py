"""The floor: units in no order at all."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from pycontext.evaluation.baselines.packing import pack
from pycontext.evaluation.contender import Choice, Role, choice_of
from pycontext.evaluation.history import Case

__all__ = ["Chance"]


class Chance:
    """Takes units at random; the mean of several draws counts.

    Args:
        seed: for the same draws every time.
        draws: for each case and budget.
    """

    name: Final = "random"
    role: Final = Role.FLOOR

    def __init__(self, *, seed: int = 0, draws: int = 5) -> None:
        self._seed: Final = seed
        self._draws: Final = draws

    def choices(self, case: Case, budget: int, /) -> Sequence[Choice]:
        """Return the draws; none where what must stay does not fit."""
        history, found = case.history, []
        for draw in range(self._draws):
            order = list(range(len(history.units)))
            # Of the question and the draw alone: a budget more or a set more changes nothing.
            random.Random(f"{self._seed} {case.question.qid} {draw}").shuffle(order)  # noqa: S311  # no secret
            if (kept := pack(history, order, budget)) is not None:
                found.append(choice_of(history, kept))
        return found
