"""Runs agents in production, in little: 1,000 sessions of 50 turns at once; prints tables and keeps them in a page."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from itertools import pairwise
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benches.data import ROOT, missing, tiktoken_cache
from benches.page import machine, markdown
from benches.production.load import BUDGET, SAMPLED, Seen, run

PAGE = ROOT / "benches" / "production.md"
SOURCE = "conversations/airline.jsonl"

SESSIONS, TURNS = 1_000, 50
ALONE = 40

CALM_TURNS, LLM_SECONDS = 5, 5.0

HEADINGS = ["", "alone", f"{SESSIONS:,} at once, the model takes {LLM_SECONDS:.0f} s", f"{SESSIONS:,} at once"]
GAP_HEADINGS = ["", "gap, median", "gap, worst", "time, median"]
SERVICE_HEADINGS = ["clients at once", "turns a second", "p50 of a turn", "p95 of a turn", "lost"]

INTRODUCTION = f"""\
# Agents under load

Written by `make bench-production`, never by hand. Recorded conversations, one after the other until there are {TURNS}
turns, are replayed through an `AgentCoordinator` with two agents, a `RealTimeContextOptimizer` that looks at every
session once a second, and a store in a file of SQLite; the model answers at once with what was recorded, tools with
their recorded results. A request may have {BUDGET:,} tokens, the agent's own prompt included. Every answer is compared
with the recorded one, every request is looked through for calls without results and results without calls, one in
{1 / SAMPLED:.0f} is counted once more with tiktoken, and at the end every session is read back from the file and
compared. The recorded conversations are not in the repository: `PYCONTEXT_DATA` says where they are.
"""

EXPLANATION = """\
"Alone" is one session after the other: a turn then takes what the layer itself needs. Where the model takes no time,
all sessions always have a turn underway, and each waits for all the others, on one event loop: what can be done at all
is turns a second. The gap is how much later than asked a task wakes up that sleeps for 5 ms; checks of the benchmark
run on the same loop and are in it.
"""

GAP = """\
## A session of 200,000 blocks

How long the event loop stands still while it is optimized and about half of it falls: the longest time between two
ticks of a task that sleeps for a millisecond, medians and worst of {rounds} rounds, the two sides taking turns. The
sketch is the article's optimizer, written anew from its description, on the event loop.
"""

SERVICE = """\
## The service

Real HTTP on loopback, server and client in processes of their own, SQLite; the model answers at once.
"""


def main() -> int:
    console = Console()
    if absent := missing(SOURCE):
        console.print(absent)
        return 1
    os.environ["TIKTOKEN_CACHE_DIR"] = str(tiktoken_cache())
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(f"{ALONE} sessions, one after the other", total=None)
        alone = asyncio.run(run(ALONE, TURNS, 1))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(f"{SESSIONS:,} sessions at once", total=None)
        crowd = asyncio.run(run(SESSIONS, TURNS, SESSIONS))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(f"{SESSIONS:,} sessions at once, with a model that takes its time", total=None)
        calm = asyncio.run(run(SESSIONS, CALM_TURNS, SESSIONS, LLM_SECONDS))
    found = alone, calm, crowd
    lines = [
        [names[0][0], *(value for _, value in names)] for names in zip(*(_column(one) for one in found), strict=True)
    ]
    gap, gap_lines = _gap()
    service_lines = [_service(clients) for clients in (1, 50)]
    _show(console, "turns through coordinator, optimizer and store", HEADINGS, lines)
    _show(console, "the event loop while 200,000 blocks are optimized", GAP_HEADINGS, gap_lines)
    _show(console, "the service", SERVICE_HEADINGS, service_lines)
    text = [INTRODUCTION, *machine(("tiktoken",)), "", markdown(HEADINGS, lines), "", EXPLANATION]
    text += [GAP.format(rounds=gap["rounds"]), markdown(GAP_HEADINGS, gap_lines), ""]
    text += [SERVICE, markdown(SERVICE_HEADINGS, service_lines), ""]
    PAGE.write_text("\n".join(text), encoding="utf-8")
    faults = [fault for one in found for fault in one.faults]
    for fault in faults[:10]:
        console.print(fault, style="bold red", highlight=False)
    return 2 if faults else 0


def _program(name: str, *arguments: str) -> dict[str, Any]:
    """What one of the other programs measured, in a process of its own."""
    command = [sys.executable, "-m", f"benches.production.{name}", "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def _gap() -> tuple[dict[str, Any], list[list[str]]]:
    found = _program("loop_gap")
    names = "gap_median_seconds", "gap_worst_seconds", "work_median_seconds"
    return found, [[side, *(f"{found[side][name] * 1e3:.1f} ms" for name in names)] for side in ("ours", "sketch")]


def _service(clients: int) -> list[str]:
    found = _program("service_load", "--clients", str(clients))
    times = [f"{found[name]:.1f} ms" for name in ("p50_ms", "p95_ms")]
    return [f"{clients}", f"{found['turns_per_second']:.0f}", *times, f"{found['lost']}"]


def _show(console: Console, title: str, headings: list[str], lines: list[list[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left")
    for line in lines:
        table.add_row(*line)
    console.print(table)


def _column(seen: Seen) -> list[tuple[str, str]]:
    layer = [seconds * 1e3 for seconds in seen.layer]
    gaps = [gap * 1e3 for gap in seen.gaps]
    return [
        ("turns", f"{seen.turns:,} of {seen.expected:,}"),
        ("requests, of these counted with tiktoken", f"{seen.prompts:,}, {seen.counted:,}"),
        ("lost turns, orphans, requests over the budget, sessions not as stored", f"{len(seen.faults)}"),
        ("turns a second", f"{seen.turns / seen.seconds:.0f}"),
        ("the layer's time a turn, p50", f"{_part(layer, 0.5):.2f} ms"),
        ("the layer's time a turn, p95", f"{_part(layer, 0.95):.2f} ms"),
        ("gap of the event loop, p50", f"{_part(gaps, 0.5):.2f} ms"),
        ("gap of the event loop, p99", f"{_part(gaps, 0.99):.1f} ms"),
        ("gap of the event loop, largest", f"{max(gaps):.0f} ms"),
        *(
            (f"resident after {part:.0%} of the turns", f"{_resident_at(seen, part) / 2**20:.0f} MiB")
            for part in (0.1, 0.25, 0.5, 0.75, 1.0)
        ),
    ]


def _part(values: list[float], part: float) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def _resident_at(seen: Seen, part: float) -> int:
    """What was resident when that part of the turns was done."""
    turns = part * seen.turns
    for (_, before), (done, after) in pairwise(seen.resident):
        if done >= turns:
            return max(before, after)
    return seen.resident[-1][1]


if __name__ == "__main__":
    sys.exit(main())
