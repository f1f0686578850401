"""Files of JSON lines: plain, in gzip or in zstd."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from pycontext._core import ZstdFile, zstd_frame
from pycontext.errors import BadLineError

__all__ = ["Lines", "compressor", "lines_of", "opened"]

# Bytes that are worth a turn of a thread, and few enough that their memory does not count.
PIECE_BYTES: Final = 4 << 20
LINE_BYTES: Final = 64 << 20
_BOM: Final = b"\xef\xbb\xbf"

Read = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines of a file.

    Attributes:
        file: number of the file.
        start: where they begin in the file as it is uncompressed.
        end: where the next ones begin.
        data: their bytes, and perhaps more.
        skip: bytes of `data` before them.
        length: bytes of `data` up to their end; what is too long to be held has none.
        position: how much of the file itself is read.
    """

    file: int
    start: int
    end: int
    data: bytes
    skip: int
    length: int
    position: int

    @property
    def is_too_long(self) -> bool:
        """Whether this is a line that is over the limit of all lines."""
        return not self.data


def compressor(path: str) -> Callable[[bytes], bytes]:
    """Return what makes the bytes of a part those of a file of that name; parts one behind the other are a file."""
    suffix = Path(path).suffix
    if suffix == ".gz":
        return _gzip_member
    return zstd_frame if suffix == ".zst" else _same


def _gzip_member(data: bytes) -> bytes:
    # The time in the header would make two runs differ.
    return gzip.compress(data, compresslevel=6, mtime=0)


def _same(data: bytes) -> bytes:
    return data


@contextmanager
def opened(path: str) -> Iterator[tuple[Read, Callable[[], int]]]:
    """Open a compressed file, or standard input for `-`; yields how to read, and how to ask where the file itself is.

    Raises:
        OSError: the file cannot be opened.
    """
    suffix = Path(path).suffix
    if path == "-":
        stream, count = sys.stdin.buffer, [0]

        def read(size: int) -> bytes:
            data = _whole(stream, size)
            count[0] += len(data)
            return data

        yield read, lambda: count[0]
    elif suffix == ".zst":
        zstd = ZstdFile(path)
        yield zstd.read, zstd.tell
    else:
        with Path(path).open("rb", buffering=0) as raw, gzip.GzipFile(fileobj=raw) as unzipped:
            yield lambda size: _whole(unzipped, size), raw.tell


def _whole(stream: BinaryIO | gzip.GzipFile, size: int) -> bytes:
    """So many bytes, fewer at the end only: where a part ends must not depend on how the system reads."""
    data = stream.read(size)
    while 0 < len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            break
        data += more
    return data or b""


def lines_of(path: str, file: int, start: int) -> Iterator[Lines]:
    """Read whole lines from a place on where a line begins; the same parts whenever that is one of their ends.

    Raises:
        OSError: the file cannot be read.
        BadLineError: it is cut off or damaged.
    """
    if path != "-" and Path(path).suffix not in (".gz", ".zst"):
        yield from _plain_lines(path, file, start)
        return
    with opened(path) as (unsafe, tell):

        def read(size: int) -> bytes:
            try:
                return unsafe(size)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise BadLineError(path, 0, f"is no whole gzip file: {error}") from None
            except OSError as error:
                if error.errno is None:
                    raise BadLineError(path, 0, f"is no whole zstd file: {error}") from None
                raise

        _pass(read, start)
        yield from _pieces(read, tell, file, start)


def _plain_lines(path: str, file: int, start: int) -> Iterator[Lines]:
    """The same of a file that can be read anywhere: what is behind the last line end is read again, never copied."""
    with Path(path).open("rb", buffering=0) as raw:
        while True:
            raw.seek(start)
            data = _whole(raw, PIECE_BYTES)
            if not data:
                return
            length = data.rfind(b"\n") + 1 if len(data) == PIECE_BYTES else len(data)
            if not length:
                # A line that is longer than a part.
                raw.seek(start)
                yield from _pieces(lambda size: _whole(raw, size), raw.tell, file, start)
                return
            skip = len(_BOM) if not start and data.startswith(_BOM) else 0
            yield Lines(file, start, start + length, data, skip, length, start + length)
            start += length


def _pass(read: Read, size: int) -> None:
    while size > 0:
        data = read(min(size, PIECE_BYTES))
        if not data:
            return
        size -= len(data)


def _pieces(read: Read, tell: Callable[[], int], file: int, start: int) -> Iterator[Lines]:
    rest, is_more = b"", True
    while is_more:
        fresh = read(PIECE_BYTES - len(rest))
        is_more = bool(fresh)
        data = rest + fresh
        while is_more and b"\n" not in data and len(data) <= LINE_BYTES:
            fresh = read(PIECE_BYTES)
            is_more = bool(fresh)
            data += fresh
        length = data.rfind(b"\n") + 1 if is_more else len(data)
        if is_more and not length:
            size = len(data)
            while b"\n" not in data and (data := read(PIECE_BYTES)):
                size += len(data)
            behind = data.find(b"\n") + 1
            rest = data[behind:] if behind else b""
            size -= len(rest)
            yield Lines(file, start, start + size, b"", 0, size, tell())
            start += size
            is_more = bool(data)
        else:
            rest = data[length:]
            if length:
                skip = len(_BOM) if not start and data.startswith(_BOM) else 0
                yield Lines(file, start, start + length, data, skip, length, tell())
            start += length
        # What is left of a long read is more than a part: its lines are the next ones.
        while len(rest) >= PIECE_BYTES and (length := rest.rfind(b"\n", 0, PIECE_BYTES) + 1):
            yield Lines(file, start, start + length, rest, 0, length, tell())
            start, rest = start + length, rest[length:]
