"""What a store is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final, Literal, Protocol, runtime_checkable

from pycontext.block import ContextBlock
from pycontext.errors import ContextError
from pycontext.package import ContextPackage
from pycontext.store.hint import Hint
from pycontext.store.operations import Refresh
from pycontext.store.request import Listed
from pycontext.store.version import Version

__all__ = ["AsyncContextStore", "ContextStore", "Recover"]

REPLAY_SECONDS: Final = 7 * 86_400.0
"""So long an import is remembered."""

Recover = Literal["none", "last-good"]


@runtime_checkable
class ContextStore(Protocol):
    """Keeps sessions, so that several agents on several machines share one and lose nothing.

    Appends commute: none is lost, whoever writes beside it. Everything else is compared with the version that the
    writer has seen. Safe to use from several threads; every method raises `StoreError` where the store fails, and
    `ValidationError` where an argument is outside its limits, and then nothing was written. `StoreUnavailableError` and
    `StoreTimeoutError` alone leave open whether a write was done: to do it again with the same `operation_id` is safe
    for a minute.
    """

    def save(
        self,
        package: ContextPackage,
        *,
        expect: int | None = None,
        operation_id: str | None = None,
        ttl: float | None = None,
    ) -> Version:
        """Write a package as a whole; it has the version of the store then.

        Args:
            package: of a session.
            expect: the version that is to be replaced; 0 for none: the session must not be there. None for where this
                store has loaded or saved this very package, or what it was transferred from.
            operation_id: None for a new one.
            ttl: seconds that this session lives from then on; None for what this store was opened with.

        Raises:
            ConflictError: the session is at another version, or is there and was not to be.
            FencedError: the session goes on in a later epoch.
            SessionGoneError: it was there, and is not any more.
        """
        ...

    def load(self, session_id: str, *, at_version: int | None = None, recover: Recover = "none") -> ContextPackage:
        """Return a session as it is now; only what is new since the last time travels.

        Args:
            session_id: of the session.
            at_version: an earlier version, back to the last snapshot.
            recover: "last-good" takes the session as it was before what is damaged, and writes that to the store.

        Raises:
            UnknownSessionError: there is no such session.
            SessionGoneError: this store has seen it, and it is gone, or is another one; said once.
            VersionGoneError: that version is not kept.
            CorruptPayloadError: the bytes are damaged.
        """
        ...

    def known(self, session_id: str) -> ContextPackage | None:
        """Return a session as this store last saw it, without asking; None where it did not, or has let go of it."""
        ...

    def refresh(self, session_id: str) -> Refresh:
        """Return what is new in a session since this store last looked.

        Raises:
            UnknownSessionError: there is no such session.
        """
        ...

    def append(
        self,
        session_id: str,
        blocks: Iterable[ContextBlock],
        *,
        expect: int | None = None,
        epoch: int | None = None,
        incarnation: str | None = None,
        operation_id: str | None = None,
    ) -> Version:
        """Append blocks to a session.

        A block whose id is taken by one of the same content is left out, one of other content is kept under a new id;
        `Version.renamed` says so where this store knows the session, else the next `refresh` does.

        Args:
            session_id: of the session.
            blocks: all or none.
            expect: the version that the session must be at; None for any.
            epoch: of the writer; None for the one that this store has seen.
            incarnation: of the session that the writer means; None for the one that this store has seen.
            operation_id: None for a new one.

        Raises:
            UnknownSessionError: there is no such session.
            SessionGoneError: it is another one now, or was there and is not any more.
            ConflictError: it is not at the expected version.
            FencedError: it goes on in a later epoch.
        """
        ...

    def append_many(self, items: Iterable[tuple[str, Iterable[ContextBlock]]]) -> list[Version | ContextError]:
        """Append blocks to many sessions in one go; returns for each its version, or why it was refused."""
        ...

    def update_block(
        self,
        session_id: str,
        block: ContextBlock,
        *,
        expect: int | None = None,
        epoch: int | None = None,
        operation_id: str | None = None,
    ) -> Version:
        """Put a block in the place of the one of its id.

        Args:
            session_id: of the session.
            block: what is to stand there.
            expect: the version that the session must be at; None for the one that this store has seen last.
            epoch: as in `append`.
            operation_id: as in `append`.

        Raises:
            UnknownBlockError: the session has no such block.
            ConflictError: it is not at the expected version.
        """
        ...

    def remove_blocks(
        self,
        session_id: str,
        block_ids: Iterable[str],
        *,
        expect: int | None = None,
        epoch: int | None = None,
        operation_id: str | None = None,
    ) -> Version:
        """Remove blocks; `load` with an earlier version still finds them until the next snapshot, unlike `purge`.

        Raises:
            UnknownBlockError: the session has no such block.
            ConflictError: it is not at the expected version.
        """
        ...

    def transfer(
        self,
        session_id: str,
        to: str,
        *,
        expect: int | None = None,
        epoch: int | None = None,
        operation_id: str | None = None,
    ) -> Version:
        """Let a session go on under another agent, one epoch later, and tell it; of several who try one wins.

        Raises:
            ConflictError: the session is not at the expected version.
            FencedError: it goes on in a later epoch.
        """
        ...

    def delete(self, session_id: str, *, epoch: int | None = None) -> bool:
        """Remove a session, and return whether there was one.

        Raises:
            FencedError: it goes on in a later epoch.
            SessionGoneError: the one that this store has seen is gone, and another one is there.
        """
        ...

    def purge(self, session_id: str, block_id: str | None = None, *, epoch: int | None = None) -> Version | None:
        """Remove a block, or the whole session, from everything that the store keeps, earlier versions included.

        What other programs hold in memory, and backups, it does not reach.

        Args:
            session_id: of the session.
            block_id: of the block; None for the whole session.
            epoch: of the writer; None for any of a block, and for the one that this store has seen of a session.

        Raises:
            UnknownSessionError: there is no such session.
            FencedError: it goes on in a later epoch.
        """
        ...

    def compact(self, session_id: str) -> Version:
        """Put a snapshot in the place of the changes of a session; stores do so by themselves when it is worth it.

        Raises:
            UnknownSessionError: there is no such session.
        """
        ...

    def inquire(self, session_id: str) -> Listed:
        """Return how a session stands, without reading it.

        Raises:
            UnknownSessionError: there is no such session.
        """
        ...

    def sessions(self) -> Iterator[str]:
        """Return the ids of the sessions of the namespace, in any order; those that come meanwhile may be missed."""
        ...

    def notify(self, package: ContextPackage) -> None:
        """Tell the agent of a package that it is there, as after a `handoff`; `transfer` does so itself."""
        ...

    def inbox(self, agent_id: str, *, most: int = 16, lease_seconds: float = 60.0) -> list[Hint]:
        """Return hints of sessions that wait for an agent.

        Args:
            agent_id: the agent.
            most: hints to return.
            lease_seconds: a hint that is not settled by then comes again.
        """
        ...

    def settle(self, agent_id: str, hint: Hint) -> None:
        """Say that a hint was dealt with."""
        ...

    def remember(self, session_id: str, operation_id: str, *, seconds: float = REPLAY_SECONDS) -> bool:
        """Remember an operation that is imported, and return whether it was not known: else it is a replay.

        Args:
            session_id: that is imported.
            operation_id: of the package that came.
            seconds: how long it is remembered, whatever becomes of the session.
        """
        ...

    def forget(self, session_id: str, operation_id: str) -> None:
        """Forget an operation that was not imported after all."""
        ...

    def close(self) -> None:
        """Let go of connections and files; every call after it is refused."""
        ...


@runtime_checkable
class AsyncContextStore(Protocol):
    """What `ContextStore` is, for those who await; one store belongs to one event loop."""

    async def save(
        self,
        package: ContextPackage,
        *,
        expect: int | None = None,
        operation_id: str | None = None,
        ttl: float | None = None,
    ) -> Version:
        """As `ContextStore.save`."""
        ...

    async def load(
        self, session_id: str, *, at_version: int | None = None, recover: Recover = "none"
    ) -> ContextPackage:
        """As `ContextStore.load`."""
        ...

    def known(self, session_id: str) -> ContextPackage | None:
        """As `ContextStore.known`."""
        ...

    async def refresh(self, session_id: str) -> Refresh:
        """As `ContextStore.refresh`."""
        ...

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
        """As `ContextStore.append`."""
        ...

    async def append_many(self, items: Iterable[tuple[str, Iterable[ContextBlock]]]) -> list[Version | ContextError]:
        """As `ContextStore.append_many`."""
        ...

    async def update_block(
        self,
        session_id: str,
        block: ContextBlock,
        *,
        expect: int | None = None,
        epoch: int | None = None,
        operation_id: str | None = None,
    ) -> Version:
        """As `ContextStore.update_block`."""
        ...

    async def remove_blocks(
        self,
        session_id: str,
        block_ids: Iterable[str],
        *,
        expect: int | None = None,
        epoch: int | None = None,
        operation_id: str | None = None,
    ) -> Version:
        """As `ContextStore.remove_blocks`."""
        ...

    async def transfer(
        self,
        session_id: str,
        to: str,
        *,
        expect: int | None = None,
        epoch: int | None = None,
        operation_id: str | None = None,
    ) -> Version:
        """As `ContextStore.transfer`."""
        ...

    async def delete(self, session_id: str, *, epoch: int | None = None) -> bool:
        """As `ContextStore.delete`."""
        ...

    async def purge(self, session_id: str, block_id: str | None = None, *, epoch: int | None = None) -> Version | None:
        """As `ContextStore.purge`."""
        ...

    async def compact(self, session_id: str) -> Version:
        """As `ContextStore.compact`."""
        ...

    async def inquire(self, session_id: str) -> Listed:
        """As `ContextStore.inquire`."""
        ...

    def sessions(self) -> AsyncIterator[str]:
        """As `ContextStore.sessions`."""
        ...

    async def notify(self, package: ContextPackage) -> None:
        """As `ContextStore.notify`."""
        ...

    async def inbox(self, agent_id: str, *, most: int = 16, lease_seconds: float = 60.0) -> list[Hint]:
        """As `ContextStore.inbox`."""
        ...

    async def settle(self, agent_id: str, hint: Hint) -> None:
        """As `ContextStore.settle`."""
        ...

    async def remember(self, session_id: str, operation_id: str, *, seconds: float = REPLAY_SECONDS) -> bool:
        """As `ContextStore.remember`."""
        ...

    async def forget(self, session_id: str, operation_id: str) -> None:
        """As `ContextStore.forget`."""
        ...

    async def close(self) -> None:
        """As `ContextStore.close`."""
        ...
