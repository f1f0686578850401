"""The store that a command is for."""

from __future__ import annotations

import argparse
import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pycontext.cli.console import Report
from pycontext.errors import (
    ContextError,
    SignatureError,
    StoreCorruptError,
    UnsupportedFormatError,
    ValidationError,
)
from pycontext.store.sync_store import Store
from pycontext.store.url import file_of, open_store

__all__ = [
    "UNREADABLE",
    "VARIABLE",
    "add_store_arguments",
    "add_store_options",
    "checked",
    "opened",
    "warnings_told",
]

VARIABLE: Final = "PYCONTEXT_STORE"
UNREADABLE: Final = (StoreCorruptError, UnsupportedFormatError, SignatureError)
"""What may be wrong with one session while the others are well."""

_LOG: Final = logging.getLogger("pycontext")


def add_store_arguments(parser: argparse.ArgumentParser, *, json_help: str) -> None:
    """The address and the options of every command of a store."""
    parser.add_argument("url", nargs="?", metavar="URL", help=f"address of the store; left out: {VARIABLE} has it")
    add_store_options(parser, json_help=json_help)


def add_store_options(parser: argparse.ArgumentParser, *, json_help: str) -> None:
    """The options of every command of a store."""
    parser.add_argument("--namespace", default="default", metavar="NAME", help="of the sessions (default)")
    parser.add_argument("--json", action="store_true", help=json_help)


def checked(name: str, value: str) -> str:
    """Return what an argument says.

    Raises:
        ValidationError: an address stands there, as where another argument was forgotten.
    """
    if "://" in value:
        # Not shown: it may hold a password.
        raise ValidationError(f"{name} is an address")
    return value


@contextmanager
def opened(url: str | None, namespace: str, *, ttl: float | None = None, may_make: bool = False) -> Iterator[Store]:
    """Open a store.

    Args:
        url: its address; None for that of the environment.
        namespace: of the sessions.
        ttl: seconds that sessions live which are written.
        may_make: True to make a file that is not there.

    Raises:
        ValidationError: there is no address, or it is none.
        FileNotFoundError: the file is not there.
        ContextError: what the store needs is not installed.
    """
    checked("--namespace", namespace)
    url = url or os.environ.get(VARIABLE)
    if not url:
        raise ValidationError(f"no store is named: give its address, or set {VARIABLE}")
    path = file_of(url)
    if path is not None and not may_make and not path.exists():
        # Who looks at a store does not make one.
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    try:
        # Of every session only the one at hand is remembered.
        store = open_store(url, namespace=namespace, ttl=ttl, sessions=1)
    except ImportError as error:
        raise ContextError(str(error)) from error
    with store:
        yield store


@contextmanager
def warnings_told(report: Report | None) -> Iterator[None]:
    """Pass on what the library warns of; nowhere where there is no report."""
    handler = logging.NullHandler() if report is None else _Teller(report)
    _LOG.addHandler(handler)
    try:
        yield
    finally:
        _LOG.removeHandler(handler)


class _Teller(logging.Handler):
    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        """Say it as all else is said."""
        self._report.event(record.getMessage(), {"event": "warning"})
