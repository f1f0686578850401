"""A log that waits, for those who await."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pycontext.store.hint import Hint
from pycontext.store.key import Key
from pycontext.store.log import Log
from pycontext.store.request import Reply, Request

__all__ = ["ThreadedLog"]


class ThreadedLog:
    """Does in a thread what would stop the event loop; a task that is cancelled leaves the thread to finish.

    Args:
        log: what does the work.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    @property
    def name(self) -> str:
        """What messages call it."""
        return self._log.name

    async def call(self, key: Key, request: Request) -> Reply:
        """Do a request."""
        return await asyncio.to_thread(self._log.call, key, request)

    async def call_many(self, requests: list[tuple[Key, Request]]) -> list[Reply]:
        """Do requests in their order."""
        return await asyncio.to_thread(self._log.call_many, requests)

    async def keys(self, namespace: str) -> AsyncIterator[Key]:
        """Return the sessions of a namespace."""
        for key in await asyncio.to_thread(lambda: list(self._log.keys(namespace))):
            yield key

    async def notify(self, inbox: str, hint: Hint) -> None:
        """Put a hint into an inbox."""
        await asyncio.to_thread(self._log.notify, inbox, hint)

    async def take(self, inbox: str, most: int, lease_ms: int) -> list[Hint]:
        """Take hints from an inbox."""
        return await asyncio.to_thread(self._log.take, inbox, most, lease_ms)

    async def settle(self, inbox: str, hint_id: str) -> None:
        """Remove a hint."""
        await asyncio.to_thread(self._log.settle, inbox, hint_id)

    async def remember(self, name: str, ttl_ms: int) -> bool:
        """Remember a name for some time."""
        return await asyncio.to_thread(self._log.remember, name, ttl_ms)

    async def forget(self, name: str) -> None:
        """Forget a name."""
        await asyncio.to_thread(self._log.forget, name)

    async def close(self) -> None:
        """Let go of everything."""
        await asyncio.to_thread(self._log.close)
