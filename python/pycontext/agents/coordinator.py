"""Several agents, and who of them has the turn."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, Self

from pycontext._core import check_id
from pycontext.agents.base import ContextAwareAgent, Reply
from pycontext.agents.conversations import Conversations
from pycontext.agents.offload import on_session
from pycontext.agents.route import Receiver, Route, by_intent
from pycontext.agents.turn import Observer, Outcome, Turn
from pycontext.block import ContextType
from pycontext.budget import check_tokens
from pycontext.concurrency.manager import ContextConcurrencyManager
from pycontext.errors import (
    ContextError,
    FencedError,
    HopLimitError,
    SessionGoneError,
    UnknownSessionError,
    ValidationError,
    shown,
)
from pycontext.manager import ContextManager
from pycontext.package import ContextPackage
from pycontext.store.base import ContextStore
from pycontext.store.distributed import DistributedContextStore

__all__ = ["AgentCoordinator", "SessionOptimizer"]

_LOG: Final = logging.getLogger("pycontext.agents")


class SessionOptimizer(Protocol):
    """Works on a session for as long as it is open: `RealTimeContextOptimizer` is one."""

    async def start_optimization_loop(self, session_id: str, /) -> None:
        """Go on until the session is gone, or is told to stop."""
        ...

    def stop_optimization_loop(self, session_id: str | None = None, /) -> None:
        """End the loop of a session, or of all."""
        ...


class AgentCoordinator:
    """Gives each turn of a conversation to the agent that it is for, and the session with it.

    A session belongs to one agent at a time. The first one reads what the customer wants, and its answer decides who
    goes on; from then on that agent has the session. Between agents of one trust domain the session itself changes
    hands (`transfer`); an agent that is named in `receivers` gets a new session with what it may see (`handoff`),
    and the conversation goes on there under its old id. Every message, call, result and answer is in the store before
    the next step: after a crash `resume`, or the same message once more, goes on where it stopped. Sessions are
    worked on at the same time, the turns of one session one after the other.

    Args:
        agents: by name; the first one has new sessions. All share `context_manager`.
        context_manager: holds the sessions.
        context_store: where they live: a store, its address, or a `DistributedContextStore`; None for where the manager
            has them.
        routes: names of agents by words of the primary intent, or a function from the analysis to a name; None for the
            names themselves as words.
        fallback: name of the agent for what no word fits; None for the second.
        receivers: agents that get a handoff, by name.
        max_hops: how often one turn may change hands.
        concurrency: how many sessions are worked on at once; None for `ContextConcurrencyManager()`.
        optimizer: what works on open sessions in the background.
        observers: who is told of turns.
        keep_live: sessions in memory; with a store, those that were longest without a turn are closed beyond that.

    Raises:
        ValidationError: an argument is outside its limits.
    """

    def __init__(
        self,
        agents: Mapping[str, ContextAwareAgent],
        context_manager: ContextManager,
        context_store: ContextStore | DistributedContextStore | str | None = None,
        *,
        routes: Mapping[str, str] | Route | None = None,
        fallback: str | None = None,
        receivers: Mapping[str, Receiver] | None = None,
        max_hops: int = 4,
        concurrency: ContextConcurrencyManager | None = None,
        optimizer: SessionOptimizer | None = None,
        observers: Sequence[Observer] = (),
        keep_live: int = 10_000,
    ) -> None:
        self.agents: Final = dict(agents)
        self._names: Final = {agent.role: name for name, agent in self.agents.items()}
        _check_agents(self.agents, context_manager)
        check_tokens("max_hops", max_hops, least=1)
        check_tokens("keep_live", keep_live, least=1)
        self.context_manager: Final = context_manager
        if context_store is not None:
            store = context_store.store if isinstance(context_store, DistributedContextStore) else context_store
            if store is not context_manager.store:
                context_manager.keep_in(store)
        names = list(self.agents)
        self.entry: Final = names[0]
        if callable(routes):
            self._route: Route = routes
        else:
            table = {name: name for name in names[1:]} if routes is None else routes
            last = names[min(1, len(names) - 1)] if fallback is None else fallback
            self._route = by_intent(table, self._known(last))
            for name in table.values():
                self._known(name)
        self.receivers: Final = dict(receivers or {})
        for name in self.receivers:
            self._known(name)
        self._conversations: Final = Conversations(context_manager, self.receivers, self._names)
        self.max_hops: Final = max_hops
        self.concurrency: Final = ContextConcurrencyManager() if concurrency is None else concurrency
        self._optimizer: Final = optimizer
        self._observers: Final = list(observers)
        self._keep_live: Final = keep_live
        # The live session of each conversation, the one that had a turn last at the end.
        self._live: Final[OrderedDict[str, str]] = OrderedDict()
        self._loops: Final[dict[str, asyncio.Task[None]]] = {}
        self._underway = 0
        self._idle: Final = asyncio.Event()
        self._idle.set()

    def add_observer(self, observer: Observer) -> None:
        """Tell somebody else of turns, too."""
        self._observers.append(observer)

    async def open_session(self, session_id: str | None = None) -> str:
        """Begin a conversation with the first agent, and return its id.

        Args:
            session_id: None for a new random one; it must not have a `~`, which names what becomes of it.

        Raises:
            ValidationError: there is such a session, or the id is outside its limits.
        """
        name = str(uuid.uuid4()) if session_id is None else session_id
        async with self.concurrency.session_context(name):
            if "~" in name:
                raise ValidationError(f"session_id {shown(name)} has a ~, which the sessions of handoffs have")
            if session_id is not None and self.receivers and await self._goes_on(name):
                raise ValidationError(f"session_id {shown(name)} is the id of a session")
            opened = await self.agents[self.entry].for_session(name).initialize_session(name)
            await self._have(name, opened)
            await self._close_idle()
        return name

    async def handle(
        self,
        session_id: str,
        message: str,
        *,
        message_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Reply:
        """Give a message of the user's to the agent that has the session, and return the reply.

        A message that comes again under its id is not added again: where it was answered, that answer is returned,
        where it was not, the turn goes on where it stopped.

        Args:
            session_id: of the conversation.
            message: what the user said.
            message_id: of its block; None for a new random one.
            metadata: of its block.

        Raises:
            UnknownSessionError: there is no such conversation.
            ValidationError: the id is that of another message.
            HopLimitError: agents hand the turn on and on.
            LLMError: there is no answer; the message is in the session.
            FencedError: another coordinator hands the session on all the time.
        """
        if not isinstance(message, str):
            raise ValidationError(f"message {shown(message)} is {type(message).__name__}, not str")
        new_id = str(uuid.uuid4()) if message_id is None else message_id
        # The ids of the answers as well, before anything is added.
        for name in self.agents:
            check_id("message_id with the agent's name", f"{new_id}.{name}.{self.max_hops}")
        return await self._observed(session_id, new_id, message, metadata)

    async def add_context(
        self,
        session_id: str,
        content: str,
        context_type: ContextType,
        relevance_score: float = 1.0,
        metadata: Mapping[str, str] | None = None,
        *,
        block_id: str | None = None,
    ) -> str:
        """Add what nobody has to answer to a conversation, and return the id of the block.

        Raises:
            UnknownSessionError: there is no such conversation.
            ValidationError: a field is outside its limits.
            BudgetExceededError: this block and those that must stay can never fit.
        """
        manager = self.context_manager
        async with self.concurrency.session_context(session_id):
            current = await self._current(session_id)
            await self._close_idle()
            return await on_session(
                manager,
                current,
                manager.add_context,
                current,
                content,
                context_type,
                relevance_score,
                metadata,
                block_id=block_id,
            )

    async def resume(self, session_id: str) -> Reply | None:
        """Go on with a turn that was stopped by a crash or an error, and return its reply; None where there is none.

        Raises:
            UnknownSessionError: there is no such conversation.
            LLMError: there is no answer.
        """
        async with self.concurrency.session_context(session_id):
            current = await self._current(session_id)
            message_id = await on_session(self.context_manager, current, self._conversations.last_message, current)
        return None if message_id is None else await self._observed(session_id, message_id, None, None)

    async def hand_over(self, session_id: str, to: str) -> None:
        """Let a conversation go on with another agent.

        Raises:
            UnknownSessionError: there is no such conversation.
            ValidationError: there is no agent of that name, or it has the session already.
        """
        async with self.concurrency.session_context(session_id):
            current = await self._current(session_id)
            if self._names.get(self.context_manager.sessions[current].agent_id) == self._known(to):
                raise ValidationError(f"agent {shown(to)} has session {shown(session_id)} already")
            await self._hand_over(session_id, current, to)

    async def package(self, session_id: str) -> ContextPackage:
        """Return the live package of a conversation: that of the agent that has it.

        Raises:
            UnknownSessionError: there is no such conversation.
        """
        return self.context_manager.sessions[await self._current(session_id)]

    async def end_session(self, session_id: str) -> None:
        """Forget a conversation here; in the store it stays.

        Raises:
            UnknownSessionError: there is no such conversation.
        """
        async with self.concurrency.session_context(session_id):
            await self._close(session_id, await self._current(session_id))

    async def drain(self) -> None:
        """Wait until no turn is underway."""
        await self._idle.wait()

    async def aclose(self) -> None:
        """Wait for the turns that are underway, and end what works in the background."""
        await self.drain()
        if self._optimizer is not None:
            for current in list(self._loops):
                self._optimizer.stop_optimization_loop(current)
            await asyncio.gather(*self._loops.values(), return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def _observed(
        self, session_id: str, message_id: str, message: str | None, metadata: Mapping[str, str] | None
    ) -> Reply:
        """Do a turn, and tell what it took."""
        turn = Turn(session_id, "", message_id)
        self._underway += 1
        self._idle.clear()
        try:
            with turn.underway():
                async with self.concurrency.session_context(session_id):
                    try:
                        reply = await self._turn(turn, message_id, message, metadata)
                    except (FencedError, SessionGoneError):
                        # Another coordinator has handed it on, or begun it anew: look where it is now, once.
                        self._live.pop(session_id, None)
                        reply = await self._turn(turn, message_id, message, metadata)
                    finally:
                        await self._close_idle()
        except asyncio.CancelledError as error:
            self._tell(turn, "cancelled", error)
            raise
        except Exception as error:
            self._tell(turn, "failed", error)
            raise
        finally:
            self._underway -= 1
            if self._underway == 0:
                self._idle.set()
        self._tell(turn, "done", None)
        return reply

    async def _turn(
        self, turn: Turn, message_id: str, message: str | None, metadata: Mapping[str, str] | None
    ) -> Reply:
        manager, session_id = self.context_manager, turn.session_id
        live = await self._open(session_id)
        current, is_new = await on_session(
            manager, live, self._conversations.begin, session_id, live, message, message_id, metadata
        )
        await self._have(session_id, current)
        times: Counter[str] = Counter()
        while True:
            agent = self._agent(current)
            name = turn.agent = self._names[agent.role]
            times[name] += 1
            # An agent may get a turn back.
            answer_id = f"{message_id}.{name}" if times[name] == 1 else f"{message_id}.{name}.{times[name]}"
            said = None if is_new else await on_session(manager, current, self._conversations.block, current, answer_id)
            reply = await agent.respond(block_id=answer_id) if said is None else agent.recall(said.content)
            to = reply.to
            if to is None and name == self.entry and reply.data is not None:
                to = self._route(reply.data)
            if to is None or to == name:
                return Reply(reply.text, name, turn.session_id, reply.data)
            turn.hops += 1
            if turn.hops > self.max_hops:
                raise HopLimitError(f"session {shown(turn.session_id)}: the turn changed hands {self.max_hops} times")
            current = await self._hand_over(turn.session_id, current, self._known(to))

    async def _hand_over(self, session_id: str, current: str, to: str) -> str:
        """Give the session to another agent, and return the id under which it goes on."""
        manager, role = self.context_manager, self.agents[to].role
        went = await on_session(manager, current, self._conversations.pass_on, current, to, role)
        _LOG.info("session %s goes on with %s", session_id, role)
        await self._have(session_id, went)
        return went

    async def _current(self, session_id: str) -> str:
        """The session in which a conversation is now, live, with what other processes have written.

        Raises:
            UnknownSessionError: there is no such conversation.
        """
        live = await self._open(session_id)
        current = await on_session(self.context_manager, live, self._conversations.latest, session_id, live)
        await self._have(session_id, current)
        return current

    async def _open(self, session_id: str) -> str:
        """The session in which a conversation was when somebody here last looked, live.

        Raises:
            UnknownSessionError: there is no such conversation.
        """
        if "~" in session_id:
            raise UnknownSessionError(f"session {shown(session_id)} is no conversation: it is a part of one")
        current = self._live.get(session_id)
        if current is None or current not in self.context_manager.sessions:
            current = await on_session(self.context_manager, session_id, self._conversations.found, session_id)
            await self._have(session_id, current)
        self._live.move_to_end(session_id)
        return current

    async def _goes_on(self, session_id: str) -> bool:
        """Whether there is a conversation of that id, also where nothing but a session of a handoff is left of it."""
        try:
            await self._current(session_id)
        except UnknownSessionError:
            return False
        return True

    async def _have(self, session_id: str, current: str) -> None:
        """Note where a conversation is, and let the optimizer work on it."""
        before = self._live.get(session_id)
        self._live[session_id] = current
        if self._optimizer is None or (before == current and current in self._loops):
            return
        if before is not None and before != current:
            self._stop(before)
        loop = asyncio.create_task(self._optimizer.start_optimization_loop(current))
        self._loops[current] = loop
        loop.add_done_callback(
            lambda done: self._loops.pop(current, None) if self._loops.get(current) is done else None
        )

    def _stop(self, current: str) -> None:
        if self._optimizer is not None and current in self._loops:
            self._optimizer.stop_optimization_loop(current)

    async def _close_idle(self) -> None:
        """Close what was longest without a turn, where there are too many sessions in memory."""
        if self.context_manager.store is None or len(self._live) <= self._keep_live:
            return
        for session_id in list(self._live):
            if len(self._live) <= self._keep_live:
                break
            # Whoever holds or waits for one needs it in a moment, and nobody here waits for him.
            if not self.concurrency.cleanup_session(session_id):
                continue
            async with self.concurrency.session_context(session_id):
                if session_id not in self._live:
                    continue
                try:
                    await self._close(session_id, self._live[session_id])
                except ContextError as error:
                    # It was deleted, or the store is down: that is not the business of who has a turn now.
                    _LOG.warning("session %s could not be closed: %s", session_id, error)

    async def _close(self, session_id: str, current: str) -> None:
        self._stop(current)
        self._live.pop(session_id, None)
        manager = self.context_manager
        await on_session(manager, current, manager.close_session, current)

    def _agent(self, current: str) -> ContextAwareAgent:
        """The agent that has a session, on that session."""
        role = self.context_manager.sessions[current].agent_id
        if role not in self._names:
            raise ValidationError(f"session {shown(current)} belongs to {shown(role)}, which is no agent here")
        return self.agents[self._names[role]].for_session(current)

    def _known(self, name: str) -> str:
        if name not in self.agents:
            raise ValidationError(f"agent {shown(name)} is not one of {', '.join(self.agents)}")
        return name

    def _tell(self, turn: Turn, outcome: Outcome, error: BaseException | None) -> None:
        report = turn.report(outcome, error)
        for observer in self._observers:
            try:
                observer.turn_ended(report)
            except Exception:  # noqa: BLE001  # whoever only looks on must not break a conversation
                _LOG.exception("observer %s failed", type(observer).__name__)


def _check_agents(agents: Mapping[str, ContextAwareAgent], manager: ContextManager) -> None:
    if not agents:
        raise ValidationError("agents are none")
    roles = [agent.role for agent in agents.values()]
    for name, agent in agents.items():
        if agent.context_manager is not manager:
            raise ValidationError(f"agent {shown(name)} has another context_manager")
        if roles.count(agent.role) > 1:
            raise ValidationError(f"agent {shown(name)} has the role {shown(agent.role)} of another")
