"""Label values, of which there are only so many."""

from __future__ import annotations

from threading import Lock
from typing import Final

__all__ = ["Labels"]

_OTHER: Final = "other"
_LONGEST: Final = 100


class Labels:
    """Lets the first so many values through and calls all that follow "other".

    Each value is a time series of its own for whoever collects them, and is never forgotten there.

    Args:
        most: how many are let through.
    """

    def __init__(self, most: int = 100) -> None:
        self._most: Final = most
        self._known: Final[set[str]] = set()
        self._lock: Final = Lock()

    def of(self, value: str) -> str:
        """Return the value, or "other"."""
        if value in self._known:
            return value
        with self._lock:
            if len(self._known) >= self._most or len(value) > _LONGEST:
                return _OTHER
            self._known.add(value)
        return value
