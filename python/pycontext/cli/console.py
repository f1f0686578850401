"""What a command says besides its data: reports and progress."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from pycontext.selection import Reason

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["WORDS", "Report", "clip", "progress"]

# What a reason means, in a table.
WORDS = {
    Reason.PINNED: "pinned",
    Reason.KEPT: "kept",
    Reason.BUDGET: "no room",
    Reason.UNIT: "with its exchange",
    Reason.BELOW_THRESHOLD: "low score",
    Reason.DUPLICATE: "said twice",
    Reason.ORPHAN: "broken exchange",
}


def clip(text: str, width: int) -> str:
    """The text on one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


class Report:
    """Where a command's report goes: tables for people, JSON lines for programs.

    Args:
        as_json: JSON lines instead of tables.
        summary_to: where the summary goes; events always go to standard error.
    """

    def __init__(self, *, as_json: bool, summary_to: TextIO | None = None) -> None:
        self.as_json = as_json
        self._events = sys.stderr
        self._summary = sys.stderr if summary_to is None else summary_to

    def event(self, text: str, values: Mapping[str, Any]) -> None:
        """Say at once that something happened."""
        print(json.dumps(values) if self.as_json else f"pycontext: {text}", file=self._events, flush=True)

    def summary(self, table: Callable[[], RenderableType], values: Mapping[str, Any]) -> None:
        """Say what came out."""
        if self.as_json:
            print(json.dumps(values), file=self._summary, flush=True)
        else:
            from rich.console import Console  # noqa: PLC0415  # only people need it

            Console(file=self._summary).print(table())


@contextmanager
def progress(stream: BinaryIO, label: str, *, hidden: bool) -> Iterator[Callable[[int], object]]:
    """Show how many bytes of a file are read, on standard error and only to people."""
    if hidden or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415  # only people need it
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        size = os.fstat(stream.fileno()).st_size if stream is not sys.stdin.buffer else None
        task = bar.add_task(label, total=size or None)
        yield lambda n: bar.advance(task, n)
