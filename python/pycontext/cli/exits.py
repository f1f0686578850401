"""What the exit code of a command says."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Exit"]


class Exit(IntEnum):
    """Exit codes, the same for every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    """The session is at another version, goes on in a later epoch, or is there already."""
    UNAVAILABLE = 5
    """The store is down, busy or full: what was asked may work later."""
    PARTLY = 6
    """Done, but some conversations could not fit, some lines were bad, or some sessions could not be read."""
