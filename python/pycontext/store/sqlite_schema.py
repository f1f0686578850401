"""What a file of SQLite that is ours looks like."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from pycontext.errors import StoreCorruptError, UnsupportedFormatError

__all__ = ["check_format", "create"]

# "PCTX": what this library calls its own.
_APPLICATION: Final = 0x50435458
_FORMAT: Final = 1

_SCHEMA: Final = """
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    session_id TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    version INTEGER NOT NULL,
    operation_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    snapshot_version INTEGER NOT NULL,
    snapshot_operation TEXT NOT NULL,
    written_ms INTEGER NOT NULL,
    ends_ms INTEGER,
    UNIQUE (namespace, session_id)
) STRICT;
CREATE TABLE snapshots (session INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE changes (
    session INTEGER NOT NULL,
    version INTEGER NOT NULL,
    operation_id TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (session, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE operations (
    session INTEGER NOT NULL,
    operation_id TEXT NOT NULL,
    done_ms INTEGER NOT NULL,
    version INTEGER NOT NULL,
    snapshot_version INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    previous TEXT NOT NULL,
    PRIMARY KEY (session, operation_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE hints (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    inbox TEXT NOT NULL,
    session_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    version INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    leased_until_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE seen (name TEXT PRIMARY KEY, until_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX seen_until ON seen (until_ms);
CREATE INDEX hints_of_inbox ON hints (inbox, id);
"""


def check_format(db: sqlite3.Connection, path: Path) -> int:
    """Return how many tables there are.

    Raises:
        StoreCorruptError: the file is not ours.
        UnsupportedFormatError: a later release made it.
    """
    (application,), (found,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version"))
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != _APPLICATION and (tables or application):
        raise StoreCorruptError(f"{path} is a database of something else")
    if found > _FORMAT:
        raise UnsupportedFormatError(f"{path} has format {found}, and this release reads up to {_FORMAT}")
    return int(tables)


def create(db: sqlite3.Connection) -> None:
    """Make the tables, unless another process was faster."""
    db.execute("BEGIN IMMEDIATE")
    if not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        for statement in _SCHEMA.split(";\n"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {_FORMAT}")
    db.execute("COMMIT")
