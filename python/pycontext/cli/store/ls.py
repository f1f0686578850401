"""`pycontext store ls`: the sessions of a store."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pycontext.cli.console import Report, clip, counted, lasting
from pycontext.cli.exits import Exit
from pycontext.cli.store.address import UNREADABLE, add_store_arguments, opened, warnings_told
from pycontext.errors import UnknownSessionError
from pycontext.store.finding import size_of
from pycontext.store.request import Listed

__all__ = ["add_parser", "standing_of"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "ls",
        help="list sessions",
        description="List the sessions of a namespace: version, epoch, changes since the last snapshot, bytes in the "
        "store, time since the last write, and time to live.",
    )
    add_store_arguments(parser, json_help="one JSON object a session instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    report, found, bad = Report(as_json=args.json), dict[str, Listed](), 0
    with warnings_told(report), opened(args.url, args.namespace) as store:
        ids = sorted(store.sessions())
        with counted("looking", len(ids), hidden=args.json) as advance:
            for id in ids:
                advance(1)
                try:
                    found[id] = store.inquire(id)
                except UnknownSessionError:
                    # It went meanwhile.
                    continue
                except UNREADABLE as error:
                    report.event(str(error), {"event": "bad_session", "session": id})
                    bad += 1
        name = store.name
    if args.json:
        sys.stdout.writelines(json.dumps({"session": id, **standing_of(one)}) + "\n" for id, one in found.items())
    else:
        console = Console()
        console.print(_table(f"{name}, namespace {args.namespace}", found, console.width))
    return Exit.PARTLY if bad else Exit.DONE


def standing_of(one: Listed) -> dict[str, Any]:
    """Return how a session stands, for programs."""
    return {
        "version": one.version,
        "epoch": one.epoch,
        "incarnation": one.incarnation,
        "snapshot_version": one.snapshot_version,
        "snapshot_bytes": one.snapshot_bytes,
        "changes": one.changes,
        "stored_bytes": one.stored_bytes if one.stored_bytes >= 0 else None,
        "age_seconds": one.age_ms / 1000,
        "ttl_seconds": None if one.ttl_ms is None else one.ttl_ms / 1000,
    }


def _table(title: str, found: dict[str, Listed], width: int) -> Table:
    # Names are text, not markup.
    name = clip(title, width)
    table = Table(title=Text(name), title_justify="left", min_width=len(name))
    table.add_column("session", overflow="fold")
    for heading in ("version", "epoch", "changes", "bytes", "age", "to live"):
        table.add_column(heading, justify="right", no_wrap=True)
    for id, one in found.items():
        table.add_row(
            Text(id),
            f"{one.version:,}",
            f"{one.epoch:,}",
            f"{one.changes:,}",
            size_of(one.stored_bytes) if one.stored_bytes >= 0 else "not told",
            lasting(one.age_ms / 1000),
            "for ever" if one.ttl_ms is None else lasting(one.ttl_ms / 1000),
        )
    total = sum(max(one.stored_bytes, 0) for one in found.values())
    table.caption = f"{len(found):,} session{'s' * (len(found) != 1)}, {size_of(total)}"
    return table
