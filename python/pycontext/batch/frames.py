"""Arrow tables of conversations: anything that has `__arrow_c_stream__` in, the same out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from pycontext import _core
from pycontext.batch.order import in_order
from pycontext.batch.tally import Tally
from pycontext.batch.task import Overflow, Task, checked_threads
from pycontext.counter import DEFAULT_ENCODING
from pycontext.errors import ValidationError, shown

if TYPE_CHECKING:
    from pycontext.budget import Budget
    from pycontext.policy import Policy
    from pycontext.query import Query

__all__ = ["Pruned", "batches_of", "prune_batches", "prune_sorted"]

# Rows that are worth a turn of a thread, and few enough that their memory does not count.
_ROWS: Final = 4_096
_FLAT_ROWS: Final = 65_536

_Out = tuple[_core.Batch, dict[str, Any], list[tuple[int, str, tuple[int, int]]]]


class Pruned:
    """Batches that are pruned as they are read, once, by whatever library reads Arrow streams.

    `pyarrow.table(pruned)`, `polars.DataFrame(pruned)` and `pyarrow.RecordBatchReader.from_stream(pruned)` read it.
    What goes wrong on the way is told in the words of this library by the exception of the one that reads.
    """

    def __init__(self, task: Task, source: _core.Batches, batches: Iterator[_Out]) -> None:
        self._task = task
        self._source = source
        self._batches = batches
        self._tally = Tally()
        self._problems: list[tuple[int, str]] = []
        self._rows = 0

    def __iter__(self) -> Iterator[_core.Batch]:
        for batch, sums, problems in self._batches:
            first = self._rows
            self._tally.add(sums, lambda at, first=first: ("", first + at))  # type: ignore[misc]  # mypy takes it for two
            self._rows += sums["conversations"]
            self._problems += [(first + row, reason) for row, reason, _ in problems[: _MOST - len(self._problems)]]
            yield batch

    def __arrow_c_schema__(self) -> object:
        """Return the schema, that of the source."""
        return self._source.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the batches as a stream; it can be had once."""
        return self._source.stream(iter(self)).__arrow_c_stream__(requested_schema)

    @property
    def summary(self) -> dict[str, Any]:
        """What became of the rows that were read so far, as `pycontext batch --json` says it."""
        return {"event": "summary", **self._task.settings(), **self._tally.summary()}

    @property
    def problems(self) -> list[tuple[int, str]]:
        """The first 1,000 conversations that did not fit: the number from 0, and what they need."""
        return list(self._problems)


_MOST: Final = 1_000


def batches_of(source: object, rows: int) -> _core.Batches:
    """Return the batches of whatever has them by the Arrow C interface.

    Raises:
        ValidationError: it has none.
    """
    if not hasattr(source, "__arrow_c_stream__") and not hasattr(source, "__arrow_c_array__"):
        raise ValidationError(f"source {shown(source)} is {type(source).__name__}, which has no __arrow_c_stream__")
    try:
        return _core.Batches(source, rows)
    except (TypeError, ValueError) as error:
        raise ValidationError(f"source is no Arrow table: {error}") from None


def prune_batches(
    source: object,
    budget: Budget | int,
    *,
    column: str = "messages",
    policy: Policy | str | None = None,
    query: Query | None = None,
    counter: str = DEFAULT_ENCODING,
    on_overflow: Overflow = "drop",
    threads: int | None = None,
) -> Pruned:
    """Prune a table with a conversation a row, batch by batch.

    Args:
        source: what has `__arrow_c_stream__` or `__arrow_c_array__`: a table, a batch or a reader of pyarrow, polars,
            DuckDB and others.
        budget: what a request may hold.
        column: lists of structs. These are OpenAI's chat messages (`role`, `content` and any others, null for what a
            message has not), or blocks (`content`, `type`; where they are there `id`, `score`, `timestamp`,
            `token_count`, `references`, `metadata`). All other columns stay as they are.
        policy: which items are kept first; None for "evidence" with a query and "relevance" without.
        query: what the model is asked; "last-user" for the last turn of the user of each conversation.
        counter: "o200k_base" or "cl100k_base".
        on_overflow: what becomes of a conversation whose pinned items do not fit: "drop" leaves the row out, "keep"
            leaves it whole, "null" puts null in its place.
        threads: that work at once; None for one a core.

    Returns:
        What yields the rows in order, with the schema of the source.

    Raises:
        ValidationError: an option is outside its limits, or the source is none; a row that is no conversation is told
            when it is read.
    """
    task = Task.of(budget, policy=policy, query=query, counter=counter, on_overflow=on_overflow)
    workers = checked_threads(threads)
    batches = batches_of(source, _ROWS)

    def numbered() -> Iterator[tuple[int, _core.Batch]]:
        first = 0
        for batch in batches:
            yield first, batch
            first += len(batch)

    def work(item: tuple[int, _core.Batch]) -> _Out:
        return _core.prune_batch(task.job, item[1], column, item[0])

    return Pruned(task, batches, (out for _, out in in_order(work, numbered(), workers)))


def prune_sorted(
    source: object,
    budget: Budget | int,
    *,
    session: str = "session_id",
    policy: Policy | str | None = None,
    query: Query | None = None,
    counter: str = DEFAULT_ENCODING,
    on_overflow: Overflow = "drop",
) -> Pruned:
    """Prune a table with a message or a block a row, whose rows are sorted by session.

    The session that is open at the border of two batches is carried over: how the table is cut never matters. Messages
    are the columns `role`, `content`, `name`, `tool_calls`, `tool_call_id`, `function_call` and `refusal`; blocks those
    of `prune_batches`. The memory is that of the longest session.

    Args:
        source: as for `prune_batches`.
        budget: what a request may hold.
        session: column with the keys of the sessions, texts or whole numbers, in ascending order.
        policy: as for `prune_batches`.
        query: as for `prune_batches`.
        counter: as for `prune_batches`.
        on_overflow: "drop" leaves the rows of the session out, "keep" leaves them all.

    Raises:
        ValidationError: as for `prune_batches`; a session that comes after one that it should come before is told when
            it is read.
    """
    if on_overflow == "null":
        raise ValidationError("on_overflow 'null' is not one of drop, keep: a session has no place of its own")
    task = Task.of(budget, policy=policy, query=query, counter=counter, on_overflow=on_overflow)
    batches = batches_of(source, _FLAT_ROWS)

    def work() -> Iterator[_Out]:
        sessions = _core.Sessions(session)
        for batch in batches:
            out = sessions.push(task.job, batch)
            if out is not None:
                yield out
        out = sessions.push(task.job, None)
        if out is not None:
            yield out

    return Pruned(task, batches, work())
