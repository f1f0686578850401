"""Blocks that fell and can still be fetched."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from pycontext.block import ContextBlock

__all__ = ["Originals"]


class Originals:
    """The newest blocks that fell out of a session, by id, up to a number and a size.

    Args:
        max_blocks: number of blocks to remember.
        max_bytes: bytes of their contents in UTF-8 to remember.
    """

    def __init__(self, max_blocks: int = 10_000, max_bytes: int = 16 << 20) -> None:
        self._max_blocks = max_blocks
        self._max_bytes = max_bytes
        self._blocks: OrderedDict[str, ContextBlock] = OrderedDict()
        self._bytes = 0

    def put(self, blocks: Iterable[ContextBlock]) -> None:
        """Remember blocks; the oldest are forgotten when there are too many."""
        for block in blocks:
            self.take(block.id)
            self._blocks[block.id] = block
            self._bytes += len(block.content.encode())
        while len(self._blocks) > self._max_blocks or self._bytes > self._max_bytes:
            _, oldest = self._blocks.popitem(last=False)
            self._bytes -= len(oldest.content.encode())

    def get(self, block_id: str) -> ContextBlock | None:
        """Return the block of that id, None where there is none."""
        return self._blocks.get(block_id)

    def take(self, block_id: str) -> ContextBlock | None:
        """Forget the block of that id and return it, None where there is none."""
        block = self._blocks.pop(block_id, None)
        if block is not None:
            self._bytes -= len(block.content.encode())
        return block

    def __len__(self) -> int:
        return len(self._blocks)
