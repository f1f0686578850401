"""Blocks that a set handed out, as long as somebody else holds them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from sys import getrefcount
from typing import TYPE_CHECKING, Final

from pycontext.block import ContextBlock
from pycontext.errors import ContextError, FencedError, ValidationError

if TYPE_CHECKING:
    from threading import RLock

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Held", "Settled"]


class Held:
    """Blocks by row, and what was wrong with those that were refused; whoever calls holds the lock of the set."""

    __slots__ = ("_blocks", "_refused", "is_settled")

    def __init__(self) -> None:
        self.is_settled = False
        self._blocks: dict[int, ContextBlock] = {}
        self._refused: dict[int, str] = {}

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def get(self, row: int) -> ContextBlock | None:
        """Return the block that was handed out for a row."""
        return self._blocks.get(row)

    def put(self, row: int, block: ContextBlock) -> ContextBlock:
        """Remember a block that is handed out for a row, and return it."""
        self._blocks[row] = block
        return block

    def let_go(self, row: int) -> None:
        """Forget the block of a row: what is written to it from now on means nothing to the set."""
        self._blocks.pop(row, None)
        self._refused.pop(row, None)

    def remove(self, rows: set[int]) -> None:
        """Forget the blocks of rows that go, and follow the others to where they go."""
        gone = sorted(rows) if self._blocks else []
        self.move({row: None if row in rows else row - bisect_left(gone, row) for row in self._blocks})

    def rows(self) -> list[int]:
        """Return the rows of the blocks."""
        return list(self._blocks)

    def move(self, places: Mapping[int, int | None]) -> None:
        """Follow the blocks to where their rows go, and forget those whose rows go nowhere."""
        moved = [(row, place) for row, place in places.items() if place is not None]
        self._blocks = {place: self._blocks[row] for row, place in moved}
        self._refused = {place: self._refused[row] for row, place in moved if row in self._refused}

    def replace(self, blocks: Iterable[ContextBlock]) -> None:
        """Follow the blocks to where they are in `blocks`, which takes the place of all."""
        live = {id(block) for block in self._blocks.values()}
        said = {id(self._blocks[row]): text for row, text in self._refused.items()}
        self._blocks = {row: block for row, block in enumerate(blocks) if id(block) in live}
        self._refused = {row: said[id(block)] for row, block in self._blocks.items() if id(block) in said}

    def follow(self, find: Callable[[str], int | None]) -> list[tuple[int, ContextBlock]]:
        """Follow blocks by their ids to rows that took the place of all, and return those that are there."""
        found = [(find(block.id), block) for block in self._blocks.values()]
        self._refused = {}
        self._blocks = {row: block for row, block in found if row is not None}
        return list(self._blocks.items())

    def refused(self) -> dict[int, int]:
        """Return the rows of the blocks whose values were refused, by the identity of the block."""
        return {id(self._blocks[row]): row for row in self._refused}

    def write_scores(self, scores: NDArray[np.float64]) -> None:
        """Give every block the base score of its row."""
        for row, block in self._blocks.items():
            block.relevance_score = float(scores[row])

    def write_origin(self, origin: str | None) -> None:
        """Say of every block whom it came from."""
        for block in self._blocks.values():
            block.origin = origin

    def rename_references(self, names: Mapping[str, str]) -> None:
        """Let references name other blocks, as in the rows."""
        for row, block in self._blocks.items():
            # What was refused is not in the row, and may hold anything.
            if row not in self._refused and not names.keys().isdisjoint(block.references):
                block.references = [names.get(id, id) for id in block.references]

    def read_back(self, read: Callable[[int, ContextBlock], None]) -> None:
        """Have every block read into its row, then let go those that nobody else holds.

        Raises:
            ValidationError: a block has a bad value that was not said before.
            FencedError: the same, of a set that was fenced off.
        """
        pending = list(self._blocks)
        while pending:
            again = []
            for row in pending:
                try:
                    self._read_one(row, read)
                except (ValidationError, FencedError) as error:
                    # Without the frames that it came through: they hold the block as well.
                    again.append((row, error.with_traceback(None)))
            if len(again) == len(pending):
                said = self._refuse(again)
                if said is not None:
                    raise said
                return
            # An id that was taken may be free now, or no longer bad: try those that are left once more.
            pending = [row for row, _ in again]

    def _read_one(self, row: int, read: Callable[[int, ContextBlock], None]) -> None:
        # Asked before it is read: whoever lets go later has written before.
        is_alone = _holders_of(self._blocks, row) <= _ALONE
        read(row, self._blocks[row])
        self._refused.pop(row, None)
        if is_alone:
            del self._blocks[row]

    def _refuse(self, refused: Sequence[tuple[int, ContextError]]) -> ContextError | None:
        """Note bad values, and return the first that was not said before: said again and again, it would stop all."""
        first = None
        for row, error in refused:
            if self._refused.get(row) != str(error):
                first = first or error
            self._refused[row] = str(error)
            if _holders_of(self._blocks, row) <= _ALONE:
                self.let_go(row)
        return first


class Settled:
    """Holds the lock of a set, with every block that was handed out read back; inside itself it reads nothing again.

    A class, because a generator costs a good part of a small prune.
    """

    __slots__ = ("_held", "_is_outer", "_lock", "_read")

    def __init__(self, lock: RLock, held: Held, read: Callable[[int, ContextBlock], None]) -> None:
        self._lock = lock
        self._held = held
        self._read = read

    def __enter__(self) -> None:
        self._lock.acquire()
        self._is_outer = not self._held.is_settled
        if self._is_outer:
            try:
                self._held.read_back(self._read)
            except BaseException:
                self._lock.release()
                raise
            self._held.is_settled = True

    def __exit__(self, *_raised: object) -> None:
        if self._is_outer:
            self._held.is_settled = False
        self._lock.release()


def _holders_of(blocks: dict[int, ContextBlock], row: int) -> int:
    block = blocks[row]
    return getrefcount(block)


# What the function above counts for a block that nobody else holds, whatever this interpreter counts on the way.
_ALONE: Final = _holders_of({0: ContextBlock.__new__(ContextBlock)}, 0)
