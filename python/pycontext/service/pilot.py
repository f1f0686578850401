"""Part of the traffic is managed, the rest is not, and the two are compared."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Final, Protocol, Self

from pycontext.agents.base import ContextAwareAgent, Reply
from pycontext.agents.offload import on_session
from pycontext.agents.turn import Turn, TurnReport
from pycontext.budget import check_tokens
from pycontext.errors import (
    BudgetExceededError,
    LLMError,
    LLMUnavailableError,
    StoreUnavailableError,
    UnknownSessionError,
    ValidationError,
    shown,
)
from pycontext.manager import ContextManager
from pycontext.service.arm import Arm, ArmSums, Split
from pycontext.service.comparison import Comparison, Verdict
from pycontext.service.open_sessions import OpenSession, OpenSessions
from pycontext.service.pilot_report import PilotReport, ShadowSums, State
from pycontext.store.base import ContextStore
from pycontext.store.distributed import DistributedContextStore
from pycontext.store.url import open_store

__all__ = ["Monitor", "Pilot", "start_pilot"]

_LOG: Final = logging.getLogger("pycontext.service")

_METRICS: Final = ("errors", "prompt_tokens", "seconds", "layer_seconds")
_EXPERIMENT: Final = "pilot"


class Monitor(Protocol):
    """Is told of turns; what it raises is logged and does not reach the conversation."""

    def record(self, report: TurnReport, *, arm: str) -> None:
        """Take what is told of a turn; called on the event loop, so it must not wait for anything."""
        ...


async def start_pilot(
    agent: ContextAwareAgent,
    context_store: ContextStore | DistributedContextStore | str,
    traffic_ratio: float,
    monitor: Monitor | None = None,
    *,
    experiment: str | None = None,
    shadow_turns: int | None = 100,
    risk: float = 0.05,
    first_look: int = 20,
    most_pairs: int = 10_000,
    guardrail: int = 10,
    most_open: int = 1_000,
) -> Pilot:
    """Begin to manage the context of some sessions, and compare them with the others.

    A session is managed, or in the baseline, by the lot that its id and the experiment's name draw. Managed, the agent
    works over a manager with the settings of its own one; in the baseline over one in shadow mode, which sends all of
    every session. Both keep sessions in `context_store`.

    Args:
        agent: that answers.
        context_store: where the sessions live; the address of a store is opened, and closed with the pilot.
        traffic_ratio: share of the sessions that are managed, 0 to 1.
        monitor: is told of every turn and its arm; None for nobody.
        experiment: a name; None for that of the monitor, or "pilot".
        shadow_turns: so many turns in a row must go well before any session is managed: the layer does not fail, and
            what it would have chosen is within the budget. 0 to begin at once, None to wait for `go_live`.
        risk: probability that any difference is ever called though there is none, above 0 and up to 0.5.
        first_look: pairs of sessions at the first look, 2 or more.
        most_pairs: that are compared.
        guardrail: managed sessions that fail one after the other, none between them done well, before all go to the
            baseline; what fails as a model or the store is away does not count. 1 or more.
        most_open: sessions that stay open between turns, 1 or more.

    Raises:
        ValidationError: an argument is outside its limits.
        StoreError: the store cannot be opened.
    """
    if not isinstance(agent, ContextAwareAgent):
        raise ValidationError(f"agent {shown(agent)} is {type(agent).__name__}, not ContextAwareAgent")
    if monitor is not None and not callable(getattr(monitor, "record", None)):
        raise ValidationError(f"monitor {shown(monitor)} has no record")
    name = getattr(monitor, "experiment_name", None) if experiment is None else experiment
    split = Split(_EXPERIMENT if name is None else name, traffic_ratio)
    comparison = Comparison(_METRICS, risk, first_look, most_pairs)
    if shadow_turns is not None:
        check_tokens("shadow_turns", shadow_turns)
    check_tokens("guardrail", guardrail, least=1)
    check_tokens("most_open", most_open, least=1)
    store = context_store.store if isinstance(context_store, DistributedContextStore) else context_store
    opened = None
    if isinstance(store, str):
        store = opened = await asyncio.to_thread(open_store, store, counter=agent.context_manager.counter)
    agents = {arm: agent.for_manager(_manager(agent.context_manager, store, arm)) for arm in Arm}
    return Pilot(
        agents,
        split,
        comparison,
        monitor,
        shadow_turns=shadow_turns,
        guardrail=guardrail,
        most_open=most_open,
        opened=opened,
    )


def _manager(own: ContextManager, store: ContextStore, arm: Arm) -> ContextManager:
    """A manager with the settings of the agent's own one; in the baseline it lets everything through."""
    return ContextManager(
        own.max_tokens,
        own.relevance_threshold,
        counter=own.counter,
        policy=own.policy,
        duplicates=own.duplicates,
        shadow=arm is Arm.BASELINE,
        store=store,
        originals_bytes=own.originals_bytes,
    )


class Pilot:
    """An agent whose sessions are managed in part; made by `start_pilot`.

    It begins in shadow: all sessions are in the baseline, and what managing would do is only noted. Live, a session has
    the arm of its lot in every turn and in every process. Stopped, all sessions are in the baseline for good; managed
    ones go on with the blocks that they have. What is counted and compared is of this process.
    """

    def __init__(
        self,
        agents: Mapping[Arm, ContextAwareAgent],
        split: Split,
        comparison: Comparison,
        monitor: Monitor | None,
        *,
        shadow_turns: int | None,
        guardrail: int,
        most_open: int,
        opened: ContextStore | None,
    ) -> None:
        self._agents: Final = agents
        self._split: Final = split
        self._comparison: Final = comparison
        self._monitor: Final = monitor
        self._shadow_turns: Final = shadow_turns
        self._guardrail: Final = guardrail
        self._open: Final = OpenSessions(most_open)
        self._opened: Final = opened
        self._state: State = "live" if shadow_turns == 0 else "shadow"
        self._reason: str | None = None
        self._is_closed = False
        self._sums: Final = {arm: ArmSums() for arm in Arm}
        self._shadow: Final = ShadowSums()
        self._failed: Final[set[str]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def arm_of(self, session_id: str) -> Arm:
        """Return the arm that the next turn of a session is in.

        Raises:
            ValidationError: it is no id of a session.
        """
        drawn = self._split.arm_of(session_id)
        return drawn if self._state == "live" else Arm.BASELINE

    async def handle(self, session_id: str, message: str, *, metadata: Mapping[str, str] | None = None) -> Reply:
        """Answer a user, in a session that begins where there is none; two turns of one session wait for each other.

        Args:
            session_id: of the session.
            message: what the user said; it stays in the session also where there is no answer.
            metadata: of its block.

        Raises:
            ValidationError: an argument is outside its limits, or the pilot is closed.
            Exception: whatever the agent raises.
        """
        self._check_open()
        self._split.arm_of(session_id)
        if not isinstance(message, str):
            raise ValidationError(f"message {shown(message)} is {type(message).__name__}, not str")
        async with self._open.held(session_id) as session:
            # It may have been closed while this turn waited for the one before it.
            self._check_open()
            return await self._turn(session, message, metadata)

    def go_live(self) -> None:
        """Let the managed sessions be managed, whatever was seen in shadow; does nothing where they are.

        Raises:
            ValidationError: the pilot was stopped: its sessions are mixed, and a new one needs a new name.
        """
        if self._state == "stopped":
            raise ValidationError(f"experiment {shown(self._split.experiment)} was stopped: start one of another name")
        self._state = "live"

    def stop(self, reason: str = "by hand") -> None:
        """Send all sessions to the baseline from their next turn on; what was counted stays as it is.

        Args:
            reason: for the report; that of the first stop counts.
        """
        if self._state != "stopped":
            self._state, self._reason = "stopped", reason
            _LOG.warning("pilot %s stopped: %s", self._split.experiment, reason)

    async def aclose(self) -> None:
        """End the turns that are underway, take no more, and close what the pilot opened; sessions are in the store."""
        self._is_closed = True
        await self._open.aclose()
        if self._opened is not None:
            await asyncio.to_thread(self._opened.close)

    def report(self) -> PilotReport:
        """Return what the pilot has shown so far; to ask often does not make differences of noise."""
        comparison = self._comparison
        return PilotReport(
            experiment=self._split.experiment,
            state=self._state,
            reason=self._reason,
            traffic_ratio=self._split.traffic_ratio,
            risk=comparison.risk,
            arms={arm: replace(sums) for arm, sums in self._sums.items()},
            shadow=replace(self._shadow),
            pairs=comparison.pairs,
            turns=comparison.turns,
            looked_at=comparison.looked_at,
            next_look=comparison.next_look,
            differences=comparison.differences,
        )

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValidationError(f"pilot {shown(self._split.experiment)} is closed")

    async def _turn(self, session: OpenSession, message: str, metadata: Mapping[str, str] | None) -> Reply:
        arm, state = self.arm_of(session.session_id), self._state
        agent = self._agents[arm].for_session(session.session_id)
        turn = Turn(session.session_id, agent.role)
        is_new = False
        try:
            with turn.underway():
                is_new = await _find(session, agent)
                await agent.add_user_context(message, metadata)
                if state == "shadow":
                    await self._imagine(agent, session.session_id)
                reply = await agent.respond()
        except asyncio.CancelledError as error:
            self._ended(turn.report("cancelled", error), arm, state, error, is_new=is_new)
            raise
        except Exception as error:
            self._ended(turn.report("failed", error), arm, state, error, is_new=is_new)
            raise
        self._ended(turn.report("done"), arm, state, None, is_new=is_new)
        return reply

    async def _imagine(self, agent: ContextAwareAgent, session_id: str) -> None:
        """Note what managing would send of a session; nothing that goes wrong reaches the turn."""
        manager, sums = agent.context_manager, self._shadow
        sums.in_a_row += 1
        try:
            chosen = await on_session(manager, session_id, manager.select, session_id, policy=agent.policy)
        except BudgetExceededError as error:
            sums.refused += 1
            sums.in_a_row = 0
            _LOG.info("pilot %s: session %s would be refused: %s", self._split.experiment, session_id, error)
        except Exception:  # noqa: BLE001  # a plug-in may raise anything, and it is only looked at
            sums.errors += 1
            sums.in_a_row = 0
            _LOG.exception("pilot %s: nothing could be chosen of session %s", self._split.experiment, session_id)
        else:
            sums.would_be_tokens += chosen.tokens
            sums.session_tokens += manager.sessions[session_id].blocks.total_cost("openai")

    def _ended(self, report: TurnReport, arm: Arm, state: State, error: BaseException | None, *, is_new: bool) -> None:
        """Count a turn where it belongs: the state is that in which it began."""
        if state == "shadow":
            self._count_shadow(report, error)
        elif state == self._state == "live":
            self._count(report, arm, error, is_new=is_new)
        if self._monitor is not None:
            try:
                self._monitor.record(report, arm=arm.value)
            except Exception:  # noqa: BLE001  # whatever it is, the user has his answer
                _LOG.exception("pilot %s: the monitor failed", self._split.experiment)

    def _count_shadow(self, report: TurnReport, error: BaseException | None) -> None:
        if report.outcome == "cancelled":
            return
        sums = self._shadow
        sums.turns += 1
        if error is not None and not isinstance(error, LLMError):
            sums.errors += 1
            sums.in_a_row = 0
        if self._state == "shadow" and self._shadow_turns is not None and sums.in_a_row >= self._shadow_turns:
            _LOG.info("pilot %s goes live after %d turns in shadow", self._split.experiment, sums.turns)
            self.go_live()

    def _count(self, report: TurnReport, arm: Arm, error: BaseException | None, *, is_new: bool) -> None:
        self._sums[arm].add(report, is_new=is_new)
        if report.outcome == "cancelled":
            return
        values = (float(error is not None), float(report.prompt_tokens), report.seconds, report.layer_seconds)
        if self._comparison.record(report.session_id, arm, values, is_new=is_new):
            errors = self._comparison.differences[0]
            if errors.verdict is Verdict.HIGHER:
                self.stop(f"managed turns fail more often, by {errors.low:.3g} to {errors.high:.3g} a turn")
        if arm is Arm.MANAGED:
            self._guard(report.session_id, error)

    def _guard(self, session_id: str, error: BaseException | None) -> None:
        """Stop where managed sessions fail one after the other: nobody needs to wait for a comparison then."""
        if error is None:
            self._failed.clear()
        elif not isinstance(error, LLMUnavailableError | StoreUnavailableError):
            self._failed.add(session_id)
            if len(self._failed) >= self._guardrail:
                self.stop(f"guardrail: {len(self._failed)} managed sessions failed one after the other")


async def _find(session: OpenSession, agent: ContextAwareAgent) -> bool:
    """Have a session in the agent's manager as it is in the store, and return whether it begins now."""
    manager, session_id = agent.context_manager, session.session_id
    await session.move_to(manager)
    try:
        await on_session(manager, session_id, manager.refresh, session_id)
    except UnknownSessionError:
        if session_id in manager.sessions:
            # It has expired in the store.
            await session.close()
            session.manager = manager
    else:
        return False
    try:
        await agent.initialize_session(session_id)
    except ValidationError:
        # Another process may have been faster.
        await on_session(manager, session_id, manager.refresh, session_id)
        return False
    return True
