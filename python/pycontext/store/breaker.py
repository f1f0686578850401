"""Who asks a server that is down gets his answer at once."""

from __future__ import annotations

import random
import time
from typing import Final

from pycontext.errors import StoreError, StoreUnavailableError

__all__ = ["Breaker", "Patience"]

_OPEN_SECONDS: Final = 1.0
# Three retries, each after up to twice the wait of the one before it.
_WAITS: Final = (0.05, 0.1, 0.2)
# Nothing is tried again when an operation has taken so long.
_PATIENCE_SECONDS: Final = 2.0


class Breaker:
    """Refuses for a second after the server did not answer; then one call tries, and the others follow if it works."""

    def __init__(self) -> None:
        self._until = 0.0
        self._cause = ""

    def check(self) -> None:
        """Raise `StoreUnavailableError` while the server is taken to be down."""
        if not self._until:
            return
        now = time.monotonic()
        if now < self._until:
            left = self._until - now
            raise StoreUnavailableError(f"{self._cause}; next try in {left:.1f} s")
        # Who comes first tries; the others are refused for as long as that may take.
        self._until = now + _OPEN_SECONDS

    def worked(self) -> None:
        """Say that the server answered."""
        if self._until:
            self._until = 0.0

    def failed(self, error: StoreError) -> None:
        """Say that the server did not answer."""
        self._cause = str(error)
        self._until = time.monotonic() + _OPEN_SECONDS


class Patience:
    """How often and how long one operation is tried."""

    def __init__(self) -> None:
        self._tries = 0
        self._end = time.monotonic() + _PATIENCE_SECONDS

    def wait(self) -> float | None:
        """Return how many seconds to wait before the next try; None where there is none."""
        if self._tries >= len(_WAITS) or time.monotonic() >= self._end:
            return None
        self._tries += 1
        # Not all at once: those who were cut off together would come back together.
        return random.uniform(0, _WAITS[self._tries - 1])  # noqa: S311  # no secret
