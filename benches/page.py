"""Rows as tables for the terminal and for the pages that show measurements, with the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.table import Table

from benches.data import ROOT
from benches.frame import Row, Spread

HEADINGS = ["job", "ours", "other", "time of other", "ratio", "required"]


def table_of(rows: Iterable[Row]) -> Table:
    """What the terminal shows: green where a requirement is met, red where it is missed."""
    table = Table(title="medians (quartiles)", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("job", "other", "required") else "right")
    for row in rows:
        table.add_row(*cells(row), style={True: "green", False: "bold red", None: None}[row.met])
    return table


def cells(row: Row) -> list[str]:
    verdict = {True: ", met", False: ", MISSED", None: ""}[row.met]
    return [
        row.job,
        seconds(row.ours),
        row.other,
        seconds(row.theirs),
        f"{row.ratio.median:.2f}x {row.says} ({row.ratio.low:.2f}-{row.ratio.high:.2f})",
        row.required + verdict,
    ]


def seconds(spread: Spread) -> str:
    units = (("s", 1), ("ms", 1e3), ("µs", 1e6))
    unit, scale = next((pair for pair in units if spread.median * pair[1] >= 1), units[-1])
    median, low, high = (number(value * scale) for value in (spread.median, spread.low, spread.high))
    return f"{median} {unit} ({low}-{high})"


def number(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def markdown_of(rows: Iterable[Row]) -> str:
    return markdown(HEADINGS, [cells(row) for row in rows])


def markdown(headings: list[str], lines: list[list[str]]) -> str:
    table = [headings, ["---"] * len(headings), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def machine(peers: Iterable[str]) -> list[str]:
    models = [line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if "model name" in line]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=False).stdout.split()
    return [
        f"- {datetime.now(UTC):%Y-%m-%d}, commit {git.stdout.strip() or 'unknown'}",
        f"- {model}, {os.cpu_count()} cores, {platform.system()}, CPython {platform.python_version()}, rustc {rust[1]}",
        "- " + ", ".join(f"{name} {version(name)}" for name in peers),
    ]
