"""What a store knows of one session, so that only what is new has to travel."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, NamedTuple

from pycontext.counter import DEFAULT_ENCODING, TokenCounter
from pycontext.errors import CorruptPayloadError, ValidationError
from pycontext.package import ContextPackage
from pycontext.store.change import Change, check_change
from pycontext.store.codec import Codec, Place
from pycontext.store.key import Key
from pycontext.store.request import News, Written
from pycontext.store.version import Version

__all__ = ["Replica", "Replicas", "Update", "Weight"]

# More than so many changes of one's own that nobody asked for are not worth their memory: they can be read again.
_MOST_PENDING: Final = 2_048
# Of so many sessions more it is remembered where they stand.
_MOST_HEADS: Final = 100_000


@dataclass(slots=True)
class _State:
    """A session at a version, which the replica alone holds.

    Attributes:
        package: the session.
        version: where it stands.
        snapshot_version: of the last snapshot in the store.
        snapshot_bytes: of that snapshot.
        change_bytes: of the changes since.
    """

    package: ContextPackage
    version: Version
    snapshot_version: int
    snapshot_bytes: int
    change_bytes: int = 0


class Weight(NamedTuple):
    """What a load has to read.

    Attributes:
        changes: in the store since the last snapshot.
        change_bytes: of those.
        snapshot_bytes: of the last snapshot.
    """

    changes: int
    change_bytes: int
    snapshot_bytes: int


_NO_WEIGHT: Final = Weight(0, 0, 0)


@dataclass(slots=True)
class Update:
    """A session as a replica has it, and what came of reading news.

    Attributes:
        package: the session, a copy; None where there was nothing to read it from.
        version: where it stands.
        weight: of it in the store.
        renamed: ids that were taken when their blocks came, with those that they have now.
        lost: ids of blocks that this store had seen, and that are not in the session's history any more.
        bad: what is damaged, where the caller wants the session as it was before.
    """

    package: ContextPackage | None = None
    version: Version | None = None
    weight: Weight = _NO_WEIGHT
    renamed: dict[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    bad: CorruptPayloadError | None = None

    def show(self, state: _State) -> None:
        """Have a copy of a state, whose blocks are copied when one of the two is first changed."""
        self.package = state.package.copy()
        self.version = state.version
        self.weight = Weight(state.version - state.snapshot_version, state.change_bytes, state.snapshot_bytes)


class Replica:
    """What a store knows of one session.

    Replies may come in any order, from several threads or tasks: what does not go on from here is left for the next
    `Sync`, which asks from `head`.

    Args:
        key: of the session.
        codec: of the store.
        counter: what counts tokens; None for what the session names.
    """

    def __init__(self, key: Key, codec: Codec, counter: TokenCounter | None) -> None:
        self.key: Final = key
        self._codec: Final = codec
        self._counter: Final = counter
        self._lock: Final = Lock()
        self._state: _State | None = None
        # Changes of our own behind the state: the operation, and the bytes as they were written.
        self._pending: list[tuple[Version, bytes]] = []
        # The ids of their blocks, and their bytes.
        self._pending_ids: set[str] = set()
        self._pending_bytes = 0
        self._head: Version | None = None

    @property
    def head(self) -> Version | None:
        """The latest version that is known, and from which the next news go on; None where nothing is."""
        return self._head

    @property
    def is_loaded(self) -> bool:
        """Whether the blocks are known as well."""
        return self._state is not None

    @property
    def weight(self) -> Weight | None:
        """What a load has to read, as far as this store knows; None where the blocks are not known."""
        with self._lock:
            state = self._state
            if state is None or self._head is None:
                return None
            changes = self._head - state.snapshot_version
            return Weight(changes, state.change_bytes + self._pending_bytes, state.snapshot_bytes)

    def find(self, ids: Iterable[str]) -> bool:
        """Return whether a block of one of these ids is known."""
        with self._lock:
            state = self._state
            return state is not None and any(
                id in self._pending_ids or state.package.blocks.find(id) is not None for id in ids
            )

    def wrote(self, written: Written, operation_id: str, change: bytes, ids: Iterable[str]) -> Version:
        """Note a change of one's own that was written, with the ids of its blocks, and return its version."""
        version = Version(written.version, written.incarnation, operation_id, written.epoch, written.previous)
        with self._lock:
            head = self._head
            if head is None:
                self._head = version
            elif _goes_on(head, version):
                self._head = version
                if self._state is not None:
                    self._pending.append((version, change))
                    self._pending_ids.update(ids)
                    self._pending_bytes += len(change)
            if len(self._pending) > _MOST_PENDING:
                self._stand(None, self._head)
        return version

    def replaced(self, package: ContextPackage, version: Version, snapshot_bytes: int) -> None:
        """Note that a package was written in the place of everything; nobody else has it."""
        with self._lock:
            if self._head is None or version > self._head or version.incarnation != self._head.incarnation:
                self._stand(_State(package, version, int(version), snapshot_bytes), version)

    def compacted(self, version: Version, snapshot_bytes: int) -> None:
        """Note that the changes up to a version are in a snapshot now."""
        with self._lock:
            state = self._state
            if state is not None and state.version.incarnation == version.incarnation:
                state.snapshot_version, state.snapshot_bytes, state.change_bytes = int(version), snapshot_bytes, 0

    def forget(self) -> None:
        """Know nothing any more."""
        with self._lock:
            self._stand(None, None)

    def shed(self) -> None:
        """Know where the session stands and no more."""
        with self._lock:
            self._state, self._pending = None, []

    def settle(self) -> Update:
        """Do the changes of one's own, and return the session."""
        update = Update()
        with self._lock:
            if self._state is not None:
                self._catch_up(self._state, update.renamed)
                update.show(self._state)
        return update

    def take(self, asked: Version | None, news: News) -> Update:
        """Read news that were asked for from a version, and return the session.

        Raises:
            CorruptPayloadError: the bytes are damaged.
            UnsupportedFormatError: a later release wrote them.
            SignatureError: they were written for another place, or no key fits.
            ValidationError: a plug-in counted the tokens, and this store has none.
            PluginError: the counter raised or returned what it must not.
        """
        update = Update()
        with self._lock:
            state, before = self._state, set[str]()
            is_next = asked is not None and self._head is not None and asked.is_at(self._head)
            is_lost = asked is not None and _is_lost(asked, news)
            if news.snapshot is None and (state is None or not is_next):
                # Something else came meanwhile: from where that is, it is asked again.
                return update
            try:
                if state is not None:
                    self._catch_up(state, update.renamed)
                    # A list of all ids takes longer than to read a few changes.
                    before = set(state.package.blocks.ids()) if is_lost else before
                if state is None or news.snapshot is not None:
                    state = self._snapshot(news)
                self._go_on(state, news, update)
            except BaseException:
                # What is half done is worth nothing: all of it is read again.
                self._stand(None, None)
                raise
            self._stand(state, state.version)
            if is_lost:
                update.lost = tuple(sorted(before.difference(state.package.blocks.ids())))
            update.show(state)
        return update

    def look(self, news: News, *, stop_at: int | None = None, is_lenient: bool = False) -> Update:
        """Read all of a session without remembering it.

        Args:
            news: with a snapshot.
            stop_at: the last version to read.
            is_lenient: True to stop before what is damaged.

        Raises:
            CorruptPayloadError: the snapshot is damaged, or a change is, and one was not to stop there.
            UnsupportedFormatError: a later release wrote the bytes.
            SignatureError: they were written for another place, or no key fits.
            ValidationError: a plug-in counted the tokens, and this store has none.
            PluginError: the counter raised or returned what it must not.
        """
        update = Update()
        state = self._snapshot(news)
        if stop_at is not None:
            news = news._replace(changes=news.changes[: max(stop_at - news.snapshot_version, 0)])
        try:
            self._go_on(state, news, update)
        except CorruptPayloadError as error:
            if not is_lenient:
                raise
            update.bad = error
        update.show(state)
        return update

    def _stand(self, state: _State | None, head: Version | None) -> None:
        """Know this and nothing behind it."""
        self._state, self._head = state, head
        self._pending, self._pending_ids, self._pending_bytes = [], set(), 0

    def _catch_up(self, state: _State, renamed: dict[str, str]) -> None:
        """Do the changes of one's own."""
        for version, change in self._pending:
            self._do(state, version, change, renamed)
        self._pending, self._pending_ids, self._pending_bytes = [], set(), 0

    def _snapshot(self, news: News) -> _State:
        version = Version(news.snapshot_version, news.incarnation, news.snapshot_operation, news.epoch)
        place = Place(self.key, news.incarnation, news.snapshot_operation, "snapshot", news.snapshot_version)
        data = news.snapshot or b""
        message = self._codec.open(data, place)
        try:
            package = ContextPackage.from_protobuf(
                message, counter=self._counter, counts="believe", limits=self._codec.limits
            )
        except ValidationError as error:
            if self._is_sound(message):
                # What is missing is the plug-in that counted it.
                raise ValidationError(f"{place.shown}: {error}") from None
            raise self._codec.corrupt(place, error) from None
        expected = (self.key.session_id, news.snapshot_version, news.snapshot_operation)
        actual = (package.session_id, package.version, package.operation_id)
        if actual != expected:
            raise self._codec.corrupt(place, ValidationError(f"it is {actual}, not {expected}"))
        return _State(package, version, news.snapshot_version, len(data))

    def _is_sound(self, message: bytes) -> bool:
        """Whether a package that could not be read can be, once it is said what counts its tokens."""
        try:
            ContextPackage.from_protobuf(message, counter=DEFAULT_ENCODING, counts="believe", limits=self._codec.limits)
        except ValidationError:
            return False
        return self._counter is None

    def _go_on(self, state: _State, news: News, update: Update) -> None:
        """Do the changes of news to a state; where one is damaged, the state is that before it."""
        state.snapshot_version = max(news.snapshot_version, state.snapshot_version)
        for operation_id, change in news.changes:
            at = state.version
            version = Version(at + 1, news.incarnation, operation_id, at.epoch, at.operation_id)
            self._do(state, version, change, update.renamed)

    def _do(self, state: _State, version: Version, data: bytes, renamed: dict[str, str]) -> None:
        place = Place(self.key, version.incarnation, version.operation_id, "change", version)
        message = self._codec.open(data, place)
        try:
            change = Change.from_message(message, state.package.blocks.counter, self._codec.limits)
            check_change(change, self.key.session_id, version.operation_id)
            state.package, names = change.done_to(state.package, version)
        except ValidationError as error:
            raise self._codec.corrupt(place, error) from None
        state.version = version.in_epoch(state.package.epoch)
        state.change_bytes += len(data)
        renamed.update(names)


class Replicas:
    """The sessions that a store knows, the ones that were used last.

    Args:
        most: sessions to remember.
        codec: of the store.
        counter: what counts tokens; None for what the sessions name.
    """

    def __init__(self, most: int, codec: Codec, counter: TokenCounter | None) -> None:
        self._most: Final = most
        self._codec: Final = codec
        self._counter: Final = counter
        self._known: OrderedDict[Key, Replica] = OrderedDict()
        # Those that may have blocks; of the others only where they stand is remembered, which fences need.
        self._whole: OrderedDict[Key, None] = OrderedDict()
        self._lock: Final = Lock()

    def __getitem__(self, key: Key) -> Replica:
        with self._lock:
            replica = self._known.get(key)
            if replica is None:
                replica = self._known[key] = Replica(key, self._codec, self._counter)
            self._known.move_to_end(key)
            self._whole[key] = None
            self._whole.move_to_end(key)
            if len(self._whole) > self._most:
                oldest, _ = self._whole.popitem(last=False)
                self._known[oldest].shed()
                if len(self._known) > self._most + _MOST_HEADS:
                    self._known.popitem(last=False)
            return replica

    def __delitem__(self, key: Key) -> None:
        with self._lock:
            self._known.pop(key, None)
            self._whole.pop(key, None)


def _goes_on(head: Version, version: Version) -> bool:
    """Whether a version follows right behind another."""
    return (version, version.incarnation, version.previous) == (head + 1, head.incarnation, head.operation_id)


def _is_lost(asked: Version, news: News) -> bool:
    """Whether the store does not know the version that was asked from, though it keeps what came behind it.

    A version from before the last snapshot is only too old; another incarnation is another session.
    """
    is_too_old = asked < news.snapshot_version
    return news.snapshot is not None and news.incarnation == asked.incarnation and not is_too_old
