"""The sessions that are held or waited for, and the places of those who hold them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pycontext.concurrency.holder import Holder
from pycontext.concurrency.line import Line
from pycontext.errors import shown

__all__ = ["Turnstile"]


@dataclass(slots=True, eq=False)
class _Entry:
    """A session that is held or waited for.

    Attributes:
        owner: who holds it.
        depth: how often the owner has entered it.
        insiders: who waits and has a place already.
        outsiders: who waits and has none.
    """

    session_id: str
    owner: Holder | None = None
    depth: int = 0
    insiders: Line = field(default_factory=Line)
    outsiders: Line = field(default_factory=Line)


class Turnstile:
    """Lets one task at a time have a session, and so many tasks at once have any.

    Whoever has no place holds no session. So nobody who has a place can wait, by way of a session, for one who waits
    for a place: a session whose next one waits for a place is free to those who have one.

    Args:
        places: how many tasks may hold sessions.
    """

    def __init__(self, places: int) -> None:
        self._places: Final = places
        self._entries: Final[dict[str, _Entry]] = {}
        self._inside: Final[OrderedDict[Holder, None]] = OrderedDict()
        # What only waits for a place, the first to be free first. One that an insider took meanwhile keeps its turn.
        self._ready: Final[OrderedDict[_Entry, None]] = OrderedDict()
        self.held = 0
        self.waiting = 0

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._entries

    async def enter(self, session_id: str, holder: Holder) -> None:
        """Take a session, or go one deeper where the holder has it.

        Raises:
            DeadlockError: it would wait for ever.
        """
        entry = self._entries.setdefault(session_id, _Entry(session_id))
        if entry.owner is holder:
            entry.depth += 1
        elif entry.owner is None and (holder.sessions or len(self._inside) < self._places):
            self._take(entry, holder)
        else:
            await self._wait(entry, holder)

    def leave(self, session_id: str, holder: Holder) -> None:
        """Go one up; whoever was as deep as one gives the session to the next, and with the last one the place."""
        entry = self._entries[session_id]
        entry.depth -= 1
        if entry.depth:
            return
        entry.owner = None
        self.held -= 1
        holder.sessions -= 1
        if not holder.sessions:
            del self._inside[holder]
        self._settle(entry)

    async def _wait(self, entry: _Entry, holder: Holder) -> None:
        line = entry.insiders if holder.sessions else entry.outsiders
        if entry.owner is None:
            self._ready.setdefault(entry)
        self.waiting += 1
        try:
            await line.wait(holder, lambda: self._before(entry), f"session {shown(entry.session_id)}")
        except BaseException:
            # It was let in and cancelled before it knew, or it goes out of the line.
            if entry.owner is holder:
                self.leave(entry.session_id, holder)
            else:
                self._settle(entry)
            raise
        finally:
            self.waiting -= 1

    def _before(self, entry: _Entry) -> Iterable[Holder]:
        return self._inside if entry.owner is None else (entry.owner,)

    def _take(self, entry: _Entry, holder: Holder) -> None:
        entry.owner = holder
        entry.depth = 1
        self.held += 1
        holder.sessions += 1
        self._inside[holder] = None

    def _settle(self, entry: _Entry) -> None:
        """Do what follows when somebody has left a session or its lines."""
        if entry.owner is None and (following := entry.insiders.pop()) is not None:
            self._take(entry, following)
        if entry.outsiders:
            if entry.owner is None:
                self._ready.setdefault(entry)
        else:
            self._ready.pop(entry, None)
            if entry.owner is None:
                self._forget(entry)
        self._admit()

    def _admit(self) -> None:
        """Give the places that are free to who waits for nothing else."""
        while len(self._inside) < self._places:
            entry = next((entry for entry in self._ready if entry.owner is None), None)
            if entry is None:
                return
            del self._ready[entry]
            if (following := entry.outsiders.pop()) is None:
                self._forget(entry)
            else:
                self._take(entry, following)

    def _forget(self, entry: _Entry) -> None:
        # Those who were cancelled come here once more, when another entry may have the name.
        if self._entries.get(entry.session_id) is entry:
            del self._entries[entry.session_id]
