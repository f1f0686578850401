"""`pycontext count`: exact token counts of conversations or texts."""

from __future__ import annotations

import argparse
import json
import sys

from pycontext.cli.console import Report, clip
from pycontext.cli.conversations import open_input
from pycontext.cli.exits import Exit
from pycontext.cli.options import add_input_options
from pycontext.cli.source import Source
from pycontext.counter import TokenCounter, get_counter
from pycontext.errors import ContextError

__all__ = ["add_parser", "run"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "count",
        help="count tokens exactly",
        description="Count the tokens of each conversation of JSON lines files as a chat request, framing included: a "
        "line with tokens and id for each, then the total. With --text, count each file as one text.",
    )
    parser.add_argument("inputs", nargs="*", default=["-"], metavar="IN", help="files, - for standard input")
    parser.add_argument("--text", action="store_true", help="each file is one text")
    add_input_options(parser, json_help="one JSON object a line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    counter = get_counter(args.encoding)
    report = Report(as_json=args.json)
    total = bad_lines = 0

    def say(tokens: int, name: str) -> None:
        nonlocal total
        total += tokens
        # A name with a tab or a line end would break the line.
        line = json.dumps({"id": name, "tokens": tokens}) if args.json else f"{tokens}\t{clip(name, len(name))}"
        sys.stdout.write(line + "\n")

    for path in args.inputs:
        if args.text:
            with open_input(path) as stream:
                say(_count_text(stream.read(), path, counter), path)
            continue
        label = "" if args.json or sys.stdout.isatty() else "counting"
        source = Source(path, counter=counter, report=report, skip_bad=args.skip_bad, label=label)
        for conversation in source:
            say(conversation.blocks.total_cost("openai"), conversation.id)
        bad_lines += source.bad_lines
    if not args.json:
        sys.stdout.write(f"{total}\ttotal\n")
    return Exit.PARTLY if bad_lines else Exit.DONE


def _count_text(data: bytes, path: str, counter: TokenCounter) -> int:
    try:
        return counter.count(data.decode())
    except UnicodeDecodeError as error:
        raise ContextError(f"{path}: not UTF-8 at byte {error.start}") from None
