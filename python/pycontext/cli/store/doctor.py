"""`pycontext store doctor`: what is worth knowing of a store."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pycontext.block import ContextBlock, ContextType
from pycontext.cli.console import clip
from pycontext.cli.exits import Exit
from pycontext.cli.store.address import add_store_arguments, opened, warnings_told
from pycontext.errors import StoreError, UnknownSessionError
from pycontext.package import ContextPackage
from pycontext.store.finding import Finding
from pycontext.store.sync_store import Store

__all__ = ["add_parser"]

# The trial session goes by itself, should nobody live to remove it.
_SECONDS: Final = 60
_STYLES: Final = {"good": "green", "info": "", "warning": "bold yellow"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "doctor",
        help="examine a store, and say what may be lost or slow",
        description="Examine a store: how it persists, what it does when it is full, how fast it answers; and write, "
        "read and remove a session of its own. Exits 0 where nothing is a warning, and 1 where something is.",
    )
    add_store_arguments(parser, json_help="one JSON object a finding instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    # What the library warns of is among the findings.
    with warnings_told(None), opened(args.url, args.namespace, ttl=_SECONDS) as store:
        findings = [*store.findings(), _trial(store)]
        name = store.name
    if args.json:
        sys.stdout.writelines(json.dumps(asdict(finding)) + "\n" for finding in findings)
    else:
        console = Console()
        console.print(_table(f"{name}, namespace {args.namespace}", findings, console.width))
    return Exit.FAILED if any(finding.is_warning for finding in findings) else Exit.DONE


def _trial(store: Store) -> Finding:
    """Write, read and remove a session of our own."""
    id = f"pycontext-doctor-{secrets.token_hex(8)}"
    blocks = [ContextBlock(f"b{i}", "Is anybody there?", 0.5, ContextType.USER) for i in range(2)]
    try:
        try:
            store.save(ContextPackage(id, "doctor", blocks[:1]))
            start = time.perf_counter()
            store.append(id, blocks[1:])
            appended = time.perf_counter()
            package = store.load(id)
            loaded = time.perf_counter()
        finally:
            with suppress(UnknownSessionError):
                store.purge(id)
    except StoreError as error:
        return Finding("write and read", "warning", "refused", str(error))
    value = f"append {(appended - start) * 1e3:.2f} ms, load {(loaded - appended) * 1e3:.2f} ms"
    if list(package.blocks) != blocks:
        return Finding("write and read", "warning", value, "what was read is not what was written")
    return Finding("write and read", "good", value, "a session was written, read and removed")


def _table(title: str, findings: list[Finding], width: int) -> Table:
    # What a server says is text, not markup.
    name = clip(title, width)
    table = Table(title=Text(name), title_justify="left", min_width=len(name))
    table.add_column("topic", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("as it is", overflow="fold")
    table.add_column("what it means", overflow="fold")
    for finding in findings:
        state = Text(finding.state, style=_STYLES[finding.state])
        table.add_row(Text(finding.topic), state, Text(clip(finding.value, 200)), Text(clip(finding.text, 400)))
    warnings = sum(finding.is_warning for finding in findings)
    table.caption = f"{warnings} warning{'s' * (warnings != 1)}"
    return table
