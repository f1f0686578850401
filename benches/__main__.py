"""Runs every benchmark, prints one table, and keeps it in benches/README.md with the machine that made it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benches.data import ROOT, missing
from benches.evaluation import framing
from benches.frame import Row, Spread
from benches.plot import prune_by_size
from benches.python import add_context, count, prune_command, prune_list

BENCHES = {
    "prune command": prune_command.run,
    "add_context": add_context.run,
    "prune a list": prune_list.run,
    "count": count.run,
}
PAGE = ROOT / "benches" / "README.md"
PLOT = ROOT / "benches" / "prune_list.svg"
README = ROOT / "README.md"
FRAMING = ROOT / "docs" / "framing.md"
HEADINGS = ["job", "ours", "other", "time of other", "ratio", "required"]


def main() -> int:
    rows: list[Row] = []
    notes: list[str] = []
    console = Console(width=max(Console().width, 130))
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True)
    ) as bar:
        for name, run in BENCHES.items():
            task = bar.add_task(name)
            found, said = run()
            rows += found
            notes += said
            bar.update(task, completed=1, total=1)
    table = Table(
        title="medians (quartiles); ratio: median (quartiles) of the rounds, other over ours", title_justify="left"
    )
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("job", "other", "required") else "right")
    for row in rows:
        style = {True: "green", False: "bold red", None: None}[row.met]
        table.add_row(*cells(row), style=style)
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)
    fits, problem = {}, missing("usage/gpt-4.1-mini.jsonl")
    if problem:
        console.print(f"framing: {problem}")
    else:
        fits = framing.fit()
        console.print(framing_table(fits))
    prune_by_size(rows, PLOT)
    PAGE.write_text(page(rows, notes, fits), encoding="utf-8")
    if fits:
        table = markdown(FRAMING_HEADINGS, framing_cells(fits))
        FRAMING.write_text(between_marks(FRAMING.read_text(encoding="utf-8"), table), encoding="utf-8")
    README.write_text(between_marks(README.read_text(encoding="utf-8"), short_table(rows)), encoding="utf-8")
    console.print(f"kept in {', '.join(str(path.relative_to(ROOT)) for path in (PAGE, PLOT, README, FRAMING))}")
    failed = any(row.met is False for row in rows)
    return 1 if failed else 0


def cells(row: Row) -> list[str]:
    verdict = {True: ", met", False: ", MISSED", None: ""}[row.met]
    return [
        row.job,
        seconds(row.ours),
        row.other,
        seconds(row.theirs),
        f"{row.ratio.median:.2f}x ({row.ratio.low:.2f}-{row.ratio.high:.2f})",
        row.required + verdict,
    ]


def seconds(spread: Spread) -> str:
    units = (("s", 1), ("ms", 1e3), ("µs", 1e6))
    unit, scale = next((pair for pair in units if spread.median * pair[1] >= 1), units[-1])
    return f"{spread.median * scale:.3g} {unit} ({spread.low * scale:.3g}-{spread.high * scale:.3g})"


FRAMING_HEADINGS = ["steps that add", "steps", "recorded tokens", "ours", "exact", "undercounted", "over"]


def framing_cells(fits: dict[str, framing.Fit]) -> list[list[str]]:
    return [
        [
            kind,
            str(fit.steps),
            f"{fit.recorded:,}",
            f"{fit.ours:,}",
            str(fit.exact),
            str(fit.under),
            f"{fit.ours / fit.recorded - 1:.2%}",
        ]
        for kind, fit in fits.items()
    ]


def framing_table(fits: dict[str, framing.Fit]) -> Table:
    table = Table(title="the framing model on recorded usage", title_justify="left")
    for heading in FRAMING_HEADINGS:
        table.add_column(heading, justify="left" if heading == FRAMING_HEADINGS[0] else "right")
    for line in framing_cells(fits):
        table.add_row(*line)
    return table


def page(rows: list[Row], notes: list[str], fits: dict[str, framing.Fit]) -> str:
    parts = [
        "# Benchmarks",
        "",
        "Written by `make bench`, never by hand. Times are medians with quartiles in parentheses; all runners of a",
        "job take turns in one process or, for commands, as whole processes; the ratio is the median of the rounds'",
        "own ratios. Both sides are checked for the same result, or for what they keep of it, before they are timed.",
        "",
        *machine(),
        "",
        markdown(HEADINGS, [cells(row) for row in rows]),
        "",
        "`same contract` is plain Python that keeps units, pins, duplicates and reasons, and gives the same result;",
        "`minimal` only fits the budget; `article` is the algorithm of the article, flaws included.",
        "",
        "![time of a prune against the number of blocks](prune_list.svg)",
        "",
        "What the outputs of the prune commands kept:",
        "",
        *[f"- {note.removeprefix('prune command, ')}" for note in notes],
    ]
    if fits:
        parts += ["", "How well the framing model fits recorded usage is in [docs/framing.md](../docs/framing.md)."]
    return "\n".join(parts) + "\n"


def short_table(rows: list[Row]) -> str:
    """The rows that have a requirement, and one of each other job."""
    shown = [row for row in rows if row.required or row.other in ("same contract", "tiktoken")]
    return markdown(HEADINGS[:5], [cells(row)[:5] for row in shown])


def between_marks(text: str, table: str) -> str:
    """The page with the table between its two marks."""
    start, end = "<!-- written by `make bench` -->", "<!-- end -->"
    before, found, rest = text.partition(start)
    if not found or end not in rest:
        raise SystemExit(f"a page has lost its marks {start} and {end}")
    return f"{before}{start}\n\n{table}\n\n{end}{rest.partition(end)[2]}"


def markdown(headings: list[str], lines: list[list[str]]) -> str:
    table = [headings, ["---"] * len(headings), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def machine() -> list[str]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=False).stdout.split()
    return [
        f"- {datetime.now(UTC):%Y-%m-%d}, commit {git.stdout.strip() or 'unknown'}",
        f"- {model}, {os.cpu_count()} cores, {platform.system()}, CPython {platform.python_version()}, rustc {rust[1]}",
        f"- numpy {version('numpy')}, tiktoken {version('tiktoken')}, langchain-core {version('langchain-core')}",
    ]


if __name__ == "__main__":
    sys.exit(main())
