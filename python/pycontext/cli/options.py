"""Options that commands share, and how they are read."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

__all__ = ["FreeParser", "Parser", "add_input_options", "fraction", "hidden", "positive", "whole"]

# User and password of an address, and its options, which may hold them as well; as a path it has one slash less.
_SECRETS: Final = re.compile(r"""(?<=:/)(/?)([^\s"']*@)?([^\s"'?]*)(\?[^\s"']*)?""")


def add_input_options(parser: argparse.ArgumentParser, *, json_help: str) -> None:
    """Options of every command that reads conversations."""
    parser.add_argument("--skip-bad", action="store_true", help="go on after a bad line and report how many")
    parser.add_argument("--encoding", default="o200k_base", metavar="NAME", help="o200k_base (default) or cl100k_base")
    parser.add_argument("--json", action="store_true", help=json_help)


def whole(least: int) -> Callable[[str], int]:
    """Read a whole number from `least` up."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least}")
        return number

    return read


def positive(text: str) -> float:
    """Read a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def fraction(text: str) -> float:
    """Read a number from 0.5 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.5 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0.5 to 1")
    return number


def hidden(text: str) -> str:
    """Return a text with the passwords of addresses taken out."""
    return _SECRETS.sub(
        lambda found: found[1] + ("…@" if found[2] else "") + found[3] + ("?…" if found[4] else ""), text
    )


class Parser(argparse.ArgumentParser):
    """Repeats what it does not understand, but no password."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end."""
        super().error(hidden(message))


class FreeParser(Parser):
    """Takes options anywhere between the arguments, also where the first of these may be left out."""

    _is_inside = False

    def parse_known_args(  # type: ignore[override]  # it has overloads
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Read options first, and then what is left; that asks here once more for each of the two."""
        if self._is_inside:
            return super().parse_known_args(args, namespace)
        self._is_inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_inside = False
