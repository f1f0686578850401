"""Blocks as columns, behind the face of a list."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, MutableSequence, Sequence
from contextlib import contextmanager
from dataclasses import replace
from sys import getrefcount
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, overload

from pycontext import _core
from pycontext.block import ContextBlock, ContextType, Counted, needs_count, restore
from pycontext.budget import Budget
from pycontext.counter import DEFAULT_ENCODING, EncodingCounter, TokenCounter, as_counter, count_with
from pycontext.errors import ValidationError, shown
from pycontext.formatter import Formatter
from pycontext.kernel import Write, count_costs, formatter_costs, select, writer
from pycontext.policy import Policy
from pycontext.scorer import score_with

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycontext.scorer import Scorer
    from pycontext.selection import Selection

__all__ = ["BlockSet", "prune"]


class BlockSet(MutableSequence[ContextBlock]):
    """A list of blocks, kept as columns in Rust.

    Blocks are copied on the way in. A block handed out, by position or by iteration, is live: what is written to it is
    read back before the set is next used. A bad value raises then, once, naming the block; it counts for nothing until
    it is mended. Equal to a list of equal blocks; safe to use from several threads.

    Args:
        blocks: what to start with.
        counter: what counts tokens: "o200k_base", "cl100k_base" or a plug-in.

    Raises:
        ValidationError: a block is outside its limits, an id comes twice, or `counter` is none.
        PluginError: the plug-in raised or returned what it must not.
    """

    __slots__ = ("__weakref__", "_columns", "_counter", "_held", "_is_read", "_refused", "_revision", "lock")

    def __init__(self, blocks: Iterable[ContextBlock] = (), *, counter: str | TokenCounter = DEFAULT_ENCODING) -> None:
        self._counter: TokenCounter = as_counter(counter)
        self._columns = self._empty()
        self._revision = 0
        # Blocks handed out, by row, until nobody else holds them; and what was wrong with those that are refused.
        self._held: dict[int, ContextBlock] = {}
        self._refused: dict[int, str] = {}
        self._is_read = False
        self.lock = RLock()
        self.extend(blocks)

    @property
    def counter(self) -> TokenCounter:
        """What counts the tokens."""
        return self._counter

    @property
    def revision(self) -> int:
        """How often the set was changed, being filled included."""
        with self.settled():
            return self._revision

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Hold the lock, with everything read back that was written to blocks that are held; inside, it is not again.

        Raises:
            ValidationError: a block that is held has a bad value that was not said before.
        """
        with self.lock:
            if self._is_read:
                yield
                return
            self._read_back()
            self._is_read = True
            try:
                yield
            finally:
                self._is_read = False

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
            self._revision += self._columns.set(row, value, self._count_one(value))  # type: ignore[arg-type]  # checked there
            self._let_go(row)

    def __delitem__(self, index: int | slice) -> None:
        with self.settled():
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
        counts = self._count(blocks)
        with self.settled():
            self._columns.extend(blocks, counts)
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
        fields = dict(metadata) if isinstance(metadata, Mapping) else metadata
        ids = references if isinstance(references, str) or not isinstance(references, Sequence) else list(references)
        with self.settled():
            self._columns.append(id, content, relevance_score, type, fields, timestamp, token_count, ids)
            self._revision += 1

    def undo_add(self, revision: int) -> None:
        """Take back the last `add`, as if it had not been; the caller has been inside `settled` since `revision`."""
        self._columns.retain([True] * (len(self) - 1) + [False])
        self._revision = revision

    def find(self, block_id: str) -> int | None:
        """Return the position of the block of that id, None where there is none."""
        with self.settled():
            return self._columns.find(block_id)

    def to_fields(self) -> list[tuple[Any, ...]]:
        """Return the fields of every block in the order of `ContextBlock`, the type by its number; makes no blocks."""
        with self.settled():
            return [self._columns.get(row) for row in range(len(self))]

    @property
    def scores(self) -> NDArray[np.float64]:
        """Base scores, a copy."""
        with self.settled():
            return self._columns.scores()

    @property
    def token_counts(self) -> NDArray[np.uint32]:
        """Tokens of the contents alone, a copy."""
        with self.settled():
            return self._columns.token_counts()

    def type_tokens(self) -> dict[ContextType, int]:
        """Return the tokens of the contents by type; takes the same time for any number of blocks."""
        with self.settled():
            return dict(zip(ContextType, self._columns.type_tokens(), strict=True))

    def total_cost(self, render: str) -> int:
        """Return the tokens of the whole set rendered as "openai" or "text"; each block is counted once.

        Raises:
            ValidationError: there is no such rendering.
            PluginError: the counter raised or returned what it must not.
        """
        with self.settled():
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
        """Choose the blocks that stay; changes nothing, and works on a snapshot while others go on.

        The options are those of the function `prune`, and two that callers inside the library use: `write` renders what
        stays where costs may not add up, `source` has the caller's own objects for the blocks.
        """
        available = Budget.of(budget).available
        policy = Policy.of(policy)
        pins = [pin] if isinstance(pin, str) else list(pin)
        if query is not None and scorer is None:
            raise ValidationError("query needs a scorer: none is built in yet")
        if query is None and scorer is not None:
            raise ValidationError("scorer needs a query")
        relevance = costs = name = None
        with self.settled():
            if isinstance(render, str):
                # Counted here and not in the snapshot, so that the next prune finds it.
                count_costs(self._columns, self._counter, render)
            # A list of the caller's was made into this set just now, and nobody else has it.
            columns = self._columns.snapshot() if source is None else self._columns
        if query is not None and scorer is not None:
            relevance = score_with(scorer, query, self._over(columns))
        if not isinstance(render, str):
            formatter, name, render = render, type(render).__name__, "text"
            if not isinstance(formatter, Formatter):
                raise ValidationError(f"render {shown(formatter)} is neither openai, text nor a Formatter")
            costs = formatter_costs(formatter, self._over(columns) if source is None else source)
            write = writer(name, lambda chosen: formatter.render(chosen.kept))
        return select(
            columns,
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

    def keep(self, selection: Selection) -> list[ContextBlock]:
        """Remove the blocks that a selection dropped, and return them; blocks that came after it was made stay."""
        with self.settled():
            found = (self._columns.find(dropped.id) for dropped in selection.dropped)
            rows = [row for row in found if row is not None]
            fallen = [restore(self._columns.get(row), self._counter.name) for row in rows]
            self._remove(set(rows))
            return fallen

    def _empty(self) -> _core.Columns:
        name = self._counter.name
        return _core.Columns(name if isinstance(self._counter, EncodingCounter) else None, name)

    def _over(self, columns: _core.Columns) -> BlockSet:
        """A set of its own over columns, for a plug-in to look at."""
        view = BlockSet(counter=self._counter)
        view._columns = columns.snapshot()
        return view

    def _row(self, index: int) -> int:
        n = len(self)
        row = index + n if index < 0 else index
        if not 0 <= row < n:
            raise IndexError(f"block {index} of {n}")
        return row

    def _hand_out(self, row: int) -> ContextBlock:
        block = self._held.get(row)
        if block is None:
            block = self._held[row] = restore(self._columns.get(row), self._counter.name)
            # Inside `settled` nothing is read back again: what is handed out there is read at the next occasion.
        return block

    def _let_go(self, row: int) -> None:
        self._held.pop(row, None)
        self._refused.pop(row, None)

    def _read_back(self) -> None:
        """Take what was written to blocks that were handed out, then let go those that nobody else holds."""
        pending = list(self._held)
        said: ValidationError | None = None
        while pending:
            again = []
            for row in pending:
                try:
                    self._read_one(row)
                except ValidationError as error:
                    # Without the frames that it came through: they hold the block as well.
                    again.append((row, error.with_traceback(None)))
            if len(again) == len(pending):
                said = self._refuse(again)
                break
            # An id that was taken may be free now, or no longer bad: try those that are left once more.
            pending = [row for row, _ in again]
        if said is not None:
            raise said

    def _read_one(self, row: int) -> None:
        # Asked before it is read: whoever lets go later has written before.
        is_alone = _references_of(self._held, row) <= _ALONE
        block = self._held[row]
        if self._columns.set(row, block, self._count_one(block)):
            self._revision += 1
            block.token_count = Counted(self._columns.get(row)[6], self._counter.name, block.content)
        self._refused.pop(row, None)
        if is_alone:
            del self._held[row]

    def _refuse(self, refused: list[tuple[int, ValidationError]]) -> ValidationError | None:
        """Note bad values, and return the first that was not said before: said again and again, it would stop all."""
        first = None
        for row, error in refused:
            if self._refused.get(row) != str(error):
                first = first or error
            self._refused[row] = str(error)
            if _references_of(self._held, row) <= _ALONE:
                self._let_go(row)
        return first

    def _remove(self, rows: set[int]) -> None:
        if not rows:
            return
        self._columns.retain([row not in rows for row in range(len(self))])
        gone = sorted(rows)
        for row in rows:
            self._let_go(row)
        self._held = {row - bisect_left(gone, row): block for row, block in self._held.items()}
        self._refused = {row - bisect_left(gone, row): text for row, text in self._refused.items()}
        self._revision += 1

    def _rebuild(self, blocks: list[ContextBlock]) -> None:
        """Put `blocks` in the place of all; those that were handed out stay live."""
        columns = self._empty()
        columns.extend(blocks, self._count(blocks))
        live = {id(block) for block in self._held.values()}
        self._columns = columns
        self._held = {row: block for row, block in enumerate(blocks) if id(block) in live}
        self._refused = {}
        self._revision += 1

    def _count_one(self, block: object) -> int | None:
        """Tokens of a block where a plug-in has to count it."""
        if isinstance(self._counter, EncodingCounter) or not isinstance(block, ContextBlock):
            return None
        if not isinstance(block.content, str) or not needs_count(block, self._counter.name):
            return None
        return count_with(self._counter, [block.content])[0]

    def _count(self, blocks: list[ContextBlock]) -> list[int] | None:
        """Tokens of blocks where a plug-in counts; a count that holds or was given is believed over these."""
        if isinstance(self._counter, EncodingCounter):
            return None
        # What is no block, or has no text, is for the core to refuse.
        texts = (getattr(block, "content", "") for block in blocks)
        return count_with(self._counter, [text if isinstance(text, str) else "" for text in texts])


def _references_of(held: dict[int, ContextBlock], row: int) -> int:
    block = held[row]
    return getrefcount(block)


# What the function above counts for a block that nobody else holds, whatever this interpreter counts on the way.
_ALONE: Final = _references_of({0: ContextBlock.__new__(ContextBlock)}, 0)


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

    SYSTEM blocks, the last USER block and the last exchange, if it comes later, always stay. A call and its results
    stay or fall together. The result never needs more tokens than the budget has, counted as rendered.

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
    if not isinstance(found, Iterable):
        raise ValidationError(f"blocks {shown(blocks)} is {type(blocks).__name__}, not a sequence of blocks")
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
