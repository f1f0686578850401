"""10,000 facts added and freed of equal texts: as columns, and one by one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from benches.comparison.facts import Facts
from benches.frame import Row, compare, race
from pycontext import BlockSet, ContextType

SIZE = 10_000
ROUNDS = 31
NEED = 3.0

# What falls, and what stays, by id.
Found = tuple[set[str], list[str]]


@dataclass(frozen=True, slots=True)
class Columns:
    content: list[str]
    type: list[ContextType]
    score: list[float]
    timestamp: list[int]
    token_count: list[int]

    @classmethod
    def of(cls, seed: int) -> Columns:
        """Facts of some 25 words, 1 to 10 % of them with the text of another, some of those of another type."""
        rng = random.Random(seed)
        words = rng.choices([f"word{n}" for n in range(3_000)], k=SIZE)
        share = rng.uniform(0.01, 0.1)
        content: list[str] = []
        for row in range(SIZE):
            if row and rng.random() < share:
                content.append(content[rng.randrange(row)])
            else:
                start = rng.randrange(SIZE - 25)
                content.append(" ".join((f"{row}:", *words[start : start + 25])))
        return cls(
            # No two rows share a string, and none has its hash yet: they are as if read from somewhere.
            [bytes(text, "ascii").decode() for text in content],
            rng.choices([ContextType.MEMORY, ContextType.KNOWLEDGE], k=SIZE),
            [rng.choice([0.5, rng.random()]) for _ in range(SIZE)],
            [rng.randrange(SIZE) for _ in range(SIZE)],
            [rng.randint(20, 60) for _ in range(SIZE)],
        )


def run() -> tuple[list[Row], list[str]]:
    for seed in range(3):
        check(Columns.of(seed))
    given: list[Columns] = []

    def prepare(_name: str, number: int) -> None:
        given[:] = [Columns.of(number)]

    def runner(function: Callable[[Columns], object]) -> Callable[[int], object]:
        return lambda _number: function(given[0])

    times = race(
        {
            "at once": runner(lambda columns: at_once(columns).dedup()),
            "one by one": runner(lambda columns: one_by_one(columns).dedup()),
            "plain Python": runner(lambda columns: plain(columns).dedup()),
        },
        ROUNDS,
        prepare=prepare,
    )
    return [
        row
        for name in ("at once", "one by one")
        for row in compare(
            f"add {SIZE:,} facts {name} and drop equal ones",
            {"ours": times[name], "plain Python": times["plain Python"]},
            ours="ours",
            at_least={"plain Python": NEED} if name == "at once" else None,
        )
    ], []


def at_once(columns: Columns) -> BlockSet:
    return BlockSet.from_columns(
        columns.content,
        columns.type,
        columns.score,
        timestamp=columns.timestamp,
        token_count=columns.token_count,
    )


def one_by_one(columns: Columns) -> BlockSet:
    blocks = BlockSet()
    fields = zip(columns.content, columns.score, columns.type, columns.timestamp, columns.token_count, strict=True)
    for row, (content, score, kind, timestamp, tokens) in enumerate(fields):
        blocks.add(f"b{row}", content, score, kind, {}, timestamp, tokens)
    return blocks


def plain(columns: Columns) -> Facts:
    facts = Facts()
    facts.extend(columns.content, columns.type, columns.score, columns.timestamp, columns.token_count)
    return facts


def check(columns: Columns) -> None:
    """The same rows fall and the same stay, in order, before anything is timed."""
    facts = plain(columns)
    wanted: Found = {fact.id for fact in facts.dedup()}, list(facts.rows)
    for blocks in (at_once(columns), one_by_one(columns)):
        found: Found = {block.id for block in blocks.dedup()}, [block.id for block in blocks]
        if found != wanted or sum(facts.sums) != blocks.metrics(1).total_tokens:
            raise SystemExit("plain Python and the set keep other facts")
