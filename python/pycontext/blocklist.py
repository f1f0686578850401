"""Blocks as rows of columns, behind the face of a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableSequence, Sequence
from contextlib import AbstractContextManager
from threading import RLock
from typing import Any, Final, overload

from pycontext import _core
from pycontext.block import ContextBlock, ContextType, Counted, copied, needs_count, raw_count, restore
from pycontext.counter import DEFAULT_ENCODING, EncodingCounter, TokenCounter, as_counter, count_with
from pycontext.errors import shown
from pycontext.held import Held, Settled

__all__ = ["BlockList"]


# The default, of which there is one in an interpreter.
_NOTHING: Final = ()


class BlockList(MutableSequence[ContextBlock]):
    """A list of blocks whose fields are columns in Rust.

    Blocks are copied on the way in, and live on the way out: what is written to one is read back before the list is
    next used.
    """

    __slots__ = ("__weakref__", "_columns", "_counter", "_held", "_revision", "lock")

    def __init__(
        self, blocks: Iterable[ContextBlock] = _NOTHING, *, counter: str | TokenCounter = DEFAULT_ENCODING
    ) -> None:
        self._counter: TokenCounter = as_counter(counter)
        self._columns = self._empty()
        self._revision = 0
        self._held = Held()
        self.lock = RLock()
        if blocks is not _NOTHING:
            self.extend(blocks)

    def ids(self) -> list[str]:
        """Return the id of every block; makes no `ContextBlock`."""
        with self.settled():
            return _core.ids(self._columns)

    def fence(self, reason: str) -> None:
        """Let nothing change any more: whoever tries gets a `FencedError` with that message."""
        with self.settled():
            self._columns.fence(reason)

    @property
    def is_fenced(self) -> bool:
        """Whether nothing changes here any more."""
        return self._columns.fenced() is not None

    def check_open(self) -> None:
        """Raise `FencedError` if the set was fenced off."""
        self._columns.check_open()

    @property
    def counter(self) -> TokenCounter:
        """What counts the tokens."""
        return self._counter

    @property
    def revision(self) -> int:
        """How often the set was changed, being filled included."""
        with self.settled():
            return self._revision

    def revision_at_once(self) -> int | None:
        """Return the same without waiting or reading anything back; None where it cannot be known so."""
        if not self.lock.acquire(blocking=False):
            return None
        try:
            return None if self._held else self._revision
        finally:
            self.lock.release()

    def settled(self) -> AbstractContextManager[None]:
        """Hold the lock, with everything read back that was written to blocks that are held; inside, it is not again.

        Raises:
            ValidationError: a block that is held has a bad value that was not said before.
        """
        return Settled(self.lock, self._held, self._read)

    def __len__(self) -> int:
        return len(self._columns)

    @overload
    def __getitem__(self, index: int) -> ContextBlock: ...

    @overload
    def __getitem__(self, index: slice) -> list[ContextBlock]: ...

    def __getitem__(self, index: int | slice) -> ContextBlock | list[ContextBlock]:
        with self.lock:
            if isinstance(index, slice):
                return [self._hand_out(row) for row in range(*index.indices(len(self)))]
            return self._hand_out(self._row(index))

    @overload
    def __setitem__(self, index: int, value: ContextBlock) -> None: ...

    @overload
    def __setitem__(self, index: slice, value: Iterable[ContextBlock]) -> None: ...

    def __setitem__(self, index: int | slice, value: ContextBlock | Iterable[ContextBlock]) -> None:
        if isinstance(index, slice):
            # Before the lock: the values may be another set, which has one of its own.
            values = list(value)  # type: ignore[arg-type]  # list itself says what does not go together
            with self.lock:
                blocks = list(self)
                blocks[index] = values
                self._rebuild(blocks)
            return
        with self.settled():
            row = self._row(index)
            self._revision += self._set(row, value)  # type: ignore[arg-type]  # checked there
            if self._held.get(row) is not value:
                self._held.let_go(row)

    def __delitem__(self, index: int | slice) -> None:
        with self.settled():
            rows = range(*index.indices(len(self))) if isinstance(index, slice) else [self._row(index)]
            self._remove(set(rows))

    def __iter__(self) -> Iterator[ContextBlock]:
        # All at once: while others change the set, a copy of it is one that it once was.
        return iter(self[:])

    def insert(self, index: int, value: ContextBlock) -> None:
        """Put a copy of a block before the one at `index`."""
        with self.lock:
            if index >= len(self):
                self.extend([value])
            else:
                blocks = list(self)
                blocks.insert(index, value)
                self._rebuild(blocks)

    def append(self, value: ContextBlock) -> None:
        """Append a copy of a block."""
        self.extend([value])

    def pop(self, index: int = -1) -> ContextBlock:
        """Remove a block and return it."""
        with self.settled():
            block = self[index]
            del self[index]
            return block

    def remove(self, value: ContextBlock) -> None:
        """Remove the first block that is equal to `value`."""
        with self.settled():
            try:
                del self[self.index(value)]
            except ValueError:
                raise ValueError(f"{shown(value)} is not in the set") from None

    def extend(self, values: Iterable[ContextBlock]) -> None:
        """Append copies of blocks, all or none."""
        blocks, counts = self._counted(list(values))
        with self.settled():
            self._columns.extend(blocks, counts)
            self._revision += bool(blocks)

    def remove_rows(self, rows: Iterable[int]) -> None:
        """Remove the blocks at these positions, all at once: one by one takes the square of their number."""
        with self.settled():
            self._remove({self._row(row) for row in rows})

    def reverse(self) -> None:
        """Turn the order around."""
        with self.lock:
            self._rebuild(list(self)[::-1])

    def clear(self) -> None:
        """Remove all blocks."""
        del self[:]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BlockList | list):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as for a list

    def __reduce__(self) -> tuple[Any, ...]:
        counter = self._counter
        return _load, (
            type(self),
            list(self),
            counter.name if isinstance(counter, EncodingCounter) else counter,
            self._columns.fenced(),
        )

    def __repr__(self) -> str:
        return f"<BlockSet: {len(self)} blocks, {sum(self._columns.type_tokens())} tokens>"

    def add(
        self,
        id: str,
        content: str,
        relevance_score: float,
        type: ContextType,
        metadata: Mapping[str, str],
        timestamp: int,
        token_count: int | None = None,
        references: Sequence[str] = (),
    ) -> None:
        """Append one block given by its fields; makes no `ContextBlock`."""
        if token_count is None and not isinstance(self._counter, EncodingCounter) and isinstance(content, str):
            (token_count,) = count_with(self._counter, [content])
        # The core copies what is a dict, a list or a tuple; to ask for an abstract type takes as long as the rest.
        fields = metadata if metadata.__class__ is dict or not isinstance(metadata, Mapping) else dict(metadata)
        ids = references if isinstance(references, list | tuple | str) else _listed(references)
        with self.settled() if self._held else self.lock:
            self._columns.append(id, content, relevance_score, type, fields, timestamp, token_count, ids)
            self._revision += 1

    def undo_add(self, revision: int) -> None:
        """Take back the last `add`, as if it had not been; the caller has been inside `settled` since `revision`."""
        self._columns.remove([len(self) - 1])
        self._revision = revision

    def find(self, block_id: str) -> int | None:
        """Return the position of the block of that id, None where there is none."""
        with self.settled():
            return self._columns.find(block_id)

    def to_fields(self) -> list[tuple[Any, ...]]:
        """Return the fields of every block in the order of `ContextBlock`, the type by its number; makes no blocks."""
        with self.settled():
            return [self._columns.get(row) for row in range(len(self))]

    def _read_back(self) -> None:
        with self.settled():
            pass

    def _empty(self) -> _core.Columns:
        name = self._counter.name
        return _core.Columns(name if isinstance(self._counter, EncodingCounter) else None, name)

    def _row(self, index: int) -> int:
        n = len(self)
        row = index + n if index < 0 else index
        if not 0 <= row < n:
            raise IndexError(f"block {index} of {n}")
        return row

    def _hand_out(self, row: int) -> ContextBlock:
        # Inside `settled` nothing is read back again: what is handed out there is read at the next occasion.
        held = self._held.get(row)
        return self._held.put(row, restore(self._columns.get(row), self._counter.name)) if held is None else held

    def _read(self, row: int, block: ContextBlock) -> None:
        """Read a block that was handed out into its row."""
        raw = raw_count(block)
        is_changed = self._set(row, block)
        is_of_another = isinstance(raw, Counted) and raw.counter != self._counter.name
        if not is_changed and not is_of_another:
            return
        self._revision += is_changed
        fields = self._columns.get(row)
        if raw_count(block) is raw:
            # With the text that was counted: another may stand in the block by now.
            block.token_count = Counted(fields[6], self._counter.name, fields[1])

    def _set(self, row: int, block: ContextBlock) -> bool:
        """Put a copy of a block into a row; whether it differed from what was there."""
        (value,), counts = self._counted([block])
        return self._columns.set(row, value, None if counts is None else counts[0])

    def _remove(self, rows: set[int]) -> None:
        if not rows:
            return
        self._columns.remove(list(rows))
        self._held.remove(rows)
        self._revision += 1

    def _rebuild(self, blocks: list[ContextBlock]) -> None:
        """Put `blocks` in the place of all; those that were handed out stay live."""
        # What is bad in a block that is held has been said, and counts for nothing.
        refused = self._held.refused()
        rows = [refused.get(id(block)) for block in blocks]
        name = self._counter.name
        valid = [
            block if row is None else restore(self._columns.get(row), name)
            for block, row in zip(blocks, rows, strict=True)
        ]
        values, counts = self._counted(valid)
        self.check_open()
        columns = self._empty()
        columns.extend(values, counts)
        self._columns = columns
        self._held.replace(blocks)
        self._revision += 1

    def _counted(self, blocks: list[ContextBlock]) -> tuple[list[ContextBlock], list[int] | None]:
        """What to give the columns: where a plug-in counts, copies and their counts, else the blocks.

        A count that holds or was given is believed over these.
        """
        if isinstance(self._counter, EncodingCounter):
            return blocks, None
        # Copies, so that what is counted is what goes in, whoever writes meanwhile.
        copies = [copied(block) if isinstance(block, ContextBlock) else block for block in blocks]
        # What is no block, or has no text, is for the core to refuse.
        needing = [isinstance(copy, ContextBlock) and needs_count(copy, self._counter.name) for copy in copies]
        texts = [copy.content for copy, needs in zip(copies, needing, strict=True) if needs]
        counts = iter(count_with(self._counter, texts))
        return copies, [next(counts) if needs else 0 for needs in needing]


def _load(
    cls: type[BlockList], blocks: list[ContextBlock], counter: str | TokenCounter, fence: str | None
) -> BlockList:
    loaded = cls(blocks, counter=counter)
    if fence is not None:
        loaded.fence(fence)
    return loaded


def _listed(references: Sequence[str]) -> Sequence[str]:
    return list(references) if isinstance(references, Sequence) else references
