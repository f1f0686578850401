"""`pycontext inspect`: what conversations are made of."""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from pycontext.block import ContextType
from pycontext.cli.console import Report, progress
from pycontext.cli.conversations import BadLineError, Conversation, open_input, read
from pycontext.cli.exits import Exit
from pycontext.counter import get_counter
from pycontext.policy import Policy
from pycontext.selection import Reason

__all__ = ["add_parser", "run"]

# Nothing is too much and nothing is a duplicate: what falls is broken.
_ALL = Policy("all", duplicates="keep")
_ANY_BUDGET = 2**53


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "inspect",
        help="show what conversations are made of",
        description="Show messages and tokens of the conversations of a JSON lines file: totals by type, broken tool "
        "exchanges, and the largest conversations. Tokens are those of the chat request, framing included.",
    )
    parser.add_argument("input", metavar="IN.jsonl", help="file to read, - for standard input")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="how many of the largest to list (10)")
    parser.add_argument("--skip-bad", action="store_true", help="go on after a bad line and report how many")
    parser.add_argument("--encoding", default="o200k_base", metavar="NAME", help="o200k_base (default) or cl100k_base")
    parser.add_argument("--json", action="store_true", help="one JSON object a conversation instead of tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    counter = get_counter(args.encoding)
    report = Report(as_json=args.json)
    totals: Counter[str] = Counter()
    types: Counter[str] = Counter()
    largest: list[tuple[int, int, dict[str, Any]]] = []
    bad_lines = 0

    def on_bad(bad: BadLineError) -> None:
        nonlocal bad_lines
        bad_lines += 1
        report.event(str(bad), {"event": "bad_line", "error": str(bad)})

    with open_input(args.input) as stream, progress(stream, "reading", hidden=args.json) as advance:
        conversations = read(
            stream,
            args.input,
            counter=counter,
            on_bad=on_bad if args.skip_bad else None,
            on_bytes=advance,
        )
        for conversation in conversations:
            facts = _facts(conversation)
            if args.json:
                sys.stdout.write(json.dumps(facts) + "\n")
                continue
            totals["conversations"] += 1
            totals.update({key: value for key, value in facts.items() if isinstance(value, int)})
            types.update(facts["content_tokens"])
            entry = (facts["tokens"], -conversation.line, facts)
            if len(largest) < args.top:
                heapq.heappush(largest, entry)
            elif largest:
                heapq.heappushpop(largest, entry)
    if not args.json:
        console = Console()
        console.print(_totals_table(args.input, totals, types))
        if largest:
            console.print(_largest_table(largest))
    return Exit.PARTLY if bad_lines else Exit.DONE


def _facts(conversation: Conversation) -> dict[str, Any]:
    blocks = conversation.blocks
    selection = blocks.prune(_ANY_BUDGET, policy=_ALL)
    fell = [dropped for dropped in selection.dropped if dropped.reason in (Reason.ORPHAN, Reason.UNIT)]
    return {
        "line": conversation.line,
        "id": conversation.id,
        "messages": len(blocks),
        "tokens": blocks.total_cost("openai"),
        "exact": selection.exact,
        "content_tokens": {kind.name: n for kind, n in blocks.type_tokens().items() if n},
        "tool_results": sum(block.type is ContextType.TOOL for block in blocks),
        "broken": len(fell),
    }


def _totals_table(name: str, totals: Counter[str], types: Counter[str]) -> Table:
    table = Table(title=name, title_justify="left")
    table.add_column("")
    table.add_column("in all", justify="right")
    table.add_column("share", justify="right")
    for key in ("conversations", "messages", "tool_results", "broken", "tokens"):
        is_bad = key == "broken" and totals[key]
        table.add_row(key.replace("_", " "), f"{totals[key]:,}", "", style="red" if is_bad else None)
    table.add_section()
    content = sum(types.values())
    for kind, tokens in types.most_common():
        table.add_row(f"{kind} content", f"{tokens:,}", f"{tokens / content:.0%}")
    return table


def _largest_table(largest: list[tuple[int, int, dict[str, Any]]]) -> Table:
    table = Table(title="Largest", title_justify="left")
    for heading in ("tokens", "messages", "broken", "line"):
        table.add_column(heading, justify="right")
    table.add_column("id", overflow="ellipsis", no_wrap=True)
    for tokens, _, facts in sorted(largest, reverse=True):
        table.add_row(f"{tokens:,}", f"{facts['messages']:,}", f"{facts['broken']:,}", str(facts["line"]), facts["id"])
    return table
