"""What a pilot has shown so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from pycontext.service.arm import Arm, ArmSums
from pycontext.service.comparison import Difference

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["PilotReport", "ShadowSums", "State"]

State = Literal["shadow", "live", "stopped"]

# What is summed in an arm, as its mean for each turn is called.
_MEANS = ("errors", "prompt_tokens", "session_tokens", "seconds", "layer_seconds")


@dataclass(slots=True)
class ShadowSums:
    """What managing would have done while it was only looked at.

    Attributes:
        turns: of all sessions; all of them were in the baseline.
        in_a_row: turns since the last one in which managing would have failed.
        refused: turns whose pinned blocks would not have fitted.
        errors: turns in which choosing failed otherwise, or the layer itself.
        session_tokens: of the sessions' blocks as they were sent, prompts of the agent left out.
        would_be_tokens: of those that would have been chosen.
    """

    turns: int = 0
    in_a_row: int = 0
    refused: int = 0
    errors: int = 0
    session_tokens: int = 0
    would_be_tokens: int = 0


@dataclass(frozen=True, slots=True)
class PilotReport:
    """What a pilot has shown so far, in this process.

    Attributes:
        experiment: its name.
        state: "shadow", "live" or "stopped".
        reason: why it stopped, None where it did not.
        traffic_ratio: share of the sessions that are managed.
        risk: probability that any difference is ever called though there is none.
        arms: what happened in each arm while it was live.
        shadow: what happened before.
        pairs: sessions that are compared, each with one of the other arm.
        turns: of these sessions.
        looked_at: pairs at the last look, from which `differences` are; 0 before the first.
        next_look: turns at the next one, None before the first.
        differences: one for each metric.
    """

    experiment: str
    state: State
    reason: str | None
    traffic_ratio: float
    risk: float
    arms: Mapping[Arm, ArmSums]
    shadow: ShadowSums
    pairs: int
    turns: int
    looked_at: int
    next_look: int | None
    differences: tuple[Difference, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "experiment": self.experiment,
            "state": self.state,
            "reason": self.reason,
            "traffic_ratio": self.traffic_ratio,
            "risk": self.risk,
            "arms": {
                arm.value: {**sums.to_dict(), "a_turn": {what: sums.a_turn(what) for what in _MEANS}}
                for arm, sums in self.arms.items()
            },
            "shadow": asdict(self.shadow),
            "pairs": self.pairs,
            "turns": self.turns,
            "looked_at": self.looked_at,
            "next_look": self.next_look,
            "differences": [one.to_dict() for one in self.differences],
        }

    def __rich__(self) -> Group:
        from rich.console import Group  # noqa: PLC0415  # only people need it
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        arms = Table(title=f"pilot {self.experiment}: {self.state}", title_justify="left")
        arms.add_column("a turn")
        for arm in self.arms:
            arms.add_column(arm.value, justify="right")
        for what in ("sessions", "turns", "cancelled"):
            arms.add_row(what, *(f"{getattr(sums, what):,}" for sums in self.arms.values()))
        for what in _MEANS:
            arms.add_row(_words(what), *(_number(sums.a_turn(what)) for sums in self.arms.values()))

        compared = Table(title=f"managed less baseline, {self.looked_at:,} pairs of sessions", title_justify="left")
        compared.add_column("a turn, by session")
        for heading in ("baseline", "managed", "interval"):
            compared.add_column(heading, justify="right")
        compared.add_column("verdict")
        for one in self.differences:
            interval = "" if one.low is None else f"{_number(one.low)} to {_number(one.high)}"
            compared.add_row(
                _words(one.metric), _number(one.baseline), _number(one.managed), interval, one.verdict.value
            )
        return Group(arms, compared, *(Text(line) for line in self._lines()))

    def _lines(self) -> list[str]:
        lines = [f"now {self.pairs:,} pairs with {self.turns:,} turns"]
        if self.next_look is not None:
            lines[0] += (
                f", next look at {self.next_look:,} turns; all looks together call a difference "
                f"where there is none with a risk of {self.risk:g}"
            )
        shadow = self.shadow
        if shadow.turns:
            lines.append(
                f"in shadow: {shadow.turns:,} turns, {shadow.would_be_tokens:,} of {shadow.session_tokens:,} tokens "
                f"would have been sent, {shadow.refused:,} turns refused, {shadow.errors:,} failed"
            )
        if self.reason is not None:
            lines.append(f"stopped: {self.reason}")
        return lines


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
