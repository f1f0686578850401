"""`pycontext inspect`: what conversations are made of."""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from collections import Counter
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pycontext.block import ContextType
from pycontext.cli.console import Report, clip
from pycontext.cli.conversations import Conversation
from pycontext.cli.exits import Exit
from pycontext.cli.options import add_input_options, whole
from pycontext.cli.source import Source
from pycontext.cli.why import show_why
from pycontext.counter import get_counter
from pycontext.errors import ValidationError
from pycontext.policy import Policy
from pycontext.selection import Reason

__all__ = ["add_parser", "run"]

# Nothing is too much and nothing is a duplicate: what falls is broken.
_ALL: Final = Policy("all", duplicates="keep")
_ANY_BUDGET: Final = 2**53

# Columns of the largest conversations beside their ids.
_NUMBERS_WIDTH: Final = 52


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "inspect",
        help="show what conversations are made of",
        description="Show messages and tokens of the conversations of a JSON lines file: totals by type, messages of "
        "broken units, and the largest conversations. Tokens are those of the chat request, framing included.",
    )
    parser.add_argument("input", metavar="IN.jsonl", help="file to read, - for standard input")
    parser.add_argument("--top", type=whole(0), default=10, metavar="N", help="how many of the largest to list (10)")
    parser.add_argument("--why", action="store_true", help="show for every message whether it stays, and why")
    parser.add_argument("--budget", type=whole(1), metavar="N", help="tokens of the whole request, for --why")
    parser.add_argument("--policy", metavar="NAME", help="how --why chooses (relevance)")
    parser.add_argument("--id", metavar="ID", help="of all conversations only this one")
    add_input_options(parser, json_help="one JSON object a conversation instead of tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    if args.why != (args.budget is not None):
        raise ValidationError("--why and --budget go together")
    # Before anything is read.
    Policy.of(args.policy)
    report = Report(as_json=args.json)
    source = Source(
        args.input,
        counter=get_counter(args.encoding),
        report=report,
        skip_bad=args.skip_bad,
        label="" if args.json else "reading",
    )
    totals: Counter[str] = Counter()
    types: Counter[str] = Counter()
    largest: list[tuple[int, int, dict[str, Any]]] = []
    overflows = 0
    for conversation in source:
        if args.id is not None and conversation.id != args.id:
            continue
        if args.why:
            overflows += not show_why(conversation, args.budget, args.policy, as_json=args.json)
            continue
        facts = _facts(conversation)
        if args.json:
            sys.stdout.write(json.dumps(facts) + "\n")
            continue
        totals["conversations"] += 1
        totals.update({key: facts[key] for key in ("messages", "tool_results", "broken_messages", "tokens")})
        types.update(facts["content_tokens"])
        entry = (facts["tokens"], -conversation.line, facts)
        if len(largest) < args.top:
            heapq.heappush(largest, entry)
        elif largest:
            heapq.heappushpop(largest, entry)
    totals["bad_lines"] = source.bad_lines
    if not args.json and not args.why:
        console = Console()
        console.print(_totals_table(args.input, totals, types, console.width))
        if largest:
            console.print(_largest_table(largest, console.width))
    return Exit.PARTLY if source.bad_lines or overflows else Exit.DONE


def _facts(conversation: Conversation) -> dict[str, Any]:
    blocks = conversation.blocks
    # The last unit may wait for results and is pinned; system messages are pinned as well. All else can fall.
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
        "broken_messages": len(fell),
    }


def _totals_table(name: str, totals: Counter[str], types: Counter[str], width: int) -> Table:
    # Names of files and conversations are text, not markup.
    table = Table(title=Text(clip(name, width)), title_justify="left", min_width=len(clip(name, width)))
    table.add_column("")
    table.add_column("in all", justify="right")
    table.add_column("share", justify="right")
    for key in ("conversations", "messages", "tool_results", "broken_messages", "bad_lines", "tokens"):
        is_bad = key in ("broken_messages", "bad_lines") and totals[key]
        table.add_row(key.replace("_", " "), f"{totals[key]:,}", "", style="red" if is_bad else None)
    table.add_section()
    content = sum(types.values())
    for kind, tokens in types.most_common():
        table.add_row(f"{kind} content", f"{tokens:,}", f"{tokens / content:.0%}")
    return table


def _largest_table(largest: list[tuple[int, int, dict[str, Any]]], width: int) -> Table:
    table = Table(title="Largest", title_justify="left")
    for heading in ("tokens", "messages", "broken", "line"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("id", no_wrap=True)
    for tokens, _, facts in sorted(largest, key=lambda entry: entry[:2], reverse=True):
        table.add_row(
            f"{tokens:,}",
            f"{facts['messages']:,}",
            f"{facts['broken_messages']:,}",
            str(facts["line"]),
            Text(clip(facts["id"], max(width - _NUMBERS_WIDTH, 12))),
        )
    return table
