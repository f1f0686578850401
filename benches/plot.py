"""The pictures beside the tables: times against the number of blocks, with quartiles."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

from benches.frame import Row, Spread

# The same ones whatever rows there are.
COLORS = {
    "pycontext, BlockSet": "C3",
    "pycontext, list": "C1",
    "same contract": "C0",
    "same contract, plain objects": "C9",
    "minimal": "C2",
    "article": "C7",
    "pycontext": "C3",
    "PING": "C0",
    "NumPy": "C4",
}

mpl.use("svg")
# Text as text, and no random ids: the same numbers give the same file.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pycontext", "font.size": 9})


def prune_by_size(rows: list[Row], target: Path) -> None:
    """Draw the rows of `prune a list of N blocks` and those of a `BlockSet`."""
    lines: defaultdict[str, dict[int, Spread]] = defaultdict(dict)
    for row in rows:
        if found := re.fullmatch(r"prune a (list|BlockSet) of ([\d,]+) blocks", row.job):
            size = int(found[2].replace(",", ""))
            lines[f"pycontext, {found[1]}"][size] = row.ours
            lines[row.other][size] = row.theirs
    draw(lines, "blocks, token counts given", "µs a prune", target)


def append_by_size(rows: list[Row], target: Path) -> None:
    """Draw the rows of `append to N blocks`."""
    lines: defaultdict[str, dict[int, Spread]] = defaultdict(dict)
    for row in rows:
        if found := re.fullmatch(r"append to ([\d,]+) blocks", row.job):
            size = int(found[1].replace(",", ""))
            lines["pycontext"][size] = row.ours
            lines[row.other][size] = row.theirs
    draw(lines, "blocks of the session", "µs an append", target)


def draw(lines: Mapping[str, Mapping[int, Spread]], across: str, up: str, target: Path) -> None:
    """Draw medians with their quartiles, by size."""
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the backend is chosen

    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for name, points in lines.items():
        sizes = sorted(points)
        medians = [points[size].median * 1e6 for size in sizes]
        low = [(points[size].median - points[size].low) * 1e6 for size in sizes]
        high = [(points[size].high - points[size].median) * 1e6 for size in sizes]
        is_ours = name.startswith("pycontext")
        axes.errorbar(
            sizes, medians, [low, high], label=name, marker="o", markersize=4, capsize=2,
            linewidth=2 if is_ours else 1, color=COLORS.get(name),
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    figure.savefig(target, format="svg", metadata={"Date": None})
    plt.close(figure)
