"""What the requests of a session come to."""

from __future__ import annotations

from threading import Lock
from typing import Final

from pycontext.prices import Bill, Price, price_of
from pycontext.selection import Selection

__all__ = ["Ledger"]


class Ledger:
    """Adds up requests, so that a team sees what a policy costs; safe to use from several threads.

    What a provider's cache has of a request is what the request before began with as well.
    """

    def __init__(self) -> None:
        self._lock: Final = Lock()
        self._last: Selection | None = None
        self._sums = (0, 0, 0, 0, 0)

    def add(self, selection: Selection) -> None:
        """Note that a request was sent with what a selection kept."""
        with self._lock:
            cached, whole = 0, selection.whole_tokens
            whole_cached = 0
            if self._last is not None:
                prefix = selection.shared_with(self._last)
                cached, whole_cached = prefix.tokens, whole - prefix.new_tokens
            entry = (1, selection.tokens, cached, whole, whole_cached)
            requests, tokens, read, all_tokens, all_read = (a + b for a, b in zip(self._sums, entry, strict=True))
            self._sums = requests, tokens, read, all_tokens, all_read
            self._last = selection

    @property
    def requests(self) -> int:
        """How many there were."""
        return self._sums[0]

    @property
    def tokens(self) -> int:
        """Prompt tokens of all of them."""
        return self._sums[1]

    @property
    def cached_tokens(self) -> int:
        """Of these, what the request before began with as well."""
        return self._sums[2]

    @property
    def uncut_tokens(self) -> int:
        """Prompt tokens of all of them, had nothing been cut."""
        return self._sums[3]

    def bill(self, model: str | Price) -> Bill:
        """Return what they cost at the prices of a model.

        Raises:
            ValidationError: the model has no price.
        """
        requests, tokens, cached, whole, whole_cached = self._sums
        return price_of(model).bill(
            requests=requests, tokens=tokens, cached=cached, whole=whole, whole_cached=whole_cached
        )

    def __repr__(self) -> str:
        return f"<Ledger: {self.requests:,} requests, {self.tokens:,} tokens, {self.cached_tokens:,} cached>"
