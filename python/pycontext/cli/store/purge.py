"""`pycontext store purge`: remove a session or a block for good."""

from __future__ import annotations

import argparse
import json
import sys

from pycontext.cli.console import Report
from pycontext.cli.exits import Exit
from pycontext.cli.store.address import add_store_arguments, checked, opened, warnings_told
from pycontext.errors import UnknownBlockError, ValidationError, shown

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "purge",
        help="remove a session, or one of its blocks, for good",
        description="Remove a session, or one of its blocks, from everything that the store keeps, earlier versions "
        "included. Backups and what other programs hold in memory it does not reach.",
    )
    add_store_arguments(parser, json_help="the outcome as a JSON object")
    parser.add_argument("session", metavar="SESSION", help="id of the session")
    parser.add_argument("--block", metavar="ID", help="only this block, of all versions")
    parser.add_argument("--yes", action="store_true", help="do not ask; needed where nobody can be asked")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    session_id = checked("SESSION", args.session)
    what = f"session {shown(session_id)}"
    if args.block is not None:
        what = f"block {shown(checked('--block', args.block))} of {what}"
    with warnings_told(Report(as_json=args.json)), opened(args.url, args.namespace) as store:
        standing = store.inquire(session_id)
        is_there = args.block is None or store.load(session_id).blocks.find(args.block) is not None
        # What is not there now may have been: then it is in what the store keeps of earlier versions.
        is_kept = is_there or standing.changes or standing.needless
        if is_kept:
            if not (args.yes or _is_wanted(f"Remove {what} of {store.name} for good?")):
                sys.stderr.write("pycontext: nothing was removed\n")
                return Exit.FAILED
            version = store.purge(session_id, args.block)
        if not is_there:
            rest = "; earlier versions, which may have had it, are removed" if is_kept else ""
            raise UnknownBlockError(f"there is no {what}{rest}")
    if args.json:
        values = {"event": "purged", "session": session_id, "block": args.block}
        sys.stdout.write(json.dumps({**values, "version": None if version is None else int(version)}) + "\n")
    else:
        sys.stdout.write(f"{what} is removed\n")
    return Exit.DONE


def _is_wanted(question: str) -> bool:
    """Ask whoever sits there.

    Raises:
        ValidationError: nobody does.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ValidationError("nobody can be asked here: --yes is needed")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
