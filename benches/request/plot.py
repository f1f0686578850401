"""Bars: the time of every way to make the request, on a scale of powers of ten."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from benches.frame import Spread

mpl.use("svg")
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pycontext", "font.size": 9})


def draw(spreads: Mapping[str, Spread], across: str, target: Path) -> None:
    """Medians with quartiles as whiskers, the first on top."""
    names = list(spreads)
    colors = [{"pycontext": "C3", "tiktoken": "C7"}.get(name.partition(",")[0], "C0") for name in names]
    medians = [spread.median * 1e3 for spread in spreads.values()]
    below = [(spread.median - spread.low) * 1e3 for spread in spreads.values()]
    above = [(spread.high - spread.median) * 1e3 for spread in spreads.values()]
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(names) + 0.8), layout="constrained")
    axes.barh(names, medians, xerr=[below, above], color=colors, error_kw={"lw": 0.7})
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel=across)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="x", which="major", alpha=0.3)
    axes.set_axisbelow(True)
    held = io.StringIO()
    figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    target.write_text("\n".join(line.rstrip() for line in held.getvalue().splitlines()) + "\n", encoding="utf-8")
