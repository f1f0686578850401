"""Which of millions of conversations say nearly what an earlier one says, found in little memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from pycontext import _core

__all__ = ["Duplicates"]

# 16-bit values of a sketch, in the core.
_BINS: Final = 256


class Duplicates:
    """Sketches of conversations in two files, and what falls by them.

    512 bytes of a sketch and the keys of its bands, 8 bytes each, are on disk; 12 bytes a conversation and the pairs
    that are found are in the memory, and 64 MB besides. The files go when this is closed.

    Args:
        threshold: similarity, 0.5 to 1: the part of their word triples that two conversations both have.
        beside: file beside which the others are made.

    Raises:
        OSError: they cannot be made.
    """

    def __init__(self, threshold: float, beside: Path) -> None:
        self._threshold: Final = threshold
        self._bands: Final = _core.sketch_bands(threshold)
        self._paths: Final = [beside.with_name(f"{beside.name}.{name}") for name in ("sketches", "keys")]
        self._sketches, self._keys = (path.open("w+b") for path in self._paths)
        self._parts: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file, path in zip((self._sketches, self._keys), self._paths, strict=True):
            file.close()
            path.unlink(missing_ok=True)

    def sketch(self, data: bytes, length: int) -> tuple[bytes, bytes, int]:
        """Return the sketches of whole lines, their keys, and how many there are; may be called by several threads."""
        return _core.sketch_lines(data, length, self._threshold)

    def add(self, sketches: bytes, keys: bytes, count: int) -> None:
        """Append what `sketch` returned, in the order of the conversations."""
        self._sketches.write(sketches)
        self._keys.write(keys)
        self._parts.append(count)

    def __len__(self) -> int:
        return sum(self._parts)

    def find(self) -> bytes:
        """Return a bit for every conversation: those fall that are like an earlier one that stays."""
        total = len(self)
        if not total:
            return b""
        self._sketches.flush()
        self._keys.flush()
        sketches = np.memmap(self._paths[0], dtype=np.uint16, mode="r", shape=(total * _BINS,))
        last = np.full(total, 2**32 - 1, dtype=np.uint32)
        keys = np.empty(total, dtype=np.uint64)
        pairs: list[Any] = []
        for band in range(self._bands):
            at = 0
            for first, count in zip(self._starts(), self._parts, strict=True):
                where = 8 * (first * self._bands + band * count)
                keys[at : at + count] = np.frombuffer(os.pread(self._keys.fileno(), 8 * count, where), dtype=np.uint64)
                at += count
            pairs += _core.sketch_pairs(keys, sketches, self._threshold, last)
        return _core.sketch_fallen(total, pairs)

    def _starts(self) -> Iterable[int]:
        start = 0
        for count in self._parts:
            yield start
            start += count
