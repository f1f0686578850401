"""A report as tables with words between them, for terminals and pages alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pycontext.cache import Cache
from pycontext.evaluation.bootstrap import Interval
from pycontext.evaluation.contender import Role
from pycontext.evaluation.report import CAVEATS, Report
from pycontext.evaluation.trial import Trial
from pycontext.evaluation.verdict import NARROWEST, duels, headroom, leads, mean_headroom
from pycontext.prices import AS_OF, PRICES

__all__ = ["Section", "markdown", "sections"]


@dataclass(frozen=True, slots=True)
class Section:
    """A table, and what to know about it.

    Attributes:
        title: of the table.
        headings: of its columns; the first is of names, the others of numbers.
        rows: their cells.
        note: below the table.
        marks: of each row: "good", "bad", "ours" or nothing; none where rows are alike.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    marks: Sequence[str] = ()


def sections(report: Report) -> list[Section]:
    """Return what a report says, in order."""
    found = [Section("Setting", ["", ""], [list(pair) for pair in report.setting])]
    found += [*_verdicts(report.trials), _gates(report), *_relays(report)]
    for trial in report.trials:
        found += [_recall(trial), _useful(trial)]
    found += _spendings(report) + _timings(report)
    if report.absent:
        found.append(Section("Who took no part", [""], [[line] for line in report.absent]))
    found.append(Section("What the numbers do not show", [""], [[line] for line in CAVEATS]))
    return found


def markdown(report: Report) -> str:
    """Return a report as Markdown."""
    parts = []
    for section in sections(report):
        parts.append(f"## {section.title}\n")
        if section.headings == [""]:
            parts.append("\n".join(f"- {row[0]}" for row in section.rows) + "\n")
        else:
            lines = [section.headings, ["---"] + ["---:"] * (len(section.headings) - 1), *section.rows]
            parts.append("\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines) + "\n")
        if section.note:
            parts.append(section.note + "\n")
    return "\n".join(parts)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _of(trial: Trial, what: str) -> str:
    return f"{trial.name}: {what}, {trial.questions} questions"


def _marks(trial: Trial) -> list[str]:
    return ["ours" if role.rivals else "" for role in trial.roles.values()]


def _recall(trial: Trial) -> Section:
    rows = [
        [name, *(_percent(trial.resampling.mean(trial.recall(name, budget))) for budget in trial.budgets)]
        for name in trial.roles
    ]
    note = (
        f"Part of the questions whose evidence is all kept, with 95 % intervals; {trial.clusters} {trial.cluster} are "
        f"drawn again. sha256 {trial.sha256[:16]}."
    )
    refused = sum(trial.refused(name, budget) for name in trial.of_role(Role.OURS) for budget in trial.budgets)
    if refused:
        note += (
            f" In {refused} questions times budgets what must stay did not fit, for all alike: these count as missed."
        )
    title = _of(trial, "full-evidence recall in %")
    return Section(title, ["at tokens", *(f"{budget:,}" for budget in trial.budgets)], rows, note, _marks(trial))


def _useful(trial: Trial) -> Section:
    rows = []
    for name in trial.roles:
        closed = [headroom(trial, name, budget) for budget in trial.budgets]
        cells = (
            f"{trial.useful(name, budget):.0%}, {'-' if one is None else f'{one.value:.0%}'}"
            for budget, one in zip(trial.budgets, closed, strict=True)
        )
        rows.append([name, *cells])
    note = (
        "Of the tokens that are kept those in evidence; of what the oracle gains over the newest first the part that "
        f"is gained, where that is {NARROWEST:.0%} of the questions at least."
    )
    title = _of(trial, "useful tokens and headroom closed")
    return Section(title, ["at tokens", *(f"{budget:,}" for budget in trial.budgets)], rows, note, _marks(trial))


def _verdicts(trials: Sequence[Trial]) -> Iterator[Section]:
    if found := duels(trials):
        several = len({one.ours for one in found}) > 1
        rows = [
            [
                f"{one.trial} at {one.budget:,}" + (f", {one.ours}" if several else ""),
                one.rival,
                f"{one.recall[0]:.1%}",
                f"{one.recall[1]:.1%}",
                _points(one.difference),
                "met" if one.is_met else "MISSED",
            ]
            for one in found
        ]
        met = sum(one.is_met for one in found)
        yield Section(
            "Ours against the best single scorer of each set and budget",
            ["", "best single scorer", "ours", "its recall", "difference in points", "at most 2 below"],
            rows,
            f"{met} of {len(found)} met. Paired by question. The best is picked with hindsight, which favours it.",
            ["good" if one.is_met else "bad" for one in found],
        )
    if lead := leads(trials):
        rows = [
            [
                f"{one.ours} over {one.rival}",
                f"{one.headroom[0]:.0%}",
                f"{one.headroom[1]:.0%}",
                _points(one.difference),
                "met" if one.is_met else "MISSED",
            ]
            for one in lead
        ]
        others = [
            name for name in trials[0].roles if name not in {one.rival for one in lead} | {one.ours for one in lead}
        ]
        means = ((name, mean_headroom(trials, name)) for name in others)
        rest = ", ".join(f"{name} {mean.value:.0%}" for name, mean in means if mean is not None)
        yield Section(
            "Mean headroom closed",
            ["", "ours", "the other's", "difference in points", "above, zero excluded"],
            rows,
            f"Over the {lead[0].cells} sets and budgets where there is headroom. Others: {rest}.",
            ["good" if one.is_met else "bad" for one in lead],
        )


def _gates(report: Report) -> Section:
    gates = {gate for trial in report.trials for gate in trial.broken()}
    choices = sum(len(found) for trial in report.trials for found in trial.judgements.values())
    rows = [[str(gate), str(sum(trial.broken()[gate] for trial in report.trials))] for gate in sorted(gates)]
    note = (
        "Of all contenders: no call without its results and no result without its call, order kept, the last user turn "
        "kept, never over the budget, and ours says as many tokens as are counted in the messages."
    )
    rows = rows or [["broken promises", "0"]]
    marks = ["bad" if gates else "good"] * len(rows)
    return Section("Gates", ["", f"of {choices:,} looks"], rows, note, marks)


def _relays(report: Report) -> list[Section]:
    rows, marks = [], []
    for name, relays in report.relays.items():
        for one in relays:
            counts = (one.questions, one.before, one.after, one.changed, one.rendered)
            rows.append([f"{name} at {one.budget:,}", *(str(count) for count in counts)])
            marks.append("good" if one.is_whole else "bad")
    if not rows:
        return []
    headings = ["", "handoffs", "all evidence, sent", "all evidence, received", "blocks changed", "messages changed"]
    note = (
        "Pruned by `handoff`, made bytes, read, stored in a file of SQLite, and loaded and rendered by a second "
        "process. Blocks are compared bit by bit, messages with those that the sender would have sent a model."
    )
    return [Section("Handoff through a second process", headings, rows, note, marks)]


def _spendings(report: Report) -> list[Section]:
    headings = ["", "requests", "prompt tokens", "same beginning", "cost", "values held"]
    headings += [f"{price.model}{cache}" for price in PRICES.values() for cache in ("", ", cached")]
    note = (
        f"Every request before a message of the assistant; a budget is a quarter of what the session has in the end "
        f"beside its system messages. Same beginning: part of the bytes of all requests that is the beginning of the "
        f"request before, system messages included. Cost: a request, in fresh prompt tokens, a cached one at "
        f"{Cache().read:g} and a new one at {Cache().write:g}. Values held: calls that change something whose values, "
        f"as far as they were said before, are all in the request. US dollars at list prices of {AS_OF} (`prices.py`)."
    )
    found = []
    for name, spendings in report.spendings.items():
        rows = []
        for one in spendings:
            dollars = [one.dollars(price, cache=cache) for price in PRICES.values() for cache in (False, True)]
            refused = f", {one.refused} sent whole" if one.refused else ""
            cells = [f"{one.requests:,}{refused}", f"{one.tokens:,}", f"{one.prefix:.1%}"]
            recall = "-" if one.recall is None else f"{one.recall:.1%} of {one.calls}"
            cells += [f"{one.cost(Cache().read, Cache().write) / one.requests:,.0f}" if one.requests else "-", recall]
            rows.append([one.name, *cells, *(f"{value:.2f}" for value in dollars)])
        found.append(Section(f"Cost of {name}", headings, rows, note))
    return found


def _timings(report: Report) -> list[Section]:
    if not report.timings:
        return []
    rows = [
        [f"{one.kind}, {one.state}", f"{one.blocks:,}", str(one.rounds), f"{one.p50_ms:.3g}", f"{one.p95_ms:.3g}"]
        for one in report.timings
    ]
    note = "To 4,000 tokens, another query each time. From a list all blocks are counted and indexed anew."
    return [Section("Latency of a prune", ["", "blocks", "rounds", "p50, ms", "p95, ms"], rows, note)]


def _percent(found: Interval) -> str:
    return f"{100 * found.value:.1f} [{100 * found.low:.0f},{100 * found.high:.0f}]"


def _points(found: Interval) -> str:
    return f"{100 * found.value:+.1f} [{100 * found.low:+.1f},{100 * found.high:+.1f}]"
