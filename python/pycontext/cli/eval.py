"""`pycontext eval`: does what an answer needs survive?"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pycontext.cli.console import Report as Teller
from pycontext.cli.console import counted
from pycontext.cli.exits import Exit
from pycontext.cli.options import whole
from pycontext.errors import ContextError
from pycontext.evaluation.contender import Role
from pycontext.evaluation.dataset import read_dataset
from pycontext.evaluation.embedder import load
from pycontext.evaluation.field import field_of
from pycontext.evaluation.ours import Ours
from pycontext.evaluation.plots import draw
from pycontext.evaluation.relay import run_relay
from pycontext.evaluation.report import Report, setting_of
from pycontext.evaluation.sections import markdown, sections
from pycontext.evaluation.tally import Tally
from pycontext.evaluation.trial import BUDGETS, RESAMPLES, run_trial

if TYPE_CHECKING:
    from pycontext.evaluation.sections import Section

__all__ = ["add_parser", "run", "shown"]

_STYLES = {"good": "green", "bad": "bold red", "ours": "bold", "": None}


class MissingExtraError(ContextError):
    """What an option needs is not installed."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "eval",
        help="measure what survives, on labelled evidence",
        description="Prune the contexts of a JSON file to several budgets, with pycontext and with plain baselines, "
        "and say for how many questions all blocks survive that an answer needs. Every choice is checked: calls with "
        "their results, order, the last user turn, the budget. Each context is handed over to a second process as "
        "well. No model is asked anything.",
    )
    parser.add_argument("dataset", metavar="DATASET.json", help="labelled evidence, see docs/evaluation.md")
    parser.add_argument(
        "--budget",
        type=whole(1),
        action="append",
        metavar="N",
        help=f"tokens of a request, may come again ({', '.join(map(str, BUDGETS))})",
    )
    parser.add_argument(
        "--policy", action="append", default=[], metavar="NAME", help="show this policy as well, may come again"
    )
    parser.add_argument("--embed", action="store_true", help="with an embedding model too (the extra embeddings)")
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of all that is drawn (0)")
    parser.add_argument(
        "--resamples", type=whole(1), default=RESAMPLES, metavar="N", help=f"for the intervals ({RESAMPLES})"
    )
    parser.add_argument("-o", "--output", metavar="REPORT.md", help="write the report as Markdown as well")
    parser.add_argument("--plots", metavar="DIR", help="draw pictures there (the extra plots)")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    try:
        report = _evaluate(args)
        if args.plots:
            draw(report, args.plots)
    except ImportError as error:
        raise MissingExtraError(str(error)) from None
    if args.output:
        title = f"# Evaluation of {os.path.basename(args.dataset)}\n\n"  # noqa: PTH119  # as it was given
        Path(args.output).write_text(title + markdown(report), encoding="utf-8")
    if args.json:
        sys.stdout.write(json.dumps(report.to_dict(), allow_nan=False) + "\n")
    else:
        console = Console()
        for section in sections(report):
            for part in shown(section):
                console.print(part)
    if not report.is_whole:
        Teller(as_json=args.json).event("a promise was broken, see the gates", {"event": "broken_promise"})
        return Exit.FAILED
    return Exit.DONE


def _evaluate(args: argparse.Namespace) -> Report:
    dataset, tally = read_dataset(args.dataset), Tally()
    scorer = load() if args.embed else None
    field = field_of(policies=args.policy, scorer=scorer, seed=args.seed)
    budgets = args.budget or BUDGETS
    with counted("choosing", len(dataset.questions), hidden=args.json) as advance:
        trial = run_trial(
            dataset,
            field.contenders,
            tally=tally,
            budgets=budgets,
            seed=args.seed,
            resamples=args.resamples,
            on_question=advance,
        )
    (ours,) = (one for one in field.contenders if isinstance(one, Ours) and one.role is Role.OURS)
    with counted("handing over", len(dataset.questions), hidden=args.json) as advance:
        relays = run_relay(dataset, ours, tally=tally, budgets=trial.budgets, on_question=advance)
    setting = setting_of(tally, seed=args.seed, resamples=args.resamples)
    return Report(setting, [trial], {trial.name: relays}, absent=field.absent)


def shown(section: Section) -> Iterator[Table | Text]:
    """A section for a terminal; names of sets are text, not markup."""
    table = Table(title=Text(section.title), title_justify="left", show_header=any(section.headings))
    for number, heading in enumerate(section.headings):
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    for number, row in enumerate(section.rows):
        mark = section.marks[number] if section.marks else ""
        table.add_row(*map(Text, row), style=_STYLES[mark])
    yield table
    yield Text(section.note + "\n")
