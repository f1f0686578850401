"""A file of conversations as the commands read it: with progress, and bad lines reported."""

from __future__ import annotations

from collections.abc import Iterator

from pycontext.cli.console import Report, progress
from pycontext.cli.conversations import Conversation, open_input, read
from pycontext.counter import TokenCounter
from pycontext.errors import BadLineError

__all__ = ["Source"]


class Source:
    """The conversations of a file, once.

    Args:
        path: of the file, `-` for standard input.
        counter: what counts tokens.
        report: is told of bad lines.
        skip_bad: whether to go on after a bad line.
        label: what the progress bar says; empty for none.

    Attributes:
        bad_lines: how many there were so far.
    """

    def __init__(self, path: str, *, counter: TokenCounter, report: Report, skip_bad: bool, label: str) -> None:
        self._path = path
        self._counter = counter
        self._report = report
        self._skip_bad = skip_bad
        self._label = label
        self.bad_lines = 0

    def __iter__(self) -> Iterator[Conversation]:
        """Read.

        Raises:
            OSError: the file cannot be read.
            BadLineError: a line is no conversation, and those are not skipped.
        """
        with open_input(self._path) as stream, progress(stream, self._label, hidden=not self._label) as advance:
            on_bad = self._on_bad if self._skip_bad else None
            yield from read(stream, self._path, counter=self._counter, on_bad=on_bad, on_bytes=advance)

    def _on_bad(self, bad: BadLineError) -> None:
        self.bad_lines += 1
        values = {"event": "bad_line", "file": bad.file, "line": bad.line, "reason": bad.reason}
        self._report.event(str(bad), values)
