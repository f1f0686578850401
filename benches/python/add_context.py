"""`add_context` on a long session against a short one, counting included in both."""

from __future__ import annotations

import random
from collections.abc import Callable

from benches.frame import Row, Spread, race
from pycontext import ContextManager, ContextType

SIZES = (50, 5_000)
ADDS = 200
ROUNDS = 31
LIMIT = 1.5


def run() -> tuple[list[Row], list[str]]:
    rng = random.Random(11)
    words = [f"w{n}" for n in range(3_000)]

    def text() -> str:
        return " ".join(rng.choices(words, k=40))

    sessions = {}
    for size in SIZES:
        manager = ContextManager(max_tokens=10**8)
        session = manager.create_session("bench")
        for _ in range(size):
            manager.add_context(session, text(), ContextType.USER, 0.5)
        sessions[size] = (manager, session)
    names = {size: f"session of {size:,}" for size in SIZES}
    # The same new texts for both, other ones in each round.
    fresh = [[text() for _ in range(ADDS)] for _ in range(ROUNDS + 1)]

    def runner(size: int) -> Callable[[int], None]:
        manager, session = sessions[size]

        def add(number: int) -> None:
            for content in fresh[number]:
                manager.add_context(session, content, ContextType.USER, 0.5)

        return add

    def cut_back(name: str, _number: int) -> None:
        for size in SIZES:
            if names[size] == name:
                manager, session = sessions[size]
                del manager.sessions[session].blocks[size:]

    times = race({names[size]: runner(size) for size in SIZES}, ROUNDS, prepare=cut_back)
    short, long = (times[names[size]] for size in SIZES)
    ratio = Spread.of([b / a for a, b in zip(short, long, strict=True)])
    each = [Spread.of([value / ADDS for value in values]) for values in (long, short)]
    return [
        Row(
            f"add_context to {SIZES[1]:,} blocks",
            f"to {SIZES[0]} blocks",
            each[0],
            each[1],
            ratio,
            says="as long",
            required=f"at most {LIMIT:g}x",
            met=ratio.median <= LIMIT,
        )
    ], []
