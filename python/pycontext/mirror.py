"""Live sessions and their store, kept alike."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pycontext.blockset import BlockSet
from pycontext.counter import TokenCounter
from pycontext.errors import (
    ConflictError,
    FencedError,
    SessionGoneError,
    StoreError,
    UnknownSessionError,
    ValidationError,
    VersionGoneError,
    shown,
)
from pycontext.package import ContextPackage
from pycontext.selection import Selection
from pycontext.session import Session
from pycontext.store.base import ContextStore
from pycontext.store.url import open_store
from pycontext.store.version import Version
from pycontext.trust import Trust, replayed
from pycontext.version import merge

__all__ = ["Mirror"]

_LOG: Final = logging.getLogger("pycontext.manager")

# So often others may be faster in writing before somebody has to look into it.
_MOST_TRIES: Final = 64


class Mirror:
    """Writes what a manager changes to a store, and reads what others have written.

    Whoever calls holds the lock of the session. Where its package has another version than `session.stored`, it was
    changed by hand, and is written as a whole before anything else is.

    Args:
        store: the store, or its address.
        counter: of the manager.

    Raises:
        ValidationError: `store` is neither.
    """

    def __init__(self, store: ContextStore | str, counter: TokenCounter) -> None:
        if not isinstance(store, str | ContextStore):
            raise ValidationError(f"store {shown(store)} is {type(store).__name__}, not a ContextStore or an address")
        self.store: Final = open_store(store, counter=counter) if isinstance(store, str) else store
        self._counter: Final = counter

    def begin(self, package: ContextPackage, over: Session | None = None) -> Version:
        """Write a package as a new session, or in the place of one, and return where it stands.

        Raises:
            ConflictError: there is such a session, or somebody else has written meanwhile.
        """
        expect = 0 if over is None else over.stored
        return self.store.save(package, expect=expect)

    def admit(self, package: ContextPackage, over: Session | None, operation_id: str, trust: Trust) -> Version:
        """Write a package that was imported as `begin` does, and remember its operation.

        Raises:
            ConflictError: a peer's operation was imported before, by whatever manager, or as in `begin`.
        """
        is_new = self.store.remember(package.session_id, operation_id)
        if trust == "peer" and not is_new:
            raise replayed(package.session_id, operation_id)
        try:
            return self.begin(package, over)
        except BaseException:
            if is_new:
                self.store.forget(package.session_id, operation_id)
            raise

    def find(self, session_id: str) -> Session | None:
        """Return a session of the store as a live one, None where there is none."""
        try:
            package, version, _ = self._load(session_id)
        except SessionGoneError:
            # It is another one now, or none; this manager has none of it.
            return self.find(session_id)
        except UnknownSessionError:
            return None
        return Session(package, stored=version)

    def append(self, session: Session, revision: int) -> dict[str, str]:
        """Write the block that was added last, and return the ids that were taken by blocks of others.

        Args:
            session: whose last block it is.
            revision: of its blocks before that.
        """
        package, blocks = session.package, session.package.blocks
        last = BlockSet.gathered([blocks], [(0, len(blocks) - 1, 1)])
        with _fenced(package, lambda: blocks.undo_add(revision)):
            version = self.store.append(
                package.session_id, last, epoch=package.epoch, incarnation=_incarnation(session)
            )
        stored = session.stored
        if stored is not None and (version, version.previous) == (stored + 1, stored.operation_id):
            session.stand_at(version)
            return {}
        # Others have written before this: theirs come first.
        blocks.undo_add(revision)
        # Said by the write where the store knew the others' blocks, as one that several managers share does.
        renamed = dict(version.renamed)
        try:
            return renamed | self.read(session)
        except (StoreError, FencedError) as error:
            # It is written; what the others wrote is read the next time.
            _LOG.warning("session %s: what others have written is not read: %s", package.session_id, error)
            return renamed

    def drop(self, session: Session, selection: Selection) -> None:
        """Remove what a selection dropped, here and in the store."""
        for _ in range(_MOST_TRIES):
            fallen = session.keep(selection)
            if not fallen:
                return
            try:
                with _fenced(session.package):
                    self._remove(session, fallen.ids(), is_whole=bool(selection.copies))
            except FencedError:
                raise
            except ConflictError:
                # What fell is back, with what others have written; it falls once more.
                self.read(session)
            else:
                return
        _LOG.warning("session %s: others write all the time, nothing was pruned", session.package.session_id)

    def remove(self, session: Session, block_id: str) -> None:
        """Remove a block, here and in the store."""
        for _ in range(_MOST_TRIES):
            blocks = session.package.blocks
            row = blocks.find(block_id)
            if row is None:
                return
            try:
                with _fenced(session.package):
                    version = self.store.remove_blocks(
                        session.package.session_id, [block_id], expect=session.stored, epoch=session.package.epoch
                    )
            except FencedError:
                raise
            except ConflictError:
                self.read(session)
            else:
                del blocks[row]
                session.stand_at(version)
                return
        raise ConflictError(f"session {shown(session.package.session_id)} is written to all the time", 0, 0)

    def flush(self, session: Session) -> None:
        """Write what was changed by hand.

        Raises:
            ConflictError: others have changed the same blocks, or the store does not keep what both began with.
            FencedError: the session goes on under another owner.
        """
        package = session.package
        while session.is_changed:
            try:
                with _fenced(package):
                    session.stored = self.store.save(package, expect=session.stored)
            except FencedError:
                raise
            except ConflictError as error:
                self._merge(session, error)

    def read(self, session: Session) -> dict[str, str]:
        """Have what the store has, and return the ids that were taken by blocks of others.

        Raises:
            UnknownSessionError: it is not there any more.
            FencedError: the session goes on under another owner.
        """
        package, version, renamed = self._load(session.package.session_id)
        if version.incarnation != _incarnation(session):
            raise SessionGoneError(
                f"session {shown(package.session_id)} is another one now, at version {version}: "
                "it expired or was removed, and was begun anew"
            )
        self._adopt(session, package, version)
        return renamed

    def transfer(self, session: Session, to: str) -> None:
        """Let the session go on under another agent; here nothing changes any more."""
        package = session.package
        with _fenced(package):
            self.store.transfer(package.session_id, to, expect=session.stored, epoch=package.epoch)
        package.pass_on(to)

    def purge(self, session: Session, block_id: str) -> None:
        """Remove a block here, and from everything that the store keeps."""
        package = session.package
        with _fenced(package):
            self.store.purge(package.session_id, block_id, epoch=package.epoch)
        self.read(session)

    def delete(self, session: Session) -> None:
        """Remove the session from the store."""
        self.store.delete(session.package.session_id, epoch=session.package.epoch)

    def _remove(self, session: Session, ids: Sequence[str], *, is_whole: bool) -> None:
        package = session.package
        if is_whole:
            # References to duplicates name the copies now: that is more than a removal.
            version = self.store.save(package, expect=session.stored)
        else:
            version = self.store.remove_blocks(package.session_id, ids, expect=session.stored, epoch=package.epoch)
        session.stand_at(version)

    def _merge(self, session: Session, cause: ConflictError) -> None:
        """Put together what was changed here by hand and what others have written."""
        package = session.package
        base = self.store.known(package.session_id)
        if base is None or base.version != session.stored:
            try:
                base = self.store.load(package.session_id, at_version=session.stored)
            except VersionGoneError:
                raise cause from None
        base = self._counted(base)
        theirs, version, _ = self._load(package.session_id)
        merged = merge(base, package, theirs)
        if merged.package is None:
            names = ", ".join(shown(conflict.name) for conflict in merged.conflicts[:5])
            raise ConflictError(
                f"session {shown(package.session_id)}: others have changed the same: {names}",
                cause.expected,
                theirs.version,
            ) from cause
        self._adopt(session, theirs, version)
        package.blocks.become(merged.package.blocks)

    def _load(self, session_id: str) -> tuple[ContextPackage, Version, dict[str, str]]:
        """A session as it is now, where it stands, and the ids that were taken by blocks of others."""
        renamed: dict[str, str] = {}
        while True:
            news = self.store.refresh(session_id)
            package = self.store.load(session_id)
            renamed.update(news.renamed)
            if (package.version, package.operation_id) == (news.version, news.version.operation_id):
                return self._counted(package), news.version, renamed

    def _adopt(self, session: Session, package: ContextPackage, version: Version) -> None:
        """Have the blocks and the header of a package that was loaded."""
        mine = session.package
        if package.epoch != mine.epoch:
            with _fenced(mine):
                raise FencedError(
                    f"session {shown(mine.session_id)} goes on under {shown(package.agent_id)}, epoch {package.epoch}: "
                    f"here, epoch {mine.epoch}, nothing changes any more",
                    mine.version,
                    package.version,
                )
        mine.blocks.become(package.blocks)
        mine.agent_id, mine.trace_id = package.agent_id, package.trace_id
        session.stand_at(version, package.sender)

    def _counted(self, package: ContextPackage) -> ContextPackage:
        """Return a package as the manager counts."""
        if package.counter == self._counter.name:
            return package
        return ContextPackage.from_protobuf(package.to_protobuf(), counter=self._counter, counts="recount")


def _incarnation(session: Session) -> str | None:
    return None if session.stored is None else session.stored.incarnation


@contextmanager
def _fenced(package: ContextPackage, undo: Callable[[], None] | None = None) -> Iterator[None]:
    """Let nothing change in a package any more when the store says that its session goes on elsewhere.

    Args:
        package: of the session.
        undo: done before: behind the fence nothing could be taken back.
    """
    try:
        yield
    except FencedError as error:
        if undo is not None:
            undo()
        package.blocks.fence(str(error))
        raise
