"""What the state of a file of SQLite means for sessions."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pycontext.store.finding import Finding, size_of

__all__ = ["FileState", "advice_of_file", "size_of_file"]

# Smaller files are not worth a thought.
_LITTLE: Final = 2**20
_MANY_FREE: Final = 0.25
# To give room back, the file is written anew beside itself.
_SPARE: Final = 64 * 2**20
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class FileState:
    """What a file says of itself.

    Attributes:
        path: of the file.
        faults: what `PRAGMA integrity_check` found; empty where all is well.
        journal_mode: of the file.
        is_synced: whether this program waits for the disk at every write.
        page_bytes: of a page.
        pages: of the file.
        free_pages: that hold nothing.
        expired: sessions whose time to live is over and that are not removed yet.
        expired_ms: since the first of them was to go.
        expired_in: their namespaces.
    """

    path: Path
    faults: tuple[str, ...]
    journal_mode: str
    is_synced: bool
    page_bytes: int
    pages: int
    free_pages: int
    expired: int
    expired_ms: int
    expired_in: tuple[str, ...]


def advice_of_file(state: FileState) -> list[Finding]:
    """Return what the state of a file means."""
    return [
        _integrity(state.faults),
        _journal(state.journal_mode),
        _durability(state.is_synced),
        _room(state),
        _disk(state.path),
        *_permissions(state.path),
        _expired(state),
    ]


def _integrity(faults: tuple[str, ...]) -> Finding:
    if not faults:
        return Finding("integrity", "good", "ok", "every page and every index holds what it should")
    text = "the file is damaged: copy what can be read to a new one, pycontext store copy, and look at the disk"
    return Finding("integrity", "warning", f"{len(faults)} faults, the first: {faults[0]}", text)


def _journal(mode: str) -> Finding:
    if mode == "wal":
        return Finding("journal mode", "good", mode, "readers and a writer do not wait for each other")
    text = "write-ahead logging was refused, as on a network file system: readers wait for writers; use a local disk"
    return Finding("journal mode", "warning", mode, text)


def _durability(is_synced: bool) -> Finding:
    if is_synced:
        return Finding("durability", "good", "fsync", "what was confirmed survives a crash of the machine")
    text = 'a crash of the program loses nothing, of the machine the last writes: durability="fsync" waits for the disk'
    return Finding("durability", "info", "normal", text)


def _room(state: FileState) -> Finding:
    size, free = state.pages * state.page_bytes, state.free_pages * state.page_bytes
    log = size_of_file(state.path.with_name(f"{state.path.name}-wal"))
    value = f"{size_of(size)}, {size_of(free)} of it free; {size_of(log)} in its log"
    if free > _LITTLE and state.free_pages > _MANY_FREE * state.pages:
        return Finding("size", "info", value, "pycontext store gc gives the free pages back to the system")
    return Finding("size", "good", value, "free pages are used again")


def _disk(path: Path) -> Finding:
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize
    needed = size_of_file(path) + _SPARE
    value = f"{size_of(free)} free"
    if free < needed:
        text = f"a full disk refuses writes (StoreFullError), and gc needs as much as the file: keep {size_of(needed)}"
        return Finding("disk", "warning", value, text)
    return Finding("disk", "good", value, "there is room")


def _permissions(path: Path) -> list[Finding]:
    found, status = [], path.stat()
    mode = stat.filemode(status.st_mode)
    if status.st_mode & stat.S_IWOTH:
        text = "everybody on this machine may change sessions: chmod o-w"
        found.append(Finding("permissions", "warning", mode, text))
    elif status.st_mode & stat.S_IROTH:
        text = "everybody on this machine may read sessions: chmod 600, if that is not meant"
        found.append(Finding("permissions", "info", mode, text))
    else:
        found.append(Finding("permissions", "good", mode, "only its owner and its group may read it"))
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        text = "this user may not write the file and beside it: every write is refused (StoreDeniedError)"
        found.append(Finding("permissions", "warning", f"{mode}, read only", text))
    return found


def _expired(state: FileState) -> Finding:
    if not state.expired:
        return Finding("expired sessions", "good", "none", "nothing is kept past its time to live")
    where = ", ".join(state.expired_in)
    value = f"{state.expired:,}, in namespace {where}"
    text = "nobody can load them, and their content is in the file until pycontext store gc --namespace removes it"
    return Finding("expired sessions", "warning" if state.expired_ms > _DAY_MS else "info", value, text)


def size_of_file(path: Path) -> int:
    """Return the bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0
