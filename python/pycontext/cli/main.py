"""The program `pycontext`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from pycontext.cli.conversations import BadLineError
from pycontext.cli.exits import Exit
from pycontext.errors import ContextError, ValidationError

__all__ = ["main"]

COMMANDS: Final = ("prune", "inspect", "count", "demo")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="pycontext",
        description="Decide what goes into a prompt, within a budget that holds.",
        epilog="Exit codes: 0 done, 2 usage, 3 not found, 6 done but some conversations could not fit or some lines "
        "were bad, 1 anything else.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    words = list(sys.argv[1:] if argv is None else argv)
    # Only the command that runs is imported: tables take longer to import than a small file takes to prune.
    for name in words[:1] if words and words[0] in COMMANDS else COMMANDS:
        import_module(f"pycontext.cli.{name}").add_parser(commands)
    args = parser.parse_args(words)
    try:
        code: Exit = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has enough; Python would complain once more on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except (ContextError, OSError, KeyboardInterrupt) as error:
        sys.stderr.write(f"pycontext: {_message(error)}\n")
        return _code(error)
    return code


def _message(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return str(error) or "interrupted"


def _code(error: BaseException) -> Exit:
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return Exit.NOT_FOUND
    # A bad line is bad input, not a bad call.
    is_usage = isinstance(error, ValidationError) and not isinstance(error, BadLineError)
    return Exit.USAGE if is_usage else Exit.FAILED
