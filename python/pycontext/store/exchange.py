"""The steps that the operations of a store are made of."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Generator, Iterable
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from pycontext.block import ContextBlock
from pycontext.blockset import BlockSet
from pycontext.budget import check_tokens
from pycontext.counter import DEFAULT_ENCODING, TokenCounter, as_counter
from pycontext.errors import (
    ConflictError,
    ContextError,
    UnknownBlockError,
    UnknownSessionError,
    ValidationError,
    VersionGoneError,
    shown,
)
from pycontext.package import ContextPackage
from pycontext.store.answer import check_same, news_of, refusal_of, written_of
from pycontext.store.argument import LARGEST_VERSION, check_epoch, milliseconds, operation_of
from pycontext.store.change import Change, Kind
from pycontext.store.codec import Codec, Place
from pycontext.store.key import Key, check_namespace
from pycontext.store.replica import Replica, Replicas, Update, Weight
from pycontext.store.request import (
    Append,
    Compact,
    News,
    Refused,
    Replace,
    Reply,
    Request,
    Same,
    Sync,
    Trim,
    Written,
)
from pycontext.store.version import Version

__all__ = ["MOST_ROUNDS", "Batch", "Exchange", "Redact", "Steps"]

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
MOST_ROUNDS: Final = 1_000


class Exchange:
    """What goes on between a store and its log, in steps that yield a request and are sent the answer.

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
            ask = Append(version.incarnation, 0, "", -1, operation_of(operation_id), -1, 0, b"")
            reply = yield self._replica(session_id).key, ask
            if isinstance(reply, Written):
                return Version(reply.version, reply.incarnation, operation_id, reply.epoch, reply.previous)
        raise UnknownBlockError(f"session {shown(session_id)} has no block {shown(missing)}")

    def _loaded(self, session_id: str, expect: int | None, ids: Iterable[str] = ()) -> Steps[Update]:
        """The session as this store knows it, read where it does not know the version or the blocks that are meant."""
        update = self._replica(session_id).settle()
        package, version = update.package, update.version
        if package is None or version is None or any(package.blocks.find(id) is None for id in ids):
            return (yield from self._sync(session_id))
        # One that others made later. An earlier one is stale, and to read the session now would hide that.
        is_ahead = isinstance(expect, Version) and expect > version
        return (yield from self._sync(session_id)) if is_ahead else update

    def _sync(self, session_id: str) -> Steps[Update]:
        """The session as it is now; a snapshot is made where there are many changes."""
        replica = self._replica(session_id)
        renamed: dict[str, str] = {}
        lost: tuple[str, ...] = ()
        for _ in range(MOST_ROUNDS):
            head = replica.head
            asked = head if replica.is_loaded else None
            known = ("", 0, "") if asked is None else (asked.incarnation, int(asked), asked.operation_id)
            reply = yield replica.key, Sync(*known, _MOST_AT_ONCE)
            check_same(replica, head, reply)
            if isinstance(reply, Same):
                update = replica.settle()
                is_whole = update.version is not None and asked is not None and update.version >= asked
            else:
                news = news_of(reply)
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
        check_same(replica, head, reply)
        return news_of(reply)

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
        package.stand_at(news.version + 1, operation_of(None))
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
        check_tokens("expect", expect, least=0, most=LARGEST_VERSION)
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
        incarnation: str | None = None,
    ) -> Steps[Version]:
        check_epoch(epoch)
        change = Change(kind, replica.key.session_id, operation_of(operation_id), blocks, removed)
        head = replica.head
        if epoch is None:
            epoch = -1 if head is None else head.epoch
        return (yield from self._write(replica, change, expect, epoch, -1, incarnation))

    def _write(
        self,
        replica: Replica,
        change: Change,
        expect: int | None,
        epoch: int,
        new_epoch: int,
        incarnation: str | None = None,
    ) -> Steps[Version]:
        key, head = replica.key, replica.head
        expected = None if expect is None else self._expected(replica, expect)
        if expect is not None and expected is None:
            raise ValidationError("expect 0 is for `save`: to a session that must not be there nothing is added")
        if incarnation is None:
            incarnation = _incarnation(head if expected is None else expected)
        request = self._appending(replica, change, incarnation, expected, epoch, new_epoch)
        reply = yield key, request
        if isinstance(reply, Refused):
            raise refusal_of(reply, key, head, expected)
        written = written_of(reply)
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
        incarnation: str,
        expected: Version | None,
        epoch: int,
        new_epoch: int,
    ) -> Append:
        """Return the request to append a change."""
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
            raise refusal_of(reply, key, self._replicas[key].head, expected)
        written = written_of(reply)
        version = Version(written.version, written.incarnation, operation_id, written.epoch, written.previous)
        if written.incarnation == incarnation:
            self._replicas[key].replaced(package.copy(), version, len(data))
        # Else the session was begun by this operation before, maybe by another program with something else in it.
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
        for _ in range(MOST_ROUNDS):
            left = yield key, Trim()
            if not isinstance(left, int) or not left:
                return


def _incarnation(version: Version | None) -> str:
    """The incarnation that is meant, empty for any."""
    return "" if version is None else version.incarnation


def _is_due(weight: Weight | None) -> bool:
    """Whether a snapshot is to be made."""
    if weight is None:
        return False
    is_large = weight.change_bytes > _SHARE * weight.snapshot_bytes
    return weight.changes > _MANY_CHANGES or (weight.changes > _FEW_CHANGES and is_large)


def _fields(version: Version) -> tuple[int, str, str, int, str]:
    return int(version), version.incarnation, version.operation_id, version.epoch, version.previous
