"""`pycontext batch`: conversations by the million, cut to a budget by all cores."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycontext.batch.part import Problem
from pycontext.batch.report import html_report
from pycontext.batch.run import prune_files
from pycontext.budget import Budget
from pycontext.cli.console import Report, transferred
from pycontext.cli.exits import Exit
from pycontext.cli.options import add_input_options, fraction, whole
from pycontext.selection import WORDS, Reason

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["add_parser", "run"]

# What is told one by one; the rest is in the reject file and in the summary.
_MOST_TOLD = 20


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "batch",
        help="cut files of any size to a budget, by all cores",
        description="Cut each conversation of JSON lines (plain, .gz or .zst), Parquet or Arrow files to a budget of "
        'tokens. A line is {"id": ..., "messages": [OpenAI chat messages]}, a row has them in a column. What stays of '
        "a line is copied byte for byte. The memory does not depend on the size of the files. A run that was ended, "
        "however, goes on where it was when the same command is given again. The output appears whole at the end.",
    )
    parser.add_argument(
        "input", metavar="IN", nargs="+", help="files to read one after the other, - for standard input"
    )
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="file to write")
    parser.add_argument("--budget", type=whole(1), required=True, metavar="N", help="tokens a request may hold")
    parser.add_argument(
        "--policy",
        metavar="NAME",
        help="what is kept first: evidence (default with a query), relevance (default without), recent, window",
    )
    parser.add_argument(
        "--query", metavar="TEXT", help="what the model is asked; last-user for the last message of the user of each"
    )
    parser.add_argument(
        "--reserve-output", type=whole(0), default=0, metavar="N", help="tokens left free for the answer"
    )
    parser.add_argument(
        "--on-overflow",
        choices=("drop", "keep"),
        default="drop",
        help="leave out a conversation that cannot fit (default), or write it whole",
    )
    parser.add_argument(
        "--near-duplicates",
        type=fraction,
        metavar="SHARE",
        help="of conversations of which so large a part is the same, 0.5 to 1, keep the first",
    )
    parser.add_argument("--threads", type=whole(1), metavar="N", help="threads that work; one a core unless given")
    parser.add_argument("--column", default="messages", metavar="NAME", help="column of the conversations, of rows")
    parser.add_argument(
        "--rejects", metavar="FILE", help="where lines go that are not written; OUT.rejects.jsonl unless given"
    )
    parser.add_argument("--restart", action="store_true", help="begin anew what was begun")
    parser.add_argument("--report", metavar="OUT.html", help="write a page of what came out")
    add_input_options(parser, json_help="summary as JSON on standard output, problems as JSON lines")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    report = Report(as_json=args.json, summary_to=sys.stdout)
    told = 0

    def tell(file: str, line: int, problem: Problem) -> None:
        nonlocal told
        told += 1
        if told > _MOST_TOLD:
            return
        kind = "bad_line" if problem.needed is None else "could_not_fit"
        named = "" if problem.id is None else f"conversation {problem.id!r:.80}: "
        values = {"event": kind, "file": file, "line": line, "id": problem.id, "reason": problem.reason}
        report.event(f"{file}:{line}: {named}{problem.reason}", values)
        if told == _MOST_TOLD:
            report.event("further problems are not told one by one", {"event": "more_problems"})

    size = sum(Path(path).stat().st_size for path in args.input if path != "-")
    with transferred("pruning", size or None, hidden=args.json) as advance:
        summary = prune_files(
            args.input,
            args.output,
            Budget(args.budget, reserve_output=args.reserve_output),
            policy=args.policy,
            query=args.query,
            counter=args.encoding,
            on_overflow=args.on_overflow,
            threads=args.threads,
            column=args.column,
            skip_bad=args.skip_bad,
            rejects=args.rejects,
            restart=args.restart,
            near_duplicates=args.near_duplicates,
            on_bytes=advance,
            on_problem=tell,
        )
    if args.report:
        _write_whole(Path(args.report), html_report(summary))
    report.summary(lambda: _tables(summary), summary)
    return Exit.PARTLY if summary["could_not_fit"] or summary["bad_lines"] else Exit.DONE


def _write_whole(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}.part")
    fresh.write_text(text, encoding="utf-8", errors="backslashreplace")
    fresh.replace(path)


def _tables(summary: dict[str, Any]) -> Iterator[Table]:
    from rich.table import Table  # noqa: PLC0415  # only people need it

    table = Table(title=f"Pruned to {summary['available']:,} tokens", title_justify="left")
    table.add_column("")
    for heading in ("before", "after", "saved"):
        table.add_column(heading, justify="right")

    def row(name: str, before: int, after: int) -> None:
        table.add_row(name, f"{before:,}", f"{after:,}", f"{1 - after / before:.0%}" if before else "-")

    row("conversations", summary["conversations"], summary["written"])
    row("messages", summary["messages_before"], summary["messages_after"])
    row("tokens", summary["tokens_before"], summary["tokens_after"])
    row("bytes", summary["bytes_read"], summary["bytes_written"])
    table.add_section()
    for name, sums in summary["by_type"].items():
        row(f"{name} tokens", sums["tokens_before"], sums["tokens_after"])
    problems = {
        "untouched": ("untouched", ""),
        "near duplicates": ("near_duplicates", "yellow"),
        "could not fit": ("could_not_fit", "red"),
        "bad lines": ("bad_lines", "red"),
        "with estimated tokens": ("estimated", "red"),
    }
    table.add_section()
    for name, (key, style) in problems.items():
        if summary[key]:
            table.add_row(name, f"{summary[key]:,}", "", "", style=style)
    seconds = max(summary["seconds"], 1e-9)
    rates = (summary["bytes_read"] / seconds / 1e6, summary["tokens_before"] / seconds / 1e6)
    table.caption = f"{summary['seconds']:.1f} s, {rates[0]:.0f} MB and {rates[1]:.1f} million tokens a second"
    yield table
    if summary["fell"]:
        fell = Table(title="What fell and why", title_justify="left")
        fell.add_column("")
        fell.add_column("messages", justify="right")
        fell.add_column("tokens", justify="right")
        for reason, sums in sorted(summary["fell"].items(), key=lambda item: -item[1]["tokens"]):
            fell.add_row(WORDS[Reason(reason)], f"{sums['messages']:,}", f"{sums['tokens']:,}", style="yellow")
        yield fell
