"""Sessions in a file of SQLite."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import RLock
from typing import Any, Final, Literal, TypeVar

from pycontext.errors import StoreBusyError, ValidationError, shown
from pycontext.store.finding import Finding
from pycontext.store.hint import MOST_HINTS, Hint
from pycontext.store.key import Key
from pycontext.store.request import (
    OPERATION_SECONDS,
    Append,
    Compact,
    Discard,
    Inquire,
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
from pycontext.store.sqlite_advice import FileState, advice_of_file, size_of_file
from pycontext.store.sqlite_fault import fault_of_file
from pycontext.store.sqlite_schema import check_format, create

__all__ = ["Durability", "SqliteLog"]

Durability = Literal["normal", "fsync"]
_T = TypeVar("_T")

BUSY_SECONDS: Final = 5.0
"""So long a writer waits for the others."""

# Operations are forgotten when so many writes have come since the last time.
_SWEEP: Final = 64

_HEAD: Final = """
SELECT s.id, s.incarnation, s.version, s.operation_id, s.epoch, s.snapshot_version, s.snapshot_operation,
    s.written_ms, s.ends_ms"""
_FIND: Final = f"""{_HEAD}
FROM sessions s WHERE s.namespace = ? AND s.session_id = ?
"""
# With what an operation did when it was done before, nothing but NULL where it was not.
_FIND_DONE: Final = f"""{_HEAD},
    o.version, o.snapshot_version, o.epoch, o.previous
FROM sessions s LEFT JOIN operations o ON o.session = s.id AND o.operation_id = ?3
WHERE s.namespace = ?1 AND s.session_id = ?2
"""
_STAND: Final = """
UPDATE sessions SET version = ?, operation_id = ?, epoch = ?, written_ms = ?, ends_ms = ? WHERE id = ?
"""
_EXPIRED: Final = "SELECT id FROM sessions WHERE namespace = ? AND ends_ms <= ?"
_EXPIRED_SIZE: Final = """
WITH bodies AS (SELECT session, body FROM snapshots UNION ALL SELECT session, body FROM changes)
SELECT count(DISTINCT id), coalesce(sum(length(body)), 0) FROM sessions JOIN bodies ON session = id
WHERE namespace = ? AND ends_ms <= ?
"""
_PAGES: Final = ("page_size", "page_count", "freelist_count")

# Connections of processes that this one was forked from: to close one would let go of locks that are not ours.
_INHERITED: Final[list[sqlite3.Connection]] = []


class SqliteLog:
    """A log in a file; several processes may use one.

    Args:
        path: of the file, which is made when it is first needed.
        durability: "normal" survives a crash of the program, "fsync" one of the machine.

    Raises:
        ValidationError: `durability` is none.
    """

    def __init__(self, path: str, durability: Durability = "normal") -> None:
        if durability not in ("normal", "fsync"):
            raise ValidationError(f"durability {shown(durability)} is not one of normal, fsync")
        # As it is now: a program may go to another folder.
        self.path: Final = Path(path).absolute()
        self._durability: Final = durability
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._lock = RLock()

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"sqlite:///{self.path}"

    def call(self, key: Key, request: Request) -> Reply:
        """Do a request."""
        if isinstance(request, Sync | Inquire):
            return self._within("DEFERRED", lambda db: _do(db, key, request))
        if isinstance(request, Trim):
            # What a snapshot makes needless goes with it.
            return 0
        if isinstance(request, Scrub):
            ((is_busy, *_),) = self._run(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
            if is_busy:
                raise StoreBusyError(f"{self.path}: what was removed stays in it as long as others read: do it again")
            return 0
        return self._within("IMMEDIATE", lambda db: _do(db, key, request))

    def call_many(self, requests: list[tuple[Key, Request]]) -> list[Reply]:
        """Do requests in their order, in one transaction."""
        return self._within("IMMEDIATE", lambda db: [_do(db, key, request) for key, request in requests])

    def keys(self, namespace: str) -> Iterator[Key]:
        """Return the sessions of a namespace."""
        query = "SELECT session_id FROM sessions WHERE namespace = ? AND (ends_ms IS NULL OR ends_ms > ?) ORDER BY 1"
        rows = self._run(lambda db: db.execute(query, (namespace, _now())).fetchall())
        return (Key(namespace, row[0]) for row in rows)

    def namespaces(self) -> list[str]:
        """Return the namespaces that there are."""
        query = "SELECT DISTINCT namespace FROM sessions ORDER BY 1"
        return [row[0] for row in self._run(lambda db: db.execute(query).fetchall())]

    def notify(self, inbox: str, hint: Hint) -> None:
        """Put a hint into an inbox."""

        def put(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO hints (inbox, session_id, sender, version, epoch) VALUES (?, ?, ?, ?, ?)",
                (inbox, hint.session_id, hint.sender, hint.version, hint.epoch),
            )
            db.execute(
                "DELETE FROM hints WHERE inbox = ?1 AND id <= "
                "(SELECT id FROM hints WHERE inbox = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                (inbox, MOST_HINTS),
            )

        self._within("IMMEDIATE", put)

    def take(self, inbox: str, most: int, lease_ms: int) -> list[Hint]:
        """Take hints from an inbox; those that are not settled come again after the lease."""

        def take(db: sqlite3.Connection) -> list[Hint]:
            now = _now()
            rows = db.execute(
                "SELECT id, session_id, sender, version, epoch FROM hints "
                "WHERE inbox = ? AND leased_until_ms <= ? ORDER BY id LIMIT ?",
                (inbox, now, most),
            ).fetchall()
            db.executemany("UPDATE hints SET leased_until_ms = ? WHERE id = ?", [(now + lease_ms, r[0]) for r in rows])
            return [Hint(str(row[0]), *row[1:]) for row in rows]

        return self._within("IMMEDIATE", take)

    def settle(self, inbox: str, hint_id: str) -> None:
        """Remove a hint."""
        if hint_id.isdecimal():
            delete = "DELETE FROM hints WHERE inbox = ? AND id = ?"
            self._within("IMMEDIATE", lambda db: db.execute(delete, (inbox, int(hint_id))))

    def remember(self, name: str, ttl_ms: int) -> bool:
        """Remember a name for some time, and return whether it was not known."""

        def insert(db: sqlite3.Connection) -> bool:
            now = _now()
            db.execute("DELETE FROM seen WHERE until_ms <= ?", (now,))
            cursor = db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (name, now + ttl_ms))
            return cursor.rowcount == 1

        return self._within("IMMEDIATE", insert)

    def forget(self, name: str) -> None:
        """Forget a name."""
        self._within("IMMEDIATE", lambda db: db.execute("DELETE FROM seen WHERE name = ?", (name,)))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def findings(self) -> list[Finding]:
        """Return what is worth knowing of the file; reads all of it."""
        faults = tuple(str(row[0]) for row in self._ask("integrity_check"))
        page_bytes, pages, free_pages = (self._ask(name)[0][0] for name in _PAGES)
        now = _now()
        query = "SELECT namespace, ends_ms FROM sessions WHERE ends_ms <= ?"
        expired = self._run(lambda db: db.execute(query, (now,)).fetchall())
        state = FileState(
            path=self.path,
            faults=() if faults == ("ok",) else faults,
            journal_mode=self._ask("journal_mode")[0][0],
            is_synced=self._durability == "fsync",
            page_bytes=page_bytes,
            pages=pages,
            free_pages=free_pages,
            expired=len(expired),
            expired_ms=max((now - ends_ms for _, ends_ms in expired), default=0),
            expired_in=tuple(sorted({namespace for namespace, _ in expired})),
        )
        return advice_of_file(state)

    def sweep(self, namespace: str, *, is_dry: bool) -> Swept:
        """Remove what has expired, and give the free pages of the file back."""
        if is_dry:
            expired, held = self._run(lambda db: db.execute(_EXPIRED_SIZE, (namespace, _now())).fetchone())
            return Swept(expired, held + self._ask("freelist_count")[0][0] * self._ask("page_size")[0][0])
        before = self._size()
        gone = self._within("IMMEDIATE", lambda db: _sweep(db, namespace))
        if self._ask("freelist_count")[0][0]:
            self._run(lambda db: db.execute("VACUUM"))
        self._ask("wal_checkpoint(TRUNCATE)")
        # Where others read meanwhile, the file shrinks later.
        return Swept(gone, max(before - self._size(), 0))

    def _size(self) -> int:
        return sum(size_of_file(path) for path in (self.path, self.path.with_name(f"{self.path.name}-wal")))

    def _ask(self, pragma: str) -> list[tuple[Any, ...]]:
        """Return what the file says of itself."""
        return self._run(lambda db: db.execute(f"PRAGMA {pragma}").fetchall())

    def _within(self, kind: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do work in a transaction."""

        def run(db: sqlite3.Connection) -> _T:
            db.execute(f"BEGIN {kind}")
            try:
                result = work(db)
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
            return result

        return self._run(run)

    def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        if self._process != os.getpid():
            self._adopt()
        with self._lock:
            try:
                return self._run_here(work)
            except sqlite3.Error as error:
                raise fault_of_file(error, self.path, BUSY_SECONDS) from error

    def _run_here(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        db = self._connection
        if db is None:
            db = self._open()
        try:
            return work(db)
        except BaseException:
            if db.in_transaction:
                # A commit that failed: what it would have done is undone, whatever comes next.
                db.execute("ROLLBACK")
            raise

    def _adopt(self) -> None:
        """Begin anew in a process that was forked."""
        if self._connection is not None:
            _INHERITED.append(self._connection)
        # The lock may be held by a thread that this process does not have.
        self._connection, self._lock, self._process = None, RLock(), os.getpid()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            tables = check_format(db, self.path)
            db.execute("PRAGMA journal_mode = WAL").fetchone()
            db.execute(f"PRAGMA synchronous = {'FULL' if self._durability == 'fsync' else 'NORMAL'}")
            # What is deleted is gone from the file.
            db.execute("PRAGMA secure_delete = ON").fetchone()
            if not tables:
                create(db)
        except BaseException:
            db.close()
            raise
        self._connection = db
        return db


def _do(db: sqlite3.Connection, key: Key, request: Request) -> Reply:
    if isinstance(request, Append | Replace):
        row = db.execute(_FIND_DONE, (*key, request.operation_id)).fetchone()
    else:
        row = db.execute(_FIND, key).fetchone()
    if row is not None and row[8] is not None and row[8] <= _now():
        if not isinstance(request, Sync | Inquire):
            _forget(db, row[0])
        row = None
    if row is None:
        return (
            _begin(db, key, request) if isinstance(request, Replace) and not request.incarnation else Refused("absent")
        )
    session, standing, written_ms, ends_ms = row[0], Standing(*row[1:7]), row[7], row[8]
    if isinstance(request, Append | Replace):
        if row[9] is not None and request.incarnation in ("", standing.incarnation):
            return Written(row[9], row[10], row[11], standing.incarnation, row[12])
        return _write(db, session, standing, request, written_ms, ends_ms)
    if isinstance(request, Inquire):
        return _listed(db, session, standing, written_ms, ends_ms)
    return _do_rarely(db, session, standing, request)


def _do_rarely(db: sqlite3.Connection, session: int, standing: Standing, request: Request) -> Reply:
    if isinstance(request, Sync):
        return _news(db, session, standing, request)
    if isinstance(request, Compact):
        return _compact(db, session, standing, request)
    if isinstance(request, Discard):
        refused = discard_refusal(request, standing)
        if refused is not None:
            return refused
        _forget(db, session)
    return 0


def _begin(db: sqlite3.Connection, key: Key, request: Replace) -> Written:
    now = _now()
    at = Standing(
        request.new_incarnation,
        request.version,
        request.operation_id,
        request.new_epoch,
        request.version,
        request.operation_id,
    )
    ends = now + request.ttl_ms if request.ttl_ms else None
    cursor = db.execute(
        "INSERT INTO sessions (namespace, session_id, incarnation, version, operation_id, epoch, snapshot_version, "
        "snapshot_operation, written_ms, ends_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, *at, now, ends),
    )
    session = cursor.lastrowid
    db.execute("INSERT INTO snapshots VALUES (?, ?)", (session, request.snapshot))
    written = Written(at.version, at.snapshot_version, at.epoch, at.incarnation, "")
    _note(db, session, request.operation_id, now, written)
    return written


def _write(
    db: sqlite3.Connection,
    session: int,
    at: Standing,
    request: Append | Replace,
    written_ms: int,
    ends_ms: int | None,
) -> Reply:
    refused = refusal(request, at)
    if refused is not None:
        return refused
    # A clock that went back makes nothing older than what came before it.
    now = max(_now(), written_ms)
    epoch = at.epoch if request.new_epoch < 0 else request.new_epoch
    ends = now + request.ttl_ms if request.ttl_ms else ends_ms
    if isinstance(request, Append):
        version, snapshot_version = at.version + 1, at.snapshot_version
        db.execute("INSERT INTO changes VALUES (?, ?, ?, ?)", (session, version, request.operation_id, request.change))
    else:
        version = snapshot_version = request.version
        db.execute("DELETE FROM changes WHERE session = ?", (session,))
        _put_snapshot(db, session, version, request.operation_id, request.snapshot)
    db.execute(_STAND, (version, request.operation_id, epoch, now, ends, session))
    written = Written(version, snapshot_version, epoch, at.incarnation, at.operation_id)
    _note(db, session, request.operation_id, now, written)
    return written


def _note(db: sqlite3.Connection, session: int | None, operation_id: str, now: int, written: Written) -> None:
    """Remember an operation that was done, and now and then forget those that nobody tries again."""
    version, snapshot_version, epoch, _, previous = written
    db.execute(
        "INSERT INTO operations VALUES (?, ?, ?, ?, ?, ?, ?)",
        (session, operation_id, now, version, snapshot_version, epoch, previous),
    )
    if version % _SWEEP == 0:
        since = now - OPERATION_SECONDS * 1000
        db.execute("DELETE FROM operations WHERE session = ? AND done_ms < ?", (session, since))


def _put_snapshot(db: sqlite3.Connection, session: int, version: int, operation_id: str, body: bytes) -> None:
    db.execute("UPDATE snapshots SET body = ? WHERE session = ?", (body, session))
    db.execute(
        "UPDATE sessions SET snapshot_version = ?, snapshot_operation = ? WHERE id = ?",
        (version, operation_id, session),
    )


def _news(db: sqlite3.Connection, session: int, at: Standing, request: Sync) -> News | Same:
    head = (at.incarnation, at.version, at.operation_id, at.epoch, at.snapshot_version, at.snapshot_operation)
    start, snapshot = at.snapshot_version, None
    if request.incarnation == at.incarnation:
        if (request.version, request.operation_id) == (at.version, at.operation_id):
            return Same()
        if at.snapshot_version <= request.version < at.version and _knows(db, session, at, request):
            start = request.version
        else:
            snapshot = b""
    else:
        snapshot = b""
    if snapshot is not None:
        (snapshot,) = db.execute("SELECT body FROM snapshots WHERE session = ?", (session,)).fetchone() or (b"",)
    last = min(at.version, start + request.most)
    rows = db.execute(
        "SELECT version, operation_id, body FROM changes WHERE session = ? AND version > ? AND version <= ?",
        (session, start, last),
    )
    found = {version: (operation_id, body) for version, operation_id, body in rows}
    # One that is missing is damaged: the next would be taken for it.
    return News(*head, snapshot, [found.get(version, ("", b"")) for version in range(start + 1, last + 1)])


def _knows(db: sqlite3.Connection, session: int, at: Standing, request: Sync | Compact) -> bool:
    """Whether an operation made a version that is kept."""
    if request.version == at.snapshot_version:
        return request.operation_id == at.snapshot_operation
    row = db.execute(
        "SELECT operation_id FROM changes WHERE session = ? AND version = ?", (session, request.version)
    ).fetchone()
    return row is not None and row[0] == request.operation_id


def _compact(db: sqlite3.Connection, session: int, at: Standing, request: Compact) -> Reply:
    if request.incarnation != at.incarnation:
        return at.refused("other")
    if request.version <= at.snapshot_version or not _knows(db, session, at, request):
        return at.refused("behind")
    db.execute("DELETE FROM changes WHERE session = ? AND version <= ?", (session, request.version))
    _put_snapshot(db, session, request.version, request.operation_id, request.snapshot)
    return 0


def _listed(db: sqlite3.Connection, session: int, at: Standing, written_ms: int, ends_ms: int | None) -> Listed:
    (snapshot,) = db.execute("SELECT length(body) FROM snapshots WHERE session = ?", (session,)).fetchone() or (0,)
    changes, size = db.execute(
        "SELECT count(*), coalesce(sum(length(body)), 0) FROM changes WHERE session = ?", (session,)
    ).fetchone()
    now = _now()
    return Listed(
        at.version,
        at.epoch,
        at.incarnation,
        at.snapshot_version,
        snapshot,
        changes,
        max(now - written_ms, 0),
        None if ends_ms is None else max(ends_ms - now, 0),
        snapshot + size,
    )


def _sweep(db: sqlite3.Connection, namespace: str) -> int:
    """Remove sessions that have expired, and operations that nobody tries again; return how many sessions."""
    rows = db.execute(_EXPIRED, (namespace, _now())).fetchall()
    for (session,) in rows:
        _forget(db, session)
    db.execute("DELETE FROM operations WHERE done_ms < ?", (_now() - OPERATION_SECONDS * 1000,))
    return len(rows)


def _forget(db: sqlite3.Connection, session: int) -> None:
    for table in ("changes", "snapshots", "operations"):
        db.execute(f"DELETE FROM {table} WHERE session = ?", (session,))  # noqa: S608  # names of ours
    db.execute("DELETE FROM sessions WHERE id = ?", (session,))


def _now() -> int:
    return time.time_ns() // 1_000_000
