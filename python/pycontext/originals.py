"""Blocks that fell and can still be fetched."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from pycontext.block import ContextBlock

__all__ = ["Originals"]


class Originals:
    """The newest blocks that fell out of a session, by id, up to a number and a size.

    Args:
        max_blocks: number of blocks to remember.
        max_bytes: bytes of their texts in UTF-8 to remember: contents, metadata, ids and references.
    """

    def __init__(self, max_blocks: int = 10_000, max_bytes: int = 16 << 20) -> None:
        self._max_blocks = max_blocks
        self._max_bytes = max_bytes
        # With the size of each, so that nothing that happens to a block can spoil the sum.
        self._blocks: OrderedDict[str, tuple[ContextBlock, int]] = OrderedDict()
        self._bytes = 0

    def put(self, blocks: Iterable[ContextBlock]) -> None:
        """Remember blocks that nobody else has; the oldest are forgotten when there are too many."""
        for block in blocks:
            self.forget(block.id)
            texts = (block.id, block.content, *block.references, *chain.from_iterable(block.metadata.items()))
            size = sum(len(text.encode()) for text in texts)
            self._blocks[block.id] = block, size
            self._bytes += size
        while len(self._blocks) > self._max_blocks or self._bytes > self._max_bytes:
            _, (_, size) = self._blocks.popitem(last=False)
            self._bytes -= size

    def get(self, block_id: str) -> ContextBlock | None:
        """Return a copy of the block of that id, None where there is none."""
        found = self._blocks.get(block_id) if isinstance(block_id, str) else None
        return None if found is None else replace(found[0])

    def forget(self, block_id: str) -> None:
        """Forget the block of that id, if there is one."""
        _, size = self._blocks.pop(block_id, (None, 0))
        self._bytes -= size

    def __len__(self) -> int:
        return len(self._blocks)
