"""Parquet and Arrow files, one conversation a row, as a run reads and writes them."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from pycontext import _core
from pycontext.batch.part import Part, Problem
from pycontext.batch.tally import Tally
from pycontext.batch.task import Task
from pycontext.errors import ContextError, ValidationError

try:
    import pyarrow as pa
    from pyarrow import ipc, parquet
except ImportError:
    raise ImportError("files with columns need pyarrow: pip install 'pycontext-layer[arrow]'") from None

__all__ = ["Rows"]

_BATCH_ROWS: Final = 1_024
_LENGTH: Final = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of a file: from which on the next ones are, and how much of the file is read."""

    file: int
    start: int
    end: int
    position: int
    rows: Any


class Rows:
    """One conversation a row.

    What is done is kept as Arrow streams, one a batch with its length before it: these can be appended to, which a
    Parquet file cannot. The file is made of them at the end.

    Args:
        task: what is asked.
        output: file whose name says which kind it is.
        column: of the conversations.
    """

    def __init__(self, task: Task, output: str, column: str) -> None:
        self._task = task
        self._output = output
        self._column = column
        self._schema: Any = None

    def look_for_duplicates(self, _inputs: Sequence[str], threshold: float, _beside: Path, _threads: int) -> None:
        """Refuse: only lines are read twice so far."""
        raise ValidationError(
            f"near_duplicates {threshold} is for JSON lines, not for {Path(self._output).suffix} files"
        )

    def pieces(self, path: str, file: int, start: int) -> Iterator[Batch]:
        """Read a file from a row on."""
        size = Path(path).stat().st_size
        try:
            schema, total, batches = _batches(path)
        except (pa.ArrowInvalid, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ValidationError(f"input {path!r} is no {Path(path).suffix[1:]} file: {error}") from None
        if self._schema is not None and not self._schema.equals(schema):
            raise ValidationError(f"input {path!r} has another schema than the files before it")
        self._schema = schema
        at = 0
        for rows in batches:
            end = at + rows.num_rows
            if end > start:
                yield Batch(file, at, end, size * end // max(total, 1), rows)
            at = end

    def prune(self, piece: Batch) -> Part:
        """Prune a piece; where a row is no conversation, row by row."""
        job, source = self._task.job, next(iter(_core.Batches(piece.rows, max(piece.rows.num_rows, 1))), None)
        if source is None:
            return Part(b"", _core.no_sums(), [], 0)
        try:
            batch, sums, found = _core.prune_batch(job, source, self._column, piece.start)
        except ContextError:
            return self._row_by_row(piece)
        problems = [Problem(row, reason, None, (needed[0], needed[1]), None) for row, reason, needed in found]
        return Part(self._stream(piece, [batch]), sums, problems, piece.rows.num_rows)

    def _row_by_row(self, piece: Batch) -> Part:
        kept, problems, tally = [], [], Tally(_core.no_sums() | {"largest": []})
        largest: list[Any] = []
        for row in range(piece.rows.num_rows):
            source = next(iter(_core.Batches(piece.rows.slice(row, 1), 1)))
            try:
                batch, sums, found = _core.prune_batch(self._task.job, source, self._column, piece.start + row)
            except ContextError as error:
                problems.append(Problem(row, str(error), None, None, None))
                continue
            kept.append(batch)
            problems += [Problem(row, reason, None, (needed[0], needed[1]), None) for _, reason, needed in found]
            largest += [(before, row, id, messages, after) for before, _, id, messages, after in sums["largest"]]
            tally.add({**sums, "largest": []}, lambda _: ("", 0))
        sums = {name: value for name, value in tally.sums.items() if name != "bad_lines"}
        return Part(self._stream(piece, kept), {**sums, "largest": largest}, problems, piece.rows.num_rows)

    def _stream(self, piece: Batch, batches: list[_core.Batch]) -> bytes:
        sink = pa.BufferOutputStream()
        with ipc.new_stream(sink, piece.rows.schema) as writer:
            for batch in batches:
                writer.write_batch(pa.record_batch(batch).cast(piece.rows.schema))
        data: bytes = sink.getvalue().to_pybytes()
        return _LENGTH.pack(len(data)) + data

    def finish(self, part: BinaryIO, whole: Path) -> None:
        """Make the file of the streams."""
        size = part.seek(0, io.SEEK_END)
        part.seek(0)
        with whole.open("wb") as out:
            writer = None
            while part.tell() < size:
                (length,) = _LENGTH.unpack(part.read(_LENGTH.size))
                for batch in ipc.open_stream(part.read(length)):
                    writer = writer or self._writer(out, batch.schema)
                    writer.write_batch(batch)
            if writer is None:
                writer = self._writer(out, self._schema)
            writer.close()
            out.flush()
            os.fsync(out.fileno())

    def _writer(self, out: BinaryIO, schema: Any) -> Any:
        if Path(self._output).suffix == ".parquet":
            return parquet.ParquetWriter(out, schema, compression="zstd")
        return ipc.new_file(out, schema)


def _batches(path: str) -> tuple[Any, int, Iterator[Any]]:
    """The schema of a file, its rows, and its batches."""
    if Path(path).suffix == ".parquet":
        file = parquet.ParquetFile(path, memory_map=False, buffer_size=1 << 20, pre_buffer=False)
        return file.schema_arrow, file.metadata.num_rows, file.iter_batches(_BATCH_ROWS)
    with Path(path).open("rb") as raw:
        is_file = raw.read(6) == b"ARROW1"
    source = pa.memory_map(path)
    if not is_file:
        stream = ipc.open_stream(source)
        return stream.schema, 0, _parts(iter(stream))
    reader = ipc.open_file(source)
    numbers = range(reader.num_record_batches)
    total = sum(reader.get_batch(at).num_rows for at in numbers)
    return reader.schema, total, _parts(reader.get_batch(at) for at in numbers)


def _parts(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            yield batch.slice(start, _BATCH_ROWS)
