"""What a store does, as steps: each yields what it asks of the log, and is sent the answer.

Written once for stores that wait and for those that await; nothing here touches a socket or a file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pycontext._core import check_id
from pycontext.block import ContextBlock
from pycontext.blockset import BlockSet
from pycontext.budget import check_tokens
from pycontext.counter import DEFAULT_ENCODING
from pycontext.errors import (
    ConflictError,
    ContextError,
    CorruptPayloadError,
    FencedError,
    UnknownSessionError,
    ValidationError,
    shown,
)
from pycontext.package import ContextPackage, check_package
from pycontext.store.answer import refusal_of, written_of
from pycontext.store.argument import LARGEST_VERSION, check_epoch, milliseconds, operation_of
from pycontext.store.change import Change
from pycontext.store.exchange import MOST_ROUNDS, Batch, Exchange, Steps
from pycontext.store.hint import Hint
from pycontext.store.key import Key, seen_name
from pycontext.store.replica import Replica
from pycontext.store.request import (
    Append,
    Discard,
    Inquire,
    Listed,
    Refused,
    Scrub,
)
from pycontext.store.version import Version

__all__ = ["Operations", "Refresh"]

_LOG: Final = logging.getLogger("pycontext.store")


@dataclass(frozen=True, slots=True)
class Refresh:
    """What is new in a session.

    Attributes:
        version: where the session stands.
        added: ids of blocks that came, in order.
        removed: ids of blocks that went.
        renamed: ids that were taken when their blocks came, with those that they have now.
        lost: ids of blocks that this store had seen written, and that the server has lost: it failed over to another
            that did not have them yet.
    """

    version: Version
    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: dict[str, str]
    lost: tuple[str, ...]


class Operations(Exchange):
    """The operations of a store."""

    def load(self, session_id: str, at_version: int | None, recover: str) -> Steps[ContextPackage]:
        """Load a session."""
        if recover not in ("none", "last-good"):
            raise ValidationError(f"recover {shown(recover)} is not one of none, last-good")
        if at_version is not None:
            check_tokens("at_version", at_version, least=1, most=LARGEST_VERSION)
            return (yield from self._load_at(session_id, at_version))
        try:
            update = yield from self._sync(session_id)
        except CorruptPayloadError:
            if recover == "none":
                raise
            return (yield from self._recover(session_id))
        return self._given(update)

    def known(self, session_id: str) -> ContextPackage | None:
        """Return a session as this store last saw it."""
        return self._replica(session_id).settle().package

    def refresh(self, session_id: str) -> Steps[Refresh]:
        """Say what is new in a session since this store last looked."""
        replica = self._replica(session_id)
        before = replica.settle()
        update = yield from self._sync(session_id)
        package = self._given(update)
        old, new = [] if before.package is None else before.package.blocks.ids(), package.blocks.ids()
        had, has = set(old), set(new)
        return Refresh(
            self._known[package],
            tuple(id for id in new if id not in had),
            tuple(id for id in old if id not in has),
            before.renamed | update.renamed,
            update.lost,
        )

    def append(
        self,
        session_id: str,
        blocks: Iterable[ContextBlock],
        expect: int | None,
        epoch: int | None,
        incarnation: str | None,
        operation_id: str | None,
    ) -> Steps[Version]:
        """Append blocks."""
        replica = self._replica(session_id)
        if self._codec.encrypt is not None and replica.head is None:
            # What is encrypted belongs to an incarnation.
            yield from self._sync(session_id)
        came = self._blocks(blocks)
        return (yield from self._change(replica, "append", came, (), expect, epoch, operation_id, incarnation))

    def append_many(self, items: Iterable[tuple[str, Iterable[ContextBlock]]]) -> Batch[list[Version | ContextError]]:
        """Append blocks to many sessions."""
        changes: list[tuple[Replica, Change, Version | None, Append]] = []
        for session_id, blocks in items:
            replica = self._replica(session_id)
            if self._codec.encrypt is not None and replica.head is None:
                raise ValidationError(f"session {shown(session_id)} is encrypted and not known yet: load it first")
            change = Change("append", session_id, operation_of(None), self._blocks(blocks))
            head = replica.head
            request = self._appending(
                replica, change, "" if head is None else head.incarnation, None, -1 if head is None else head.epoch, -1
            )
            changes.append((replica, change, head, request))
        replies = yield [(replica.key, request) for replica, _, _, request in changes]
        done: list[Version | ContextError] = []
        for (replica, change, head, request), reply in zip(changes, replies, strict=True):
            if isinstance(reply, Refused):
                done.append(refusal_of(reply, replica.key, head, None))
            else:
                done.append(self._noted(replica, change, request.change, written_of(reply)))
        return done

    def update_block(
        self, session_id: str, block: ContextBlock, expect: int | None, epoch: int | None, operation_id: str | None
    ) -> Steps[Version]:
        """Put a block in the place of the one of its id."""
        if not isinstance(block, ContextBlock):
            raise ValidationError(f"block {shown(block)} is {type(block).__name__}, not a ContextBlock")
        update = yield from self._loaded(session_id, expect, [block.id])
        done = yield from self._done_or_there(update, session_id, [block.id], operation_id)
        if done is not None:
            return done
        expected = update.version if expect is None else expect
        blocks = self._blocks([block])
        return (yield from self._change(self._replica(session_id), "put", blocks, (), expected, epoch, operation_id))

    def remove_blocks(
        self,
        session_id: str,
        block_ids: Iterable[str],
        expect: int | None,
        epoch: int | None,
        operation_id: str | None,
    ) -> Steps[Version]:
        """Remove blocks."""
        ids = [block_ids] if isinstance(block_ids, str) else list(block_ids)
        for id in ids:
            check_id("block_ids", id)
        update = yield from self._loaded(session_id, expect, ids)
        if not ids and update.version is not None:
            return update.version
        done = yield from self._done_or_there(update, session_id, ids, operation_id)
        if done is not None:
            return done
        expected = update.version if expect is None else expect
        none = BlockSet(counter=self._counter or DEFAULT_ENCODING)
        return (
            yield from self._change(self._replica(session_id), "put", none, tuple(ids), expected, epoch, operation_id)
        )

    def transfer(
        self, session_id: str, to: str, expect: int | None, epoch: int | None, operation_id: str | None
    ) -> Steps[tuple[Version, Hint]]:
        """Let the session go on under another owner, and return what to tell it."""
        update = yield from self._loaded(session_id, expect)
        package, version = self._there(update, session_id)
        expected = version if expect is None else expect
        operation_id = operation_of(operation_id)
        check_epoch(epoch)
        replica = self._replica(session_id)
        passed = package.pass_on(to)
        empty = BlockSet(counter=package.blocks.counter)
        change = Change("header", session_id, operation_id, empty, (), passed.to_header())
        epoch = version.epoch if epoch is None else epoch
        version = yield from self._write(replica, change, expected, epoch, epoch + 1)
        return version, Hint("", session_id, package.agent_id, int(version), version.epoch)

    def save(
        self, package: ContextPackage, expect: int | None, operation_id: str | None, ttl: float | None
    ) -> Steps[Version]:
        """Save a package as a whole."""
        check_package("package", package)
        ttl_ms = self.ttl_ms if ttl is None else milliseconds("ttl", ttl)
        session_id = package.session_id
        key = self._replica(session_id).key
        with package.lock, package.blocks.settled():
            package.blocks.check_open()
            known, before = self._known.get(package), package.version
            taken = package.copy()
        if expect is None and known is None:
            known = yield from self._parent(taken)
        expected = known if expect is None else self._expected(self._replica(session_id), expect)
        if self._redact is not None:
            blocks = BlockSet(map(self._redact, taken.blocks), counter=taken.blocks.counter)
            taken = taken.with_blocks(blocks)
        number = max(0 if expected is None else expected + 1, taken.version)
        # So much is left for the changes to come: a number that can rise no further would freeze a session.
        check_tokens("version", number, least=1, most=LARGEST_VERSION // 2)
        taken.stand_at(number, operation_of(operation_id), taken.sender)
        version = yield from self._replace(key, taken, expected, ttl_ms)
        with package.lock, package.blocks.settled():
            since = package.version - before
            package.stand_at(version, version.operation_id, taken.sender)
            # What was changed meanwhile is not in the store: it is another version.
            package.keep_version(version + since)
            self._known[package] = version
        return version

    def delete(self, session_id: str, epoch: int | None) -> Steps[bool]:
        """Remove a session, and return whether there was one."""
        check_epoch(epoch)
        replica = self._replica(session_id)
        head = replica.head
        incarnation, known = ("", -1) if head is None else (head.incarnation, head.epoch)
        reply = yield replica.key, Discard(incarnation, known if epoch is None else epoch)
        if isinstance(reply, Refused) and reply.why in ("other", "fenced"):
            raise refusal_of(reply, replica.key, head, None)
        del self._replicas[replica.key]
        return not isinstance(reply, Refused)

    def purge(self, session_id: str, block_id: str | None, epoch: int | None) -> Steps[Version | None]:
        """Remove a block, or the session, from everything that is kept."""
        check_epoch(epoch)
        key = self._replica(session_id).key
        if block_id is None:
            if not (yield from self.delete(session_id, epoch)):
                raise UnknownSessionError(f"session {shown(session_id)} does not exist")
            # What was written before it may still be in the journal of a file.
            yield key, Scrub()
            return None
        check_id("block_id", block_id)
        for _ in range(MOST_ROUNDS):
            update = yield from self._sync(session_id)
            package, version = self._there(update, session_id)
            if epoch is not None and epoch < version.epoch:
                raise refusal_of(Refused("fenced", int(version), version.epoch), key, version, None)
            row = package.blocks.find(block_id)
            if row is not None:
                del package.blocks[row]
            package.stand_at(version + 1, operation_of(None))
            try:
                # Also where the block is gone: the changes since the last snapshot may hold it.
                version = yield from self._replace(key, package, version, self.ttl_ms)
            except FencedError:
                raise
            except ConflictError:
                continue
            yield from self._trim(key)
            yield key, Scrub()
            return version
        raise ConflictError(f"session {shown(session_id)} is written to all the time", 0, 0)

    def inquire(self, session_id: str) -> Steps[Listed]:
        """Say how a session stands."""
        reply = yield self._replica(session_id).key, Inquire()
        if not isinstance(reply, Listed):
            raise UnknownSessionError(f"session {shown(session_id)} does not exist")
        return reply

    def compact(self, session_id: str) -> Steps[Version]:
        """Put a snapshot in the place of the changes of a session."""
        update = yield from self._sync(session_id)
        package, version = self._there(update, session_id)
        if update.weight.changes:
            yield from self._compact(self._replica(session_id).key, package, version)
        yield from self._trim(self._replica(session_id).key)
        return version

    def seen_name(self, session_id: str, operation_id: str) -> str:
        """Return under which name an import is remembered."""
        return seen_name(Key.of(self.namespace, session_id), operation_id)

    def warn_of_hint(self, hint: Hint, to: str, error: Exception) -> None:
        """Say in the log that an agent was not told."""
        _LOG.warning("session %s waits for %s, who was not told: %s", hint.session_id, shown(to), error)
