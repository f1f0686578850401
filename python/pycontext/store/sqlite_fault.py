"""What SQLite or the file system says, in our words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
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

__all__ = ["named"]

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


@contextmanager
def named(path: Path, busy_seconds: float) -> Iterator[None]:
    """Say in our words what SQLite refuses.

    Args:
        path: of the file.
        busy_seconds: that a writer waits for the others.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        kind = _KINDS.get(code, StoreError)
        what = f"{path}: {error}"
        if kind is StoreBusyError:
            what = f"{path} was held by others for {busy_seconds:g} s: {error}"
        raise kind(what) from error
