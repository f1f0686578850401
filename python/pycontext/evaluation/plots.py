"""A report as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pycontext.evaluation.contender import Role
from pycontext.evaluation.report import Report
from pycontext.evaluation.trial import Trial
from pycontext.evaluation.verdict import headroom
from pycontext.prices import PRICES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

# Text as text, and no random ids: the same numbers give the same file.
_STYLE: Final[Any] = {"svg.fonttype": "none", "svg.hashsalt": "pycontext", "font.size": 9}
_INCHES: Final = (3.6, 3.4)
_MOST_A_ROW: Final = 4
_REQUESTS: Final = 1_000
# Without those of ours and without grey.
_COLORS: Final = ("C0", "C2", "C4", "C5", "C6", "C8", "C9")


def draw(report: Report, folder: str | PathLike[str]) -> list[Path]:
    """Draw recall against the budget, headroom closed, and cost against recall, one picture each.

    Args:
        report: with one set at least.
        folder: where the pictures go; it is made if it is not there.

    Returns:
        The files, in SVG.

    Raises:
        OSError: a picture cannot be written.
        ImportError: the extra `plots` is not installed.
    """
    try:
        from matplotlib import rc_context  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'pycontext-layer[plots]'") from error

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    files = []
    with rc_context(_STYLE):
        for name, panel in (("recall", _recall), ("headroom", _headroom), ("cost", _cost)):
            figure = _figure(report.trials, panel)
            files.append(target / f"{name}.svg")
            figure.savefig(files[-1], format="svg", metadata={"Date": None})
    return files


def _figure(trials: Sequence[Trial], panel: Any) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415

    columns = min(len(trials), _MOST_A_ROW)
    rows = -(-len(trials) // columns)
    figure = Figure(figsize=(_INCHES[0] * columns, _INCHES[1] * rows + 0.7), layout="constrained")
    for axes, trial in zip(figure.subplots(rows, columns, squeeze=False).flat, trials, strict=False):
        panel(axes, trial)
        axes.set_title(trial.name)
        axes.grid(visible=True, alpha=0.3)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5)
    return figure


def _styles(trial: Trial) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each contender with how it is drawn: ours thick, floor and ceiling grey."""
    others = 0
    for name, role in trial.roles.items():
        if role in (Role.FLOOR, Role.CEILING):
            style: dict[str, Any] = {"color": "0.6", "linestyle": ":" if role is Role.FLOOR else "--", "linewidth": 1}
        elif role.rivals:
            style = {"color": "C3" if role is Role.OURS else "C1", "linewidth": 2.2, "zorder": 3}
        else:
            style = {"color": _COLORS[others % len(_COLORS)], "linewidth": 1}
            others += 1
        yield name, {"label": name, "marker": "o", "markersize": 3, **style}


def _recall(axes: Axes, trial: Trial) -> None:
    for name, style in _styles(trial):
        found = [trial.resampling.mean(trial.recall(name, budget)) for budget in trial.budgets]
        axes.plot(trial.budgets, [100 * one.value for one in found], **style)
        if trial.roles[name].rivals:
            low, high = (
                [100 * value for value in values] for values in zip(*((o.low, o.high) for o in found), strict=True)
            )
            axes.fill_between(trial.budgets, low, high, color=style["color"], alpha=0.15, linewidth=0)
    axes.set(xlabel="tokens of the request", ylabel="full-evidence recall, %", ylim=(-3, 103))
    _log(axes, trial)


def _headroom(axes: Axes, trial: Trial) -> None:
    for name, style in _styles(trial):
        pairs = [(budget, headroom(trial, name, budget)) for budget in trial.budgets]
        known = [(budget, 100 * one.value) for budget, one in pairs if one is not None]
        axes.plot([budget for budget, _ in known], [value for _, value in known], **style)
    axes.set(xlabel="tokens of the request", ylabel="headroom closed, %")
    _log(axes, trial)


def _cost(axes: Axes, trial: Trial) -> None:
    price = next(iter(PRICES.values()))
    for name, style in _styles(trial):
        dollars = [trial.tokens(name, budget) * price.fresh / 1e6 * _REQUESTS for budget in trial.budgets]
        recalls = [100 * float(trial.recall(name, budget).mean()) for budget in trial.budgets]
        axes.plot(recalls, dollars, **style)
    label = f"US$ for {_REQUESTS:,} prompts\n{price.model}, no cache"
    axes.set(xlabel="full-evidence recall, %", ylabel=label, xlim=(-3, 103), yscale="log")


def _log(axes: Axes, trial: Trial) -> None:
    axes.set_xscale("log")
    axes.set_xticks(trial.budgets, [f"{budget:,}" for budget in trial.budgets])
    axes.minorticks_off()
