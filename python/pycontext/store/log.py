"""What keeps the sessions of a store: bytes by key, with versions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from pycontext.store.finding import Finding
from pycontext.store.hint import Hint
from pycontext.store.key import Key
from pycontext.store.request import Reply, Request, Swept

__all__ = ["AsyncLog", "Log"]


class Log(Protocol):
    """Keeps sessions; safe to use from several threads."""

    @property
    def name(self) -> str:
        """What messages call it: the address, without a password."""
        ...

    def call(self, key: Key, request: Request) -> Reply:
        """Do a request as a whole, or not at all.

        Raises:
            StoreError: it could not be done.
        """
        ...

    def call_many(self, requests: list[tuple[Key, Request]]) -> list[Reply]:
        """Do requests in their order, each as a whole or not at all.

        Raises:
            StoreError: one could not be done; of those behind it nothing is known.
        """
        ...

    def keys(self, namespace: str) -> Iterator[Key]:
        """Return the sessions of a namespace, in any order."""
        ...

    def notify(self, inbox: str, hint: Hint) -> None:
        """Put a hint into an inbox."""
        ...

    def take(self, inbox: str, most: int, lease_ms: int) -> list[Hint]:
        """Take hints from an inbox; those that are not settled come again after the lease."""
        ...

    def settle(self, inbox: str, hint_id: str) -> None:
        """Remove a hint."""
        ...

    def remember(self, name: str, ttl_ms: int) -> bool:
        """Remember a name for some time, and return whether it was not known."""
        ...

    def forget(self, name: str) -> None:
        """Forget a name."""
        ...

    def findings(self) -> list[Finding]:
        """Return what is worth knowing of how sessions are kept.

        Raises:
            StoreError: nothing could be asked.
        """
        ...

    def sweep(self, namespace: str, *, is_dry: bool) -> Swept:
        """Remove the sessions of a namespace that have expired, and give their room back.

        Args:
            namespace: of the sessions.
            is_dry: True to remove nothing, and say what would go.

        Raises:
            StoreError: it could not be done.
        """
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class AsyncLog(Protocol):
    """The same for those who await; for one event loop."""

    @property
    def name(self) -> str:
        """What messages call it: the address, without a password."""
        ...

    async def call(self, key: Key, request: Request) -> Reply:
        """As `Log.call`."""
        ...

    async def call_many(self, requests: list[tuple[Key, Request]]) -> list[Reply]:
        """As `Log.call_many`."""
        ...

    def keys(self, namespace: str) -> AsyncIterator[Key]:
        """As `Log.keys`."""
        ...

    async def notify(self, inbox: str, hint: Hint) -> None:
        """As `Log.notify`."""
        ...

    async def take(self, inbox: str, most: int, lease_ms: int) -> list[Hint]:
        """As `Log.take`."""
        ...

    async def settle(self, inbox: str, hint_id: str) -> None:
        """As `Log.settle`."""
        ...

    async def remember(self, name: str, ttl_ms: int) -> bool:
        """As `Log.remember`."""
        ...

    async def forget(self, name: str) -> None:
        """As `Log.forget`."""
        ...

    async def close(self) -> None:
        """As `Log.close`."""
        ...
