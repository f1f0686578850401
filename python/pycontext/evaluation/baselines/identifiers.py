"""Ids, codes and addresses: what a next call needs in tool conversations."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from pycontext.evaluation.baselines.packing import Room
from pycontext.evaluation.contender import Choice, Role, choice_of
from pycontext.evaluation.history import Case, History

__all__ = ["Identifiers"]

# An e-mail address, a date, a word of letters with a digit or an underscore, a number of six digits or more; keys of
# JSON are no values. Taking every number there is finds less.
_KEY: Final = re.compile(r'"[^"\\]*"\s*:')
_ID: Final = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+|\b\d{4}-\d\d-\d\d\b|\b(?=\w*[\d_])(?=\w*[^\W\d_])\w+\b|\b\d{6,}\b")
_SHORTEST: Final = 3
_HALF_LIFE: Final = 30


class Identifiers:
    """Takes the unit that adds the most identifiers not yet there for its tokens, older ones counting less.

    The weight halves every 30 blocks. What adds none comes last, the newest first. The question is not looked at.
    """

    name: Final = "identifiers"
    role: Final = Role.SINGLE

    def __init__(self) -> None:
        self._found: Final[dict[tuple[int, int], Sequence[Choice]]] = {}

    def choices(self, case: Case, budget: int, /) -> Sequence[Choice]:
        """Return the one choice; none where what must stay does not fit."""
        key = case.history.key, budget
        if key not in self._found:
            kept = _cover(case.history, budget)
            self._found[key] = [] if kept is None else [choice_of(case.history, kept)]
        return self._found[key]


def _cover(history: History, budget: int) -> set[int] | None:
    room = Room(history, budget)
    if room.is_over:
        return None
    ids = [_ids(text) for text in history.texts]
    newest = len(history.blocks) - 1
    weights = [
        0.5 ** ((newest - unit[-1]) / _HALF_LIFE) / max(cost, 1)
        for unit, cost in zip(history.units, history.costs, strict=True)
    ]
    covered: set[str] = set().union(*(ids[place] for place in room.kept))
    # A gain only falls while others are taken: a unit whose gain is still the largest after a new look is the best.
    waiting = [(-math.inf, -place) for place in range(len(ids)) if place not in room.kept]
    heapq.heapify(waiting)
    while waiting:
        gain, place = -waiting[0][0], -waiting[0][1]
        now = len(ids[place] - covered) * weights[place]
        if now < gain:
            heapq.heapreplace(waiting, (-now, -place))
            continue
        heapq.heappop(waiting)
        if room.take(place):
            covered |= ids[place]
    return room.kept


@lru_cache(1 << 16)
def _ids(text: str) -> frozenset[str]:
    found = (match.strip(".:-_") for match in _ID.findall(_KEY.sub(" ", text)))
    return frozenset(id for id in found if len(id) >= _SHORTEST)
