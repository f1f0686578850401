"""Effective scores of 100,000 blocks at another time in every call."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import numpy as np

from benches.comparison import article, decay
from benches.frame import Row, compare, race
from benches.synthetic import PlainBlock
from pycontext import BlockSet, ContextType

SIZE = 100_000
ROUNDS = 31
FACTOR = 0.95
FLOOR = 0.1

NOW_MS = 1_800_000_000_000
# Up to two hours old, by which almost all have come down to the floor, and some stamped by a clock that is ahead.
OLDEST_MS, NEWEST_MS = -7_200_000, 60_000

# The fast ones are called several times in a round: one call would measure how cold the caches are after the slow ones.
CALLS = {"ours": 20, "NumPy": 20}

NEEDS = {"article": 100.0, "plain Python": 35.0, "NumPy": 5.0}


def run() -> tuple[list[Row], list[str]]:
    rng = random.Random(17)
    kinds = list(ContextType)
    content = ["text"] * SIZE
    type = rng.choices(kinds, weights=[1, 20, 20, 20, 20, 20], k=SIZE)
    score = [rng.random() for _ in range(SIZE)]
    timestamp = [NOW_MS + rng.randint(OLDEST_MS, NEWEST_MS) for _ in range(SIZE)]
    blocks = BlockSet.from_columns(content, type, score, timestamp=timestamp, token_count=[1] * SIZE)

    def objects() -> list[PlainBlock]:
        columns = zip(score, type, timestamp, strict=True)
        return [PlainBlock(f"b{row}", "text", *fields, 1) for row, fields in enumerate(columns)]

    plain, overwritten = objects(), objects()
    vectors = partial(
        decay.vectors,
        np.array(score),
        np.array(timestamp),
        np.array([kind is ContextType.SYSTEM for kind in type]),
        factor_per_minute=FACTOR,
        floor=FLOOR,
    )
    runners: dict[str, Callable[[int], object]] = {
        "ours": lambda now: blocks.effective_scores(factor_per_minute=FACTOR, now=now, floor=FLOOR),
        "article": lambda now: article.decay(overwritten, now, FACTOR),
        "plain Python": lambda now: decay.plain(plain, now, FACTOR, FLOOR),
        "NumPy": lambda now: vectors(now=now),
    }
    for now in (NOW_MS, NOW_MS + 1_000_001):
        wanted = np.array(runners["plain Python"](now))
        for name in ("ours", "NumPy"):
            if not np.allclose(runners[name](now), wanted, rtol=0, atol=1e-12):
                raise SystemExit(f"decayed scores of {name} and of plain Python differ")

    def later(name: str) -> Callable[[int], None]:
        function, calls = runners[name], CALLS.get(name, 1)

        def call(number: int) -> None:
            # A second later in every call: nothing is found again.
            for step in range(calls):
                function(NOW_MS + 1_000 * (number * calls + step))

        return call

    times = race({name: later(name) for name in runners}, ROUNDS)
    each = {name: [value / CALLS.get(name, 1) for value in values] for name, values in times.items()}
    return compare(f"decay {SIZE:,} blocks", each, ours="ours", at_least=NEEDS), []
