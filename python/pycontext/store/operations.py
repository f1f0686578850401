"""What a store does, as steps: each yields what it asks of the log, and is sent the answer.

Written once for stores that wait and for those that await; nothing here touches a socket or a file.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from pycontext._core import check_id
from pycontext.block import ContextBlock
from pycontext.blockset import BlockSet
from pycontext.budget import check_tokens
from pycontext.counter import DEFAULT_ENCODING, TokenCounter, as_counter
from pycontext.errors import (
    ConflictError,
    ContextError,
    CorruptPayloadError,
    FencedError,
    SessionGoneError,
    UnknownBlockError,
    UnknownSessionError,
    ValidationError,
    VersionGoneError,
    shown,
)
from pycontext.package import ContextPackage, check_package
from pycontext.store.change import Change, Kind
from pycontext.store.codec import Codec, Place
from pycontext.store.hint import MOST_HINTS, Hint
from pycontext.store.key import Key, check_namespace, seen_name
from pycontext.store.replica import Replica, Replicas, Update, Weight
from pycontext.store.request import (
    Append,
    Compact,
    Discard,
    Inquire,
    Listed,
    News,
    Refused,
    Replace,
    Reply,
    Request,
    Same,
    Scrub,
    Sync,
    Trim,
    Written,
)
from pycontext.store.version import Version

__all__ = ["Batch", "Operations", "Redact", "Refresh", "Steps", "hint_id", "hint_of", "milliseconds", "taking"]

_LOG: Final = logging.getLogger("pycontext.store")
_T = TypeVar("_T")

# What is asked of the log, what it answers, and what comes of it.
Steps = Generator[tuple[Key, Request], Reply, _T]
# The same for many requests at once.
Batch = Generator[list[tuple[Key, Request]], list[Reply], _T]
Redact = Callable[[ContextBlock], ContextBlock]

# A snapshot is made behind so many changes, when they have grown to a share of the last one, or when they are many.
_FEW_CHANGES: Final = 64
_MANY_CHANGES: Final = 1_024
_SHARE: Final = 0.25
# Changes to be answered with at once; a session whose history is looked at is read as a whole.
_MOST_AT_ONCE: Final = 1_024
_ALL: Final = 2**31 - 1
# What was written can be read: more would say that a log answers nonsense.
_MOST_ROUNDS: Final = 1_000
_LARGEST_VERSION: Final = 2**32 - 1
# Its length stands in one byte.
_OPERATION_BYTES: Final = 128
# A hundred years.
_LONGEST_SECONDS: Final = 100 * 365 * 86_400


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


class Operations:
    """The operations of a store.

    Args:
        namespace: of all its sessions.
        ttl: seconds that a session lives after the last write; None for ever.
        codec: puts messages into envelopes.
        redact: given a copy of every block before it is written; returns what is written.
        counter: what counts tokens; None for what each session names.
        sessions: to remember, so that only what is new of them has to travel.
    """

    def __init__(
        self,
        namespace: str,
        ttl: float | None,
        codec: Codec,
        redact: Redact | None,
        counter: str | TokenCounter | None,
        sessions: int,
    ) -> None:
        check_namespace(namespace)
        check_tokens("sessions", sessions, least=1, most=2**31 - 1)
        self.namespace: Final = namespace
        self.ttl_ms: Final = 0 if ttl is None else milliseconds("ttl", ttl)
        self._codec: Final = codec
        self._redact: Final = redact
        self._counter: Final = None if counter is None else as_counter(counter)
        self._replicas: Final = Replicas(sessions, codec, self._counter)
        # Where packages stood that this store gave out or took: they are saved over that and nothing else.
        self._known: Final[WeakKeyDictionary[ContextPackage, Version]] = WeakKeyDictionary()

    def load(self, session_id: str, at_version: int | None, recover: str) -> Steps[ContextPackage]:
        """Load a session."""
        if recover not in ("none", "last-good"):
            raise ValidationError(f"recover {shown(recover)} is not one of none, last-good")
        if at_version is not None:
            check_tokens("at_version", at_version, least=1, most=_LARGEST_VERSION)
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
        operation_id: str | None,
    ) -> Steps[Version]:
        """Append blocks."""
        replica = self._replica(session_id)
        if self._codec.encrypt is not None and replica.head is None:
            # What is encrypted belongs to an incarnation.
            yield from self._sync(session_id)
        came = self._blocks(blocks)
        return (yield from self._change(replica, "append", came, (), expect, epoch, operation_id))

    def append_many(self, items: Iterable[tuple[str, Iterable[ContextBlock]]]) -> Batch[list[Version | ContextError]]:
        """Append blocks to many sessions."""
        changes: list[tuple[Replica, Change, Version | None, Append]] = []
        for session_id, blocks in items:
            replica = self._replica(session_id)
            if self._codec.encrypt is not None and replica.head is None:
                raise ValidationError(f"session {shown(session_id)} is encrypted and not known yet: load it first")
            change = Change("append", session_id, _operation(None), self._blocks(blocks))
            head = replica.head
            request = self._appending(replica, change, head, None, -1 if head is None else head.epoch, -1)
            changes.append((replica, change, head, request))
        replies = yield [(replica.key, request) for replica, _, _, request in changes]
        done: list[Version | ContextError] = []
        for (replica, change, head, request), reply in zip(changes, replies, strict=True):
            if isinstance(reply, Refused):
                done.append(_refusal(reply, replica.key, head, None))
            else:
                done.append(self._noted(replica, change, request.change, _written(reply)))
        return done

    def update_block(
        self, session_id: str, block: ContextBlock, expect: int | None, epoch: int | None, operation_id: str | None
    ) -> Steps[Version]:
        """Put a block in the place of the one of its id."""
        if not isinstance(block, ContextBlock):
            raise ValidationError(f"block {shown(block)} is {type(block).__name__}, not a ContextBlock")
        update = yield from self._loaded(session_id)
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
        update = yield from self._loaded(session_id)
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
        update = yield from self._loaded(session_id)
        package, version = self._there(update, session_id)
        expected = version if expect is None else expect
        operation_id = _operation(operation_id)
        _check_epoch(epoch)
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
        check_tokens("version", number, least=1, most=_LARGEST_VERSION)
        taken.stand_at(number, _operation(operation_id), taken.sender)
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
        _check_epoch(epoch)
        replica = self._replica(session_id)
        head = replica.head
        incarnation, known = ("", -1) if head is None else (head.incarnation, head.epoch)
        reply = yield replica.key, Discard(incarnation, known if epoch is None else epoch)
        if isinstance(reply, Refused) and reply.why in ("other", "fenced"):
            raise _refusal(reply, replica.key, head, None)
        del self._replicas[replica.key]
        return not isinstance(reply, Refused)

    def purge(self, session_id: str, block_id: str | None, epoch: int | None) -> Steps[Version | None]:
        """Remove a block, or the session, from everything that is kept."""
        _check_epoch(epoch)
        key = self._replica(session_id).key
        if block_id is None:
            if not (yield from self.delete(session_id, epoch)):
                raise UnknownSessionError(f"session {shown(session_id)} does not exist")
            # What was written before it may still be in the journal of a file.
            yield key, Scrub()
            return None
        check_id("block_id", block_id)
        for _ in range(_MOST_ROUNDS):
            update = yield from self._sync(session_id)
            package, version = self._there(update, session_id)
            if epoch is not None and epoch < version.epoch:
                raise _refusal(Refused("fenced", int(version), version.epoch), key, version, None)
            row = package.blocks.find(block_id)
            if row is not None:
                del package.blocks[row]
            package.stand_at(version + 1, _operation(None))
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

    # What the operations above are made of.

    def _replica(self, session_id: str) -> Replica:
        return self._replicas[Key.of(self.namespace, session_id)]

    def _blocks(self, blocks: Iterable[ContextBlock]) -> BlockSet:
        """Return blocks as a set of their own, redacted."""
        if isinstance(blocks, ContextBlock):
            raise ValidationError("blocks is a ContextBlock, not a list of them")
        if isinstance(blocks, ContextPackage):
            blocks = blocks.blocks
        if self._redact is not None:
            blocks = map(self._redact, BlockSet(blocks))
        return blocks if isinstance(blocks, BlockSet) else BlockSet(blocks, counter=self._counter or DEFAULT_ENCODING)

    def _given(self, update: Update) -> ContextPackage:
        """Return the package of an update to the caller, and remember where it stood."""
        package, version = update.package, update.version
        if package is None or version is None:
            raise ContextError("a store has read nothing")
        self._known[package] = version
        return package

    def _there(self, update: Update, session_id: str) -> tuple[ContextPackage, Version]:
        if update.package is None or update.version is None:
            raise UnknownSessionError(f"session {shown(session_id)} does not exist")
        return update.package, update.version

    def _done_or_there(
        self, update: Update, session_id: str, ids: Iterable[str], operation_id: str | None
    ) -> Steps[Version | None]:
        """See whether blocks are there; where they are not, an operation of that id may have been done before."""
        package, version = self._there(update, session_id)
        missing = next((id for id in ids if package.blocks.find(id) is None), None)
        if missing is None:
            return None
        if operation_id is not None:
            # No session is at version 0: what was not done before is not done now.
            ask = Append(version.incarnation, 0, "", -1, _operation(operation_id), -1, 0, b"")
            reply = yield self._replica(session_id).key, ask
            if isinstance(reply, Written):
                return Version(reply.version, reply.incarnation, operation_id, reply.epoch, reply.previous)
        raise UnknownBlockError(f"session {shown(session_id)} has no block {shown(missing)}")

    def _loaded(self, session_id: str) -> Steps[Update]:
        """The session as this store knows it, read where it does not."""
        update = self._replica(session_id).settle()
        return (yield from self._sync(session_id)) if update.package is None else update

    def _sync(self, session_id: str) -> Steps[Update]:
        """The session as it is now; a snapshot is made where there are many changes."""
        replica = self._replica(session_id)
        renamed: dict[str, str] = {}
        lost: tuple[str, ...] = ()
        for _ in range(_MOST_ROUNDS):
            head = replica.head
            asked = head if replica.is_loaded else None
            known = ("", 0, "") if asked is None else (asked.incarnation, int(asked), asked.operation_id)
            reply = yield replica.key, Sync(*known, _MOST_AT_ONCE)
            _check_same(replica, head, reply)
            if isinstance(reply, Same):
                update = replica.settle()
                is_whole = update.version is not None and asked is not None and update.version >= asked
            else:
                news = _news(reply)
                update = replica.take(asked, news)
                is_whole = update.version is not None and update.version >= news.version
            renamed.update(update.renamed)
            lost += update.lost
            if is_whole:
                break
        else:
            raise ConflictError(f"session {shown(session_id)} is written to all the time", 0, 0)
        update.renamed, update.lost = renamed, lost
        self._tell(session_id, update)
        yield from self._compact_if_due(replica, update)
        return update

    def _tell(self, session_id: str, update: Update) -> None:
        if update.lost:
            _LOG.warning(
                "session %s: the server lost what it had confirmed; gone: %s", session_id, ", ".join(update.lost[:20])
            )
        for old, new in update.renamed.items():
            _LOG.warning("session %s: block id %s was taken, its block is %s", session_id, shown(old), shown(new))

    def _load_at(self, session_id: str, at_version: int) -> Steps[ContextPackage]:
        replica = self._replica(session_id)
        news = yield from self._all(replica)
        if not news.snapshot_version <= at_version <= news.version:
            span = f"{news.snapshot_version} to {news.version}"
            raise VersionGoneError(
                f"session {shown(session_id)}: version {at_version} is not kept, {span} are",
                at_version,
                news.snapshot_version,
            )
        package = replica.look(news, stop_at=at_version).package
        if package is None:
            raise ContextError("a store has read nothing")
        return package

    def _all(self, replica: Replica) -> Steps[News]:
        """Everything that the log keeps of a session."""
        head = replica.head
        reply = yield replica.key, Sync("", 0, "", _ALL)
        _check_same(replica, head, reply)
        return _news(reply)

    def _recover(self, session_id: str) -> Steps[ContextPackage]:
        """Take the session as it was before what is damaged, and write that in the place of all."""
        replica = self._replica(session_id)
        news = yield from self._all(replica)
        update = replica.look(news, is_lenient=True)
        package = update.package
        if update.bad is None:
            # Somebody else was faster.
            replica.forget()
            return self._given((yield from self._sync(session_id)))
        if package is None or update.version is None:
            raise ContextError("a store has read nothing")
        dropped = news.version - update.version
        _LOG.warning("session %s: %d changes are dropped: %s", session_id, dropped, update.bad)
        at = Version(news.version, news.incarnation, news.operation_id, news.epoch)
        package.stand_at(news.version + 1, _operation(None))
        if package.epoch != news.epoch:
            package = package.with_blocks(package.blocks, epoch=news.epoch)
        version = yield from self._replace(replica.key, package, at, self.ttl_ms)
        self._known[package] = version
        return package

    def _parent(self, package: ContextPackage) -> Steps[Version | None]:
        """Where a package stands that this store has not seen: behind the one that it was transferred from, or new."""
        if not package.parents or package.parents[-1].session_id != package.session_id:
            return None
        try:
            update = yield from self._sync(package.session_id)
        except UnknownSessionError:
            return None
        stored, version = self._there(update, package.session_id)
        parent = package.parents[-1]
        is_next = package.epoch == version.epoch + 1
        is_parent = is_next and parent.version == version and parent.content_hash == stored.content_hash
        return version if is_parent else None

    def _expected(self, replica: Replica, expect: int) -> Version | None:
        """What a write is compared with: a version, or the number of one; None for 0: there must be nothing."""
        if isinstance(expect, Version):
            return expect
        check_tokens("expect", expect, least=0, most=_LARGEST_VERSION)
        if expect == 0:
            return None
        head = replica.head
        if head is None or head != expect:
            actual = 0 if head is None else int(head)
            raise ConflictError(
                f"session {shown(replica.key.session_id)}: expect {expect} is not version {actual}, "
                "which this store last saw; load it first",
                int(expect),
                actual,
            )
        return head

    def _change(
        self,
        replica: Replica,
        kind: Kind,
        blocks: BlockSet,
        removed: tuple[str, ...],
        expect: int | None,
        epoch: int | None,
        operation_id: str | None,
    ) -> Steps[Version]:
        _check_epoch(epoch)
        change = Change(kind, replica.key.session_id, _operation(operation_id), blocks, removed)
        head = replica.head
        if epoch is None:
            epoch = -1 if head is None else head.epoch
        return (yield from self._write(replica, change, expect, epoch, -1))

    def _write(
        self, replica: Replica, change: Change, expect: int | None, epoch: int, new_epoch: int
    ) -> Steps[Version]:
        key, head = replica.key, replica.head
        expected = None if expect is None else self._expected(replica, expect)
        if expect is not None and expected is None:
            raise ValidationError("expect 0 is for `save`: to a session that must not be there nothing is added")
        request = self._appending(replica, change, head, expected, epoch, new_epoch)
        reply = yield key, request
        if isinstance(reply, Refused):
            raise _refusal(reply, key, head, expected)
        written = _written(reply)
        version = self._noted(replica, change, request.change, written)
        if written.version - written.snapshot_version > _FEW_CHANGES:
            yield from self._compact_behind(replica, written)
        return version

    def _noted(self, replica: Replica, change: Change, data: bytes, written: Written) -> Version:
        """Note a change that was written, and return its version, with the ids that were taken where that is known."""
        ids = change.blocks.ids()
        taken = change.kind == "append" and replica.find(ids)
        version = replica.wrote(written, change.operation_id, data, ids)
        if not taken:
            return version
        renamed = replica.settle().renamed if replica.head is version else {}
        return Version(*_fields(version), renamed)

    def _appending(
        self,
        replica: Replica,
        change: Change,
        head: Version | None,
        expected: Version | None,
        epoch: int,
        new_epoch: int,
    ) -> Append:
        """Return the request to append a change."""
        known = head if expected is None else expected
        incarnation = "" if known is None else known.incarnation
        place = Place(replica.key, incarnation, change.operation_id, "change")
        data = self._codec.close(change.to_message(self._codec.limits), place, change.blocks.is_mixed)
        number, operation = (-1, "") if expected is None else (int(expected), expected.operation_id)
        return Append(incarnation, number, operation, epoch, change.operation_id, new_epoch, self.ttl_ms, data)

    def _replace(self, key: Key, package: ContextPackage, expected: Version | None, ttl_ms: int) -> Steps[Version]:
        """Write a package, which nobody else changes, in the place of everything."""
        operation_id, epoch = package.operation_id, package.epoch
        new = secrets.token_hex(8)
        incarnation = new if expected is None else expected.incarnation
        place = Place(key, incarnation, operation_id, "snapshot", package.version)
        data = self._closed(package, place)
        known = ("", 0, "", -1)
        if expected is not None:
            known = (expected.incarnation, int(expected), expected.operation_id, expected.epoch)
        request = Replace(*known, operation_id, package.version, epoch, ttl_ms, data, new)
        reply = yield key, request
        while isinstance(reply, Refused) and reply.why == "trim":
            yield from self._trim(key)
            reply = yield key, request
        if isinstance(reply, Refused):
            raise _refusal(reply, key, self._replicas[key].head, expected)
        written = _written(reply)
        version = Version(written.version, written.incarnation, operation_id, written.epoch, written.previous)
        self._replicas[key].replaced(package.copy(), version, len(data))
        return version

    def _closed(self, package: ContextPackage, place: Place) -> bytes:
        message = package.to_protobuf(limits=self._codec.limits)
        return self._codec.close(message, place, package.blocks.is_mixed)

    def _compact_behind(self, replica: Replica, written: Written) -> Steps[None]:
        """Make a snapshot behind a write, where that is due; the write is done whatever comes of it."""
        try:
            if written.version - written.snapshot_version > _MANY_CHANGES:
                yield from self._sync(replica.key.session_id)
            elif _is_due(replica.weight):
                # Only then: to do the changes of one's own costs more than to write one.
                yield from self._compact_if_due(replica, replica.settle())
        except ContextError as error:
            _LOG.warning("session %s: no snapshot was made: %s", replica.key.session_id, error)

    def _compact_if_due(self, replica: Replica, update: Update) -> Steps[None]:
        if _is_due(update.weight):
            package, version = update.package, update.version
            if package is None or version is None:
                return
            try:
                yield from self._compact(replica.key, package, version)
                yield from self._trim(replica.key)
            except ContextError as error:
                _LOG.warning("session %s: no snapshot was made: %s", replica.key.session_id, error)

    def _compact(self, key: Key, package: ContextPackage, version: Version) -> Steps[None]:
        place = Place(key, version.incarnation, version.operation_id, "snapshot", version)
        data = self._closed(package, place)
        reply = yield key, Compact(version.incarnation, int(version), version.operation_id, data)
        # Whoever was faster, or has written over it, did what was to be done.
        if not isinstance(reply, Refused):
            self._replicas[key].compacted(version, len(data))

    def _trim(self, key: Key) -> Steps[None]:
        for _ in range(_MOST_ROUNDS):
            left = yield key, Trim()
            if not isinstance(left, int) or not left:
                return


def _is_due(weight: Weight | None) -> bool:
    """Whether a snapshot is to be made."""
    if weight is None:
        return False
    is_large = weight.change_bytes > _SHARE * weight.snapshot_bytes
    return weight.changes > _MANY_CHANGES or (weight.changes > _FEW_CHANGES and is_large)


def _check_epoch(epoch: int | None) -> None:
    if epoch is not None:
        check_tokens("epoch", epoch, least=0, most=_LARGEST_VERSION)


def milliseconds(name: str, seconds: object) -> int:
    """Return a time in milliseconds, 1 or more.

    Raises:
        ValidationError: it is no number of seconds above 0.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST_SECONDS:
        raise ValidationError(
            f"{name} {shown(seconds)} is not a number of seconds above 0 and at most {_LONGEST_SECONDS}"
        )
    return max(int(seconds * 1000), 1)


def taking(most: int, lease_seconds: float) -> tuple[int, int]:
    """Return how many hints to take, and for how many milliseconds.

    Raises:
        ValidationError: one of them is outside its limits.
    """
    check_tokens("most", most, least=1, most=MOST_HINTS)
    return int(most), milliseconds("lease_seconds", lease_seconds)


def hint_id(hint: Hint) -> str:
    """Return the id by which a log knows a hint.

    Raises:
        ValidationError: it is no hint.
    """
    if not isinstance(hint, Hint):
        raise ValidationError(f"hint {shown(hint)} is {type(hint).__name__}, not a Hint")
    return hint.id


def hint_of(package: ContextPackage) -> Hint:
    """Return what its agent is told of a package.

    Raises:
        ValidationError: it is no package.
    """
    check_package("package", package)
    return Hint("", package.session_id, package.sender or "", package.version, package.epoch)


def _check_same(replica: Replica, head: Version | None, reply: Reply) -> None:
    """Raise what a reply to `Sync` means where the session is gone, or is not the one that was seen."""
    if isinstance(reply, Refused) or (
        isinstance(reply, News) and head is not None and reply.incarnation != head.incarnation
    ):
        # Said once: who loads it then again has been told that it is another session.
        replica.forget()
        raise _refusal(reply, replica.key, head, None)


def _refusal(refused: Refused | News, key: Key, head: Version | None, expected: Version | None) -> ContextError:
    """Return the error that a refusal means."""
    name = shown(key.session_id)
    was = head if expected is None else expected
    at = 0 if was is None else int(was)
    if isinstance(refused, News):
        refused = Refused("other", refused.version, refused.epoch, refused.operation_id)
    if refused.why == "absent":
        if was is None:
            return UnknownSessionError(f"session {name} does not exist")
        return SessionGoneError(f"session {name} was at version {at}, and is gone: it expired or was removed")
    if refused.why == "other":
        return SessionGoneError(
            f"session {name} was at version {at}, and is another one now, at version {refused.version}: "
            "it expired or was removed, and was begun anew"
        )
    if refused.why == "fenced":
        return FencedError(
            f"session {name} goes on in epoch {refused.epoch}: what belongs to an earlier one is refused",
            at,
            refused.version,
        )
    if refused.why == "exists":
        return ConflictError(
            f"session {name} is there, at version {refused.version}: load it first, or say what to expect",
            0,
            refused.version,
        )
    return ConflictError(
        f"session {name} is at version {refused.version} by operation {shown(refused.operation_id[:8])}, not at {at}",
        at,
        refused.version,
    )


def _operation(operation_id: str | None) -> str:
    """Return the id of a write, a new one where none is given."""
    if operation_id is None:
        return secrets.token_hex(16)
    check_id("operation_id", operation_id)
    if len(operation_id.encode()) > _OPERATION_BYTES:
        raise ValidationError(f"operation_id {shown(operation_id)} is longer than {_OPERATION_BYTES} bytes")
    return operation_id


def _written(reply: Any) -> Written:
    if not isinstance(reply, Written):
        raise ContextError(f"a log answers {shown(reply)}, which is no written")
    return reply


def _news(reply: Any) -> News:
    if not isinstance(reply, News):
        raise ContextError(f"a log answers {shown(reply)}, which are no news")
    return reply


def _fields(version: Version) -> tuple[int, str, str, int, str]:
    return int(version), version.incarnation, version.operation_id, version.epoch, version.previous
