"""One turn of a conversation, while it is worked on, and what is told of it afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

__all__ = ["Observer", "Outcome", "Turn", "TurnReport", "current_turn"]

Outcome = Literal["done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class TurnReport:
    """What a turn took; it holds nothing of what was said.

    Attributes:
        session_id: of the session; for sampling and splitting, never to be exported as a label.
        agent: the role that had the turn last.
        outcome: "done", "failed" or "cancelled".
        error: name of the error's class, None where there was none.
        hops: how often the turn went on to another agent.
        llm_calls: requests to models.
        tool_calls: tools that were called.
        seconds: from the message to the reply.
        llm_seconds: of these, spent waiting for models.
        tool_seconds: of these, spent waiting for tools.
        prompt_tokens: of all requests of the turn, as rendered and counted by us.
        session_tokens: what the requests would have been with every block of the session in them.
        left_out: blocks that were left out of requests.
    """

    session_id: str
    agent: str
    outcome: Outcome
    error: str | None
    hops: int
    llm_calls: int
    tool_calls: int
    seconds: float
    llm_seconds: float
    tool_seconds: float
    prompt_tokens: int
    session_tokens: int
    left_out: int

    @property
    def layer_seconds(self) -> float:
        """What is neither the model's nor the tools' time."""
        return max(self.seconds - self.llm_seconds - self.tool_seconds, 0.0)


class Observer(Protocol):
    """Is told of turns; what it raises is logged and does not reach the conversation."""

    def turn_ended(self, report: TurnReport, /) -> None:
        """Take what is told of a turn; called on the event loop, so it must not wait for anything."""
        ...


@dataclass(slots=True, eq=False)
class Turn:
    """A turn that is being worked on; agents add to it.

    Attributes:
        session_id: of the session.
        agent: the role that has the turn.
        message_id: of the block that began it, None where nobody said.
    """

    session_id: str
    agent: str
    message_id: str | None = None
    hops: int = 0
    llm_calls: int = 0
    tool_calls: int = 0
    llm_seconds: float = 0.0
    tool_seconds: float = 0.0
    prompt_tokens: int = 0
    session_tokens: int = 0
    left_out: int = 0
    began: float = field(default_factory=time.perf_counter)

    @contextmanager
    def underway(self) -> Iterator[Turn]:
        """Be what `current_turn` returns, for this task and those that it starts."""
        token = _CURRENT.set(self)
        try:
            yield self
        finally:
            _CURRENT.reset(token)

    def report(self, outcome: Outcome, error: BaseException | None = None) -> TurnReport:
        """Return what there is to tell, now that it is over."""
        return TurnReport(
            session_id=self.session_id,
            agent=self.agent,
            outcome=outcome,
            error=None if error is None else type(error).__name__,
            hops=self.hops,
            llm_calls=self.llm_calls,
            tool_calls=self.tool_calls,
            seconds=time.perf_counter() - self.began,
            llm_seconds=self.llm_seconds,
            tool_seconds=self.tool_seconds,
            prompt_tokens=self.prompt_tokens,
            session_tokens=self.session_tokens,
            left_out=self.left_out,
        )


_CURRENT: Final[ContextVar[Turn | None]] = ContextVar("pycontext_turn", default=None)


def current_turn() -> Turn | None:
    """Return the turn that this task works on, None outside of one; clients and tools may ask."""
    return _CURRENT.get()
