"""Options that commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable

__all__ = ["add_input_options", "whole"]


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
