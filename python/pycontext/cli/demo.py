"""`pycontext demo`: the main job on recorded tool traces."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pycontext.block import ContextBlock, ContextType
from pycontext.blockset import BlockSet
from pycontext.cli.console import WORDS, clip
from pycontext.cli.exits import Exit
from pycontext.cli.options import whole
from pycontext.counter import count_tokens
from pycontext.messages.openai import to_blocks
from pycontext.selection import Reason, Selection

__all__ = ["add_parser", "run"]

_BUDGET: Final = 6_000

# The customer's report is the first message after the policy, and too good to lose.
_PINNED: Final = "m1"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "demo",
        help="see the main job on recorded tool traces",
        description="Prune the recorded tool traces that come with the package and show what was kept, what fell and "
        "why. The traces are scripted replays of telecom support tasks; no model took part.",
    )
    parser.add_argument(
        "--budget", type=whole(1), default=_BUDGET, metavar="N", help=f"tokens a request may hold ({_BUDGET})"
    )
    parser.add_argument(
        "--write", metavar="OUT.jsonl", help="only write the traces to a file, to try other commands on"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a trace instead of tables")
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    blocks: BlockSet
    tokens: int
    selection: Selection
    count_ms: float
    """Reading the messages and counting every one of them."""
    prune_ms: float
    """Choosing, with all tokens known."""


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    traces = _traces()
    if args.write:
        lines = (json.dumps(trace, ensure_ascii=False) + "\n" for trace in traces)
        Path(args.write).write_text("".join(lines), encoding="utf-8")
        sys.stderr.write(f"{len(traces)} traces written; try: pycontext prune {args.write} --budget {_BUDGET}\n")
        return Exit.DONE
    start = time.perf_counter()
    count_tokens("")
    load_ms = (time.perf_counter() - start) * 1e3
    jobs = [_do(f"trace {number}", trace, args.budget) for number, trace in enumerate(traces, 1)]
    if args.json:
        sys.stdout.writelines(json.dumps(_values(job)) + "\n" for job in jobs)
        return Exit.DONE
    console = Console()
    console.print(_traces_table(jobs, args.budget, load_ms))
    job = max(jobs, key=lambda job: job.tokens)
    console.print(_blocks_table(job, console.width))
    for dropped in job.selection.dropped[:2]:
        console.print(f"selection.explain({dropped.id!r})", style="bold", highlight=False)
        console.print(f"  {job.selection.explain(dropped.id)}", highlight=False)
    return Exit.DONE


def _traces() -> list[dict[str, Any]]:
    data = files("pycontext") / "data"
    # The policy is the first message of every trace; the sample holds it once.
    policy = {"role": "system", "content": (data / "telecom_policy.md").read_text(encoding="utf-8")}
    lines = (data / "telecom_traces.jsonl").read_text(encoding="utf-8").splitlines()
    traces = [json.loads(line) for line in lines]
    return [{**trace, "messages": [policy, *trace["messages"]]} for trace in traces]


def _do(name: str, trace: dict[str, Any], budget: int) -> _Job:
    start = time.perf_counter()
    blocks = BlockSet(to_blocks(trace["messages"]))
    tokens = blocks.total_cost("openai")
    counted = time.perf_counter()
    selection = blocks.prune(budget, pin=[_PINNED])
    done = time.perf_counter()
    return _Job(name, blocks, tokens, selection, (counted - start) * 1e3, (done - counted) * 1e3)


def _values(job: _Job) -> dict[str, Any]:
    return {
        "trace": job.name,
        "messages": len(job.blocks),
        "tokens_before": job.tokens,
        "tokens_after": job.selection.tokens,
        "count_ms": round(job.count_ms, 3),
        "prune_ms": round(job.prune_ms, 3),
        "selection": job.selection.to_dict(),
    }


def _traces_table(jobs: list[_Job], budget: int, load_ms: float) -> Table:
    table = Table(title=f"{len(jobs)} recorded tool traces, pruned to {budget:,} tokens", title_justify="left")
    for heading in ("", "messages", "tokens", "saved", "of the rest", "count", "prune"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for job in jobs:
        receipt = job.selection.to_dict()["blocks"]
        policy = receipt[0]["tokens"]
        table.add_row(
            job.name,
            f"{len(job.blocks)} → {len(job.selection.kept_ids)}",
            f"{job.tokens:,} → {job.selection.tokens:,}",
            f"{1 - job.selection.tokens / job.tokens:.0%}",
            f"{1 - (job.selection.tokens - policy) / (job.tokens - policy):.0%}",
            f"{job.count_ms:.1f} ms",
            f"{job.prune_ms:.2f} ms",
        )
    fell: Counter[Reason] = Counter(dropped.reason for job in jobs for dropped in job.selection.dropped)
    reasons = ", ".join(f"{n} {WORDS[reason]}" for reason, n in fell.most_common())
    table.caption = (
        f"messages that fell: {reasons or 'none'}\n"
        "of the rest: saved of all but the system prompt, which never falls\n"
        f"count: reading and counting every message; the vocabulary took {load_ms:.0f} ms, once"
    )
    return table


def _blocks_table(job: _Job, width: int) -> Table:
    table = Table(title=f"{job.name}, message by message", title_justify="left")
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("type", no_wrap=True)
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("content", no_wrap=True)
    fell = {dropped.id: dropped for dropped in job.selection.dropped}
    receipt = job.selection.to_dict()["blocks"]
    for block, entry in zip(job.blocks, receipt, strict=True):
        reason = fell[block.id].reason if block.id in fell else Reason(entry["reason"])
        style = {Reason.PINNED: "bold", Reason.KEPT: "green"}.get(reason, "dim red")
        # What messages say is text, not markup.
        content = Text(clip(_line(block), max(width - 52, 12)))
        table.add_row(block.id, block.type.name, f"{entry['tokens']:,}", WORDS[reason], content, style=style)
    return table


def _line(block: ContextBlock) -> str:
    if block.type is ContextType.AGENT and not block.content:
        calls = json.loads(block.metadata.get("openai.tool_calls", "[]"))
        return ", ".join(f"{call['function']['name']}({call['function']['arguments']})" for call in calls)
    return block.content
