"""All that was found, as values for programs."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pycontext._core import __version__
from pycontext.evaluation.bootstrap import Interval
from pycontext.evaluation.latency import Timing
from pycontext.evaluation.relay import Relay
from pycontext.evaluation.spending import Spending
from pycontext.evaluation.tally import Tally
from pycontext.evaluation.trial import Trial
from pycontext.evaluation.verdict import Duel, Lead, duels, headroom, leads, mean_headroom
from pycontext.prices import AS_OF, PRICES

__all__ = ["CAVEATS", "Report", "setting_of"]

CAVEATS: Final = (
    "Evidence that survives is necessary for a right answer, not sufficient: no model was asked anything.",
    "The sets are small: look at the intervals, not at the last digit. Other sets of the same kinds may differ.",
    "Telecom sets are scripted replays without a model: recorded tool traces, not conversations.",
    "In handoff sets a block is evidence where an argument of the next write call stands in it; numbers do not count.",
    "All texts are English.",
    "Useful tokens are those of blocks that a label names; a block that only helps counts as useless.",
    "Costs are of prompt tokens alone; a cache is taken to hold every whole message until the next request.",
)


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation found.

    Attributes:
        setting: what ran where, as pairs for people.
        trials: recall, tokens and gates, by set.
        relays: what arrived in a second process, by the name of the set.
        timings: of prunes.
        spendings: of conversations, by their name.
        absent: who took no part, and why.
    """

    setting: Sequence[tuple[str, str]]
    trials: Sequence[Trial]
    relays: Mapping[str, Sequence[Relay]] = field(default_factory=dict)
    timings: Sequence[Timing] = ()
    spendings: Mapping[str, Sequence[Spending]] = field(default_factory=dict)
    absent: Sequence[str] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every gate held and every handoff arrived whole; a baseline that breaks one breaks the comparison."""
        relays = [relay for found in self.relays.values() for relay in found]
        return not any(trial.broken() for trial in self.trials) and all(relay.is_whole for relay in relays)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "setting": dict(self.setting),
            "whole": self.is_whole,
            "sets": [self._set(trial) for trial in self.trials],
            "mean_headroom": {
                name: _interval(mean_headroom(self.trials, name))
                for name in (self.trials[0].roles if self.trials else ())
            },
            "duels": [_judged(duel) for duel in duels(self.trials)],
            "leads": [_judged(lead) for lead in leads(self.trials)],
            "latency": [asdict(timing) for timing in self.timings],
            "cost": {name: [_spending(one) for one in found] for name, found in self.spendings.items()},
            "prices": {"as_of": AS_OF, "models": [asdict(price) for price in PRICES.values()]},
            "absent": list(self.absent),
            "caveats": list(CAVEATS),
        }

    def _set(self, trial: Trial) -> dict[str, Any]:
        return {
            "name": trial.name,
            "sha256": trial.sha256,
            "questions": trial.questions,
            "drawn_again": trial.cluster,
            "clusters": trial.clusters,
            "broken_promises": {str(gate): times for gate, times in trial.broken().items()},
            "handoffs": [asdict(relay) for relay in self.relays.get(trial.name, ())],
            "contenders": [
                {
                    "name": name,
                    "role": str(role),
                    "budgets": [_cell(trial, name, budget) for budget in trial.budgets],
                }
                for name, role in trial.roles.items()
            ],
        }


def setting_of(tally: Tally, *, seed: int, resamples: int, commit: str = "") -> list[tuple[str, str]]:
    """Return what runs where: date, version, machine, counter and seeds."""
    return [
        ("date", f"{datetime.now(UTC):%Y-%m-%d}"),
        ("pycontext", f"{__version__}, commit {commit}" if commit else __version__),
        ("machine", f"{_processor()}, {os.cpu_count()} cores, {platform.system()}"),
        ("python", platform.python_version()),
        ("tokens counted by", tally.counter + ("" if tally.is_independent else ", which is the library's own counter")),
        ("resamples", f"{resamples}, seed {seed}"),
    ]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        # Not Linux.
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _cell(trial: Trial, name: str, budget: int) -> dict[str, Any]:
    closed = headroom(trial, name, budget)
    return {
        "budget": budget,
        "recall": _interval(trial.resampling.mean(trial.recall(name, budget))),
        "headroom_closed": _interval(closed),
        "useful": trial.useful(name, budget),
        "tokens": trial.tokens(name, budget),
        "refused": trial.refused(name, budget),
    }


def _interval(found: Interval | None) -> dict[str, float | None] | None:
    # JSON has no NaN, which is an end of an interval that no resample defines.
    return None if found is None else {k: None if math.isnan(v) else v for k, v in asdict(found).items()}


def _judged(one: Duel | Lead) -> dict[str, Any]:
    return {**asdict(one), "difference": _interval(one.difference), "met": one.is_met}


def _spending(one: Spending) -> dict[str, Any]:
    dollars = {
        price.model: {"without_cache": one.dollars(price, cache=False), "with_cache": one.dollars(price, cache=True)}
        for price in PRICES.values()
    }
    return {**asdict(one), "same_prefix": one.prefix, "recall": one.recall, "dollars": dollars}
