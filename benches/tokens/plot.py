"""Bars: MB/s of every library on every corpus, unseen and warm."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from benches.frame import Spread

mpl.use("svg")
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pycontext", "font.size": 9})

# The same ones whatever libraries there are.
COLORS = {"pycontext": "C3", "gigatoken": "C0", "fastokens": "C2", "toktok-rs": "C4", "rs-bpe": "C1", "tiktoken": "C7"}


def draw(said: list[dict], target: Path) -> None:
    """Medians with quartiles as whiskers."""
    names = [name for name in COLORS if name in said[0]["versions"]]
    corpora = list(said[0]["speeds"])
    figure, both = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    for axes, kind in zip(both, ("unseen", "warm"), strict=True):
        for i, name in enumerate(names):
            spreads = [Spread.of([r["speeds"][corpus][kind][name] for r in said]) for corpus in corpora]
            width = 0.8 / len(names)
            places = [at - 0.4 + width * (i + 0.5) for at in range(len(corpora))]
            below = [spread.median - spread.low for spread in spreads]
            above = [spread.high - spread.median for spread in spreads]
            heights = [spread.median for spread in spreads]
            axes.bar(places, heights, width, yerr=[below, above], color=COLORS[name], label=name, error_kw={"lw": 0.7})
        axes.set_xticks(range(len(corpora)), corpora)
        axes.set_title(kind)
        axes.spines[["top", "right"]].set_visible(False)
    both[0].set_ylabel("MB/s, one thread")
    both[1].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    held = io.StringIO()
    figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    target.write_text("\n".join(line.rstrip() for line in held.getvalue().splitlines()) + "\n", encoding="utf-8")
