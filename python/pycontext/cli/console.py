"""What a command says besides its data: reports and progress."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TextIO

from pycontext.selection import Reason

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["WORDS", "Report", "clip", "progress"]

# What a reason means, in a table.
WORDS: Final = {
    Reason.PINNED: "pinned",
    Reason.KEPT: "kept",
    Reason.BUDGET: "no room",
    Reason.UNIT: "with its unit",
    Reason.BELOW_THRESHOLD: "low score",
    Reason.DUPLICATE: "said twice",
    Reason.ORPHAN: "broken unit",
}


def clip(text: str, width: int) -> str:
    """The text on one line of at most so many characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


class Report:
    """What a command says besides its data: tables and lines for people, JSON lines for programs.

    Everything goes to standard error; only a summary in JSON may go elsewhere.

    Args:
        as_json: JSON lines instead of tables.
        summary_to: where a summary in JSON goes.
    """

    def __init__(self, *, as_json: bool, summary_to: TextIO | None = None) -> None:
        self.as_json = as_json
        self._summary_to = summary_to

    def event(self, text: str, values: Mapping[str, Any]) -> None:
        """Say at once that something happened."""
        line = json.dumps({**values, "message": text}) if self.as_json else f"pycontext: {text}"
        sys.stderr.write(line + "\n")

    def summary(self, tables: Callable[[], Iterable[RenderableType]], values: Mapping[str, Any]) -> None:
        """Say what came out."""
        if self.as_json:
            (self._summary_to or sys.stderr).write(json.dumps(values) + "\n")
            return
        from rich.console import Console  # noqa: PLC0415  # only people need it

        console = Console(stderr=True)
        for table in tables():
            console.print(table)


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
