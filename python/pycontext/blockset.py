"""Blocks as columns, behind the face of a list."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import index
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pycontext import _core
from pycontext.arrays import column, integers, numbers, reals
from pycontext.block import ContextBlock, ContextType, now_ms, renew, restore
from pycontext.blocklist import BlockList
from pycontext.budget import LARGEST_BUDGET, Budget, available_of
from pycontext.counter import DEFAULT_ENCODING, EncodingCounter, TokenCounter, as_counter, count_with
from pycontext.errors import BudgetExceededError, ValidationError, shown
from pycontext.fit import Drawn, count_costs, fit
from pycontext.formatter import Formatter, Render
from pycontext.limits import DEFAULT, Limits
from pycontext.metrics import ContextMetrics
from pycontext.policy import Policy, check_fraction
from pycontext.query import Query, turns_of
from pycontext.scorer import LexicalScorer, score_with
from pycontext.selection import Selection
from pycontext.shorten import Shorten, prune_shortened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycontext.scorer import Scorer

__all__ = ["BlockSet", "prune"]

# Under the name of what it is about.
_LOG: Final = logging.getLogger("pycontext.cache")

# By which every block has a price, and which cuts nothing.
_WHOLE: Final = Policy("whole", duplicates="keep")


class BlockSet(BlockList):
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

    __slots__ = ()

    @classmethod
    def from_columns(
        cls,
        content: Sequence[str],
        type: Sequence[ContextType],
        score: Sequence[float] | NDArray[np.float64],
        *,
        id: Sequence[str] | None = None,
        timestamp: Sequence[int] | NDArray[np.int64] | None = None,
        token_count: Sequence[int] | NDArray[np.uint32] | None = None,
        references: Sequence[Sequence[str]] | None = None,
        metadata: Sequence[Mapping[str, str]] | None = None,
        counter: str | TokenCounter = DEFAULT_ENCODING,
    ) -> Self:
        """Make a set of columns, one entry a block in each; makes no `ContextBlock`.

        Args:
            content: what the blocks say.
            type: what they are.
            score: base scores from 0 to 1.
            id: None for `b0`, `b1`, ...
            timestamp: milliseconds since the epoch; None for now.
            token_count: tokens of the contents alone; None to have them counted.
            references: ids of other blocks.
            metadata: str to str; a block of an adapter has its provider's fields there.
            counter: what counts tokens.

        Raises:
            ValidationError: the columns differ in length, or a value is outside its limits; the message has its row.
            PluginError: the counter raised or returned what it must not.
        """
        blocks = cls(counter=counter)
        blocks.extend_columns(
            content,
            type,
            score,
            id=id,
            timestamp=timestamp,
            token_count=token_count,
            references=references,
            metadata=metadata,
        )
        return blocks

    def extend_columns(
        self,
        content: Sequence[str],
        type: Sequence[ContextType],
        score: Sequence[float] | NDArray[np.float64],
        *,
        id: Sequence[str] | None = None,
        timestamp: Sequence[int] | NDArray[np.int64] | None = None,
        token_count: Sequence[int] | NDArray[np.uint32] | None = None,
        references: Sequence[Sequence[str]] | None = None,
        metadata: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        """Append blocks given by their columns, as `from_columns` takes them, all or none; makes no `ContextBlock`.

        Raises:
            ValidationError: the columns differ in length, or a value is outside its limits; the message has its row.
            PluginError: the counter raised or returned what it must not.
        """
        contents = column("content", content)
        types = column("type", type)
        scores = numbers("score", score)
        times = [now_ms()] * len(contents) if timestamp is None else integers("timestamp", timestamp, 2**63 - 1)
        ids = None if id is None else column("id", id)
        counts = None if token_count is None else integers("token_count", token_count, 2**32 - 1)
        tied = None if references is None else column("references", references)
        fields = None if metadata is None else column("metadata", metadata)
        read = {"type": types, "score": scores, "timestamp": times, "id": ids, "token_count": counts}
        for name, values in {**read, "references": tied, "metadata": fields}.items():
            if values is not None and len(values) != len(contents):
                raise ValidationError(f"{name} {shown(values)} has not one entry for each of {len(contents)} blocks")
        is_plugged = counts is None and not isinstance(self._counter, EncodingCounter)
        # What is no text is for the core to refuse.
        if is_plugged and all(isinstance(text, str) for text in contents):
            counts = count_with(self._counter, contents)
        with self.settled():
            self._columns.extend_columns(contents, types, scores, times, ids, counts, tied, fields)
            self._revision += bool(contents)

    def extend_chat(self, messages: list[Any], start: int, tied: dict[int, list[str]]) -> bool:
        """Append OpenAI chat messages of the usual shapes, all or none, as blocks `m0`, `m1`, ...

        Args:
            messages: as `openai.to_blocks` takes them.
            start: number of the first one.
            tied: references of results, by number.

        Returns:
            False where a message has another shape or is outside a limit, or a plug-in counts: nothing was appended.
        """
        if not isinstance(self._counter, EncodingCounter):
            return False
        with self.settled():
            is_done = self._columns.extend_chat(messages, start, tied)
            self._revision += is_done and bool(messages)
        return is_done

    @classmethod
    def from_arrow(cls, source: object, *, counter: str | TokenCounter = DEFAULT_ENCODING) -> Self:
        """Make a set of an Arrow table with a block a row; makes no `ContextBlock`, and leaves contents where they are.

        Args:
            source: what has `__arrow_c_stream__` or `__arrow_c_array__`, with the columns `content` and `type` (a name
                or a number of `ContextType`), and where they are there `id`, `score`, `timestamp`, `token_count`,
                `references` (lists) and `metadata` (maps, or structs of texts). A score that is missing is 1.0 for
                SYSTEM, 0.9 for USER and AGENT, 0.8 for TOOL and 0.5 for others, an id `b0`, `b1`, ..., a timestamp the
                number of the row, and tokens are counted.
            counter: what counts tokens; counts that are given are believed.

        Raises:
            ValidationError: it is no such table, or a value is outside its limits; the message has its row.
            PluginError: the counter raised or returned what it must not.
        """
        if not hasattr(source, "__arrow_c_stream__") and not hasattr(source, "__arrow_c_array__"):
            raise ValidationError(f"source {shown(source)} is {type(source).__name__}, which has no __arrow_c_stream__")
        counts_with = as_counter(counter)
        return cls.of_rows(_core.read_blocks(source), counts_with, is_believed=True)

    def to_arrow(self) -> _core.Batch:
        """Return the blocks as an Arrow table with the columns that `from_arrow` reads.

        Any library of Arrow takes it by `__arrow_c_stream__` or `__arrow_c_array__`, such as
        `pyarrow.table(blocks.to_arrow())`.

        Raises:
            ValidationError: the ids or the metadata are over 2 GiB.
        """
        with self.settled():
            columns = self._columns.snapshot()
        return _core.write_blocks(columns)

    @classmethod
    def decoded(
        cls,
        data: bytes,
        counter: str | TokenCounter | None,
        counts: Literal["believe", "recount"],
        limits: Limits,
        *,
        is_envelope: bool,
    ) -> tuple[dict[str, Any], Self]:
        """Read a package, and return all of it but the blocks, and the blocks; makes no `ContextBlock`."""
        raw = bytes_of(data)
        are_believed = believes(counts)
        header, rows = _core.decode(raw, limits, is_envelope)
        named = header["counter"]
        counts_with = as_counter((named or DEFAULT_ENCODING) if counter is None else counter)
        return header, cls.of_rows(rows, counts_with, is_believed=are_believed and named == counts_with.name)

    @classmethod
    def of_rows(cls, rows: _core.Rows, counter: TokenCounter, *, is_believed: bool) -> Self:
        """Make a set of rows that were decoded, whose token counts are believed or counted again.

        Raises:
            ValidationError: an id comes twice.
            PluginError: the counter raised or returned what it must not.
        """
        blocks = cls(counter=counter)
        if not is_believed:
            rows.distrust()
        plugged = not isinstance(counter, EncodingCounter)
        blocks._columns.load(rows, count_with(counter, rows.uncounted()) if plugged else None)
        blocks._revision += bool(len(blocks))
        return blocks

    @classmethod
    def gathered(cls, sets: Sequence[BlockSet], runs: list[tuple[int, int, int]]) -> Self:
        """Make a set of runs of blocks of sets that count alike; makes no `ContextBlock`.

        Args:
            sets: where the blocks are.
            runs: which set, the position of the first block in it, how many.

        Raises:
            ValidationError: a set has no such blocks, or an id comes twice.
        """
        blocks = cls(counter=sets[0].counter)
        columns = [each.snapshot()._columns for each in sets]  # noqa: SLF001  # sets of this very class
        blocks._columns.load(_core.gather(columns, runs))
        blocks._revision += bool(len(blocks))
        return blocks

    @classmethod
    def from_bytes(
        cls,
        data: bytes,
        *,
        counter: str | TokenCounter | None = None,
        counts: Literal["believe", "recount"] = "believe",
        limits: Limits = DEFAULT,
    ) -> Self:
        """Make a set of what `to_bytes` of a set or a package wrote; makes no `ContextBlock`.

        Args:
            data: the envelope.
            counter: what counts tokens; None for the one that the envelope names.
            counts: "believe" takes its token counts if it names the same counter, "recount" none.
            limits: of the blocks; nothing larger is decompressed.

        Raises:
            ValidationError: it is no envelope, was changed or cut off, or a block is outside its limits.
            PluginError: the counter raised or returned what it must not.
        """
        return cls.decoded(data, counter, counts, limits, is_envelope=True)[1]

    def to_bytes(self, *, compress: Literal["none", "zstd"] = "none", limits: Limits = DEFAULT) -> bytes:
        """Return the blocks in an envelope in which every flipped bit is found, as `ContextPackage.to_bytes` does.

        Raises:
            ValidationError: there are more blocks or bytes than `limits` let anybody read again.
        """
        header = dict.fromkeys(("session_id", "agent_id", "trace_id", "operation_id", "sender"), "")
        numbers = dict.fromkeys(("version", "hops", "epoch"), 0)
        rest = {"counter": self._counter.name, "parents": [], "unknown": b""}
        return self.encoded({**header, **numbers, **rest}, self.metrics(LARGEST_BUDGET), limits, zstd_of(compress))

    def encoded(
        self, header: Mapping[str, Any], metrics: ContextMetrics | None, limits: Limits, compress: bool | None
    ) -> bytes:
        """Return the blocks as a package, in an envelope unless `compress` is None."""
        measured: tuple[int, float, list[tuple[str, float]]] = (0, 0.0, [])
        if metrics is not None:
            shares = list(metrics.type_distribution.items())
            measured = min(metrics.total_tokens, 2**32 - 1), metrics.context_saturation, shares
        with self.settled():
            columns = self._columns.snapshot()
        return _core.encode(columns, header, measured, limits, compress)

    @property
    def content_hash(self) -> str:
        """BLAKE3 over the blocks in their order, 64 hexadecimal digits; token counts and origins are not in it."""
        with self.settled():
            columns = self._columns.snapshot()
        return _core.content_hash(columns).hex()

    def hashes(self) -> list[bytes]:
        """Return the content hash of every block, 32 bytes each."""
        with self.settled():
            columns = self._columns.snapshot()
        return _core.block_hashes(columns)

    def exact_hashes(self) -> list[bytes]:
        """Return the same with all that travels with a block: token count, origin, and what nobody here knows."""
        with self.settled():
            columns = self._columns.snapshot()
        return _core.exact_hashes(columns)

    def units(self) -> list[int]:
        """Return for every block the position of the first block of its unit."""
        with self.settled():
            return self._columns.units()

    def calls(self) -> dict[int, list[tuple[str, str]]]:
        """Return the calls that blocks make, by position: the name of each tool, and its arguments."""
        with self.settled():
            return dict(self._columns.calls())

    def is_mixed(self) -> bool:
        """Return whether the blocks came from more than one: each origin is one, and one's own another."""
        with self.settled():
            return self._columns.is_mixed()

    def snapshot(self, *, is_indexed: bool = False) -> BlockSet:
        """Return a set of its own with the same blocks, which are copied when one of the two is first changed.

        Args:
            is_indexed: True to read the words of both at once, for a query to come.
        """
        with self.settled():
            return self._over(self._columns.snapshot(is_indexed=is_indexed))

    def join(self, other: BlockSet) -> None:
        """Append copies of all blocks of another set that counts alike, all or none; makes no `ContextBlock`.

        Raises:
            ValidationError: an id is taken.
        """
        columns = other.snapshot()._columns  # noqa: SLF001  # a set of this very class
        with self.settled():
            self._columns.join(columns)
            self._revision += bool(len(other))

    def become(self, other: BlockSet) -> None:
        """Have the blocks of another set that counts alike in the place of all; blocks that are held follow their ids.

        What is held of a block that is not among them is let go.
        """
        columns = other.snapshot()._columns  # noqa: SLF001  # a set of this very class
        with self.settled():
            self._columns.become_like(columns)
            for row, block in self._held.follow(self._columns.find):
                renew(block, self._columns.get(row), self._counter.name)
            self._revision += 1

    def set_origin(self, origin: str | None) -> None:
        """Say of all blocks whom they came from, as an importer does; what only their sender understands is forgotten.

        Raises:
            ValidationError: `origin` is not 1 to 256 bytes without control characters.
        """
        with self.settled():
            self._columns.set_origin(origin)
            self._held.write_origin(origin)
            self._revision += 1

    def sizes(self) -> list[int]:
        """Return for every block the bytes of its texts in UTF-8: content, metadata, id and references."""
        with self.settled():
            return _core.sizes(self._columns)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the blocks take, room for more included.

        Text that came from Python is counted once, however many blocks have it, and also where the caller has it too.
        """
        with self.settled():
            return _core.memory_bytes(self._columns)

    def shrink(self) -> None:
        """Give back the memory that is kept for blocks to come."""
        with self.settled():
            self._columns.shrink()

    def check_sizes(self, limits: Limits) -> None:
        """Raise `ValidationError` if a block is larger than limits that are stricter than the defaults."""
        with self.settled():
            _core.check_sizes(self._columns, limits)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Base scores, a copy that cannot be written to; `set_scores` puts others in their place."""
        with self.settled():
            return _core.scores(self._columns)

    @property
    def token_counts(self) -> NDArray[np.uint32]:
        """Tokens of the contents alone, a copy that cannot be written to."""
        with self.settled():
            return _core.token_counts(self._columns)

    @property
    def timestamps(self) -> NDArray[np.int64]:
        """Milliseconds since the epoch, a copy that cannot be written to."""
        with self.settled():
            return _core.timestamps(self._columns)

    @property
    def types(self) -> NDArray[np.uint8]:
        """The numbers of the types, a copy that cannot be written to."""
        with self.settled():
            return _core.types(self._columns)

    def set_scores(self, scores: NDArray[np.float64] | Sequence[float]) -> None:
        """Put base scores in the place of all, one number from 0 to 1 a block; blocks that are held have them as well.

        Raises:
            ValidationError: there is not one score a block, or one is outside its limits; nothing was changed.
        """
        array = reals("scores", scores)
        with self.settled():
            _core.set_scores(self._columns, array)
            self._held.write_scores(array)
            self._revision += 1

    def effective_scores(
        self, *, factor_per_minute: float = 1.0, floor: float = 0.0, now: int | None = None
    ) -> NDArray[np.float64]:
        """Return the scores that blocks have when they fall with age; stores nothing.

        `max(base * factor_per_minute ** minutes, min(base, floor))`, the age in minutes from the block's timestamp to
        `now`, never below 0 and at most 71,000 years. SYSTEM blocks keep their scores.

        Args:
            factor_per_minute: above 0 and at most 1.
            floor: no score falls below this, 0 to 1; one that was below keeps its own.
            now: milliseconds since the epoch; None for the newest timestamp in the set.

        Raises:
            ValidationError: an argument is outside its limits.
        """
        check_fraction("factor_per_minute", factor_per_minute)
        if factor_per_minute == 0:
            raise ValidationError("factor_per_minute 0 is not above 0")
        check_fraction("floor", floor)
        with self.settled():
            return _core.effective_scores(self._columns, factor_per_minute, floor, _time(now))

    def matches(self, query: str, kind: Literal["bm25", "tfidf"] = "bm25") -> NDArray[np.float64]:
        """Return how well each block matches a query by its words, from 0 to 1.

        Args:
            query: what is asked.
            kind: "bm25" as `LexicalScorer` describes; "tfidf" for cosines as `TfidfScorer` describes.

        Raises:
            ValidationError: `query` is no str, or there is no such kind.
        """
        with self.settled():
            return _core.matches(self._columns, query, kind)

    def turns(self, turns: list[str]) -> list[str]:
        """Return the turns of a query with those before it, where it is the last USER block."""
        with self.settled():
            return _core.turns(self._columns, turns)

    def search(self, query: str, most: int = 10) -> list[tuple[str, float]]:
        """Return ids of the blocks that match a query best by its words, each with how well.

        Args:
            query: what is asked.
            most: how many at most, from 1 up; blocks without a word of the query are none.

        Returns:
            The best first, of equal ones the first; the numbers are those of `matches`.

        Raises:
            ValidationError: `query` is no str, or `most` no whole number from 1 up.
        """
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most < 2**63:
            raise ValidationError(f"most {shown(most)} is not a whole number from 1 to {2**63 - 1}")
        with self.settled():
            return _core.search(self._columns, query, most)

    def metrics(self, max_tokens: int = 8192) -> ContextMetrics:
        """Measure the set against a budget; takes the same time for any number of blocks.

        Raises:
            ValidationError: `max_tokens` is no whole number from 1 up.
        """
        return ContextMetrics.of(self.type_tokens(), max_tokens)

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
        query: Query | None = None,
        scorer: Scorer | None = None,
        render: Render = "openai",
        now: int | None = None,
        pin: Iterable[str] = (),
        previous: Selection | None = None,
        shorten: Shorten | Literal["tool"] | None = None,
    ) -> Selection:
        """Choose the blocks that stay, as the function `prune` does; works on a snapshot while others go on."""
        available = available_of(budget)
        if shorten is not None:
            return self._shortened(shorten, budget, policy, query, scorer, render, now, pin, previous)
        if previous is None and type(budget) is int:
            return self._prune(available, policy, query, scorer, render, now, pin, None)
        if previous is not None and not isinstance(previous, Selection):
            raise ValidationError(f"previous {shown(previous)} is {type(previous).__name__}, not a Selection")
        budget = Budget.of(budget)
        try:
            selection = self._prune(available, policy, query, scorer, render, now, pin, previous)
        except BudgetExceededError as error:
            error.beside(budget.max_tokens - available)
            raise
        selection.after(previous, is_budget_exact=budget.exact)
        report = selection.cache
        # Said after 4, 8, 16 cuts and so on: a session that slides cuts in every request.
        if report is not None and report.warning is not None and report.breaks.bit_count() == 1:
            _LOG.warning("%s", report.warning)
        return selection

    def _shortened(
        self,
        shorten: Shorten | Literal["tool"],
        budget: Budget | int,
        policy: Policy | str | None,
        query: Query | None,
        scorer: Scorer | None,
        render: Render,
        now: int | None,
        pin: Iterable[str],
        previous: Selection | None,
    ) -> Selection:
        if not isinstance(render, str):
            raise ValidationError("shorten needs render openai or text")
        pins = _pins(pin)

        def choose(blocks: BlockSet) -> Selection:
            return blocks.prune(
                budget, policy=policy, query=query, scorer=scorer, render=render, now=now, pin=pins, previous=previous
            )

        return prune_shortened(self.snapshot(), Shorten.of(shorten), pins, render, choose)

    def columns(self) -> _core.Columns:
        """Return the columns as they are now, with what was written to blocks that are held."""
        with self.settled():
            return self._columns.snapshot()

    def costs(self, render: str) -> list[int]:
        """Return the tokens of every block rendered as "openai" or "text".

        Raises:
            ValidationError: there is no such rendering.
            PluginError: the counter raised or returned what it must not.
        """
        return self.prune(LARGEST_BUDGET, policy=_WHOLE, render=render).costs()

    def _prune(
        self,
        available: int,
        policy: Policy | str | None,
        query: Query | None,
        scorer: Scorer | None,
        render: Render,
        now: int | None,
        pin: Iterable[str],
        previous: Selection | None,
    ) -> Selection:
        before = None if previous is None else previous.chosen
        policy = Policy.of(policy, query)
        turns = None if query is None else turns_of(query)
        # To ask whether nothing is an iterable takes as long as a tenth of a small prune.
        pins = [] if pin is _NO_PINS else _pins(pin)
        if now is not None:
            now = _time(now)
        if turns is not None and isinstance(scorer, LexicalScorer):
            # Its index is that of the set itself.
            scorer = None
        if scorer is None and isinstance(render, str) and isinstance(self._counter, EncodingCounter):
            if self._held:
                self._read_back()
            chosen = _core.prune(
                self._columns, available, render, policy.compiled, pins, now, turns, None, None, before
            )
            return Selection(chosen, policy, render, self._counter)
        return self._prune_plugged(available, policy, turns, scorer, render, now, pins, before)

    def _prune_plugged(
        self,
        available: int,
        policy: Policy,
        turns: list[str] | None,
        scorer: Scorer | None,
        render: Render,
        now: int | None,
        pins: list[str],
        before: _core.Selection | None,
    ) -> Selection:
        """The same where a plug-in counts, scores or renders."""
        if turns is None and policy.asks:
            turns = []
        if turns is None and scorer is not None:
            raise ValidationError("scorer needs a query")
        if not isinstance(render, str | Formatter) and not callable(render):
            raise ValidationError(f"render {shown(render)} is neither openai, text, a Formatter nor a function")
        with self.settled():
            if not isinstance(render, Formatter):
                # Counted here and not in the snapshot, so that the next prune finds it.
                count_costs(self._columns, self._counter, render if isinstance(render, str) else "text")
            columns = self._columns.snapshot(is_indexed=turns is not None)
        relevance = None
        if turns is not None and scorer is not None:
            turns = _core.turns(columns, turns)
            if turns:
                relevance = score_with(scorer, turns, self._over(columns))
        drawn = Drawn.of(render, self._counter, lambda: self._over(columns))

        def run(room: int) -> Selection:
            chosen = _core.prune(
                columns, room, drawn.costs_as, policy.compiled, pins, now, turns, relevance, drawn.costs, before
            )
            return Selection(chosen, policy, drawn.name, self._counter)

        return run(available) if drawn.write is None else fit(run, drawn.write, self._counter, available)

    def keep(self, selection: Selection) -> list[ContextBlock]:
        """Remove the blocks that a selection dropped, and return them; blocks that came after it was made stay.

        A block is the one that was dropped if its id, type and timestamp are; one that was edited meanwhile falls by
        what it was. A duplicate falls only while its copy is there, and references to it name that copy then.

        Raises:
            ValidationError: `selection` is none.
        """
        return self._restored(self.cut(selection))

    def cut(self, selection: Selection) -> _core.Fallen:
        """Remove blocks as `keep` does, and return them as rows; makes no `ContextBlock`.

        Other threads run meanwhile, however many blocks there are.
        """
        if not isinstance(selection, Selection):
            raise ValidationError(f"selection {shown(selection)} is {type(selection).__name__}, not a Selection")
        with self.settled():
            return self._cut(lambda held: selection.cut(self._columns, held))

    def dedup(self) -> list[ContextBlock]:
        """Remove exact duplicates and return them: of equal texts of one type, MEMORY or KNOWLEDGE, the best stays.

        The best has the highest base score, of equal scores the newest timestamp, of equal timestamps the last place.
        Blocks of a unit are no duplicates. References to what falls name the copy that stays. What is equal was noted
        when the blocks came: where nothing is, this takes no time.
        """
        return self._restored(self.cut_duplicates())

    def cut_duplicates(self) -> _core.Fallen:
        """Remove exact duplicates as `dedup` does, and return them as rows; makes no `ContextBlock`."""
        with self.settled():
            return self._cut(lambda held: _core.cut_duplicates(self._columns, held))

    def _cut(self, cut: Callable[[list[int]], tuple[_core.Fallen, dict[str, str], list[int | None]]]) -> _core.Fallen:
        """Have rows removed, and follow with the blocks that are held."""
        held = self._held.rows()
        fallen, copies, places = cut(held)
        if copies:
            self._held.rename_references(copies)
        self._held.move(dict(zip(held, places, strict=True)))
        self._revision += bool(fallen)
        return fallen

    def _restored(self, fallen: _core.Fallen) -> list[ContextBlock]:
        return [restore(fallen.get(at), self._counter.name) for at in range(len(fallen))]

    def _over(self, columns: _core.Columns) -> BlockSet:
        """A set of its own over columns, for a plug-in to look at."""
        view = BlockSet(counter=self._counter)
        view._columns = columns.snapshot()
        return view


def prune(
    blocks: Iterable[ContextBlock],
    budget: Budget | int,
    *,
    policy: Policy | str | None = None,
    query: Query | None = None,
    scorer: Scorer | None = None,
    render: Render = "openai",
    counter: str | TokenCounter | None = None,
    now: int | None = None,
    pin: Iterable[str] = (),
    previous: Selection | None = None,
    shorten: Shorten | Literal["tool"] | None = None,
) -> Selection:
    """Choose the blocks that fit a budget; changes nothing.

    SYSTEM blocks, the last USER block and the last unit of the conversation, if it comes later, always stay. A call and
    its results stay or fall together. The result never needs more tokens than the budget has, counted as rendered;
    counts that blocks bring with them are believed.

    Args:
        blocks: a sequence of blocks, a `ContextPackage` or a `BlockSet`.
        budget: a `Budget`, or the tokens that the request may hold.
        policy: a `Policy` or the name of one; None for "evidence" where there is a query, else for "relevance".
        query: what the model is asked: one turn of the user, or several with the newest last, of which the two before
            it help to understand it. One that is the last USER block has the two before it by itself. None for that
            block under a policy that takes by evidence; elsewhere nothing is asked then.
        scorer: says how relevant each block is to the query. None for its words alone, as `LexicalScorer` has them; any
            other is fused with them by tiers in the order "evidence", and takes their place elsewhere.
        render: what the request looks like: "openai" for chat messages, "text" for the text form, a `Formatter`, or a
            function that renders a list of blocks, whose costs are taken to be those of the text form.
        counter: what counts tokens; None for the counter of the set, "o200k_base" for a plain sequence.
        now: milliseconds since the epoch, for policies under which scores fall with age; None for the newest timestamp
            among the blocks.
        pin: ids of more blocks that must stay.
        previous: the selection of the request before. Policies with a cache go on from it; under all others it is what
            `Selection.cache` compares with.
        shorten: what may stay in a shorter form where not all fits, "tool" for results of tools; None for nothing.

    Returns:
        The selection, with a reason for every block.

    Raises:
        BudgetExceededError: the blocks that must stay do not fit.
        ValidationError: a block or an option is outside its limits.
        PluginError: a plug-in raised or returned what it must not.
    """
    # A package holds its set in `blocks`.
    found = getattr(blocks, "blocks", blocks)
    plugin = None if counter is None else as_counter(counter)
    source = None
    if not isinstance(found, Iterable):
        raise ValidationError(f"blocks {shown(blocks)} is {type(blocks).__name__}, not a sequence of blocks")
    if not isinstance(found, BlockSet):
        source = list(found)
        found = BlockSet(source, counter=plugin or DEFAULT_ENCODING)
    elif plugin is not None and plugin.name != found.counter.name:
        source = list(found)
        found = BlockSet((replace(block, token_count=None) for block in source), counter=plugin)
    selection = found.prune(
        budget,
        policy=policy,
        query=query,
        scorer=scorer,
        render=render,
        now=now,
        pin=pin,
        previous=previous,
        shorten=shorten,
    )
    return selection if source is None else selection.over(source)


def bytes_of(data: object) -> bytes:
    """What was written to a file or sent.

    Raises:
        ValidationError: it is no bytes.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ValidationError(f"data {shown(data)} is {type(data).__name__}, not bytes")
    return data if isinstance(data, bytes) else bytes(data)


def zstd_of(compress: object) -> bool:
    """Whether to compress.

    Raises:
        ValidationError: it is neither "none" nor "zstd".
    """
    if not isinstance(compress, str) or compress not in ("none", "zstd"):
        raise ValidationError(f"compress {shown(compress)} is not one of none, zstd")
    return compress == "zstd"


def believes(counts: object) -> bool:
    """Whether token counts that came from outside are believed where the same counter made them.

    Raises:
        ValidationError: it is neither "believe" nor "recount".
    """
    if not isinstance(counts, str) or counts not in ("believe", "recount"):
        raise ValidationError(f"counts {shown(counts)} is not one of believe, recount")
    return counts == "believe"


# The default of `pin`, of which there is one in an interpreter.
_NO_PINS: Final = ()


def _pins(pin: Iterable[str]) -> list[str]:
    if isinstance(pin, str):
        return [pin]
    if not isinstance(pin, Iterable):
        raise ValidationError(f"pin {shown(pin)} is {type(pin).__name__}, not ids of blocks")
    return list(pin)


def _time(now: int | None) -> int | None:
    """A time in milliseconds, also where it comes as a number of NumPy's."""
    try:
        number = None if now is None else -1 if isinstance(now, bool) else index(now)
    except TypeError:
        number = -1
    if number is not None and not 0 <= number < 2**63:
        raise ValidationError(f"now {shown(now)} is not a whole number from 0 to {2**63 - 1}")
    return number
