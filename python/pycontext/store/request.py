"""What is asked of a log, and what it answers.

A log keeps one session a key: a snapshot, and the changes since. It knows versions, operations and epochs, and of the
bytes nothing. Every request is done as a whole or not at all.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = [
    "Append",
    "Compact",
    "Discard",
    "Inquire",
    "Listed",
    "News",
    "Refused",
    "Replace",
    "Request",
    "Same",
    "Scrub",
    "Swept",
    "Sync",
    "Trim",
    "Written",
]

OPERATION_SECONDS = 60
"""So long at least an operation is remembered: longer than any retry takes."""


class Append(NamedTuple):
    """Append a change.

    Attributes:
        incarnation: of the session; empty for any.
        expected: the version that it must be at; -1 for any: what commutes needs none.
        expected_operation: the operation that made that version.
        epoch: of the writer; -1 where he does not know it.
        operation_id: of this write: one that was done is not done again.
        new_epoch: the epoch from then on, that of now or one more; -1 for that of now.
        ttl_ms: how long the session lives from then on; 0 leaves that as it is.
        change: the bytes.
    """

    incarnation: str
    expected: int
    expected_operation: str
    epoch: int
    operation_id: str
    new_epoch: int
    ttl_ms: int
    change: bytes


class Replace(NamedTuple):
    """Put a snapshot in the place of everything, or begin a session.

    Attributes:
        incarnation: of the session; empty to begin one, which must not be there.
        expected: as in `Append`, never -1.
        expected_operation: as in `Append`.
        epoch: as in `Append`.
        operation_id: as in `Append`.
        version: that the snapshot makes, above `expected`.
        new_epoch: the epoch from then on.
        ttl_ms: as in `Append`.
        snapshot: the bytes.
        new_incarnation: of a session that is begun.
    """

    incarnation: str
    expected: int
    expected_operation: str
    epoch: int
    operation_id: str
    version: int
    new_epoch: int
    ttl_ms: int
    snapshot: bytes
    new_incarnation: str


class Compact(NamedTuple):
    """Put a snapshot in the place of the changes up to its version; the session stays as it is.

    Attributes:
        incarnation: of the session.
        version: of the snapshot: not above that of the session, and above that of the last snapshot.
        operation_id: that made this version.
        snapshot: the bytes.
    """

    incarnation: str
    version: int
    operation_id: str
    snapshot: bytes


class Trim(NamedTuple):
    """Remove some of the changes that a snapshot made needless; answered with how many are left."""


class Scrub(NamedTuple):
    """Leave nothing in files of what was removed; answered with how much there still is."""


class Sync(NamedTuple):
    """Ask what is new.

    Attributes:
        incarnation: of the session; empty for everything.
        version: that the asker has.
        operation_id: that made it.
        most: changes to answer with.
    """

    incarnation: str
    version: int
    operation_id: str
    most: int


class Discard(NamedTuple):
    """Remove the session.

    Attributes:
        incarnation: as in `Append`.
        epoch: as in `Append`.
    """

    incarnation: str
    epoch: int


class Inquire(NamedTuple):
    """Ask how the session stands, for people."""


Request = Append | Replace | Compact | Trim | Scrub | Sync | Discard | Inquire


class Written(NamedTuple):
    """A write was done, now or when it was first asked for.

    Attributes:
        version: that it made.
        snapshot_version: of the last snapshot.
        epoch: of the session.
        incarnation: of the session.
        previous: the operation before it; empty where that is not known any more.
    """

    version: int
    snapshot_version: int
    epoch: int
    incarnation: str
    previous: str


class Refused(NamedTuple):
    """A request was not done.

    Attributes:
        why: "absent": there is no such session; "other": it has another incarnation; "exists": one is to begin that is
            there; "fenced": the epoch of the writer is over; "conflict": it is not at the expected version; "behind":
            there is no such version to put a snapshot in the place of; "trim": there is much to trim first.
        version: of the session, 0 where there is none.
        epoch: of the session.
        operation_id: that made the version.
    """

    why: Literal["absent", "other", "exists", "fenced", "conflict", "behind", "trim"]
    version: int = 0
    epoch: int = 0
    operation_id: str = ""


class Same(NamedTuple):
    """Nothing is new."""


class News(NamedTuple):
    """What is new.

    Attributes:
        incarnation: of the session.
        version: of the session; above that of the last change here where there are more than were asked for.
        operation_id: that made the version.
        epoch: of the session.
        snapshot_version: of the last snapshot.
        snapshot_operation: that made that version.
        snapshot: its bytes; None where the asker's version goes on with the changes here.
        changes: the operation and the bytes of every change, from the one behind the snapshot or the asker's version.
    """

    incarnation: str
    version: int
    operation_id: str
    epoch: int
    snapshot_version: int
    snapshot_operation: str
    snapshot: bytes | None
    changes: list[tuple[str, bytes]]


class Listed(NamedTuple):
    """How a session stands.

    Attributes:
        version: of the session.
        epoch: of the session.
        incarnation: of the session.
        snapshot_version: of the last snapshot.
        snapshot_bytes: of the last snapshot.
        changes: since then.
        age_ms: since the last write.
        ttl_ms: how long it lives still; None for ever.
        stored_bytes: what it takes in the store; -1 where that is not told.
        needless: changes that a snapshot made needless, and that are still there.
    """

    version: int
    epoch: int
    incarnation: str
    snapshot_version: int
    snapshot_bytes: int
    changes: int
    age_ms: int
    ttl_ms: int | None
    stored_bytes: int
    needless: int = 0


class Swept(NamedTuple):
    """What was swept out of a log.

    Attributes:
        expired: sessions whose time to live was over, and that were still there.
        freed_bytes: that went back to the system.
    """

    expired: int
    freed_bytes: int


Reply = Written | Refused | Same | News | Listed | int
