"""Sessions held to a budget while they go on."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self, TypeVar

from pycontext.block import ContextType, now_ms
from pycontext.budget import check_tokens
from pycontext.errors import BudgetExceededError, FencedError, UnknownSessionError, ValidationError, shown
from pycontext.manager import ContextManager
from pycontext.optimize.loop import SessionLoop
from pycontext.policy import Policy, Tier

if TYPE_CHECKING:
    from pycontext.package import ContextPackage
    from pycontext.selection import Selection

__all__ = ["RealTimeContextOptimizer"]

_LOG: Final = logging.getLogger("pycontext.optimize")

Looked = TypeVar("Looked")

_KEPT_METRICS: Final = 1000
_FLOOR: Final = 0.1
# A policy takes no longer half-life; a factor that comes to one is as good as 1.
_LONGEST_HALF_LIFE_MINUTES: Final = 1e10

_TIERS: Final = (
    Tier("conversation", (ContextType.USER, ContextType.AGENT)),
    Tier("tools", (ContextType.TOOL,)),
    Tier("memory", (ContextType.MEMORY,)),
    Tier("knowledge", (ContextType.KNOWLEDGE,)),
)


class RealTimeContextOptimizer:
    """Looks after sessions in the background: whenever one exceeds a budget, what matters least falls.

    The conversation comes first, best score first, then tool results, memories and knowledge. Scores fall with age and
    the last ten turns are raised; nothing of that is stored. Age is counted to the newest block that is not stamped
    ahead of the clock, so that what falls depends on the blocks, and not on when or how often somebody looks.

    All methods but `stop_optimization_loop` belong to one event loop. `async with` stops all loops at its end.

    Args:
        context_manager: whose sessions they are.
        token_budget: tokens of a session as text, headers included, 1 or more.
        optimization_interval: seconds between two looks at a session.
        relevance_decay_factor: what a score is multiplied with in a minute, above 0 and at most 1; it does not fall
            below 0.1, nor does one of a SYSTEM block.
        clock: milliseconds since the epoch.

    Attributes:
        performance_metrics: seconds that the last 1,000 looks took.

    Raises:
        ValidationError: an argument is outside its limits.
    """

    def __init__(
        self,
        context_manager: ContextManager,
        token_budget: int = 4096,
        optimization_interval: float = 0.1,
        relevance_decay_factor: float = 0.95,
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        check_tokens("token_budget", token_budget, least=1)
        if not _is_number(optimization_interval) or not 0 < optimization_interval < math.inf:
            raise ValidationError(
                f"optimization_interval {shown(optimization_interval)} is not a finite number above 0"
            )
        if not _is_number(relevance_decay_factor) or not 0 < relevance_decay_factor <= 1:
            raise ValidationError(
                f"relevance_decay_factor {shown(relevance_decay_factor)} is not a number above 0 and at most 1"
            )
        self.context_manager: Final = context_manager
        self.token_budget: Final = token_budget
        self.optimization_interval: Final = optimization_interval
        self.relevance_decay_factor: Final = relevance_decay_factor
        self.performance_metrics: Final[deque[float]] = deque(maxlen=_KEPT_METRICS)
        self._clock: Final = clock
        self._policy: Final = _policy_of(relevance_decay_factor)
        self._loops: Final[dict[str, SessionLoop]] = {}

    @property
    def running(self) -> bool:
        """Whether a loop runs that was not told to stop."""
        return any(not loop.is_stopped for loop in list(self._loops.values()))

    async def start_optimization_loop(self, session_id: str) -> None:
        """Look after a session until it is stopped, or is no longer in the manager.

        A session has one loop: who starts it again waits for the end of that one. To cancel a caller ends the loop only
        when nobody else waits for it. Errors are logged and survived.

        Args:
            session_id: of a session that is in the manager; of another one this returns at once.
        """
        while (loop := self._loops.get(session_id)) is not None and loop.is_stopped:
            await loop.ended()
        if loop is None:
            loop = SessionLoop(lambda this: self._run(session_id, this), self.optimization_interval)
            self._loops[session_id] = loop
            loop.when_ended(lambda: self._loops.pop(session_id, None))
        await loop.join()

    def stop_optimization_loop(self, session_id: str | None = None) -> None:
        """Let the loop of a session end after the look that it is in; may be called from any thread.

        Args:
            session_id: of the session; None for all.
        """
        for known, loop in list(self._loops.items()):
            if session_id is None or known == session_id:
                loop.stop()

    async def optimize_session(self, session_id: str) -> Selection | None:
        """Look at a session once; what falls can still be fetched with `get_block`.

        The work is done in a thread: the event loop goes on.

        Returns:
            What stays and why the rest fell; None where the session is within the budget, or is not in the manager.

        Raises:
            BudgetExceededError: the blocks that must stay do not fit; nothing was removed.
        """
        return await self._timed(self._optimize, session_id)

    async def aclose(self) -> None:
        """Stop all loops, and wait for their ends."""
        self.stop_optimization_loop()
        for loop in list(self._loops.values()):
            await loop.ended()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        await self.aclose()

    async def _run(self, session_id: str, loop: SessionLoop) -> None:
        settled: tuple[ContextPackage, int] | None = None
        said = ""
        while not loop.is_stopped:
            began = time.perf_counter()
            package = self.context_manager.sessions.get(session_id)
            if package is None:
                return
            # Asked without waiting: whoever has the lock may have it for long.
            revision = package.blocks.revision_at_once()
            state = None if revision is None else (package, revision)
            if state is not None and settled is not None and state[0] is settled[0] and state[1] == settled[1]:
                self.performance_metrics.append(time.perf_counter() - began)
            else:
                try:
                    await self._timed(self._only_optimize, session_id)
                    settled, said = state, ""
                except Exception as error:  # noqa: BLE001  # whatever it is: the next look may go well
                    # These two stay as they are until the session is another.
                    settled = state if isinstance(error, BudgetExceededError | FencedError) else None
                    message = f"{type(error).__name__}: {error}"
                    if message != said:
                        _LOG.error("session %s is not optimized: %s", session_id, message, exc_info=error)
                    said = message
            await loop.pause()

    async def _timed(self, look: Callable[[str], Looked], session_id: str) -> Looked:
        began = time.perf_counter()
        try:
            return await asyncio.to_thread(look, session_id)
        finally:
            self.performance_metrics.append(time.perf_counter() - began)

    def _only_optimize(self, session_id: str) -> None:
        # What was chosen is let go in the thread: of a large session that takes long.
        self._optimize(session_id)

    def _optimize(self, session_id: str) -> Selection | None:
        package = self.context_manager.sessions.get(session_id)
        if package is None or package.blocks.total_cost("text") <= self.token_budget:
            return None
        stamps = package.blocks.timestamps
        now = int(stamps.max(initial=0, where=stamps <= self._clock()))
        try:
            return self.context_manager.prune(
                session_id, self.token_budget, policy=self._policy, render="text", now=now
            )
        except UnknownSessionError:
            # It went meanwhile.
            return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _policy_of(factor_per_minute: float) -> Policy:
    """The policy under which scores fall by that factor in a minute."""
    falls = -math.log(factor_per_minute)
    half_life = math.log(2) / falls if falls else math.inf
    kinds: list[ContextType] = [kind for kind in ContextType if kind is not ContextType.SYSTEM]
    minutes = dict.fromkeys(kinds, half_life) if half_life <= _LONGEST_HALF_LIFE_MINUTES else {}
    return Policy("realtime", _TIERS, half_life_minutes=minutes, floor=_FLOOR, recency=1.0)
