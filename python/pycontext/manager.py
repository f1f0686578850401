"""Sessions of agents, each held to a budget."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakKeyDictionary

from pycontext.block import ContextBlock, ContextType, now_ms
from pycontext.budget import Budget, check_tokens
from pycontext.counter import DEFAULT_ENCODING, TokenCounter, as_counter
from pycontext.errors import (
    BudgetExceededError,
    ConflictError,
    PluginError,
    PrivilegeError,
    UnknownBlockError,
    UnknownSessionError,
    ValidationError,
    shown,
)
from pycontext.formatter import Formatter
from pycontext.kernel import Write, writer
from pycontext.originals import Originals
from pycontext.package import ContextPackage
from pycontext.policy import Policy, check_threshold

if TYPE_CHECKING:
    from pycontext.scorer import Scorer
    from pycontext.selection import Selection

__all__ = ["ContextManager"]

# Above the high mark a session is pruned to the low mark, so that not every block costs a prune.
_HIGH_MARK: Final = 0.9
_LOW_MARK: Final = 0.8


class ContextManager:
    """Holds the sessions of agents and keeps each within its budget.

    A session is measured in the text form, headers included: what `get_formatted_context` returns never has more than
    `max_tokens`. `select` and `prune` measure in the rendering that they are asked for. Safe to use from several
    threads.

    Args:
        max_tokens: budget of each session, 1 or more.
        relevance_threshold: base score below which a block that is not pinned is left out of every selection.
        counter: what counts tokens: "o200k_base", "cl100k_base" or a plug-in.
        policy: a `Policy` or the name of one; None for "relevance".

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
    ) -> None:
        check_tokens("max_tokens", max_tokens, least=1)
        check_threshold("relevance_threshold", relevance_threshold)
        self.max_tokens: Final = max_tokens
        self.relevance_threshold: Final = relevance_threshold
        self.counter: Final = as_counter(counter)
        self.policy: Final = Policy.of(policy)
        self._sessions: dict[str, ContextPackage] = {}
        self._originals: WeakKeyDictionary[ContextPackage, Originals] = WeakKeyDictionary()
        # Guards which sessions there are; each session has a lock of its own for its blocks. Whoever holds both took
        # that of the session first.
        self._lock: Final = Lock()

    @property
    def sessions(self) -> Mapping[str, ContextPackage]:
        """The live packages by session id, read-only; goes on while sessions come and go."""
        return _Sessions(self._sessions)

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
        with self._lock:
            if package.session_id in self._sessions:
                raise ValidationError(f"session_id {shown(package.session_id)} is the id of a session")
            self._enter(package, Originals())
        return package.session_id

    def delete_session(self, session_id: str) -> None:
        """Forget a session and everything it dropped.

        Raises:
            UnknownSessionError: there is no such session.
        """
        with self._held(session_id), self._lock:
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
        with self._held(session_id) as package, package.blocks.settled():
            blocks = package.blocks
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
                if blocks.total_cost("text") > self.max_tokens * _HIGH_MARK:
                    self._make_room(package, new_id)
            except BaseException:
                blocks.undo_add(revision)
                raise
        return new_id

    def select(
        self,
        session_id: str,
        budget: Budget | int | None = None,
        *,
        policy: Policy | str | None = None,
        query: str | None = None,
        scorer: Scorer | None = None,
        render: str | Formatter = "openai",
        pin: Iterable[str] = (),
    ) -> Selection:
        """Choose the blocks of a session that fit a budget; changes nothing.

        Args:
            session_id: of the session.
            budget: None for `max_tokens`.
            policy: None for the manager's.
            query: as in `prune` of the package.
            scorer: as in `prune` of the package.
            render: as in `prune` of the package.
            pin: as in `prune` of the package.

        Raises:
            UnknownSessionError: there is no such session.
            BudgetExceededError: the blocks that must stay do not fit.
            ValidationError: an option is outside its limits.
            PluginError: a plug-in raised or returned what it must not.
        """
        return self._package(session_id).blocks.prune(
            self.max_tokens if budget is None else budget,
            policy=self._with_threshold(policy),
            query=query,
            scorer=scorer,
            render=render,
            pin=pin,
        )

    def prune(
        self,
        session_id: str,
        budget: Budget | int | None = None,
        *,
        policy: Policy | str | None = None,
        query: str | None = None,
        scorer: Scorer | None = None,
        render: str | Formatter = "openai",
        pin: Iterable[str] = (),
    ) -> Selection:
        """Choose as `select` does, and remove from the session what falls; `get_block` still finds it."""
        with self._held(session_id) as package:
            selection = self.select(
                session_id, budget, policy=policy, query=query, scorer=scorer, render=render, pin=pin
            )
            self._apply(package, selection)
        return selection

    def get_formatted_context(
        self,
        session_id: str,
        formatter: Formatter | Callable[[ContextPackage], str] | None = None,
    ) -> str:
        """Return a session as text of at most `max_tokens`.

        Args:
            session_id: of the session.
            formatter: None for the text form with a header before each block; else a `Formatter`, or a function that is
                given a copy of the package with the blocks that fit. What it writes is counted, and it is given fewer
                blocks where that is too long.

        Raises:
            UnknownSessionError: there is no such session.
            BudgetExceededError: the blocks that must stay do not fit.
            PluginError: the formatter raised or returned no str.
        """
        package = self._package(session_id)
        if formatter is None:
            return self.select(session_id, render="text").text()
        if isinstance(formatter, Formatter):
            selection = self.select(session_id, render=formatter)
        elif callable(formatter):
            selection = package.blocks.prune(
                self.max_tokens,
                policy=self._with_threshold(None),
                render="text",
                write=_package_writer(package, formatter),
            )
        else:
            raise ValidationError(
                f"formatter {shown(formatter)} is {type(formatter).__name__}, not a Formatter or a function"
            )
        rendering = selection.rendering
        if not isinstance(rendering, str):
            raise PluginError(f"formatter {_name(formatter)} returned messages, not str")
        return rendering

    def get_block(self, session_id: str, block_id: str) -> ContextBlock:
        """Return a block of a session: the live one, or the original of one that fell.

        Raises:
            UnknownSessionError: there is no such session.
            UnknownBlockError: the session has no such block and remembers none.
        """
        with self._held(session_id) as package:
            row = package.blocks.find(block_id)
            found = self._originals[package].get(block_id) if row is None else package.blocks[row]
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
        with self._held(session_id) as package:
            block = self.get_block(session_id, block_id)
            row = package.blocks.find(block_id)
            if row is not None:
                del package.blocks[row]
            self._originals[package].forget(block_id)
        return block

    def export_session(self, session_id: str) -> dict[str, Any]:
        """Return a session as JSON values, sharing nothing with it.

        Raises:
            UnknownSessionError: there is no such session.
        """
        return self._package(session_id).to_dict()

    def import_session(self, data: Mapping[str, Any], *, trust: Literal["peer", "self"] = "peer") -> str:
        """Take a session that was exported, and return its id.

        Tokens are counted again and the budget is enforced; a session of that id is replaced by a newer version only.

        Args:
            data: what `export_session` returned.
            trust: "peer" for what comes from another agent: SYSTEM blocks are refused. "self" for one's own export.

        Raises:
            ValidationError: `data` is no exported session.
            PrivilegeError: a peer sent a SYSTEM block.
            ConflictError: the session here is as new, or newer.
            BudgetExceededError: the blocks that must stay do not fit.
        """
        if trust not in ("peer", "self"):
            raise ValidationError(f"trust {shown(trust)} is not one of peer, self")
        package = ContextPackage.from_dict(data, counter=self.counter, counts="recount")
        package.calculate_metrics(self.max_tokens)
        if trust == "peer":
            for i, block in enumerate(package.blocks):
                if block.type is ContextType.SYSTEM:
                    raise PrivilegeError(
                        f"blocks[{i}] {shown(block.id)} is SYSTEM and comes from a peer; "
                        'trust="self" takes one\'s own export'
                    )
        originals = Originals()
        if package.blocks.total_cost("text") > self.max_tokens:
            policy = self._with_threshold(None)
            originals.put(package.blocks.keep(package.blocks.prune(self.max_tokens, policy=policy, render="text")))
        while True:
            known = self._sessions.get(package.session_id)
            # With the lock of the session that is here, nobody can add to it after its version was compared.
            with nullcontext() if known is None else known.lock, self._lock:
                if self._sessions.get(package.session_id) is not known:
                    continue
                if known is not None and package.version <= known.version:
                    raise ConflictError(
                        f"session {shown(package.session_id)}: version {package.version} does not exceed "
                        f"{known.version}, which is here",
                        known.version,
                        package.version,
                    )
                self._enter(package, originals)
                return package.session_id

    def _enter(self, package: ContextPackage, originals: Originals) -> None:
        self._originals[package] = originals
        self._sessions[package.session_id] = package

    def _package(self, session_id: str) -> ContextPackage:
        try:
            return self._sessions[session_id]
        except (KeyError, TypeError):
            raise UnknownSessionError(f"session {shown(session_id)} does not exist") from None

    @contextmanager
    def _held(self, session_id: str) -> Iterator[ContextPackage]:
        """Hold the lock of a session, and be sure that it is still the session when the lock is there."""
        while True:
            package = self._package(session_id)
            with package.lock:
                if self._sessions.get(session_id) is package:
                    yield package
                    return

    def _with_threshold(self, policy: Policy | str | None) -> Policy:
        chosen = self.policy if policy is None else Policy.of(policy)
        return replace(chosen, threshold=max(chosen.threshold, self.relevance_threshold))

    def _make_room(self, package: ContextPackage, new_id: str) -> None:
        """Prune to the low mark; where the pins need more, to what they need, up to the whole budget."""
        target = int(self.max_tokens * _LOW_MARK)
        policy = self._with_threshold(None)
        try:
            selection = package.blocks.prune(max(target, 1), policy=policy, render="text", pin=[new_id])
        except BudgetExceededError as error:
            room = min(error.needed, self.max_tokens)
            selection = package.blocks.prune(room, policy=policy, render="text", pin=[new_id])
        self._apply(package, selection)

    def _apply(self, package: ContextPackage, selection: Selection) -> None:
        self._originals[package].put(package.blocks.keep(selection))


class _Sessions(Mapping[str, ContextPackage]):
    """A read-only view of sessions; iterates over those that there were when it began."""

    def __init__(self, sessions: dict[str, ContextPackage]) -> None:
        self._sessions = sessions

    def __getitem__(self, session_id: str) -> ContextPackage:
        return self._sessions[session_id]

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._sessions))

    def __repr__(self) -> str:
        return f"<{len(self)} sessions>"


def _package_writer(package: ContextPackage, formatter: Callable[[ContextPackage], str]) -> Write:
    """Let a function write a copy of the package, so that it cannot change the session."""

    def write(selection: Selection) -> str:
        copy = ContextPackage(
            package.session_id,
            package.agent_id,
            selection.kept,
            version=package.version,
            trace_id=package.trace_id,
            counter=package.blocks.counter,
        )
        return formatter(copy)

    return writer(_name(formatter), write)


def _name(plugin: object) -> str:
    return getattr(plugin, "__name__", type(plugin).__name__)
