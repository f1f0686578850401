"""`pycontext count`: exact token counts of conversations or texts."""

from __future__ import annotations

import argparse
import json
import sys

from pycontext.cli.console import Report, progress
from pycontext.cli.conversations import BadLineError, open_input, read
from pycontext.cli.exits import Exit
from pycontext.counter import TokenCounter, get_counter
from pycontext.errors import ValidationError

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
    parser.add_argument("--skip-bad", action="store_true", help="go on after a bad line and report how many")
    parser.add_argument("--encoding", default="o200k_base", metavar="NAME", help="o200k_base (default) or cl100k_base")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    counter = get_counter(args.encoding)
    report = Report(as_json=args.json)
    total = bad_lines = 0

    def on_bad(bad: BadLineError) -> None:
        nonlocal bad_lines
        bad_lines += 1
        report.event(str(bad), {"event": "bad_line", "error": str(bad)})

    def say(tokens: int, name: str) -> None:
        nonlocal total
        total += tokens
        line = json.dumps({"id": name, "tokens": tokens}) if args.json else f"{tokens}\t{name}"
        sys.stdout.write(line + "\n")

    for path in args.inputs:
        with open_input(path) as stream, progress(stream, "counting", hidden=args.json) as advance:
            if args.text:
                say(_count_text(stream.read(), path, counter), path)
                continue
            conversations = read(
                stream,
                path,
                counter=counter,
                on_bad=on_bad if args.skip_bad else None,
                on_bytes=advance,
            )
            for conversation in conversations:
                say(conversation.blocks.total_cost("openai"), conversation.id)
    if not args.json:
        sys.stdout.write(f"{total}\ttotal\n")
    return Exit.PARTLY if bad_lines else Exit.DONE


def _count_text(data: bytes, path: str, counter: TokenCounter) -> int:
    try:
        return counter.count(data.decode())
    except UnicodeDecodeError as error:
        raise ValidationError(f"{path}: not UTF-8 at byte {error.start}") from None
