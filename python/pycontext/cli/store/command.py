"""`pycontext store`: the commands of stores."""

from __future__ import annotations

import argparse
from typing import Final

from pycontext.cli.options import FreeParser
from pycontext.cli.store import copy, doctor, gc, ls, purge, show
from pycontext.cli.store.address import VARIABLE

__all__ = ["add_parser"]

_COMMANDS: Final = (ls, show, copy, gc, purge, doctor)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "store",
        help="look at stored sessions, copy, tidy and remove them, examine a store",
        description="Look at what a store holds, and tidy it. URL is what open_store takes: sqlite:///file.db, "
        f"redis://host:6379/0 and the others; where it is left out, the environment variable {VARIABLE} has it, which "
        "keeps a password out of the list of processes.",
        epilog="Exit codes: 0 done, 2 usage, 3 no such session, block, version or file, 4 conflict, 5 the store is "
        "down, busy or full, 6 done but some sessions could not be read, 1 anything else: the store refuses this user, "
        "is damaged, or doctor warns.",
    )
    ours = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=FreeParser)
    for command in _COMMANDS:
        command.add_parser(ours)
