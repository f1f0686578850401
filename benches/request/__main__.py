"""Measures a request cut from a long conversation against other libraries; keeps it in benches/request.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benches.data import ROOT, missing
from benches.frame import Row, Spread, compare, longer, race
from benches.page import machine, markdown, markdown_of, number, seconds, table_of
from benches.request.cases import Case, Outcome, cases, outcomes
from benches.request.ours import AGAIN, LIVE, OURS, Again, Blocks, Cold, Floor, Live, Loop, Threaded, copied
from benches.request.peers import Peer, Request, peers
from benches.request.plot import draw
from benches.request.rule import Check, request_tokens
from benches.request.transcript import LONGEST_RESULT, SOURCE, transcript

PAGE = ROOT / "benches" / "request.md"
PLOT = ROOT / "benches" / "request.svg"

ROUNDS = 9
MESSAGES = 5_000
# A library that needs more seconds than this for one request makes no other.
PATIENCE = 60

COLD, AGAIN_SAME, LIVE_SET = "pycontext, cold", "pycontext, one more and all again", "pycontext, live"
FLOORS = ("tiktoken, all texts", "tiktoken, all texts, threads")

INTRODUCTION = f"""\
# A request from a long conversation

Written by `python -m benches.request`, never by hand. {MESSAGES:,} chat messages, a fifth of their tokens as the budget
(o200k_base, counted by [the rule of a chat request](../docs/framing.md)), and back comes what is to be sent. All take
turns in one process, each round another one first; times are medians of the rounds with quartiles, a ratio is the
median of the rounds' own ratios. Every request that came back was looked at: *what is wrong* says in how many of them.

- Everybody in every round has a conversation of his own that was never there before: recorded ones in another order,
  in which each word of four letters or more has changed places with another of its length and each number has other
  digits; results are cut to {LONGEST_RESULT} characters. So no text was counted before by anybody, but words were.
- *pycontext, cold*: a new `Chat`, `chat.prune(messages, budget)`, `chat.messages(selection)`. Counts are exact, calls
  and results stay or fall together, and the best score stays: the same for all messages of a role, of equal ones the
  newest. Duplicates fall, of which chat messages have none. *by evidence*: with `policy="evidence"`, which reads every
  text and scores by what is in it. *by blocks*: `to_blocks(messages)`, `prune(blocks, budget)`, `selection.messages()`.
- *one more and all again*: the same `Chat` is given the same dicts and one more, {AGAIN} times; *read from JSON* has
  equal messages in new objects.
- *live*: a `BlockSet` has the conversation; one message is made a block and appended, and the set is pruned, {LIVE}
  times, each selection let go before the next append. *in a loop* holds it till the next is there, and makes messages.
- *tiktoken, all texts*: what an exact counter that encodes cannot get under: `encode_ordinary` of each text, names and
  arguments of calls included, and nothing else. The same by `encode_ordinary_batch` with as many threads as processors.
- Other libraries get their own objects ready-made, and hand back their own; what turning chat messages into those and
  back takes is in a column of its own, and not in the ratios. *tiktoken* behind a name: it counts by the same rule as
  we do, in a function of its caller; *approximate*, *estimate*: it counts characters.
"""

CASES = """\
What comes of conversations that break libraries: a heading has the budget, of all their tokens. A cell has the tokens
that would be sent and what is wrong with them, found by plain Python and tiktoken for pycontext as for the others. To
raise is right where what must stay does not fit: the system message, the user's last request, and the last call with
its results.
"""


@dataclass
class Measured:
    """Seconds a request in every round, by what was measured."""

    times: dict[str, list[float]] = field(default_factory=dict)
    around: dict[str, list[float]] = field(default_factory=dict)
    """Seconds that turning messages into objects of the library, and back, took in each round."""
    checks: dict[str, list[Check]] = field(default_factory=dict)
    tokens: list[int] = field(default_factory=list)
    once: dict[str, float] = field(default_factory=dict)
    """Seconds of those who made one request and no other."""
    first: dict[str, float] = field(default_factory=dict)
    """Seconds of everybody's first request from a long conversation."""
    notes: list[str] = field(default_factory=list)


class Rounds:
    """Makes everybody a conversation of his own, and looks at what came of it."""

    def __init__(self, runners: list[Peer], size: int) -> None:
        self.runners = {runner.name: runner for runner in runners}
        self.size = size
        self.given: object = None
        self.open: tuple[Peer, Request, object, float] | None = None
        self.measured = Measured()

    def prepare(self, name: str, round_: int | str) -> None:
        self.close()
        runner = self.runners[name]
        messages, more = transcript(self.size, f"{round_} {name}", more=max(AGAIN, LIVE))
        tokens = request_tokens(copied(messages))
        self.measured.tokens.append(tokens)
        request = Request(messages, tokens // 5, more)
        start = time.perf_counter()
        self.given = runner.prepare(request)
        self.open = (runner, request, None, time.perf_counter() - start)

    def run(self, name: str) -> None:
        if self.open is None:
            raise AssertionError(name)
        runner, request, _, before = self.open
        self.open = (runner, request, runner.fit(self.given), before)

    def close(self) -> None:
        """Look at the last result, outside of the clock."""
        if self.open is None:
            return
        (runner, request, result, before), self.open = self.open, None
        self.given = None
        if isinstance(runner, Floor):
            return
        start = time.perf_counter()
        kept = runner.read(result)
        self.measured.around.setdefault(runner.name, []).append(before + time.perf_counter() - start)
        sent = request.messages + request.more[: runner.steps if runner.steps > 1 else 0]
        self.measured.checks.setdefault(runner.name, []).append(Check.of(sent, kept, request.budget))

    def first(self) -> list[str]:
        """Have everybody make one request, and return who goes on to the race."""
        fit = []
        for name in self.runners:
            try:
                self.prepare(name, "first")
                start = time.perf_counter()
                self.run(name)
                took = time.perf_counter() - start
                self.close()
            except Exception as error:  # of a library that is not ours
                self.open = None
                if self.runners[name].distribution == OURS:
                    raise
                self.measured.notes.append(f"{name} failed and is left out: {type(error).__name__}: {error}")
                continue
            self.measured.first[name] = took
            if took > PATIENCE:
                self.measured.once[name] = took
            else:
                fit.append(name)
        return fit


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.request", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds of a short conversation; writes nothing")
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON")
    options = parser.parse_args()
    rounds, size = (2, MESSAGES // 10) if options.quick else (ROUNDS, MESSAGES)
    found = list(peers())
    ready = [peer for peer in found if isinstance(peer, Peer)]
    hard = cases()
    said = outcomes(ready, hard)
    console = Console(width=max(Console().width, 130))
    if problem := missing(SOURCE):
        console.print(cases_table(hard, said))
        console.print(f"nothing was measured and nothing written: {problem}")
        return 1
    measured = measure(ready, rounds, size)
    measured.notes[:0] = [peer for peer in found if isinstance(peer, str)]
    rows = rows_of(measured, ready)
    if options.json:
        print(json.dumps(as_json(measured, rows, hard, said)))
    else:
        show(console, measured, rows, hard, said)
    if not options.quick:
        keep(measured, rows, hard, said, ready)
    return 1 if any(row.met is False for row in rows) or not all(made.is_right for made in said["pycontext"]) else 0


def measure(ready: list[Peer], rounds: int, size: int) -> Measured:
    ours = [
        Cold(COLD),
        Cold("pycontext, cold, by evidence", "evidence"),
        Blocks("pycontext, cold, by blocks"),
        Again(AGAIN_SAME),
        Again("pycontext, one more and all again, read from JSON", is_read_anew=True),
        Live(LIVE_SET),
        Loop("pycontext, live, in a loop"),
        Floor(FLOORS[0]),
        Threaded(FLOORS[1]),
    ]
    held = Rounds([*ours, *ready], size)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("one request each", total=1)
        names = held.first()
        bar.advance(task)
        task = bar.add_task(f"{rounds} rounds", total=1)
        runners = {name: lambda _round, name=name: held.run(name) for name in names}
        times = race(runners, rounds, prepare=held.prepare)
        held.close()
        bar.advance(task)
    held.measured.notes.append(
        f"the first of all requests by {COLD}, of words most of which it had never counted, took "
        f"{number(held.measured.first[COLD] * 1e3)} ms, and the first encoding by {FLOORS[0]} "
        f"{number(held.measured.first[FLOORS[0]] * 1e3)} ms: once each, and not in the table"
    )
    held.measured.times = {name: [took / held.runners[name].steps for took in times[name]] for name in names}
    return held.measured


def rows_of(measured: Measured, ready: list[Peer]) -> list[Row]:
    """What is required, and what of it is there."""
    times = measured.times
    cold = times[COLD]
    floor = min(FLOORS, key=lambda name: Spread.of(times[name]).median)
    rows = [longer("cold", name, cold, times[name], at_most=0.5 if name == floor else None) for name in FLOORS]
    rows += compare(
        "one more and all again", {AGAIN_SAME: times[AGAIN_SAME], COLD: cold}, ours=AGAIN_SAME, at_least={COLD: 10}
    )
    rows += compare("live", {LIVE_SET: times[LIVE_SET], COLD: cold}, ours=LIVE_SET, at_least={COLD: 50})
    others = {name: times[name] for name in (peer.name for peer in ready) if name in times}
    others |= {f"{name}, once": [took] * len(cold) for name, took in measured.once.items()}
    return rows + compare("cold", {COLD: cold, **others}, ours=COLD, at_least=dict.fromkeys(others, 1))


def time_lines(measured: Measured) -> tuple[list[str], list[list[str]]]:
    headings = ["", "time", "its objects and back", "to cold", "of the budget", "what is wrong"]
    cold = measured.times[COLD]
    lines = []
    for name in [*measured.times, *measured.once]:
        checks = measured.checks.get(name, [])
        around = (
            "-"
            if name.startswith(("pycontext", "tiktoken"))
            else seconds(Spread.of(measured.around[name][-len(cold) :]))
        )
        if name in measured.once:
            shown, ratio = f"{number(measured.once[name])} s, once", measured.once[name] / Spread.of(cold).median
        else:
            shown = seconds(Spread.of(measured.times[name]))
            ratio = Spread.of([their / our for their, our in zip(measured.times[name], cold, strict=True)]).median
        used = f"{Spread.of([check.tokens / check.budget for check in checks]).median:.1%}" if checks else "-"
        lines.append([name, shown, around, f"{number(ratio)}x", used, faults(checks)])
    return headings, lines


def faults(checks: Iterable[Check]) -> str:
    """Each kind of fault, with in how many requests it was."""
    listed = list(checks)
    kinds = {
        "over": [check.tokens > check.budget for check in listed],
        "orphan results": [check.orphans > 0 for check in listed],
        "calls without result": [check.unanswered > 0 for check in listed],
        "system lost": [not check.has_system for check in listed],
        "user's request lost": [not check.has_user for check in listed],
    }
    return ", ".join(f"{kind} in {sum(had)} of {len(had)}" for kind, had in kinds.items() if any(had))


def case_lines(hard: list[Case], said: dict[str, list[Outcome]]) -> tuple[list[str], list[list[str]]]:
    headings = ["", *(case.heading for case in hard)]
    return headings, [[name, *(made.cell() for made in each)] for name, each in said.items()]


def table(title: str, headings: list[str], lines: list[list[str]]) -> Table:
    shown = Table(title=title, title_justify="left", show_lines=True)
    for heading in headings:
        shown.add_column(heading)
    for line in lines:
        shown.add_row(*line, style="bold" if line[0].startswith("pycontext") else "")
    return shown


def cases_table(hard: list[Case], said: dict[str, list[Outcome]]) -> Table:
    headings, lines = case_lines(hard, said)
    shown = table("conversations that break libraries: a budget, of all their tokens", headings, [])
    for line, made in zip(lines, said.values(), strict=True):
        colors = ["green" if each.is_right else "red" for each in made]
        shown.add_row(line[0], *(f"[{color}]{cell}[/]" for cell, color in zip(line[1:], colors, strict=True)))
    return shown


def show(
    console: Console, measured: Measured, rows: list[Row], hard: list[Case], said: dict[str, list[Outcome]]
) -> None:
    console.print(table("a request, medians (quartiles)", *time_lines(measured)))
    console.print(table_of(rows))
    console.print(cases_table(hard, said))
    for note in measured.notes:
        console.print(note, markup=False)


def as_json(measured: Measured, rows: list[Row], hard: list[Case], said: dict[str, list[Outcome]]) -> dict:
    listed = [{"name": case.name, "budget": case.budget, "tokens": request_tokens(case.messages)} for case in hard]
    return {
        **asdict(measured),
        "rows": [asdict(row) for row in rows],
        "cases": listed,
        "outcomes": {name: [asdict(made) for made in each] for name, each in said.items()},
    }


def keep(
    measured: Measured, rows: list[Row], hard: list[Case], said: dict[str, list[Outcome]], ready: list[Peer]
) -> None:
    spreads = {name: Spread.of(times) for name, times in measured.times.items()}
    spreads |= {name: Spread.of([took]) for name, took in measured.once.items()}
    draw(spreads, f"ms a request of {MESSAGES:,} messages", PLOT)
    low, high = min(measured.tokens), max(measured.tokens)
    rounds, processors = len(measured.times[COLD]), len(os.sched_getaffinity(0))
    parts = [
        INTRODUCTION,
        *machine(dict.fromkeys([OURS, "tiktoken", *(peer.distribution for peer in ready)])),
        f"- conversations of {low:,} to {high:,} tokens, {rounds} rounds, {processors} processors to use",
        *(f"- {note}" for note in measured.notes),
        "",
        markdown(*time_lines(measured)),
        "",
        "![ms a request by library](request.svg)",
        "",
        "What is required:",
        "",
        markdown_of(rows),
        "",
        CASES,
        markdown(*case_lines(hard, said)),
    ]
    PAGE.write_text("\n".join(parts) + "\n", encoding="utf-8")
    Console(stderr=True).print(f"kept in {PAGE.relative_to(ROOT)} and {PLOT.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
