"""Units put into a budget, best first: the same for every baseline, so that only the order is compared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pycontext.evaluation.history import History
from pycontext.evaluation.tally import REPLY

__all__ = ["Room", "pack"]


class Room:
    """A budget that fills; what must stay is in it from the beginning.

    Attributes:
        kept: places of the units that are in it.
        left: tokens that are left; negative where there are fewer than any request needs.
    """

    def __init__(self, history: History, budget: int) -> None:
        self._costs: Final = history.costs
        self._orphans: Final = history.orphans
        self.kept: Final = set(history.pins)
        self.left = budget - REPLY - sum(self._costs[place] for place in self.kept)

    @property
    def is_over(self) -> bool:
        """Whether what must stay does not fit."""
        return self.left < 0 and bool(self.kept)

    def take(self, place: int) -> bool:
        """Take a unit if it fits, and say whether it did."""
        if place in self.kept or place in self._orphans or self._costs[place] > self.left:
            return False
        self.kept.add(place)
        self.left -= self._costs[place]
        return True


def pack(history: History, order: Iterable[int], budget: int) -> set[int] | None:
    """Take unit after unit, each one that still fits.

    Args:
        history: what there is.
        order: places of units, best first.
        budget: tokens of the request.

    Returns:
        The units that are kept, None where those that must stay do not fit.
    """
    room = Room(history, budget)
    if room.is_over:
        return None
    for place in order:
        room.take(place)
    return room.kept
