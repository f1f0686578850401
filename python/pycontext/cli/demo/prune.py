"""The main job on recorded tool traces."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import quote

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pycontext.blockset import BlockSet
from pycontext.cli.console import Report, clip, line_of
from pycontext.cli.demo.traces import NAMESPACE, SECONDS, recorded
from pycontext.cli.exits import Exit
from pycontext.cli.store.address import opened, warnings_told
from pycontext.counter import count_tokens
from pycontext.errors import ContextError
from pycontext.messages.openai import to_blocks
from pycontext.package import ContextPackage
from pycontext.selection import WORDS, Reason, Selection
from pycontext.store.finding import size_of

__all__ = ["run"]

# The customer's report is the first message after the policy, and too good to lose.
_PINNED: Final = "m1"


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


@dataclass(frozen=True, slots=True)
class _Stored:
    stored_bytes: int
    save_ms: float
    load_ms: float


def run(args: argparse.Namespace) -> Exit:
    """Prune the traces, show what fell and why, and store them."""
    traces = recorded()
    start = time.perf_counter()
    count_tokens("")
    load_ms = (time.perf_counter() - start) * 1e3
    jobs = [_do(f"trace {number}", trace, args.budget) for number, trace in enumerate(traces, 1)]
    with warnings_told(Report(as_json=args.json)), tempfile.TemporaryDirectory() as folder:
        stored = _store(jobs, args.store or f"sqlite:///{quote(folder)}/demo.db")
    if args.json:
        for job, one in zip(jobs, stored, strict=True):
            sys.stdout.write(json.dumps({**_values(job), **asdict(one)}) + "\n")
        return Exit.DONE
    console = Console()
    console.print(_traces_table(jobs, args.budget, load_ms))
    job = max(jobs, key=lambda job: job.tokens)
    console.print(_blocks_table(job, console.width))
    for dropped in job.selection.dropped[:2]:
        console.print(f"selection.explain({dropped.id!r})", style="bold", highlight=False)
        console.print(f"  {job.selection.explain(dropped.id)}", highlight=False)
    console.print(_stored_table(jobs, stored, args.store is not None))
    return Exit.DONE


def _do(name: str, trace: dict[str, Any], budget: int) -> _Job:
    start = time.perf_counter()
    blocks = BlockSet(to_blocks(trace["messages"]))
    tokens = blocks.total_cost("openai")
    counted = time.perf_counter()
    selection = blocks.prune(budget, pin=[_PINNED])
    done = time.perf_counter()
    return _Job(name, blocks, tokens, selection, (counted - start) * 1e3, (done - counted) * 1e3)


def _store(jobs: list[_Job], url: str) -> list[_Stored]:
    """Save every trace as a session, and load it as one who has never seen it.

    Raises:
        ContextError: what was loaded is not what was saved.
    """
    with opened(url, NAMESPACE, ttl=SECONDS, may_make=True) as store:
        packages = [ContextPackage(job.name.replace(" ", "-"), "demo", job.blocks) for job in jobs]
        saves = []
        for package in packages:
            # Of the last time.
            store.delete(package.session_id)
            start = time.perf_counter()
            store.save(package)
            saves.append((time.perf_counter() - start) * 1e3)
        stored = []
        # The store remembers one session only, and that is not the next one.
        for package, save_ms in zip(packages, saves, strict=True):
            start = time.perf_counter()
            loaded = store.load(package.session_id)
            load_ms = (time.perf_counter() - start) * 1e3
            if loaded.to_dict() != package.to_dict():
                raise ContextError(f"session {package.session_id!r} came back as another one")
            stored.append(_Stored(store.inquire(package.session_id).stored_bytes, round(save_ms, 3), round(load_ms, 3)))
        return stored


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
        content = Text(clip(line_of(block), max(width - 52, 12)))
        table.add_row(block.id, block.type.name, f"{entry['tokens']:,}", WORDS[reason], content, style=style)
    return table


def _stored_table(jobs: list[_Job], stored: list[_Stored], is_named: bool) -> Table:
    table = Table(title="Stored as sessions and read back", title_justify="left")
    for heading in ("sessions", "messages", "text", "stored", "save", "load", "read back"):
        table.add_column(heading, justify="right", no_wrap=True)
    text = sum(len(block.content.encode()) for job in jobs for block in job.blocks)
    table.add_row(
        f"{len(jobs)}",
        f"{sum(len(job.blocks) for job in jobs):,}",
        size_of(text),
        size_of(sum(one.stored_bytes for one in stored)),
        f"{sum(one.save_ms for one in stored):.1f} ms",
        f"{sum(one.load_ms for one in stored):.1f} ms",
        "equal",
    )
    table.caption = f"pycontext store ls URL --namespace {NAMESPACE}" if is_named else "in a temporary file of SQLite"
    return table
