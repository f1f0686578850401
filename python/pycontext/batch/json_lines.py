"""JSON lines, plain or compressed, as a run reads and writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pycontext import _core
from pycontext.batch import files
from pycontext.batch.files import Lines, compressor, lines_of
from pycontext.batch.part import Part, Problem
from pycontext.batch.task import Task

__all__ = ["JsonLines"]


class JsonLines:
    """One conversation a line, from bytes to bytes.

    Args:
        task: what is asked.
        output: file whose name says how it is compressed.
    """

    def __init__(self, task: Task, output: str) -> None:
        self._task = task
        self._compress = compressor(output)

    def pieces(self, path: str, file: int, start: int) -> Iterator[Lines]:
        """Read a file from a place on that is the end of a piece."""
        return lines_of(path, file, start)

    def prune(self, piece: Lines) -> Part:
        """Prune a piece."""
        if piece.is_too_long:
            reason = f"line is {piece.length} bytes, over {files.LINE_BYTES}"
            return Part(b"", _core.no_sums(), [Problem(0, reason, None, None, None)], 1)
        data = piece.data[piece.skip :] if piece.skip else piece.data
        length = piece.length - piece.skip
        output, sums, found, lines, _ = _core.prune_lines(self._task.job, data, length)
        problems = [
            Problem(line, reason, id, needed and (needed[0], needed[1]), data[start:end])
            for line, start, end, reason, id, needed in found
        ]
        return Part(self._compress(output) if output else b"", sums, problems, lines)

    def finish(self, part: BinaryIO, whole: Path) -> None:
        """Do nothing: the parts are the file."""
