"""`pycontext store show`: what is in a session."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pycontext.cli.console import Report, clip, lasting, line_of
from pycontext.cli.exits import Exit
from pycontext.cli.options import whole
from pycontext.cli.store.address import add_store_arguments, checked, opened, warnings_told
from pycontext.package import ContextPackage
from pycontext.store.finding import size_of
from pycontext.store.request import Listed

__all__ = ["add_parser"]

# Columns of the blocks beside their contents, with those of ids and origins at their widest.
_ID_WIDTH: Final = 20
_OTHERS_WIDTH: Final = 70


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "show",
        help="show a session and its blocks",
        description="Show a session: where it stands, whose it is, and its blocks.",
    )
    add_store_arguments(parser, json_help="the whole session as one JSON object instead of tables")
    parser.add_argument("session", metavar="SESSION", help="id of the session")
    parser.add_argument(
        "--at-version", type=whole(1), metavar="N", help="as it was at an earlier version, back to the last snapshot"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    session_id = checked("SESSION", args.session)
    with warnings_told(Report(as_json=args.json)), opened(args.url, args.namespace) as store:
        package = store.load(session_id, at_version=args.at_version)
        standing = store.inquire(session_id)
    if args.json:
        sys.stdout.write(json.dumps(package.to_dict()) + "\n")
        return Exit.DONE
    console = Console()
    console.print(_header(package, standing, console.width))
    console.print(_blocks(package, console.width))
    return Exit.DONE


def _header(package: ContextPackage, standing: Listed, width: int) -> Table:
    table = Table(title=Text(clip(package.session_id, width)), title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    earlier = "" if package.version == standing.version else f", an earlier one: it is at {standing.version:,}"
    stored = "not told" if standing.stored_bytes < 0 else size_of(standing.stored_bytes)
    rows = {
        "agent": package.agent_id,
        "version": f"{package.version:,}{earlier}",
        "epoch": f"{package.epoch:,}",
        "snapshot": f"of version {standing.snapshot_version:,}, {size_of(standing.snapshot_bytes)}; "
        f"{standing.changes:,} changes since",
        "stored": stored,
        "age": lasting(standing.age_ms / 1000),
        "to live": "for ever" if standing.ttl_ms is None else lasting(standing.ttl_ms / 1000),
        "trace": package.trace_id,
        "made from": ", ".join(f"{parent.session_id} {parent.version}" for parent in package.parents) or "nothing",
        "counter": package.counter,
    }
    for name, value in rows.items():
        # What a session says of itself is text, not markup.
        table.add_row(name, Text(clip(value, 4 * width)))
    return table


def _blocks(package: ContextPackage, width: int) -> Table:
    blocks = package.blocks
    table = Table(title=f"blocks: {len(blocks):,}, tokens: {blocks.token_counts.sum():,}", title_justify="left")
    table.add_column("id", no_wrap=True)
    table.add_column("type", no_wrap=True)
    for heading in ("tokens", "score"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("origin", no_wrap=True)
    table.add_column("content", no_wrap=True)
    for block in blocks:
        table.add_row(
            Text(clip(block.id, _ID_WIDTH)),
            block.type.name,
            f"{block.token_count:,}",
            f"{block.relevance_score:.2f}",
            Text(clip(block.origin or "", _ID_WIDTH)),
            Text(clip(line_of(block), max(width - _OTHERS_WIDTH, _ID_WIDTH))),
        )
    return table
