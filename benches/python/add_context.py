"""`add_context` on a long session against a short one, and while somebody holds what came out of it."""

from __future__ import annotations

import random
from collections.abc import Callable

from benches.frame import Row, longer, race
from pycontext import ContextManager, ContextType

SIZES = (50, 5_000)
ADDS = 200
ROUNDS = 31
LIMIT = 1.5
HELD_ROUNDS = 101


def run() -> tuple[list[Row], list[str]]:
    rng = random.Random(11)
    words = [f"w{n}" for n in range(3_000)]

    def text() -> str:
        return " ".join(rng.choices(words, k=40))

    return [long_against_short(text), *held_against_free(text)], []


def session_of(size: int, text: Callable[[], str]) -> tuple[ContextManager, str]:
    manager = ContextManager(max_tokens=10**8)
    session = manager.create_session("bench")
    for _ in range(size):
        manager.add_context(session, text(), ContextType.USER, 0.5)
    return manager, session


def held_against_free(text: Callable[[], str]) -> list[Row]:
    """One add to a session whose selection, or all of whose blocks, somebody has just taken and still holds."""
    size = SIZES[1]
    manager, session = session_of(size, text)
    blocks = manager.sessions[session].blocks
    take: dict[str, Callable[[], object]] = {
        "nothing is held": lambda: None,
        "its selection is held": lambda: manager.select(session),
        "its blocks are held": lambda: list(blocks),
    }
    held: list[object] = []
    fresh = [text() for _ in range(HELD_ROUNDS + 1)]

    def prepare(name: str, _number: int) -> None:
        held.clear()
        del blocks[size:]
        held.append(take[name]())

    def add(number: int) -> None:
        manager.add_context(session, fresh[number], ContextType.USER, 0.5)

    times = race(dict.fromkeys(take, add), HELD_ROUNDS, prepare=prepare)
    free, *others = times
    return [longer(f"one add to {size:,} blocks, {name}", free, times[name], times[free]) for name in others]


def long_against_short(text: Callable[[], str]) -> Row:
    sessions = {size: session_of(size, text) for size in SIZES}
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
    short, long = ([value / ADDS for value in times[names[size]]] for size in SIZES)
    return longer(f"add_context to {SIZES[1]:,} blocks", f"to {SIZES[0]} blocks", long, short, at_most=LIMIT)
