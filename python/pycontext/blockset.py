"""Blocks as columns, behind the face of a list."""

from __future__ import annotations

import weakref
from bisect import bisect_left
from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING, Any, overload

from pycontext import _core
from pycontext.block import ContextBlock, ContextType, has_given_count, restore
from pycontext.budget import Budget
from pycontext.counter import DEFAULT_ENCODING, EncodingCounter, TokenCounter, count_with, get_counter
from pycontext.errors import ContextError, ValidationError
from pycontext.kernel import Write, count_costs, formatter_costs, select, writer
from pycontext.policy import Policy
from pycontext.scorer import score_with

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycontext.formatter import Formatter
    from pycontext.scorer import Scorer
    from pycontext.selection import Selection

__all__ = ["BlockSet", "prune"]


class BlockSet(MutableSequence[ContextBlock]):
    """A list of blocks, kept as columns in Rust.

    Blocks are copied on the way in. A block handed out, by position or by iteration, is live: what is written to it is
    read back before the set is next used. A bad value raises then, naming the block, and is left out. Equal to a list
    of equal blocks; safe to use from several threads.

    Args:
        blocks: what to start with.
        counter: what counts tokens: "o200k_base", "cl100k_base" or a plug-in.

    Raises:
        ValidationError: a block is outside its limits or an id comes twice.
        PluginError: the plug-in raised or returned what it must not.
    """

    __slots__ = ("__weakref__", "_columns", "_counter", "_held", "_revision", "lock")

    def __init__(self, blocks: Iterable[ContextBlock] = (), *, counter: str | TokenCounter = DEFAULT_ENCODING) -> None:
        self._counter: TokenCounter = get_counter(counter) if isinstance(counter, str) else counter
        self._columns = self._empty()
        self._revision = 0
        # Blocks handed out, by row, until nobody else holds them.
        self._held: dict[int, ContextBlock] = {}
        self.lock = RLock()
        self.extend(blocks)

    @property
    def counter(self) -> TokenCounter:
        """What counts the tokens."""
        return self._counter

    @property
    def revision(self) -> int:
        """How often the set was changed since it was made."""
        with self.lock:
            self._read_back()
            return self._revision

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
        with self.lock:
            if isinstance(index, slice):
                blocks = list(self)
                blocks[index] = value  # type: ignore[assignment]  # list itself says what does not go together
                self._rebuild(blocks)
            else:
                self._read_back()
                row = self._row(index)
                self._write(row, value)  # type: ignore[arg-type]  # the core says what is no block
                self._held.pop(row, None)

    def __delitem__(self, index: int | slice) -> None:
        with self.lock:
            self._read_back()
            rows = range(*index.indices(len(self))) if isinstance(index, slice) else [self._row(index)]
            self._remove(set(rows))

    def insert(self, index: int, value: ContextBlock) -> None:
        """Put a copy of a block before the one at `index`."""
        with self.lock:
            if index >= len(self):
                self.extend([value])
            else:
                blocks = list(self)
                blocks.insert(index, value)
                self._rebuild(blocks)

    def extend(self, values: Iterable[ContextBlock]) -> None:
        """Append copies of blocks, all or none."""
        blocks = list(values)
        with self.lock:
            self._read_back()
            self._columns.extend(blocks, self._count(blocks))
            self._revision += bool(blocks)

    def reverse(self) -> None:
        """Turn the order around."""
        with self.lock:
            self._rebuild(list(self)[::-1])

    def clear(self) -> None:
        """Remove all blocks."""
        del self[:]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BlockSet | list):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as for a list

    def __reduce__(self) -> tuple[Any, ...]:
        counter = self._counter
        return _load, (list(self), counter.name if isinstance(counter, EncodingCounter) else counter)

    def __repr__(self) -> str:
        return f"<BlockSet: {len(self)} blocks, {sum(self.type_tokens().values())} tokens>"

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
        with self.lock:
            self._read_back()
            if token_count is None and not isinstance(self._counter, EncodingCounter):
                (token_count,) = count_with(self._counter, [content])
            self._columns.append(id, content, relevance_score, type, metadata, timestamp, token_count, references)
            self._revision += 1

    def undo_add(self, revision: int) -> None:
        """Take back the last `add`, as if it had not been; the caller has held `lock` since `revision`."""
        self._columns.retain([True] * (len(self) - 1) + [False])
        self._revision = revision

    def find(self, block_id: str) -> int | None:
        """Return the position of the block of that id, None where there is none."""
        with self.lock:
            self._read_back()
            return self._columns.find(block_id)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Base scores, a copy."""
        with self.lock:
            self._read_back()
            return self._columns.scores()

    @property
    def token_counts(self) -> NDArray[np.uint32]:
        """Tokens of the contents alone, a copy."""
        with self.lock:
            self._read_back()
            return self._columns.token_counts()

    def type_tokens(self) -> dict[ContextType, int]:
        """Return the tokens of the contents by type; takes the same time for any number of blocks."""
        with self.lock:
            self._read_back()
            return dict(zip(ContextType, self._columns.type_tokens(), strict=True))

    def total_cost(self, render: str) -> int:
        """Return the tokens of the whole set rendered as "openai" or "text"; each block is counted once."""
        with self.lock:
            self._read_back()
            count_costs(self._columns, self._counter, render)
            return _core.total_cost(self._columns, render)

    def prune(
        self,
        budget: Budget | int,
        *,
        policy: Policy | str | None = None,
        query: str | None = None,
        scorer: Scorer | None = None,
        render: str | Formatter = "openai",
        pin: Iterable[str] = (),
        write: Write | None = None,
        source: Sequence[ContextBlock] | None = None,
    ) -> Selection:
        """Choose the blocks that stay; changes nothing.

        The options are those of the function `prune`, and two that callers inside the library use: `write` renders what
        stays where costs may not add up, `source` has the caller's own objects for the blocks.
        """
        available = Budget.of(budget).available
        policy = Policy.of(policy)
        pins = [pin] if isinstance(pin, str) else list(pin)
        relevance = costs = name = None
        with self.lock:
            self._read_back()
            if query is not None and scorer is not None:
                relevance = score_with(scorer, query, self)
            elif query is not None:
                raise ValidationError("query needs a scorer: none is built in yet")
            elif scorer is not None:
                raise ValidationError("scorer needs a query")
            if not isinstance(render, str):
                formatter, name, render = render, type(render).__name__, "text"
                costs = formatter_costs(formatter, self if source is None else source)
                write = writer(name, lambda chosen: formatter.render(chosen.kept))
            return select(
                self._columns,
                self._counter,
                available=available,
                policy=policy,
                render=render,
                pins=pins,
                relevance=relevance,
                costs=costs,
                write=write,
                source=source,
                name=name,
            )

    def keep(self, selection: Selection) -> None:
        """Remove the blocks that a selection dropped; blocks that came after it was made stay."""
        with self.lock:
            self._read_back()
            rows = (self._columns.find(dropped.id) for dropped in selection.dropped)
            self._remove({row for row in rows if row is not None})

    def _empty(self) -> _core.Columns:
        return _core.Columns(self._counter.name if isinstance(self._counter, EncodingCounter) else None)

    def _row(self, index: int) -> int:
        n = len(self)
        row = index + n if index < 0 else index
        if not 0 <= row < n:
            raise IndexError(f"block {index} of {n}")
        return row

    def _hand_out(self, row: int) -> ContextBlock:
        block = self._held.get(row)
        if block is None:
            block = self._held[row] = restore(self._columns.get(row))
        return block

    def _read_back(self) -> None:
        """Take what was written to blocks that were handed out, then let go those that nobody else holds."""
        if not self._held:
            return
        held, self._held = self._held, {}
        refused: ContextError | None = None
        for row in list(held):
            try:
                self._write(row, held[row])
            except ContextError as error:
                # Said once: a set that kept the bad block would refuse everything from now on.
                refused = refused or error
                del held[row]
        watched = [(row, weakref.ref(block)) for row, block in held.items()]
        held.clear()
        self._held = {row: block for row, ref in watched if (block := ref()) is not None}
        if refused is not None:
            raise refused

    def _write(self, row: int, block: ContextBlock) -> None:
        is_counted = isinstance(self._counter, EncodingCounter) or has_given_count(block)
        count = None if is_counted else count_with(self._counter, [block.content])[0]
        self._revision += self._columns.set(row, block, count)

    def _remove(self, rows: set[int]) -> None:
        if not rows:
            return
        self._columns.retain([row not in rows for row in range(len(self))])
        gone = sorted(rows)
        self._held = {row - bisect_left(gone, row): block for row, block in self._held.items() if row not in rows}
        self._revision += 1

    def _rebuild(self, blocks: list[ContextBlock]) -> None:
        """Put `blocks` in the place of all; those that were handed out stay live."""
        columns = self._empty()
        columns.extend(blocks, self._count(blocks))
        live = {id(block) for block in self._held.values()}
        self._columns = columns
        self._held = {row: block for row, block in enumerate(blocks) if id(block) in live}
        self._revision += 1

    def _count(self, blocks: list[ContextBlock]) -> list[int] | None:
        """Tokens of blocks where a plug-in counts; a count that was given is believed over these."""
        if isinstance(self._counter, EncodingCounter):
            return None
        # What is no block, or has no text, is for the core to refuse.
        texts = (getattr(block, "content", "") for block in blocks)
        return count_with(self._counter, [text if isinstance(text, str) else "" for text in texts])


def prune(
    blocks: Iterable[ContextBlock],
    budget: Budget | int,
    *,
    policy: Policy | str | None = None,
    query: str | None = None,
    scorer: Scorer | None = None,
    render: str | Formatter = "openai",
    counter: str | TokenCounter | None = None,
    pin: Iterable[str] = (),
) -> Selection:
    """Choose the blocks that fit a budget; changes nothing.

    SYSTEM blocks, the last USER block and the last exchange after it always stay. A call and its results stay or fall
    together. The result never needs more tokens than the budget has, counted as rendered.

    Args:
        blocks: a sequence of blocks, a `ContextPackage` or a `BlockSet`.
        budget: a `Budget`, or the tokens that the request may hold.
        policy: a `Policy` or the name of one; None for "relevance".
        query: what the model is asked; needs a `scorer`.
        scorer: says how relevant each block is to the query; its score weighs the block's own by 0.3 to 1.
        render: what the request looks like: "openai" for chat messages, "text" for the text form, or a `Formatter`.
        counter: what counts tokens; None for the counter of the set, "o200k_base" for a plain sequence.
        pin: ids of more blocks that must stay.

    Returns:
        The selection, with a reason for every block.

    Raises:
        BudgetExceededError: the blocks that must stay do not fit.
        ValidationError: a block or an option is outside its limits.
        PluginError: a plug-in raised or returned what it must not.
    """
    # A package holds its set in `blocks`.
    found = getattr(blocks, "blocks", blocks)
    source = None
    if not isinstance(found, BlockSet):
        source = list(found)
        found = BlockSet(source, counter=DEFAULT_ENCODING if counter is None else counter)
    elif counter is not None and _name(counter) != found.counter.name:
        source = list(found)
        found = BlockSet((replace(block, token_count=None) for block in source), counter=counter)
    return found.prune(budget, policy=policy, query=query, scorer=scorer, render=render, pin=pin, source=source)


def _name(counter: str | TokenCounter) -> str:
    return counter if isinstance(counter, str) else counter.name


def _load(blocks: list[ContextBlock], counter: str | TokenCounter) -> BlockSet:
    return BlockSet(blocks, counter=counter)
