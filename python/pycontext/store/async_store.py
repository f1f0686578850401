"""Stores for those who await."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Final, Self, TypeVar

from pycontext.block import ContextBlock
from pycontext.errors import ContextError, StoreError
from pycontext.package import ContextPackage
from pycontext.store.argument import hint_id, hint_of, milliseconds, taking
from pycontext.store.base import REPLAY_SECONDS, Recover
from pycontext.store.exchange import Batch, Steps
from pycontext.store.hint import Hint
from pycontext.store.key import inbox_name
from pycontext.store.log import AsyncLog
from pycontext.store.operations import Operations, Refresh
from pycontext.store.request import Listed
from pycontext.store.version import Version

__all__ = ["AsyncStore"]

_T = TypeVar("_T")


class AsyncStore:
    """An `AsyncContextStore` over a log.

    Args:
        log: keeps the bytes.
        operations: what is asked of it.
    """

    def __init__(self, log: AsyncLog, operations: Operations) -> None:
        self._log: Final = log
        self._do: Final = operations
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def save(
        self,
        package: ContextPackage,
        *,
        expect: int | None = None,
        operation_id: str | None = None,
        ttl: float | None = None,
    ) -> Version:
        """Write a package as a whole; as `ContextStore` says."""
        return await self._run(self._do.save(package, expect, operation_id, ttl))

    async def load(
        self, session_id: str, *, at_version: int | None = None, recover: Recover = "none"
    ) -> ContextPackage:
        """Return a session as it is now."""
        return await self._run(self._do.load(session_id, at_version, recover))

    def known(self, session_id: str) -> ContextPackage | None:
        """Return a session as this store last saw it, without asking."""
        return self._do.known(session_id)

    async def refresh(self, session_id: str) -> Refresh:
        """Return what is new in a session."""
        return await self._run(self._do.refresh(session_id))

    async def append(
        self,
        session_id: str,
        blocks: Iterable[ContextBlock],
        *,
        expect: int | None = None,
        epoch: int | None = None,
        incarnation: str | None = None,
        operation_id: str | None = None,
    ) -> Version:
        """Append blocks to a session."""
        return await self._run(self._do.append(session_id, blocks, expect, epoch, incarnation, operation_id))

    async def append_many(self, items: Iterable[tuple[str, Iterable[ContextBlock]]]) -> list[Version | ContextError]:
        """Append blocks to many sessions in one go."""
        return await self._run_batch(self._do.append_many(items))

    async def update_block(
        self,
        session_id: str,
        block: ContextBlock,
        *,
        expect: int | None = None,
        epoch: int | None = None,
        operation_id: str | None = None,
    ) -> Version:
        """Put a block in the place of the one of its id."""
        return await self._run(self._do.update_block(session_id, block, expect, epoch, operation_id))

    async def remove_blocks(
        self,
        session_id: str,
        block_ids: Iterable[str],
        *,
        expect: int | None = None,
        epoch: int | None = None,
        operation_id: str | None = None,
    ) -> Version:
        """Remove blocks."""
        return await self._run(self._do.remove_blocks(session_id, block_ids, expect, epoch, operation_id))

    async def transfer(
        self,
        session_id: str,
        to: str,
        *,
        expect: int | None = None,
        epoch: int | None = None,
        operation_id: str | None = None,
    ) -> Version:
        """Let a session go on under another agent, and tell it."""
        version, hint = await self._run(self._do.transfer(session_id, to, expect, epoch, operation_id))
        try:
            await self._log.notify(inbox_name(self._do.namespace, to), hint)
        except StoreError as error:
            # The session is the truth, and it has gone on.
            self._do.warn_of_hint(hint, to, error)
        return version

    async def delete(self, session_id: str, *, epoch: int | None = None) -> bool:
        """Remove a session, and return whether there was one."""
        return await self._run(self._do.delete(session_id, epoch))

    async def purge(self, session_id: str, block_id: str | None = None, *, epoch: int | None = None) -> Version | None:
        """Remove a block, or the whole session, from everything that the store keeps."""
        return await self._run(self._do.purge(session_id, block_id, epoch))

    async def compact(self, session_id: str) -> Version:
        """Put a snapshot in the place of the changes of a session."""
        return await self._run(self._do.compact(session_id))

    async def inquire(self, session_id: str) -> Listed:
        """Return how a session stands, without reading it."""
        return await self._run(self._do.inquire(session_id))

    async def sessions(self) -> AsyncIterator[str]:
        """Return the ids of the sessions of the namespace, in any order."""
        self._check()
        async for key in self._log.keys(self._do.namespace):
            yield key.session_id

    async def notify(self, package: ContextPackage) -> None:
        """Tell the agent of a package that it is there."""
        self._check()
        hint = hint_of(package)
        await self._log.notify(inbox_name(self._do.namespace, package.agent_id), hint)

    async def inbox(self, agent_id: str, *, most: int = 16, lease_seconds: float = 60.0) -> list[Hint]:
        """Return hints of sessions that wait for an agent."""
        self._check()
        return await self._log.take(inbox_name(self._do.namespace, agent_id), *taking(most, lease_seconds))

    async def settle(self, agent_id: str, hint: Hint) -> None:
        """Say that a hint was dealt with."""
        self._check()
        await self._log.settle(inbox_name(self._do.namespace, agent_id), hint_id(hint))

    async def remember(self, session_id: str, operation_id: str, *, seconds: float = REPLAY_SECONDS) -> bool:
        """Remember an operation that is imported, and return whether it was not known."""
        self._check()
        name = self._do.seen_name(session_id, operation_id)
        return await self._log.remember(name, milliseconds("seconds", seconds))

    async def forget(self, session_id: str, operation_id: str) -> None:
        """Forget an operation."""
        self._check()
        await self._log.forget(self._do.seen_name(session_id, operation_id))

    async def close(self) -> None:
        """Let go of connections and files."""
        if not self._is_closed:
            self._is_closed = True
            await self._log.close()

    async def __aenter__(self) -> Self:
        self._check()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncStore {self._log.name} of namespace {self._do.namespace}>"

    async def _run(self, steps: Steps[_T]) -> _T:
        self._check()
        try:
            key, request = next(steps)
            while True:
                try:
                    reply = await self._log.call(key, request)
                except BaseException as error:  # noqa: BLE001  # the steps say what becomes of it
                    key, request = steps.throw(error)
                else:
                    key, request = steps.send(reply)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # what the steps return

    async def _run_batch(self, steps: Batch[_T]) -> _T:
        self._check()
        requests = next(steps)
        try:
            steps.send(await self._log.call_many(requests))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # what the steps return
        raise ContextError("a batch asks more than once")

    def _check(self) -> None:
        if self._is_closed:
            raise StoreError(f"{self!r} is closed")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise StoreError(f"{self!r} belongs to another event loop: open one for each")
