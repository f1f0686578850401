"""What a command says besides its data: reports and progress."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from pycontext.block import ContextBlock, ContextType

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import ProgressColumn

__all__ = ["Report", "clip", "counted", "lasting", "line_of", "progress", "transferred"]


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


def line_of(block: ContextBlock) -> str:
    """What a block says, or the calls that it makes, for one line."""
    if block.content or block.type is not ContextType.AGENT:
        return block.content
    try:
        calls = json.loads(block.metadata.get("openai.tool_calls", "[]"))
        return ", ".join(f"{call['function']['name']}({call['function']['arguments']})" for call in calls)
    except (ValueError, LookupError, TypeError, AttributeError):
        # Anybody may write what is no call.
        return ""


def lasting(seconds: float) -> str:
    """Return a time as people read it, in its largest unit."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


@contextmanager
def progress(stream: BinaryIO, label: str, *, hidden: bool) -> Iterator[Callable[[int], object]]:
    """Show how many bytes of a file are read, on standard error and only to people."""
    if hidden or not sys.stderr.isatty():
        yield lambda _: None
        return
    size = os.fstat(stream.fileno()).st_size if stream is not sys.stdin.buffer else None
    with transferred(label, size or None, hidden=False) as advance:
        yield advance


@contextmanager
def transferred(label: str, total: int | None, *, hidden: bool) -> Iterator[Callable[[int], object]]:
    """Show how many bytes are done, how fast and for how long still, on standard error and only to people."""
    if hidden or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich import progress as shown  # noqa: PLC0415  # only people need it

    with _bar(label, total, shown.DownloadColumn(), shown.TransferSpeedColumn()) as advance:
        yield advance


@contextmanager
def counted(label: str, total: int, *, hidden: bool) -> Iterator[Callable[[int], object]]:
    """Show how many of some things are done, on standard error and only to people."""
    if hidden or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import MofNCompleteColumn  # noqa: PLC0415  # only people need it

    with _bar(label, total, MofNCompleteColumn()) as advance:
        yield advance


@contextmanager
def _bar(label: str, total: int | None, *columns: ProgressColumn) -> Iterator[Callable[[int], object]]:
    from rich.console import Console  # noqa: PLC0415  # only people need it
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    all_columns = (TextColumn("{task.description}"), BarColumn(), *columns, TimeRemainingColumn())
    with Progress(*all_columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda n: bar.advance(task, n)
