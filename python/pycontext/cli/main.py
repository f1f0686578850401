"""The program `pycontext`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Final, NoReturn

from pycontext._core import __version__
from pycontext.cli.exits import Exit
from pycontext.cli.options import Parser, hidden
from pycontext.errors import (
    BadLineError,
    ConflictError,
    ContextError,
    StoreFullError,
    StoreUnavailableError,
    UnknownBlockError,
    UnknownSessionError,
    ValidationError,
    VersionGoneError,
)

__all__ = ["main"]

# What trying again does not mend is none of these: a store that refuses the user, or is damaged.
_CODES: Final[tuple[tuple[tuple[type[BaseException], ...], Exit], ...]] = (
    ((FileNotFoundError, IsADirectoryError, NotADirectoryError), Exit.NOT_FOUND),
    ((UnknownSessionError, UnknownBlockError, VersionGoneError), Exit.NOT_FOUND),
    ((ConflictError,), Exit.CONFLICT),
    ((StoreUnavailableError, StoreFullError), Exit.UNAVAILABLE),
)

COMMANDS: Final = ("prune", "batch", "inspect", "count", "eval", "store", "demo")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    if sys.stdout is None or sys.stderr is None:
        # Nobody could be told anything.
        return Exit.FAILED
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that cannot show a character is no reason to fail.
            stream.reconfigure(errors="replace")
    with suppress(ValueError):  # which says that this is not the main thread
        signal.signal(signal.SIGTERM, _stop)
    words = list(sys.argv[1:] if argv is None else argv)
    args = _parser(words).parse_args(words)
    try:
        code: Exit = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has enough; Python would complain once more on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except (ContextError, OSError, KeyboardInterrupt) as error:
        # An address that was taken for a file is shown as one.
        text = hidden(_message(error))
        line = json.dumps({"event": "error", "message": text}) if args.json else f"pycontext: {text}"
        sys.stderr.write(line + "\n")
        return _code(error)
    return code


def _parser(words: list[str]) -> argparse.ArgumentParser:
    parser = Parser(
        prog="pycontext",
        description="Decide what goes into a prompt, within a budget that holds.",
        epilog="Exit codes: 0 done, 2 usage, 3 not found, 4 conflict, 5 the store is down, busy or full, 6 done but "
        "some conversations could not fit, some lines were bad or some sessions could not be read, 1 anything else.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    # Only the command that runs is imported: tables take longer to import than a small file takes to prune.
    for name in words[:1] if words and words[0] in COMMANDS else COMMANDS:
        import_module(f"pycontext.cli.{name}").add_parser(commands)
    return parser


def _stop(_signal: int, _frame: object) -> NoReturn:
    """End as Ctrl-C does, so that nothing half written is left."""
    raise KeyboardInterrupt


def _message(error: BaseException) -> str:
    # Errors of stores are ours and the system's at once.
    if isinstance(error, OSError) and not isinstance(error, ContextError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return str(error) or "interrupted"


def _code(error: BaseException) -> Exit:
    for kinds, code in _CODES:
        if isinstance(error, kinds):
            return code
    # What a file holds is bad input, not a bad call.
    is_usage = isinstance(error, ValidationError) and not isinstance(error, BadLineError)
    return Exit.USAGE if is_usage else Exit.FAILED
