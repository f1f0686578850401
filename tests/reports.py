"""Reports of turns, as a coordinator would make them."""

from __future__ import annotations

from dataclasses import replace

from pycontext.agents.turn import TurnReport

_USUAL = TurnReport(
    session_id="session-of-ada",
    agent="intent_agent",
    outcome="done",
    error=None,
    hops=1,
    llm_calls=2,
    tool_calls=3,
    seconds=1.25,
    llm_seconds=0.5,
    tool_seconds=0.25,
    prompt_tokens=700,
    session_tokens=9000,
    left_out=11,
)


def report_of(**fields):
    """A report of a usual turn, but for the fields that are given."""
    return replace(_USUAL, **fields)
