"""`pycontext store gc`: tidy a store."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from typing import Final

from pycontext.cli.console import Report, counted
from pycontext.cli.exits import Exit
from pycontext.cli.options import whole
from pycontext.cli.store.address import UNREADABLE, add_store_arguments, opened, warnings_told
from pycontext.errors import ConflictError, UnknownSessionError
from pycontext.store.finding import size_of
from pycontext.store.sync_store import Store

__all__ = ["add_parser"]

# As many as stores leave behind a snapshot without a thought.
_CHANGES: Final = 64


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "gc",
        help="compact sessions, remove what has expired, give room back",
        description="Put a snapshot in the place of the changes of sessions that have many, and remove changes that a "
        "snapshot made needless; of SQLite also remove sessions that have expired and give free pages back to the "
        "system. Redis removes by itself what has expired. Versions before the new snapshots cannot be loaded then.",
    )
    add_store_arguments(parser, json_help="the counts as a JSON object")
    parser.add_argument(
        "--changes", type=whole(0), default=_CHANGES, metavar="N", help=f"compact sessions with more ({_CHANGES})"
    )
    parser.add_argument("--dry-run", action="store_true", help="change nothing, and count what would be done")
    parser.set_defaults(run=run)


@dataclass
class _Tally:
    sessions: int = 0
    compacted: int = 0
    changes: int = 0
    saved_bytes: int = 0
    expired: int = 0
    freed_bytes: int = 0
    failed: int = 0


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    report, tally = Report(as_json=args.json), _Tally()
    with warnings_told(report), opened(args.url, args.namespace) as store:
        ids = sorted(store.sessions())
        with counted("compacting", len(ids), hidden=args.json) as advance:
            for id in ids:
                advance(1)
                try:
                    _compact(store, id, args, tally)
                except UnknownSessionError:
                    # It went meanwhile.
                    continue
                except (*UNREADABLE, ConflictError) as error:
                    report.event(str(error), {"event": "not_compacted", "session": id})
                    tally.failed += 1
        swept = store.sweep(is_dry=args.dry_run)
    tally.expired = swept.expired
    tally.freed_bytes = swept.freed_bytes
    if args.json:
        sys.stdout.write(json.dumps({"event": "summary", "dry_run": args.dry_run, **asdict(tally)}) + "\n")
    else:
        sys.stdout.write(_line(tally, "would be" if args.dry_run else "are"))
    return Exit.PARTLY if tally.failed else Exit.DONE


def _compact(store: Store, id: str, args: argparse.Namespace, tally: _Tally) -> None:
    standing = store.inquire(id)
    tally.sessions += 1
    if standing.changes <= args.changes and not standing.needless:
        return
    if not args.dry_run:
        store.compact(id)
        tally.saved_bytes += max(standing.stored_bytes - store.inquire(id).stored_bytes, 0)
    tally.compacted += 1
    tally.changes += standing.changes + standing.needless


def _line(tally: _Tally, verb: str) -> str:
    saved = f", {size_of(tally.saved_bytes)} less" if tally.saved_bytes else ""
    freed = f"; {size_of(tally.freed_bytes)} of the file {verb} given back" if tally.freed_bytes else ""
    compacted = f"{tally.compacted:,} of {tally.sessions:,} sessions {verb} compacted"
    changes = f"{tally.changes:,} changes {verb} removed{saved}"
    return f"{compacted}; {changes}; {tally.expired:,} expired sessions {verb} removed{freed}\n"
