"""Messages that a session waits for an agent; hints only, the session is the truth."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

__all__ = ["Hint", "Inbox"]

MOST_HINTS: Final = 10_000
"""An inbox that nobody reads keeps the last so many."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A session that waits for an agent.

    It may come more than once, and the session may have gone on meanwhile: whoever wants the work calls `transfer` with
    `expect=`, which one alone can win.

    Attributes:
        id: of the hint, for `settle`.
        session_id: of the session.
        sender: who sent the hint; empty where nobody said.
        version: of the session when it was sent.
        epoch: of the session when it was sent.
    """

    id: str
    session_id: str
    sender: str
    version: int
    epoch: int


class Inbox:
    """Hints in the order in which they came, and until when those are leased that were taken."""

    def __init__(self) -> None:
        self._hints: Final[OrderedDict[str, Hint]] = OrderedDict()
        self._leased_until: Final[dict[str, float]] = {}
        self._count = 0

    def put(self, hint: Hint) -> None:
        """Append a hint under an id of its own."""
        self._count += 1
        self._hints[str(self._count)] = replace(hint, id=str(self._count))
        if len(self._hints) > MOST_HINTS:
            self.settle(next(iter(self._hints)))

    def take(self, most: int, lease_ms: int, now_ms: float) -> list[Hint]:
        """Return hints that nobody has, the oldest first."""
        free = [id for id in self._hints if self._leased_until.get(id, 0) <= now_ms][:most]
        self._leased_until.update(dict.fromkeys(free, now_ms + lease_ms))
        return [self._hints[id] for id in free]

    def settle(self, hint_id: str) -> None:
        """Remove a hint."""
        self._hints.pop(hint_id, None)
        self._leased_until.pop(hint_id, None)
