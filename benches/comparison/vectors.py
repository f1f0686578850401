"""The same contract in NumPy, from arrays that are ready.

Which rows are one unit, and which texts are equal, is given: strings are not NumPy's work. So this baseline is spared
the references, the ids and the hashing that the other sides do.

No sort of everything: scores are between 0 and 1, so a histogram of the tokens by score finds the bin in which the
budget ends. All above it stays, that bin is sorted, and of what is below only the little that still fits is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benches.comparison.contract import AROUND
from benches.synthetic import Conversation
from pycontext import ContextType

Rows = NDArray[np.int64]
Codes = NDArray[np.uint8]

# The codes are positions in here; the first two are those of what stays.
REASONS = ("kept", "pinned", "budget", "duplicate", "unit", "orphan")
NAMES = np.array(REASONS, dtype=object)
KEPT, PINNED, BUDGET, DUPLICATE, UNIT, ORPHAN = range(len(REASONS))

SYSTEM, USER, AGENT, TOOL = (ContextType[name].value for name in ("SYSTEM", "USER", "AGENT", "TOOL"))
FACTS = (ContextType.MEMORY, ContextType.KNOWLEDGE)

BINS = 4_096
# So few rows are sorted sooner than counted.
FEW = 512


@dataclass(frozen=True)
class Arrays:
    """A conversation as NumPy has it.

    Attributes:
        score: base scores.
        cost: tokens of each block as a message.
        time: timestamps.
        kind: numbers of the types.
        head: first row of the unit, the row itself where it is its first, -1 where the call is missing.
        twin: first row of the same type and text among facts, the row itself where it is the first or no fact.
    """

    score: NDArray[np.float64]
    cost: NDArray[np.int64]
    time: NDArray[np.int64]
    kind: NDArray[np.uint8]
    head: Rows
    twin: Rows

    @classmethod
    def of(cls, conversation: Conversation) -> Arrays:
        kinds = conversation.type
        rows = {id: row for row, id in enumerate(conversation.id)}
        first: dict[tuple[ContextType, str], int] = {}
        twin = [
            first.setdefault((kind, text), row) if kind in FACTS else row
            for row, (kind, text) in enumerate(zip(kinds, conversation.content, strict=True))
        ]
        head = list(range(len(kinds)))
        for row, references in enumerate(conversation.references):
            if kinds[row] is ContextType.TOOL and references:
                head[row] = _head(row, references, rows, kinds)
        kind = np.array([kind.value for kind in kinds], dtype=np.uint8)
        return cls(
            np.array(conversation.score, dtype=np.float64),
            np.array(conversation.token_count, dtype=np.int64) + np.array(AROUND, dtype=np.int64)[kind],
            np.array(conversation.timestamp, dtype=np.int64),
            kind,
            np.array(head, dtype=np.int64),
            np.array(twin, dtype=np.int64),
        )


def _head(row: int, references: Sequence[str], rows: dict[str, int], kinds: list[ContextType]) -> int:
    calls = [rows[id] for id in references if id in rows and kinds[rows[id]] is ContextType.AGENT]
    if calls:
        return calls[0]
    return row if all(id in rows for id in references) else -1


def prune(arrays: Arrays, available: int) -> tuple[Rows, Codes, int]:
    """Kept rows, a code of `REASONS` for every row, and the tokens of the request."""
    kind, head = arrays.kind, arrays.head
    own = np.arange(len(kind))
    codes = np.full(len(kind), BUDGET, dtype=np.uint8)

    # A unit costs the sum of its rows, and has the best score and the newest time of them.
    inside = np.flatnonzero(head != own)
    heads = head[inside]
    if len(heads) and heads.min() < 0:
        codes[inside[heads < 0]] = ORPHAN
        inside, heads = inside[heads >= 0], heads[heads >= 0]
    cost, score, time, last = arrays.cost.copy(), arrays.score.copy(), arrays.time.copy(), own
    if len(inside):
        np.add.at(cost, heads, cost[inside])
        np.maximum.at(score, heads, score[inside])
        np.maximum.at(time, heads, time[inside])
        last = own.copy()
        last[heads] = inside
        codes[inside] = UNIT

    codes[_worse(arrays, score, time)] = DUPLICATE
    pins = _pins(kind, head)
    codes[pins] = PINNED
    total = 3 + int(cost[pins].sum())
    if total > available:
        raise ValueError("pins do not fit")
    # What waits is what has no other reason yet.
    total += _fill(codes, np.flatnonzero(codes == BUDGET), cost, (score, time, last), available - total)
    if len(inside):
        of_head = codes[heads]
        codes[inside] = np.where(of_head <= PINNED, of_head, UNIT)
    return np.flatnonzero(codes <= PINNED), codes, total


def names(codes: Codes) -> list[str]:
    """The reason of every row, as the other sides return it."""
    return NAMES[codes].tolist()


def _worse(arrays: Arrays, score: NDArray[np.float64], time: NDArray[np.int64]) -> Rows:
    """Rows of facts of which there is a better copy."""
    copies = np.flatnonzero(arrays.twin != np.arange(len(arrays.twin)))
    if not len(copies):
        return copies
    rows = np.concatenate((np.unique(arrays.twin[copies]), copies))
    rows = rows[np.lexsort((rows, time[rows], score[rows], arrays.twin[rows]))]
    group = arrays.twin[rows]
    return rows[:-1][group[:-1] == group[1:]]


def _pins(kind: NDArray[np.uint8], head: Rows) -> Rows:
    """First rows of the units that must stay: rules, the last user message, and the last turn if it came later."""
    users = np.flatnonzero(kind == USER)
    last_user = int(users[-1]) if len(users) else -1
    later = kind[last_user + 1 :]
    turns = np.flatnonzero((later == AGENT) | (later == TOOL))
    last = [last_user] if last_user >= 0 else []
    if len(turns) and (turn := int(head[last_user + 1 + turns[-1]])) >= 0:
        last.append(turn)
    return np.unique(np.concatenate((np.flatnonzero(kind == SYSTEM), np.array(last, dtype=np.int64))))


def _fill(codes: Codes, rows: Rows, cost: NDArray[np.int64], order: Sequence[NDArray[np.generic]], room: int) -> int:
    """Mark the rows that stay, best first, each that still fits; return their tokens."""
    score = order[0]
    start = room
    while len(rows) > FEW:
        tokens = cost[rows]
        bins = (score[rows] * BINS).astype(np.int64)
        # Tokens of each bin and those above it: the budget ends in the last bin where they are too many.
        above = np.cumsum(np.bincount(bins, weights=tokens, minlength=BINS + 1)[::-1])[::-1]
        edge = np.count_nonzero(above > room) - 1
        # `KEPT` is 0, and `BUDGET` is what they have.
        codes[rows] = (bins <= edge) * np.uint8(BUDGET)
        room -= int(above[edge + 1]) if edge < BINS else 0
        room -= _fill_sorted(codes, rows[bins == edge], cost, order, room)
        rows = rows[(bins < edge) & (tokens <= room)]
    return start - room + _fill_sorted(codes, rows, cost, order, room)


def _fill_sorted(
    codes: Codes, rows: Rows, cost: NDArray[np.int64], order: Sequence[NDArray[np.generic]], room: int
) -> int:
    score, time, last = order
    start = room
    rows = rows[np.lexsort((last[rows], time[rows], score[rows]))[::-1]]
    while len(rows):
        # As far as everything fits, then again over what is small enough for the rest.
        sums = np.cumsum(cost[rows])
        fits = int(np.searchsorted(sums, room, side="right"))
        if fits:
            codes[rows[:fits]] = KEPT
            room -= int(sums[fits - 1])
        rows = rows[fits + 1 :]
        rows = rows[cost[rows] <= room]
    return start - room
