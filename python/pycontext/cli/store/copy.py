"""`pycontext store copy`: sessions of one store into another."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass

from pycontext.cli.console import Report, counted
from pycontext.cli.exits import Exit
from pycontext.cli.store.address import UNREADABLE, VARIABLE, add_store_options, checked, opened, warnings_told
from pycontext.errors import ConflictError, UnknownSessionError, shown
from pycontext.store.sync_store import Store

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "copy",
        help="copy sessions into another store",
        description="Copy sessions as they are now, with version, epoch and time to live, into another store; each "
        "whole or not at all. Earlier versions and hints in inboxes stay behind. What is there already is left as it "
        "is, and named.",
    )
    parser.add_argument("url", nargs="?", metavar="FROM", help=f"address of the store; left out: {VARIABLE} has it")
    parser.add_argument("to", metavar="TO", help="address of the other store; a file that is not there is made")
    add_store_options(parser, json_help="the counts as a JSON object")
    parser.add_argument("--to-namespace", metavar="NAME", help="of the copies; left out: that of the sessions")
    parser.add_argument(
        "--session", action="append", metavar="ID", help="only this session; may be given more than once"
    )
    parser.add_argument("--overwrite", action="store_true", help="remove what is there already, then write the copy")
    parser.set_defaults(run=run)


@dataclass
class _Tally:
    copied: int = 0
    blocks: int = 0
    there_already: int = 0
    failed: int = 0


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    report, tally = Report(as_json=args.json), _Tally()
    to_namespace = args.to_namespace or args.namespace
    with (
        warnings_told(report),
        opened(args.url, args.namespace) as source,
        opened(args.to, to_namespace, may_make=True) as target,
    ):
        ids = _chosen(source, args.session)
        try:
            with counted("copying", len(ids), hidden=args.json) as advance:
                for id in ids:
                    advance(1)
                    _copy_or_say(source, target, id, args.overwrite, tally, report)
        finally:
            # Also where the target is full or somebody had enough: what is copied is copied.
            _summarise(args.json, tally, f"{source.name} to {target.name}")
    if tally.there_already:
        return Exit.CONFLICT
    return Exit.PARTLY if tally.failed else Exit.DONE


def _chosen(source: Store, wanted: list[str] | None) -> list[str]:
    """The sessions to copy; none of them is copied where one is not there.

    Raises:
        UnknownSessionError: a session that was named is not there.
    """
    if wanted is None:
        return sorted(source.sessions())
    for id in wanted:
        source.inquire(checked("--session", id))
    return list(dict.fromkeys(wanted))


def _copy_or_say(source: Store, target: Store, id: str, is_over: bool, tally: _Tally, report: Report) -> None:
    try:
        tally.blocks += _copy(source, target, id, is_over)
        tally.copied += 1
    except ConflictError as error:
        report.event(f"not copied: {error}", {"event": "there_already", "session": id})
        tally.there_already += 1
    except UnknownSessionError:
        report.event(f"session {shown(id)} went meanwhile", {"event": "gone", "session": id})
    except UNREADABLE as error:
        report.event(f"not copied: {error}", {"event": "bad_session", "session": id})
        tally.failed += 1


def _copy(source: Store, target: Store, id: str, is_over: bool) -> int:
    """Copy a session, and return how many blocks it has."""
    package = source.load(id)
    standing = source.inquire(id)
    if is_over:
        _make_room(target, id, standing.incarnation)
    target.save(package, expect=0, ttl=None if standing.ttl_ms is None else max(standing.ttl_ms, 1) / 1000)
    return len(package.blocks)


def _make_room(target: Store, id: str, incarnation: str) -> None:
    try:
        standing = target.inquire(id)
    except UnknownSessionError:
        return
    if standing.incarnation == incarnation:
        # Both addresses lead to the same store: the only copy would go first.
        raise ConflictError(f"session {shown(id)} is the very one that is to be copied", 0, standing.version)
    target.delete(id)


def _summarise(as_json: bool, tally: _Tally, way: str) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"event": "summary", **asdict(tally)}) + "\n")
        return
    rest = [f"{n:,} {what}" for n, what in ((tally.there_already, "there already"), (tally.failed, "failed")) if n]
    copied = f"{tally.copied:,} session{'s' * (tally.copied != 1)} with {tally.blocks:,} blocks copied from {way}"
    sys.stdout.write(", ".join([copied, *rest]) + "\n")
