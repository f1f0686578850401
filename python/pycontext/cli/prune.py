"""`pycontext prune`: conversations in, conversations that fit out."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from pycontext.budget import Budget
from pycontext.cli.console import Report
from pycontext.cli.conversations import Conversation
from pycontext.cli.exits import Exit
from pycontext.cli.options import add_input_options, whole
from pycontext.cli.source import Source
from pycontext.counter import get_counter
from pycontext.errors import BudgetExceededError
from pycontext.policy import Policy
from pycontext.selection import WORDS, Reason

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["add_parser", "run"]

LAST_USER: Final = "last-user"

_ENCODE: Final = json.JSONEncoder(ensure_ascii=False).encode


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "prune",
        help="cut conversations to a budget",
        description="Cut each conversation of a JSON lines file to a budget of tokens. A line is "
        '{"id": ..., "messages": [OpenAI chat messages]}; other keys are kept. System messages, the last user message '
        "and the last unit, if it comes later, stay; a tool call and its results are one unit. The report goes "
        "to standard error; with -o and --json its summary goes to standard output.",
    )
    parser.add_argument("input", metavar="IN.jsonl", help="file to read, - for standard input")
    parser.add_argument("--budget", type=whole(1), required=True, metavar="N", help="tokens a request may hold")
    parser.add_argument(
        "--policy",
        metavar="NAME",
        help="what is kept first: evidence (default with a query), relevance (default without), recent, window",
    )
    parser.add_argument(
        "--query",
        metavar="TEXT",
        help=f"what the model is asked; {LAST_USER} for the last message of the user of each conversation",
    )
    parser.add_argument(
        "--reserve-output", type=whole(0), default=0, metavar="N", help="tokens left free for the answer"
    )
    parser.add_argument("-o", "--output", metavar="OUT.jsonl", help="file to write, whole or not at all")
    parser.add_argument(
        "--on-overflow",
        choices=("drop", "keep"),
        default="drop",
        help="leave out a conversation that cannot fit (default), or write it whole",
    )
    add_input_options(parser, json_help="report as JSON")
    parser.set_defaults(run=run)


@dataclass
class Tally:
    """What came out so far; its size does not depend on the input."""

    conversations: int = 0
    written: int = 0
    could_not_fit: int = 0
    bad_lines: int = 0
    messages_before: int = 0
    messages_after: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    estimated: int = 0
    fell: Counter[Reason] = field(default_factory=Counter)
    fell_tokens: Counter[Reason] = field(default_factory=Counter)


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    budget = Budget(args.budget, reserve_output=args.reserve_output)
    policy = Policy.of(args.policy, args.query)
    counter = get_counter(args.encoding)
    output = None if args.output == "-" else args.output
    report = Report(as_json=args.json, summary_to=sys.stdout if output else None)
    tally = Tally()

    # On a terminal the data itself shows how far it is.
    is_shown = output is None and sys.stdout.isatty()
    label = "" if args.json or is_shown else "pruning"
    source = Source(args.input, counter=counter, report=report, skip_bad=args.skip_bad, label=label)
    started = time.perf_counter()
    with _open_output(output) as out:
        for conversation in source:
            fields = _prune(conversation, budget, policy, args.query, args.on_overflow, tally, report)
            if fields is not None:
                out.write(_line(fields))
    tally.bad_lines = source.bad_lines
    seconds = time.perf_counter() - started
    report.summary(lambda: _tables(tally, budget, seconds), _values(tally, budget, policy, args.query, seconds))
    return Exit.PARTLY if tally.could_not_fit or tally.bad_lines else Exit.DONE


def _prune(
    conversation: Conversation,
    budget: Budget,
    policy: Policy,
    query: str | None,
    on_overflow: str,
    tally: Tally,
    report: Report,
) -> dict[str, Any] | None:
    """The line to write, None for none; everything about it is in the tally."""
    blocks = conversation.blocks
    before = blocks.total_cost("openai")
    tally.conversations += 1
    tally.messages_before += len(blocks)
    tally.tokens_before += before
    try:
        # A conversation in which the user says nothing asks nothing.
        asked = (blocks.turns([]) or None) if query == LAST_USER else query
        selection = blocks.prune(budget, policy=policy, query=asked)
    except BudgetExceededError as error:
        tally.could_not_fit += 1
        report.event(
            f"{conversation.file}:{conversation.line}: conversation {conversation.id!r:.80}: {error}",
            {
                "event": "could_not_fit",
                "file": conversation.file,
                "line": conversation.line,
                "id": conversation.id,
                "needed": error.needed,
                "available": error.available,
                "blockers": error.blockers,
            },
        )
        if on_overflow == "drop":
            return None
        tally.messages_after += len(blocks)
        tally.tokens_after += before
        tally.written += 1
        return conversation.fields
    tally.messages_after += len(selection.kept_ids)
    tally.tokens_after += selection.tokens
    tally.estimated += not selection.exact
    for dropped in selection.dropped:
        tally.fell[dropped.reason] += 1
        tally.fell_tokens[dropped.reason] += dropped.tokens
    tally.written += 1
    return {**conversation.fields, "messages": selection.messages()}


def _line(fields: dict[str, Any]) -> bytes:
    try:
        return _ENCODE(fields).encode() + b"\n"
    except UnicodeEncodeError:
        # A lone surrogate in a key of the caller's own: JSON can say it in ASCII only.
        return json.dumps(fields).encode() + b"\n"


@contextmanager
def _open_output(path: str | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears whole when all is written."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        # A device or a pipe is written to, never replaced.
        with target.open("wb") as out:
            yield out
        return
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target.parent))
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    handle, name = tempfile.mkstemp(prefix=".pycontext-", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
        Path(name).chmod(_mode_for(target))
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _mode_for(target: Path) -> int:
    """The permissions that the file has, or that a new one would have."""
    if target.exists():
        return target.stat().st_mode & 0o7777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _values(tally: Tally, budget: Budget, policy: Policy, query: str | None, seconds: float) -> dict[str, Any]:
    return {
        "event": "summary",
        "budget": budget.max_tokens,
        "available": budget.available,
        "policy": policy.name,
        "query": query,
        **{name: value for name, value in vars(tally).items() if not isinstance(value, Counter)},
        "fell": {reason: {"messages": n, "tokens": tally.fell_tokens[reason]} for reason, n in tally.fell.items()},
        "seconds": round(seconds, 6),
    }


def _tables(tally: Tally, budget: Budget, seconds: float) -> Iterator[Table]:
    from rich.table import Table  # noqa: PLC0415  # only people need it

    table = Table(title=f"Pruned to {budget.available:,} tokens", title_justify="left")
    table.add_column("")
    for heading in ("before", "after", "saved"):
        table.add_column(heading, justify="right")

    def row(name: str, before: int, after: int) -> None:
        table.add_row(name, f"{before:,}", f"{after:,}", f"{1 - after / before:.0%}" if before else "-")

    row("conversations", tally.conversations, tally.written)
    row("messages", tally.messages_before, tally.messages_after)
    row("tokens", tally.tokens_before, tally.tokens_after)
    problems = {
        "could not fit": tally.could_not_fit,
        "bad lines": tally.bad_lines,
        "with estimated tokens": tally.estimated,
    }
    for name, count in problems.items():
        if count:
            table.add_row(name, f"{count:,}", "", "", style="red")
    table.caption = f"{seconds:.2f} s, {tally.tokens_before / seconds / 1e6:.1f} million tokens a second"
    yield table
    if tally.fell:
        fell = Table(title="What fell and why", title_justify="left")
        fell.add_column("")
        fell.add_column("messages", justify="right")
        fell.add_column("tokens", justify="right")
        for reason, messages in tally.fell.most_common():
            fell.add_row(WORDS[reason], f"{messages:,}", f"{tally.fell_tokens[reason]:,}", style="yellow")
        yield fell
