"""What is measured of a turn, as monitors take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pycontext.agents.turn import TurnReport

__all__ = ["Point", "points_of"]


@dataclass(frozen=True, slots=True)
class Point:
    """One value.

    Attributes:
        name: of the metric, its unit at the end.
        kind: "count" adds up, "distribution" is looked at one by one.
        value: in base units.
        tags: "key:value".
        at: seconds since the epoch.
    """

    name: str
    kind: Literal["count", "distribution"]
    value: float
    tags: tuple[str, ...]
    at: float


def points_of(report: TurnReport, tags: tuple[str, ...], error: str | None, at: float) -> list[Point]:
    """Return what there is to say of a turn: numbers.

    Args:
        report: of the turn.
        tags: of all points.
        error: class of the turn's error as a tag may say it, None where there is none.
        at: seconds since the epoch.
    """
    counts = {
        "turns": 1,
        "hops": report.hops,
        "llm_calls": report.llm_calls,
        "tool_calls": report.tool_calls,
        "left_out_blocks": report.left_out,
    }
    distributions = {
        "turn_seconds": report.seconds,
        "llm_seconds": report.llm_seconds,
        "tool_seconds": report.tool_seconds,
        "layer_seconds": report.layer_seconds,
        "prompt_tokens": report.prompt_tokens,
        "session_tokens": report.session_tokens,
    }
    points = [Point(f"pycontext.{name}", "count", value, tags, at) for name, value in counts.items() if value]
    if error is not None:
        points.append(Point("pycontext.errors", "count", 1, (*tags, f"error:{error}"), at))
    points += [Point(f"pycontext.{name}", "distribution", value, tags, at) for name, value in distributions.items()]
    return points
