"""A plain-Python store of facts that refuses doubled ids, keeps sums by type and drops the worse of equal texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pycontext import ContextType

KINDS = tuple(ContextType)


@dataclass(slots=True)
class Fact:
    id: str
    content: str
    score: float
    type: ContextType
    timestamp: int
    token_count: int


class Facts:
    """Facts in the order in which they came, and the tokens of each type."""

    def __init__(self) -> None:
        self.rows: dict[str, Fact] = {}
        # By the number of the type: to hash a type runs a Python method.
        self.sums = [0] * len(KINDS)

    def extend(
        self,
        content: Iterable[str],
        type: Iterable[ContextType],
        score: Iterable[float],
        timestamp: Iterable[int],
        token_count: Iterable[int],
    ) -> None:
        """Checked in the loop, which costs less than a `__post_init__` for each."""
        rows, sums = self.rows, self.sums
        columns = zip(content, type, score, timestamp, token_count, strict=True)
        for row, (text, kind, base, time, tokens) in enumerate(columns, len(rows)):
            id = f"b{row}"
            if not 0 <= base <= 1:
                raise ValueError(f"score {base} of {id} is not from 0 to 1")
            if time < 0 or tokens < 0:
                raise ValueError(f"time {time} or tokens {tokens} of {id} is under 0")
            if id in rows:
                raise ValueError(f"id {id} comes twice")
            rows[id] = Fact(id, text, base, kind, time, tokens)
            sums[kind._value_] += tokens

    def dedup(self) -> list[Fact]:
        """Keep the best of equal texts of a type: highest score, then newest, then last; return what fell."""
        best: list[dict[str, Fact]] = [{} for _ in KINDS]
        fallen = []
        for fact in self.rows.values():
            seen = best[fact.type._value_]
            other = seen.setdefault(fact.content, fact)
            if other is not fact:
                if (fact.score, fact.timestamp) >= (other.score, other.timestamp):
                    seen[fact.content] = fact
                    other, fact = fact, other  # noqa: PLW2901  # the worse of the two falls
                fallen.append(fact)
        for fact in fallen:
            del self.rows[fact.id]
            self.sums[fact.type._value_] -= fact.token_count
        return fallen
