"""What a task holds and waits for, and whether it can ever go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Holder", "can_go_on"]


@dataclass(slots=True, eq=False)
class Holder:
    """A task that holds sessions or operations, or waits for one.

    Attributes:
        task: that it is.
        sessions: how many it holds, each counted once.
        operations: how deep it is in operations.
        waits_for: tells who must go on before this one can, one of them is enough; None while it runs.
    """

    task: asyncio.Task[Any]
    sessions: int = 0
    operations: int = 0
    waits_for: Callable[[], Iterable[Holder]] | None = None


def can_go_on(holder: Holder) -> bool:
    """Return whether somebody who runs can be reached from this one, over those who must go on before it.

    Whoever waits for a session waits for its holder; whoever waits for a place waits for any of those who have one. So
    a task that reaches none that runs waits for ever. As this is asked whenever a wait begins, it is the last one to
    come who is told.
    """
    seen: set[Holder] = set()
    # Looked at one by one: mostly the first one runs, and there may be thousands.
    paths: list[Iterator[Holder]] = [iter((holder,))]
    while paths:
        found = next(paths[-1], None)
        if found is None:
            paths.pop()
        elif found.waits_for is None:
            return True
        elif found not in seen:
            seen.add(found)
            paths.append(iter(found.waits_for()))
    return False
