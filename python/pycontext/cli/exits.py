"""What the exit code of a command says."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Exit"]


class Exit(IntEnum):
    """Exit codes, the same for every command; 4 and 5 are for stores."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    PARTLY = 6
    """Done, but some conversations could not fit or some lines were bad."""
