"""What SQLite or the file system says, in our words."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from pycontext.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreDeniedError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)

__all__ = ["fault_of_file"]

_KINDS: Final[dict[int, type[StoreError]]] = {
    sqlite3.SQLITE_BUSY: StoreBusyError,
    sqlite3.SQLITE_LOCKED: StoreBusyError,
    sqlite3.SQLITE_FULL: StoreFullError,
    sqlite3.SQLITE_READONLY: StoreDeniedError,
    sqlite3.SQLITE_PERM: StoreDeniedError,
    sqlite3.SQLITE_AUTH: StoreDeniedError,
    sqlite3.SQLITE_CORRUPT: StoreCorruptError,
    sqlite3.SQLITE_NOTADB: StoreCorruptError,
    sqlite3.SQLITE_CANTOPEN: StoreUnavailableError,
    sqlite3.SQLITE_IOERR: StoreUnavailableError,
}


def fault_of_file(error: sqlite3.Error, path: Path, busy_seconds: float) -> StoreError:
    """Return our error for one of SQLite.

    Args:
        error: of SQLite.
        path: of the file.
        busy_seconds: that a writer waits for the others.
    """
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    kind = _KINDS.get(code, StoreError)
    if kind is StoreBusyError:
        return kind(f"{path} was held by others for {busy_seconds:g} s: {error}")
    return kind(f"{path}: {error}")
