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
from pycontext.cli.console import WORDS, Report, progress
from pycontext.cli.conversations import BadLineError, Conversation, open_input, read
from pycontext.cli.exits import Exit
from pycontext.counter import get_counter
from pycontext.errors import BudgetExceededError
from pycontext.policy import Policy
from pycontext.selection import Reason, Selection

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["add_parser", "run"]

_ENCODE: Final = json.JSONEncoder(ensure_ascii=False).encode


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "prune",
        help="cut conversations to a budget",
        description="Cut each conversation of a JSON lines file to a budget of tokens. A line is "
        '{"id": ..., "messages": [OpenAI chat messages]}; other keys are kept. System messages, the last user message '
        "and the exchange after it stay, and a tool call stays or falls with its results. The report goes to standard "
        "error, or to standard output as JSON when -o and --json are given.",
    )
    parser.add_argument("input", metavar="IN.jsonl", help="file to read, - for standard input")
    parser.add_argument("--budget", type=int, required=True, metavar="N", help="tokens a request may hold")
    parser.add_argument(
        "--policy", default="relevance", metavar="NAME", help="relevance (default) or recent: what is kept first"
    )
    parser.add_argument("--reserve-output", type=int, default=0, metavar="N", help="tokens left free for the answer")
    parser.add_argument("-o", "--output", metavar="OUT.jsonl", help="file to write, whole or not at all")
    parser.add_argument(
        "--on-overflow",
        choices=("drop", "keep"),
        default="drop",
        help="leave out a conversation that cannot fit (default), or write it whole",
    )
    parser.add_argument("--skip-bad", action="store_true", help="go on after a bad line and report how many")
    parser.add_argument("--encoding", default="o200k_base", metavar="NAME", help="o200k_base (default) or cl100k_base")
    parser.add_argument("--json", action="store_true", help="report as JSON")
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
    fell: Counter[str] = field(default_factory=Counter)
    fell_tokens: Counter[str] = field(default_factory=Counter)

    def take(self, before: int, selection: Selection, messages: int) -> None:
        """Count a conversation that fits."""
        self.messages_before += messages
        self.messages_after += len(selection.kept_ids)
        self.tokens_before += before
        self.tokens_after += selection.tokens
        self.estimated += not selection.exact
        for dropped in selection.dropped:
            self.fell[dropped.reason] += 1
            self.fell_tokens[dropped.reason] += dropped.tokens


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    budget = Budget(args.budget, reserve_output=args.reserve_output)
    policy = Policy.named(args.policy)
    counter = get_counter(args.encoding)
    report = Report(as_json=args.json, summary_to=sys.stdout if args.output else None)
    tally = Tally()

    def on_bad(bad: BadLineError) -> None:
        tally.bad_lines += 1
        report.event(str(bad), {"event": "bad_line", "error": str(bad)})

    started = time.perf_counter()
    with (
        open_input(args.input) as stream,
        _open_output(args.output) as out,
        progress(stream, "pruning", hidden=args.json) as advance,
    ):
        conversations = read(
            stream,
            args.input,
            counter=counter,
            on_bad=on_bad if args.skip_bad else None,
            on_bytes=advance,
        )
        for conversation in conversations:
            tally.conversations += 1
            fields = _prune(conversation, budget, policy, tally, report, args)
            if fields is not None:
                tally.written += 1
                out.write(_ENCODE(fields).encode() + b"\n")
    seconds = time.perf_counter() - started
    report.summary(lambda: _table(tally, budget, seconds), _values(tally, budget, policy, seconds))
    return Exit.PARTLY if tally.could_not_fit or tally.bad_lines else Exit.DONE


def _prune(
    conversation: Conversation,
    budget: Budget,
    policy: Policy,
    tally: Tally,
    report: Report,
    args: argparse.Namespace,
) -> dict[str, Any] | None:
    blocks = conversation.blocks
    try:
        selection = blocks.prune(budget, policy=policy)
    except BudgetExceededError as error:
        tally.could_not_fit += 1
        where = f"{args.input}:{conversation.line}: conversation {conversation.id!r}"
        values = {
            "event": "could_not_fit",
            "line": conversation.line,
            "id": conversation.id,
            "needed": error.needed,
            "available": error.available,
            "blockers": error.blockers,
        }
        report.event(f"{where}: {error}", values)
        return conversation.fields if args.on_overflow == "keep" else None
    tally.take(blocks.total_cost("openai"), selection, len(blocks))
    return {**conversation.fields, "messages": selection.messages()}


@contextmanager
def _open_output(path: str | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears whole when all is written."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        # A device or a pipe is written to, never replaced.
        with target.open("wb") as out:
            yield out
        return
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target.parent))
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
        # mkstemp makes a private file; a result has the permissions that a new file would have.
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _values(tally: Tally, budget: Budget, policy: Policy, seconds: float) -> dict[str, Any]:
    return {
        "event": "summary",
        "budget": budget.max_tokens,
        "available": budget.available,
        "policy": policy.name,
        **{name: value for name, value in vars(tally).items() if not isinstance(value, Counter)},
        "fell": {reason: {"blocks": n, "tokens": tally.fell_tokens[reason]} for reason, n in tally.fell.items()},
        "seconds": round(seconds, 6),
    }


def _table(tally: Tally, budget: Budget, seconds: float) -> Table:
    from rich.table import Table  # noqa: PLC0415  # only people need it

    table = Table(title=f"Pruned to {budget.available:,} tokens", title_justify="left")
    table.add_column("")
    for heading in ("before", "after", "saved"):
        table.add_column(heading, justify="right")

    def row(name: str, before: int, after: int) -> None:
        saved = f"{1 - after / before:.0%}" if before else "-"
        table.add_row(name, f"{before:,}", f"{after:,}", saved)

    table.add_row("conversations", f"{tally.conversations:,}", f"{tally.written:,}", "")
    row("messages", tally.messages_before, tally.messages_after)
    row("tokens", tally.tokens_before, tally.tokens_after)
    table.add_section()
    for reason, blocks in tally.fell.most_common():
        tokens = tally.fell_tokens[reason]
        table.add_row(
            f"fell: {WORDS[Reason(reason)]}", f"{blocks:,} messages", "", f"{tokens:,} tokens", style="yellow"
        )
    for name, count in (("could not fit", tally.could_not_fit), ("bad lines", tally.bad_lines)):
        if count:
            table.add_row(name, f"{count:,}", "", "", style="red")
    if tally.estimated:
        table.add_row("with estimated tokens", "", f"{tally.estimated:,}", "", style="yellow")
    table.caption = f"{seconds:.2f} s, {tally.tokens_before / seconds / 1e6:.1f} million tokens a second"
    return table
