"""Blocks that fell and can still be fetched."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from pycontext import _core
from pycontext.block import ContextBlock
from pycontext.blockset import BlockSet
from pycontext.counter import TokenCounter

__all__ = ["ORIGINALS_BYTES", "Originals"]

ORIGINALS_BYTES: Final = 16 << 20

# What is forgotten stays in the columns until it is this part of what they may hold.
_SLACK: Final = 8


class Originals:
    """The newest blocks that fell out of a session, by id, up to a number and a size.

    They are columns, as they were in the session: to remember thousands makes no object of any.

    Args:
        max_blocks: number of blocks to remember.
        max_bytes: bytes of their texts in UTF-8 to remember: contents, metadata, ids and references.
    """

    def __init__(self, max_blocks: int = 10_000, max_bytes: int = ORIGINALS_BYTES) -> None:
        self._max_blocks = max_blocks
        self._max_bytes = max_bytes
        self._blocks: BlockSet | None = None
        # In the order of the blocks, of which the first ones may be forgotten already.
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0
        self._forgotten_bytes = 0

    def put(self, blocks: BlockSet) -> None:
        """Remember blocks; the oldest are forgotten when there are too many."""
        if not len(blocks):
            return
        ids = blocks.ids()
        self._remove(ids)
        if self._blocks is None:
            self._blocks = BlockSet(counter=blocks.counter)
        self._blocks.join(blocks)
        sizes = blocks.sizes()
        self._sizes.update(zip(ids, sizes, strict=True))
        self._bytes += sum(sizes)
        while len(self._sizes) > self._max_blocks or self._bytes > self._max_bytes:
            _, size = self._sizes.popitem(last=False)
            self._bytes -= size
            self._forgotten_bytes += size
        forgotten = len(self._blocks) - len(self._sizes)
        if forgotten > self._max_blocks // _SLACK or self._forgotten_bytes > self._max_bytes // _SLACK:
            self._tidy(self._blocks)

    def take(self, fallen: _core.Fallen, counter: TokenCounter) -> None:
        """Remember what fell out of a set that counts with `counter`; of many only the newest are copied."""
        if not fallen:
            return
        rows, is_all = fallen.newest(self._max_blocks, self._max_bytes)
        if not is_all:
            self.clear()
        self.put(BlockSet.of_rows(rows, counter, is_believed=True))

    def get(self, block_id: str) -> ContextBlock | None:
        """Return a copy of the block of that id, None where there is none."""
        if self._blocks is None or not isinstance(block_id, str) or block_id not in self._sizes:
            return None
        row = self._blocks.find(block_id)
        # Of a snapshot: what is written to it means nothing here.
        return None if row is None else self._blocks.snapshot()[row]

    def forget(self, block_id: str) -> None:
        """Forget the block of that id, if there is one; nothing of it stays."""
        self._remove([block_id])

    def clear(self) -> None:
        """Forget all blocks."""
        self._blocks = None
        self._sizes.clear()
        self._bytes = self._forgotten_bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes that the blocks take."""
        return 0 if self._blocks is None else self._blocks.nbytes

    def shrink(self) -> None:
        """Give back the memory of what is forgotten, and what is kept for blocks to come."""
        if self._blocks is not None:
            self._tidy(self._blocks)
            self._blocks.shrink()

    def _tidy(self, blocks: BlockSet) -> None:
        """Remove the first blocks, which are forgotten."""
        blocks.remove_rows(range(len(blocks) - len(self._sizes)))
        self._forgotten_bytes = 0

    def _remove(self, ids: Iterable[str]) -> None:
        """Remove the blocks of those ids that are here, also where they are forgotten already."""
        if self._blocks is None:
            return
        rows = {block_id: self._blocks.find(block_id) for block_id in ids}
        self._blocks.remove_rows(row for row in rows.values() if row is not None)
        self._bytes -= sum(self._sizes.pop(block_id, 0) for block_id in rows)

    def __len__(self) -> int:
        return len(self._sizes)
