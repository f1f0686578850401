"""The ceiling: the cheapest units that hold all that is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pycontext.evaluation.baselines.packing import Room
from pycontext.evaluation.contender import Choice, Role, choice_of
from pycontext.evaluation.history import Case

__all__ = ["Oracle"]

# Covers are looked for among all sets of clauses up to so many; beyond that one after the other.
_MOST_CLAUSES: Final = 12


class Oracle:
    """Knows which blocks are needed and takes the cheapest that satisfy every clause.

    With up to 12 clauses (those that differ and that no pin satisfies) the cover is the cheapest there is; with more it
    is greedy, the unit with the most clauses for its tokens first, and may miss one that would fit.
    """

    name: Final = "oracle"
    role: Final = Role.CEILING

    def choices(self, case: Case, budget: int, /) -> Sequence[Choice]:
        """Return the one choice; none where what must stay does not fit."""
        history = case.history
        room = Room(history, budget)
        if room.is_over:
            return []
        missing = [set(clause) - history.orphans for clause in set(case.clauses) if not clause & room.kept]
        cover = self.cover(missing, history.costs)
        # Half of the evidence answers nothing, but what fits of it is kept for the share of useful tokens.
        for place in sorted(cover, key=lambda place: history.costs[place]):
            room.take(place)
        return [choice_of(history, room.kept)]

    @staticmethod
    def cover(clauses: Sequence[set[int]], costs: Sequence[int]) -> set[int]:
        """Return units that satisfy every clause that any unit can satisfy, as cheap as possible."""
        clauses = [clause for clause in clauses if clause]
        held = {place: 0 for clause in clauses for place in clause}
        for bit, clause in enumerate(clauses):
            for place in clause:
                held[place] |= 1 << bit
        return (_cheapest if len(clauses) <= _MOST_CLAUSES else _greedy)(held, costs, (1 << len(clauses)) - 1)


def _cheapest(held: dict[int, int], costs: Sequence[int], everything: int) -> set[int]:
    best: dict[int, tuple[int, frozenset[int]]] = {0: (0, frozenset())}
    for place, bits in held.items():
        for done, (cost, units) in list(best.items()):
            reached, total = done | bits, cost + costs[place]
            if reached not in best or total < best[reached][0]:
                best[reached] = total, units | {place}
    return set(best[everything][1])


def _greedy(held: dict[int, int], costs: Sequence[int], everything: int) -> set[int]:
    taken, done = set[int](), 0
    while done != everything:
        place = max(held, key=lambda one: ((held[one] & ~done).bit_count() / max(costs[one], 1), -one))
        taken.add(place)
        done |= held[place]
    return taken
