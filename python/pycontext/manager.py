"""Sessions of agents, each held to a budget."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal

from pycontext.block import ContextBlock, ContextType, now_ms
from pycontext.blockset import BlockSet
from pycontext.budget import LARGEST_BUDGET, Budget, check_tokens
from pycontext.counter import DEFAULT_ENCODING, TokenCounter, as_counter
from pycontext.errors import (
    BudgetExceededError,
    ConflictError,
    FencedError,
    PluginError,
    SessionGoneError,
    StoreError,
    UnknownBlockError,
    UnknownSessionError,
    ValidationError,
    shown,
)
from pycontext.formatter import Formatter, Render
from pycontext.ledger import Ledger
from pycontext.limits import DEFAULT as DEFAULT_LIMITS
from pycontext.limits import Limits
from pycontext.mirror import Mirror
from pycontext.originals import ORIGINALS_BYTES, Originals
from pycontext.package import ContextPackage, check_session_id
from pycontext.policy import Policy, check_fraction
from pycontext.query import Query
from pycontext.session import Session, Sessions
from pycontext.shadow import ShadowReport
from pycontext.shorten import Shorten
from pycontext.store.base import ContextStore
from pycontext.trust import Admission, Data, OnSystem, Replays, Trust
from pycontext.wire import KeyRing

if TYPE_CHECKING:
    from pycontext.scorer import Scorer
    from pycontext.selection import Selection

__all__ = ["ContextManager"]

_LOG: Final = logging.getLogger("pycontext.manager")

# Above the high mark a session is pruned to the low mark, so that not every block costs a prune.
_HIGH_MARK: Final = 0.9
_LOW_MARK: Final = 0.8

# Under a policy with a cache a session holds so many budgets: every cut is chosen from all of that.
_HISTORY: Final = 32

# All blocks, as they are.
_EVERYTHING: Final = Policy("everything", duplicates="keep")


class ContextManager:
    """Holds the sessions of agents and keeps each within its budget.

    A session is measured in the text form, headers included: what `get_formatted_context` returns never has more than
    `max_tokens`, but in shadow mode. `select` and `prune` measure in the rendering that they are asked for. Safe to use
    from several threads.

    Args:
        max_tokens: budget of each session, 1 or more.
        relevance_threshold: base score below which a block that is not pinned is left out of every selection.
        counter: what counts tokens: "o200k_base", "cl100k_base" or a plug-in.
        policy: a `Policy` or the name of one; None for "relevance", and for "evidence" where something is asked. Under
            one with a cache a session holds 32 times `max_tokens`, and each selection goes on from the one before.
        duplicates: "drop" removes what a new block makes a duplicate, as `BlockSet.dedup` does; `get_block` still finds
            it. "keep" leaves that to the next prune.
        shadow: True to look before leaping: the manager chooses as ever, but removes nothing and refuses no block;
            `shadow_report` and the log of `pycontext.manager` say what it would have done.
        store: a `ContextStore`, or the address of one, in which the sessions live: what is added, pruned and removed
            here is written there at once, and a session that is not here is looked for there. Several managers may
            share sessions; whoever writes reads what the others have written, and `refresh` does without writing. What
            is changed in `package.blocks` by hand is written before the next change that the manager makes.
        originals_bytes: of what fell out of each session are remembered for `get_block`.
        keeps_ledger: True to add up what is selected, for `ledger`; each `select`, `prune` and
            `get_formatted_context` is taken for a request.

    Raises:
        ValidationError: an argument is outside its limits.
    """

    def __init__(
        self,
        max_tokens: int = 8192,
        relevance_threshold: float = 0.2,
        *,
        counter: str | TokenCounter = DEFAULT_ENCODING,
        policy: Policy | str | None = None,
        duplicates: Literal["keep", "drop"] = "keep",
        shadow: bool = False,
        store: ContextStore | str | None = None,
        originals_bytes: int = ORIGINALS_BYTES,
        keeps_ledger: bool = False,
    ) -> None:
        check_tokens("max_tokens", max_tokens, least=1)
        check_tokens("originals_bytes", originals_bytes)
        if not isinstance(duplicates, str) or duplicates not in ("keep", "drop"):
            raise ValidationError(f"duplicates {shown(duplicates)} is not one of keep, drop")
        if not isinstance(shadow, bool):
            raise ValidationError(f"shadow {shown(shadow)} is neither True nor False")
        check_fraction("relevance_threshold", relevance_threshold)
        self.max_tokens: Final = max_tokens
        self.relevance_threshold: Final = relevance_threshold
        self.counter: Final = as_counter(counter)
        self.policy: Final = Policy.of(policy)
        self._policy: Final = None if policy is None else self.policy
        if not isinstance(keeps_ledger, bool):
            raise ValidationError(f"keeps_ledger {shown(keeps_ledger)} is neither True nor False")
        self.keeps_ledger: Final = keeps_ledger
        self.duplicates: Final = duplicates
        self.shadow: Final = shadow
        self._mirror = None if store is None else Mirror(store, self.counter)
        self.originals_bytes: Final = originals_bytes
        self._sessions: dict[str, Session] = {}
        self._replays: Final = Replays()
        # Guards which sessions there are; each session has a lock of its own for its blocks. Whoever holds both took
        # that of the session first.
        self._lock: Final = Lock()

    @property
    def sessions(self) -> Mapping[str, ContextPackage]:
        """The live packages by session id, read-only; goes on while sessions come and go."""
        return Sessions(self._sessions)

    @property
    def _capacity(self) -> int:
        """Tokens that a session may hold, in the text form."""
        return self.max_tokens * (1 if self.policy.cache is None else _HISTORY)

    def _select_from(self, blocks: BlockSet, available: int, pin: Sequence[str] = ()) -> Selection:
        """Choose what a session keeps: what is sent of it is another choice, which goes on from the one before."""
        policy = replace(self._with_threshold(None), cache=None)
        return blocks.prune(available, policy=policy, render="text", pin=pin)

    @property
    def store(self) -> ContextStore | None:
        """Where the sessions live, None for here alone."""
        return None if self._mirror is None else self._mirror.store

    def keep_in(self, store: ContextStore | str) -> None:
        """Let the sessions live in a store from now on, as `store=` does; for a manager that was made without one.

        Raises:
            ValidationError: `store` is none, or there are sessions, or another store, already.
        """
        with self._lock:
            if self._mirror is not None or self._sessions:
                what = f"{len(self._sessions)} sessions" if self._mirror is None else "a store"
                raise ValidationError(f"the manager has {what} already; a store comes first")
            self._mirror = Mirror(store, self.counter)

    def create_session(self, agent_id: str, *, session_id: str | None = None) -> str:
        """Create an empty session and return its id.

        Args:
            agent_id: who owns the session, 1 to 256 bytes, no control characters.
            session_id: None for a new random one.

        Raises:
            ValidationError: an id is outside its limits, or there is such a session.
        """
        package = ContextPackage(
            str(uuid.uuid4()) if session_id is None else session_id, agent_id, counter=self.counter
        )
        package.calculate_metrics(self.max_tokens)
        taken = f"session_id {shown(package.session_id)} is the id of a session"
        if package.session_id in self._sessions:
            raise ValidationError(taken)
        try:
            session = Session(
                package, self._originals(), stored=None if self._mirror is None else self._mirror.begin(package)
            )
        except ConflictError as error:
            raise ValidationError(taken) from error
        with self._lock:
            if self._sessions.setdefault(package.session_id, session) is not session:
                raise ValidationError(taken)
        return package.session_id

    def close_session(self, session_id: str) -> None:
        """Forget a session here; in the store it stays, with what was changed here by hand.

        Raises:
            UnknownSessionError: there is no such session.
        """
        with self._held(session_id) as session:
            if self._mirror is not None and not session.package.blocks.is_fenced:
                self._mirror.flush(session)
            with self._lock:
                del self._sessions[session_id]

    def refresh(self, session_id: str) -> ContextPackage:
        """Return the package of a session as it is in the store; another one where it goes on in a later epoch.

        What was changed here by hand is written first, unless the session goes on elsewhere or was begun anew.

        Raises:
            UnknownSessionError: there is no such session.
            ConflictError: what was changed here by hand does not go together with what others have written.
        """
        with self._held(session_id) as session:
            if self._mirror is None:
                return session.package
            try:
                self._mirror.flush(session)
                self._mirror.read(session)
            except (FencedError, SessionGoneError):
                found = self._mirror.find(session_id)
                if found is None:
                    raise
                # What fell out of it can still be fetched.
                found.originals = session.originals
                with self._lock:
                    self._sessions[session_id] = found
                return found.package
            return session.package

    def transfer(self, session_id: str, to: str) -> None:
        """Let a session go on under another agent, one epoch later; here nothing changes any more.

        Its next owner finds it in the store; to go on with it in this manager, `refresh` it. Without a store, use
        `pycontext.transfer`, which returns the package.

        Raises:
            UnknownSessionError: there is no such session.
            ConflictError: somebody else has written meanwhile.
            FencedError: it goes on under another owner already.
            ValidationError: `to` is no agent, or there is no store.
        """
        if self._mirror is None:
            raise ValidationError("transfer needs a store: pycontext.transfer does without")
        with self._held(session_id) as session:
            self._mirror.flush(session)
            self._mirror.transfer(session, to)

    def delete_session(self, session_id: str) -> None:
        """Forget a session and everything it dropped, in the store as well.

        Raises:
            UnknownSessionError: there is no such session.
        """
        with self._held(session_id) as session:
            if self._mirror is not None:
                self._mirror.delete(session)
            with self._lock:
                del self._sessions[session_id]

    def add_context(
        self,
        session_id: str,
        content: str,
        context_type: ContextType,
        relevance_score: float = 1.0,
        metadata: Mapping[str, str] | None = None,
        *,
        block_id: str | None = None,
        timestamp: int | None = None,
        token_count: int | None = None,
        references: Sequence[str] = (),
    ) -> str:
        """Append a block to a session and return its id.

        Above 90 % of the budget the session is pruned to 80 %; this block is not among those that fall. What falls can
        be fetched with `get_block`.

        Args:
            session_id: of the session.
            content: what the block says.
            context_type: what the block is.
            relevance_score: base score from 0 to 1.
            metadata: str to str, copied.
            block_id: None for a new random one.
            timestamp: milliseconds since the epoch; None for now.
            token_count: tokens of the content; None to have them counted.
            references: ids of other blocks; for a TOOL block, of the AGENT blocks whose calls it answers.

        Raises:
            UnknownSessionError: there is no such session.
            ValidationError: a field is outside its limits; nothing was added.
            BudgetExceededError: this block and those that must stay can never fit; nothing was added.
        """
        new_id = str(uuid.uuid4()) if block_id is None else block_id
        with self._held(session_id) as session, session.package.blocks.settled():
            if self._mirror is not None:
                self._mirror.flush(session)
            blocks = session.package.blocks
            revision = blocks.revision
            blocks.add(
                new_id,
                content,
                relevance_score,
                context_type,
                {} if metadata is None else metadata,
                now_ms() if timestamp is None else timestamp,
                token_count,
                references,
            )
            try:
                chosen = self._room(session, new_id)
                if self._mirror is not None:
                    names = self._mirror.append(session, revision)
                    new_id = names.get(new_id, new_id)
            except BaseException:
                if blocks.revision != revision:
                    blocks.undo_add(revision)
                raise
            try:
                if chosen is not None:
                    self._drop(session, chosen)
                if self.duplicates == "drop" and not self.shadow:
                    session.dedup()
                    if self._mirror is not None:
                        self._mirror.flush(session)
            except (StoreError, ConflictError) as error:
                # The block is in the store: an error would have it added once more. What fell is written the next time.
                _LOG.warning("session %s: what fell is not written: %s", session_id, error)
        return new_id

    def select(
        self,
        session_id: str,
        budget: Budget | int | None = None,
        *,
        policy: Policy | str | None = None,
        query: Query | None = None,
        scorer: Scorer | None = None,
        render: Render = "openai",
        now: int | None = None,
        pin: Iterable[str] = (),
        shorten: Shorten | Literal["tool"] | None = None,
    ) -> Selection:
        """Choose the blocks of a session that fit a budget; changes nothing.

        Args:
            session_id: of the session.
            budget: None for `max_tokens`.
            policy: None for the manager's; where it has none either, "evidence" with a query and "relevance" without.
            query: as in `prune` of the package.
            scorer: as in `prune` of the package.
            render: as in `prune` of the package.
            now: as in `prune` of the package.
            pin: as in `prune` of the package.
            shorten: as in `prune` of the package; the session keeps its blocks whole.

        Raises:
            UnknownSessionError: there is no such session.
            BudgetExceededError: the blocks that must stay do not fit.
            ValidationError: an option is outside its limits.
            PluginError: a plug-in raised or returned what it must not.
        """
        session = self._session(session_id)
        chosen = self._with_threshold(policy, query)
        selection = session.package.blocks.prune(
            self.max_tokens if budget is None else budget,
            policy=chosen,
            query=query,
            scorer=scorer,
            render=render,
            now=now,
            pin=pin,
            shorten=shorten,
            previous=session.sent if chosen.cache is not None or self.keeps_ledger else None,
        )
        if chosen.cache is not None or self.keeps_ledger:
            session.note_sent(selection)
        return selection

    def ledger(self, session_id: str) -> Ledger:
        """Return what the requests of a session come to.

        Raises:
            UnknownSessionError: there is no such session.
            ValidationError: the manager keeps no ledgers.
        """
        if not self.keeps_ledger:
            raise ValidationError("keeps_ledger is False: this manager adds nothing up")
        return self._session(session_id).ledger

    def everything(self, session_id: str, *, render: Render = "openai") -> Selection:
        """Return a selection of all blocks of a session, however many tokens they need.

        Args:
            session_id: of the session.
            render: as in `prune` of the package.

        Raises:
            UnknownSessionError: there is no such session.
            PluginError: a plug-in raised or returned what it must not.
        """
        blocks = self._session(session_id).package.blocks
        if isinstance(render, str):
            # Here and not in the copy, so that each block is counted once.
            blocks.total_cost(render)
        # A copy: a plug-in that renders may wait for a thread that changes the session.
        copy = blocks.snapshot()
        return copy.prune(LARGEST_BUDGET, policy=_EVERYTHING, render=render, pin=copy.ids())

    def prune(
        self,
        session_id: str,
        budget: Budget | int | None = None,
        *,
        policy: Policy | str | None = None,
        query: Query | None = None,
        scorer: Scorer | None = None,
        render: Render = "openai",
        now: int | None = None,
        pin: Iterable[str] = (),
        shorten: Shorten | Literal["tool"] | None = None,
    ) -> Selection:
        """Choose as `select` does, and remove from the session what falls; `get_block` still finds it.

        Blocks that are added while a plug-in takes its time stay. In shadow mode nothing is removed.
        """
        while True:
            session = self._session(session_id)
            try:
                # Without the lock: a plug-in may wait for a thread that adds.
                selection = self.select(
                    session_id,
                    budget,
                    policy=policy,
                    query=query,
                    scorer=scorer,
                    render=render,
                    now=now,
                    pin=pin,
                    shorten=shorten,
                )
            except BudgetExceededError as error:
                if self.shadow:
                    session.note(error)
                raise
            with self._held(session_id) as held:
                # Another session may have come under this id meanwhile: what was chosen is not of it.
                if held is not session:
                    continue
                if self.shadow:
                    held.note(selection)
                else:
                    self._drop(held, selection)
                return selection

    def shrink(self, session_id: str, *, forget_originals: bool = False) -> int:
        """Take less memory for a session, and return how many bytes less; the blocks say what they said.

        Exact duplicates fall as under `duplicates="drop"`, and room that is kept for blocks to come is given back. In
        shadow mode all blocks stay.

        Args:
            session_id: of the session.
            forget_originals: True to forget what fell: `get_block` does not find it any more.

        Raises:
            UnknownSessionError: there is no such session.
        """
        with self._held(session_id) as session, session.package.blocks.settled():
            before = session.nbytes
            if not self.shadow:
                if self._mirror is not None:
                    self._mirror.flush(session)
                session.dedup()
                if self._mirror is not None:
                    self._mirror.flush(session)
            if forget_originals:
                session.originals.clear()
            session.shrink()
            return before - session.nbytes

    def shadow_report(self, session_id: str) -> ShadowReport:
        """Return what the manager would have done to a session, which in shadow mode it only says.

        Raises:
            UnknownSessionError: there is no such session.
        """
        return self._session(session_id).shadow

    def get_formatted_context(
        self,
        session_id: str,
        formatter: Formatter | Callable[[ContextPackage], str] | None = None,
        *,
        query: Query | None = None,
        scorer: Scorer | None = None,
    ) -> str:
        """Return a session as text of at most `max_tokens`; in shadow mode all of it, whatever its size.

        Args:
            session_id: of the session.
            formatter: None for the text form with a header before each block; else a `Formatter`, or a function that is
                given a copy of the package with the blocks that fit. What it writes is counted, and it is given fewer
                blocks where that is too long.
            query: as in `select`.
            scorer: as in `select`.

        Raises:
            UnknownSessionError: there is no such session.
            BudgetExceededError: the blocks that must stay do not fit.
            PluginError: the formatter raised or returned no str.
        """
        package = self._session(session_id).package

        def select(render: Render) -> Selection:
            if self.shadow:
                return self.everything(session_id, render=render)
            return self.select(session_id, query=query, scorer=scorer, render=render)

        if formatter is None:
            return select("text").text()
        if isinstance(formatter, Formatter):
            rendering = select(formatter).rendering
        elif callable(formatter):
            rendering = select(_of_package(package, formatter)).rendering
        else:
            raise ValidationError(
                f"formatter {shown(formatter)} is {type(formatter).__name__}, not a Formatter or a function"
            )
        if not isinstance(rendering, str):
            raise PluginError(f"formatter {_name(formatter)} returned messages, not str")
        return rendering

    def get_block(self, session_id: str, block_id: str) -> ContextBlock:
        """Return a block of a session: the live one, or the original of one that fell.

        Raises:
            UnknownSessionError: there is no such session.
            UnknownBlockError: the session has no such block and remembers none.
        """
        with self._held(session_id) as session:
            blocks = session.package.blocks
            row = blocks.find(block_id)
            found = session.originals.get(block_id) if row is None else blocks[row]
        if found is None:
            raise UnknownBlockError(f"session {shown(session_id)} has no block {shown(block_id)}")
        return found

    def remove_block(self, session_id: str, block_id: str) -> ContextBlock:
        """Remove a block from a session for good and return it.

        Only this block goes: a call without its result, or a result without its call, is left out of selections.

        Raises:
            UnknownSessionError: there is no such session.
            UnknownBlockError: the session has no such block and remembers none.
        """
        with self._held(session_id) as session:
            block = self.get_block(session_id, block_id)
            blocks = session.package.blocks
            row = blocks.find(block_id)
            if self._mirror is not None:
                # As in `_drop`.
                with blocks.settled():
                    self._mirror.flush(session)
                    self._mirror.remove(session, block_id)
            elif row is not None:
                del blocks[row]
            session.originals.forget(block_id)
        return block

    def set_scores(self, session_id: str, scores: Mapping[str, float]) -> dict[str, float]:
        """Put base scores of blocks in the place of those that they have, and return these: to put them back.

        Args:
            session_id: of the session.
            scores: from 0 to 1 by id of the block.

        Raises:
            UnknownSessionError: there is no such session.
            UnknownBlockError: the session has no block of an id.
            ValidationError: a score is outside its limits; in each case nothing was changed.
        """
        with self._held(session_id) as session:
            blocks = session.package.blocks
            with blocks.settled():
                array = blocks.scores.copy()
                before = {}
                for id, score in scores.items():
                    check_fraction(f"score of {shown(id)}", score)
                    row = blocks.find(id)
                    if row is None:
                        raise UnknownBlockError(f"session {shown(session_id)} has no block {shown(id)}")
                    before[id] = float(array[row])
                    array[row] = score
                blocks.set_scores(array)
                if self._mirror is not None:
                    self._mirror.flush(session)
        return before

    def purge_block(self, session_id: str, block_id: str) -> None:
        """Remove a block from everything: the session, what fell out of it, reports, and what the store keeps of it.

        Raises:
            UnknownSessionError: there is no such session.
            FencedError: it goes on under another owner.
        """
        with self._held(session_id) as session:
            if self._mirror is not None:
                self._mirror.flush(session)
                self._mirror.purge(session, block_id)
            else:
                row = session.package.blocks.find(block_id)
                if row is not None:
                    del session.package.blocks[row]
            session.originals.forget(block_id)
            # It may hold what the session was.
            session.shadow = ShadowReport()

    def export_session(self, session_id: str) -> dict[str, Any]:
        """Return a session as JSON values, sharing nothing with it.

        Raises:
            UnknownSessionError: there is no such session.
        """
        return self._session(session_id).package.to_dict()

    def import_session(
        self,
        data: Data,
        *,
        trust: Trust = "peer",
        on_system: OnSystem = "refuse",
        origin: str | None = None,
        session_id: str | None = None,
        keys: KeyRing | None = None,
        audience: str | None = None,
        namespace: str = "",
        strict: bool = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> str:
        """Take a session that was exported, and return its id.

        Tokens are counted again and the budget is enforced; a session of that id is replaced only by a later version of
        the same epoch, or by a later epoch, and by a peer only in the same epoch and under the same agent. What a peer
        sent is marked: every block has an `origin`, and headers of MEMORY, KNOWLEDGE and TOOL blocks say that they are
        data.

        Args:
            data: what `export_session`, or `to_dict`, `to_json` or `to_bytes` of a package returned, or a package.
            trust: "peer" for what comes from another agent, "self" for one's own export, which keeps SYSTEM blocks and
                origins.
            on_system: what becomes of a peer's SYSTEM blocks: "refuse" the package, "demote" them to KNOWLEDGE, or
                "drop" them.
            origin: whom a peer's blocks are said to come from; None for the key that signed them, else "peer".
            session_id: the session that it must be; None for any.
            keys: of those whose seal must be on it (`pycontext.wire`); None takes what is not sealed.
            audience: whom a sealed package is for; None for nobody in particular.
            namespace: of a sealed package.
            strict: True refuses JSON keys that are not known.
            limits: of the package.

        Raises:
            ValidationError: `data` is no exported session, or of another one.
            PrivilegeError: a peer sent a SYSTEM block.
            SignatureError: there are keys, and no seal that holds.
            ConflictError: the session here is as new, or newer, or a peer's operation was imported before.
            BudgetExceededError: the blocks that must stay do not fit.
        """
        admission = Admission(
            trust=trust,
            on_system=on_system,
            origin=origin,
            session_id=session_id,
            keys=keys,
            audience=audience,
            namespace=namespace,
            strict=strict,
            limits=limits,
        )
        package, operation_id = admission.admit(data, self.counter)
        package.calculate_metrics(self.max_tokens)
        # What was sent: to prune it here raises the version, and makes it no newer.
        came = package.epoch, package.version
        session = Session(package, self._originals())
        if package.blocks.total_cost("text") > self._capacity:
            chosen = self._choose(session, self._capacity)
            if chosen is not None:
                session.keep(chosen)
            package.keep_version(came[1])
        while True:
            known = self._find(package.session_id)
            # With the lock of the session that is here, nobody can add to it after its version was compared.
            with nullcontext() if known is None else known.package.lock:
                if self._sessions.get(package.session_id) is not known:
                    continue
                if known is not None:
                    _check_newer(came, package.agent_id, known.package, trust)
                if trust == "peer":
                    self._replays.check(package.session_id, operation_id)
                if self._mirror is not None:
                    session.stored = self._mirror.admit(package, known, operation_id, trust)
                with self._lock:
                    if self._sessions.get(package.session_id) is not known:
                        continue
                    self._install(session, operation_id)
                return package.session_id

    def _install(self, session: Session, operation_id: str) -> None:
        """Have a session that was imported."""
        self._replays.note(session.package.session_id, operation_id)
        self._sessions[session.package.session_id] = session

    def _originals(self) -> Originals:
        return Originals(max_bytes=self.originals_bytes)

    def _session(self, session_id: str) -> Session:
        session = self._find(session_id)
        if session is None:
            raise UnknownSessionError(f"session {shown(session_id)} does not exist")
        return session

    def _find(self, session_id: str) -> Session | None:
        """A session that is here or in the store, None where there is none."""
        try:
            session = self._sessions.get(session_id)
        except TypeError:
            return None
        if session is not None or self._mirror is None:
            return session
        try:
            check_session_id(session_id)
        except ValidationError:
            return None
        found = self._mirror.find(session_id)
        if found is None:
            return None
        found.originals = self._originals()
        with self._lock:
            return self._sessions.setdefault(session_id, found)

    @contextmanager
    def _held(self, session_id: str) -> Iterator[Session]:
        """Hold the lock of a session, and be sure that it is still the session when the lock is there."""
        while True:
            session = self._session(session_id)
            with session.package.lock:
                if self._sessions.get(session_id) is session:
                    yield session
                    return

    def _with_threshold(self, policy: Policy | str | None, query: Query | None = None) -> Policy:
        chosen = Policy.of(self._policy if policy is None else policy, query)
        return replace(chosen, threshold=max(chosen.threshold, self.relevance_threshold))

    def _room(self, session: Session, new_id: str) -> Selection | None:
        """What to prune to the low mark, where the high one is passed; in shadow mode as often as if it were done."""
        blocks = session.package.blocks
        total = blocks.total_cost("text")
        if total <= self._capacity * _HIGH_MARK:
            session.looked_at = 0.0
            if total > self.max_tokens and not self.shadow:
                # The session holds more than a request: only whether what must stay fits is of interest.
                self._select_from(blocks, self.max_tokens, pin=[new_id])
            return None
        if self.shadow:
            if total < session.looked_at + self._capacity * (_HIGH_MARK - _LOW_MARK):
                return None
            session.looked_at = total
        return self._choose(session, max(int(self._capacity * _LOW_MARK), 1), pin=[new_id])

    def _drop(self, session: Session, selection: Selection) -> None:
        """Remove what a selection dropped, here and in the store."""
        if self._mirror is None:
            session.keep(selection)
            return
        # What is written to a block while the store is waited for is read back later, as a change that is not stored.
        with session.package.blocks.settled():
            self._mirror.flush(session)
            self._mirror.drop(session, selection)

    def _choose(self, session: Session, target: int, pin: Sequence[str] = ()) -> Selection | None:
        """Choose what fits `target` tokens; where the pins need more, leave half of what they leave to the others.

        In shadow mode that is only noted.
        """
        blocks = session.package.blocks
        try:
            try:
                selection = self._select_from(blocks, target, pin)
            except BudgetExceededError as error:
                room = min((error.needed + self._capacity) // 2, self._capacity)
                selection = self._select_from(blocks, room, pin)
        except BudgetExceededError as error:
            if not self.shadow:
                raise
            session.note(error)
            return None
        if self.shadow:
            session.note(selection)
            return None
        return selection


def _check_newer(came: tuple[int, int], agent_id: str, known: ContextPackage, trust: Trust) -> None:
    """Raise `ConflictError` unless what came may take the place of the session that is here."""
    epoch, version = came
    here = known.epoch, known.version
    name = shown(known.session_id)
    message = ""
    if epoch < known.epoch:
        message = f"session {name}: epoch {epoch} is over, {known.epoch} is here under {shown(known.agent_id)}"
    elif trust == "peer" and (epoch, agent_id) != (known.epoch, known.agent_id):
        message = (
            f"session {name} is here under {shown(known.agent_id)}, epoch {known.epoch}: "
            f"a peer's {shown(agent_id)}, epoch {epoch}, does not take it over"
        )
    elif epoch == known.epoch and known.blocks.is_fenced:
        message = f"session {name}: epoch {epoch} ended here with a transfer"
    elif came <= here:
        message = f"session {name}: version {version} does not exceed {here[1]}, which is here"
    if message:
        raise ConflictError(message, here[1], version)


def _of_package(
    package: ContextPackage, formatter: Callable[[ContextPackage], str]
) -> Callable[[list[ContextBlock]], str]:
    """Let a function render a copy of the package, so that it cannot change the session."""

    def render(blocks: list[ContextBlock]) -> str:
        copy = ContextPackage(
            package.session_id,
            package.agent_id,
            blocks,
            version=package.version,
            trace_id=package.trace_id,
            counter=package.blocks.counter,
        )
        return formatter(copy)

    render.__name__ = _name(formatter)
    return render


def _name(plugin: object) -> str:
    return getattr(plugin, "__name__", type(plugin).__name__)
