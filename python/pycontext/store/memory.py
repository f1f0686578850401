"""Sessions in the memory of one process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import RLock
from typing import Final

from pycontext.store.finding import Finding
from pycontext.store.hint import Hint, Inbox
from pycontext.store.key import Key
from pycontext.store.request import (
    OPERATION_SECONDS,
    Append,
    Compact,
    Discard,
    Listed,
    News,
    Refused,
    Replace,
    Reply,
    Request,
    Same,
    Scrub,
    Swept,
    Sync,
    Trim,
    Written,
)
from pycontext.store.rules import Standing, discard_refusal, refusal

__all__ = ["MemoryLog"]


@dataclass(slots=True)
class _Session:
    standing: Standing
    snapshot: bytes
    changes: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    # The written answers of the last operations, with when they were done, in seconds.
    done: dict[str, tuple[float, Written]] = field(default_factory=dict)
    written: float = 0.0
    ends: float | None = None


class MemoryLog:
    """A log in a dict; it goes with the process."""

    def __init__(self) -> None:
        self._sessions: Final[dict[Key, _Session]] = {}
        self._inboxes: Final[dict[str, Inbox]] = {}
        # Until when names are remembered.
        self._seen: Final[dict[str, float]] = {}
        self._lock: Final = RLock()

    @property
    def name(self) -> str:
        """What messages call it."""
        return "memory://"

    def call(self, key: Key, request: Request) -> Reply:
        """Do a request."""
        with self._lock:
            session = self._live(key)
            if session is None:
                if isinstance(request, Replace) and not request.incarnation:
                    return self._begin(key, request)
                return 0 if isinstance(request, Trim | Scrub) else Refused("absent")
            if isinstance(request, Append | Replace):
                return self._write(session, request)
            if isinstance(request, Discard):
                return self._discard(key, session, request)
            return _look(session, request)

    def call_many(self, requests: list[tuple[Key, Request]]) -> list[Reply]:
        """Do requests in their order."""
        return [self.call(key, request) for key, request in requests]

    def keys(self, namespace: str) -> Iterator[Key]:
        """Return the sessions of a namespace."""
        with self._lock:
            return iter(sorted(key for key in list(self._sessions) if key.namespace == namespace and self._live(key)))

    def notify(self, inbox: str, hint: Hint) -> None:
        """Put a hint into an inbox."""
        with self._lock:
            self._inboxes.setdefault(inbox, Inbox()).put(hint)

    def take(self, inbox: str, most: int, lease_ms: int) -> list[Hint]:
        """Take hints from an inbox; those that are not settled come again after the lease."""
        with self._lock:
            found = self._inboxes.get(inbox)
            return [] if found is None else found.take(most, lease_ms, _now() * 1000)

    def settle(self, inbox: str, hint_id: str) -> None:
        """Remove a hint."""
        with self._lock:
            if inbox in self._inboxes:
                self._inboxes[inbox].settle(hint_id)

    def remember(self, name: str, ttl_ms: int) -> bool:
        """Remember a name for some time, and return whether it was not known."""
        now = _now()
        with self._lock:
            # All live about as long: the first ones end first.
            while self._seen and next(iter(self._seen.values())) <= now:
                del self._seen[next(iter(self._seen))]
            is_new = self._seen.get(name, 0.0) <= now
            if is_new:
                self._seen[name] = now + ttl_ms / 1000
            return is_new

    def forget(self, name: str) -> None:
        """Forget a name."""
        with self._lock:
            self._seen.pop(name, None)

    def findings(self) -> list[Finding]:
        """Return what is worth knowing."""
        text = "sessions are of this process alone, and go with it: sqlite:/// keeps them in a file"
        return [Finding("persistence", "info", "memory of one process", text)]

    def sweep(self, namespace: str, *, is_dry: bool) -> Swept:
        """Remove what has expired."""
        with self._lock:
            now = _now()
            mine = [(key, one) for key, one in self._sessions.items() if key.namespace == namespace]
            gone = {key: _listed(one).stored_bytes for key, one in mine if one.ends is not None and one.ends <= now}
            if not is_dry:
                for key in gone:
                    del self._sessions[key]
            return Swept(len(gone), sum(gone.values()))

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._sessions.clear()
            self._inboxes.clear()
            self._seen.clear()

    def _live(self, key: Key) -> _Session | None:
        session = self._sessions.get(key)
        if session is not None and session.ends is not None and session.ends <= _now():
            del self._sessions[key]
            return None
        return session

    def _begin(self, key: Key, request: Replace) -> Written:
        standing = Standing(
            request.new_incarnation,
            request.version,
            request.operation_id,
            request.new_epoch,
            request.version,
            request.operation_id,
        )
        session = self._sessions[key] = _Session(standing, request.snapshot)
        return _note(session, request, "")

    def _write(self, session: _Session, request: Append | Replace) -> Reply:
        if request.incarnation in ("", session.standing.incarnation) and request.operation_id in session.done:
            return session.done[request.operation_id][1]
        refused = refusal(request, session.standing)
        if refused is not None:
            return refused
        old = session.standing
        epoch = old.epoch if request.new_epoch < 0 else request.new_epoch
        if isinstance(request, Append):
            version = old.version + 1
            session.changes[version] = request.operation_id, request.change
            session.standing = old._replace(version=version, operation_id=request.operation_id, epoch=epoch)
        else:
            version, operation = request.version, request.operation_id
            session.snapshot, session.changes = request.snapshot, {}
            session.standing = Standing(old.incarnation, version, operation, epoch, version, operation)
        return _note(session, request, old.operation_id)

    def _discard(self, key: Key, session: _Session, request: Discard) -> Reply:
        refused = discard_refusal(request, session.standing)
        if refused is not None:
            return refused
        del self._sessions[key]
        return 0


def _note(session: _Session, request: Append | Replace, previous: str) -> Written:
    """Remember an operation that was done, and forget those that nobody tries again."""
    now, at = _now(), session.standing
    written = Written(at.version, at.snapshot_version, at.epoch, at.incarnation, previous)
    session.written = now
    if request.ttl_ms:
        session.ends = now + request.ttl_ms / 1000
    while session.done:
        oldest = next(iter(session.done))
        if session.done[oldest][0] + OPERATION_SECONDS > now:
            break
        del session.done[oldest]
    session.done[request.operation_id] = now, written
    return written


def _look(session: _Session, request: Request) -> Reply:
    if isinstance(request, Sync):
        return _news(session, request)
    if isinstance(request, Compact):
        return _compact(session, request)
    return 0 if isinstance(request, Trim | Scrub) else _listed(session)


def _news(session: _Session, request: Sync) -> News | Same:
    at = session.standing
    if request.incarnation == at.incarnation:
        if (request.version, request.operation_id) == (at.version, at.operation_id):
            return Same()
        known = session.changes.get(request.version, ("", b""))[0]
        if request.version == at.snapshot_version:
            known = at.snapshot_operation
        if known == request.operation_id:
            return _since(session, request.version, request.most, None)
    return _since(session, at.snapshot_version, request.most, session.snapshot)


def _since(session: _Session, version: int, most: int, snapshot: bytes | None) -> News:
    at = session.standing
    last = min(at.version, version + most)
    changes = [session.changes[number] for number in range(version + 1, last + 1)]
    head = (at.incarnation, at.version, at.operation_id, at.epoch)
    return News(*head, at.snapshot_version, at.snapshot_operation, snapshot, changes)


def _compact(session: _Session, request: Compact) -> Reply:
    at = session.standing
    if request.incarnation != at.incarnation:
        return at.refused("other")
    known = session.changes.get(request.version)
    if known is None or known[0] != request.operation_id:
        return at.refused("behind")
    session.snapshot = request.snapshot
    session.changes = {number: change for number, change in session.changes.items() if number > request.version}
    session.standing = at._replace(snapshot_version=request.version, snapshot_operation=request.operation_id)
    return 0


def _listed(session: _Session) -> Listed:
    at = session.standing
    size = len(session.snapshot) + sum(len(change) for _, change in session.changes.values())
    return Listed(
        at.version,
        at.epoch,
        at.incarnation,
        at.snapshot_version,
        len(session.snapshot),
        len(session.changes),
        int((_now() - session.written) * 1000),
        None if session.ends is None else int((session.ends - _now()) * 1000),
        size,
    )


def _now() -> float:
    """Seconds of a clock that never goes back."""
    return time.monotonic()
