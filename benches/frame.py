"""How things are measured here: interleaved, many rounds, medians with spread, ratios of the same round."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        low, median, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        return cls(median, low, high)


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of both, and their ratio in the same round, with what the ratio says."""

    job: str
    other: str
    ours: Spread
    theirs: Spread
    ratio: Spread
    says: str = "as fast"
    required: str = ""
    met: bool | None = None


def race(
    runners: Mapping[str, Callable[[int], object]],
    rounds: int,
    *,
    prepare: Callable[[str, int], object] = lambda _name, _number: None,
) -> dict[str, list[float]]:
    """Seconds of each runner in each round; `prepare` runs before each and is not counted.

    A round runs every runner once, each round starting with another one, so that a noisy neighbour hits all alike.
    Runners are given the number of the round and must not keep anything from one to the next.
    """
    times: dict[str, list[float]] = {name: [] for name in runners}
    names = list(runners)
    gc.collect()
    # What is there already is not looked through again before every runner: a million objects take a second.
    gc.freeze()
    for number in range(-1, rounds):  # the first round warms up and is not counted
        start = number % len(names)
        for name in names[start:] + names[:start]:
            prepare(name, number)
            gc.collect()
            gc.disable()
            began = time.perf_counter()
            runners[name](number)
            took = time.perf_counter() - began
            gc.enable()
            if number >= 0:
                times[name].append(took)
    gc.unfreeze()
    return times


def compare(
    job: str,
    times: Mapping[str, list[float]],
    *,
    ours: str,
    at_least: Mapping[str, float] | None = None,
) -> list[Row]:
    """One row for each other runner: its time over ours, round by round."""
    rows = []
    for name, values in times.items():
        if name == ours:
            continue
        ratio = Spread.of([theirs / mine for theirs, mine in zip(values, times[ours], strict=True)])
        wanted = (at_least or {}).get(name)
        rows.append(
            Row(
                job,
                name,
                Spread.of(times[ours]),
                Spread.of(values),
                ratio,
                required=f"at least {wanted:g}x" if wanted else "",
                met=ratio.median >= wanted if wanted else None,
            )
        )
    return rows


def longer(job: str, other: str, ours: list[float], theirs: list[float], *, at_most: float | None = None) -> Row:
    """One row where ours may take longer, up to so many times: our time over the other's, round by round."""
    ratio = Spread.of([mine / their for mine, their in zip(ours, theirs, strict=True)])
    return Row(
        job,
        other,
        Spread.of(ours),
        Spread.of(theirs),
        ratio,
        says="as long",
        required=f"at most {at_most:g}x" if at_most else "",
        met=ratio.median <= at_most if at_most else None,
    )
