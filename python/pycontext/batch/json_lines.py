"""JSON lines, plain or compressed, as a run reads and writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from pycontext import _core
from pycontext.batch import files
from pycontext.batch.duplicates import Duplicates
from pycontext.batch.files import Lines, compressor, lines_of
from pycontext.batch.order import in_order
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
        # The conversations that fall, as bits, and the number of the first one of every piece.
        self._fallen: bytes | None = None
        self._first: dict[tuple[int, int], int] = {}

    def look_for_duplicates(self, inputs: Sequence[str], threshold: float, beside: Path, threads: int) -> None:
        """Find the conversations that say nearly what an earlier one says; `prune` leaves them out."""
        with Duplicates(threshold, beside) as found:

            def sketch(piece: Lines) -> tuple[bytes, bytes, int]:
                if piece.is_too_long:
                    # It is a line, if none that anybody reads.
                    return found.sketch(b"-", 1)
                return found.sketch(piece.data[piece.skip :] if piece.skip else piece.data, piece.length - piece.skip)

            pieces = (piece for file, path in enumerate(inputs) for piece in lines_of(path, file, 0))
            with closing(in_order(sketch, pieces, threads)) as done:
                for piece, made in done:
                    self._first[piece.file, piece.start] = len(found)
                    found.add(*made)
            self._fallen = found.find()

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
        first = self._first.get((piece.file, piece.start), 0)
        output, sums, found, lines, _ = _core.prune_lines(self._task.job, data, length, self._fallen, first)
        problems = [
            Problem(line, reason, id, needed and (needed[0], needed[1]), data[start:end])
            for line, start, end, reason, id, needed in found
        ]
        return Part(self._compress(output) if output else b"", sums, problems, lines)

    def finish(self, part: BinaryIO, whole: Path) -> None:
        """Do nothing: the parts are the file."""
