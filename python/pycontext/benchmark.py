"""How long the layer takes on this machine: the article's three benchmarks."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Final

import numpy as np

from pycontext.block import ContextBlock, ContextType
from pycontext.budget import check_tokens
from pycontext.counter import count_with
from pycontext.errors import ValidationError, shown
from pycontext.manager import ContextManager

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BenchmarkResult", "ContextBenchmark"]

_SENTENCE: Final = (
    "the customer says that her router lost its connection after last night's update and a restart of the modem did "
    "not help while voice calls still work on line two please check signal levels at port seven open a ticket for the "
    "field engineer if packet loss stays above one percent and tell them when somebody will come"
)
_WORDS: Final = _SENTENCE.split()
_FORMAT_WORDS: Final = 100
_PRUNE_WORDS: Final = 50


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """What one benchmark measured.

    Attributes:
        operation: what was done.
        times: seconds of every iteration, 1 or more.
        token_counts: tokens that came out of every iteration.

    Raises:
        ValidationError: there is no time, not one token count for each, or a number is negative or none.
    """

    operation: str
    times: Sequence[float]
    token_counts: Sequence[int]

    def __post_init__(self) -> None:
        if not isinstance(self.operation, str) or not self.operation:
            raise ValidationError(f"operation {shown(self.operation)} is not a str that says one")
        for name in ("times", "token_counts"):
            values = getattr(self, name)
            if isinstance(values, str) or not isinstance(values, Sequence) or not values:
                raise ValidationError(f"{name} {shown(values)} is not a list of 1 or more numbers")
            object.__setattr__(self, name, tuple(values))
        for seconds in self.times:
            is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
            if not is_number or not 0 <= seconds < math.inf:
                raise ValidationError(f"times {shown(seconds)} is not a number of seconds from 0 up")
        for tokens in self.token_counts:
            check_tokens("token_counts", tokens)
        if len(self.times) != len(self.token_counts):
            raise ValidationError(
                f"token_counts has {len(self.token_counts)} entries, not one for each of {len(self.times)} times"
            )

    @property
    def mean_time(self) -> float:
        """Seconds of an iteration on average."""
        return math.fsum(self.times) / len(self.times)

    @property
    def p95_time(self) -> float:
        """Seconds within which 95 % of the iterations were over; between two of them on the line that joins them."""
        # Not `statistics.quantiles`: it needs two times, and of few it makes one that is longer than all of them.
        return float(np.percentile(self.times, 95))

    @property
    def tokens_per_second(self) -> float:
        """Tokens that came out in a second; 0 where the clock did not move."""
        total = math.fsum(self.times)
        return sum(self.token_counts) / total if total > 0 else 0.0


class ContextBenchmark:
    """Times what a manager does most, in sessions of its own that are gone afterwards.

    Every iteration has another text, so that nothing that remembers one looks fast. The event loop runs between two
    iterations. What is written and counted before and after is not in the times.

    Args:
        context_manager: what is timed, with its budget, policy, counter and store.
        seed: a number for the same texts every time; None for others.

    Attributes:
        results: the last result of every operation.

    Raises:
        ValidationError: `context_manager` is none, or `seed` no whole number from 0 up.
    """

    def __init__(self, context_manager: ContextManager, *, seed: int | None = None) -> None:
        if not isinstance(context_manager, ContextManager):
            raise ValidationError(
                f"context_manager {shown(context_manager)} is {type(context_manager).__name__}, not ContextManager"
            )
        if seed is not None:
            check_tokens("seed", seed)
        self.context_manager: Final = context_manager
        self.results: Final[dict[str, BenchmarkResult]] = {}
        self._random: Final = random.Random(seed)  # noqa: S311  # no secret
        self._written = 0

    async def run_add_context_benchmark(self, iterations: int = 100, content_size: int = 500) -> BenchmarkResult:
        """Time `add_context` on one session, the prunes that it makes included.

        Args:
            iterations: blocks to add, 1 or more.
            content_size: words of each, 1 or more.

        Returns:
            The times, and the tokens of every block.

        Raises:
            ValidationError: a number is outside its limits.
            BudgetExceededError: one block is more than the manager's budget.
        """
        check_tokens("iterations", iterations, least=1)
        check_tokens("content_size", content_size, least=1)
        manager = self.context_manager
        times, counts = [], []
        # A counter may read its vocabulary when it is first used.
        count_with(manager.counter, [self._text(1)])
        with self._session() as session_id:
            for _ in range(iterations):
                text = self._text(content_size)
                began = time.perf_counter()
                block_id = manager.add_context(session_id, text, ContextType.MEMORY, 0.5)
                times.append(time.perf_counter() - began)
                counts.append(manager.get_block(session_id, block_id).token_count)
                await asyncio.sleep(0)
        return self._keep("add_context", times, counts)

    async def run_format_context_benchmark(self, iterations: int = 100, block_count: int = 20) -> BenchmarkResult:
        """Time `get_formatted_context`, every iteration on a session of its own.

        Args:
            iterations: sessions, 1 or more.
            block_count: blocks of each, 1 or more; what does not fit the manager's budget is left out as ever.

        Returns:
            The times, and the tokens of every text that was returned.

        Raises:
            ValidationError: a number is outside its limits.
        """
        check_tokens("iterations", iterations, least=1)
        check_tokens("block_count", block_count, least=1)
        manager = self.context_manager
        times, counts = [], []
        for _ in range(iterations):
            with self._session() as session_id:
                self._fill(session_id, block_count, _FORMAT_WORDS)
                began = time.perf_counter()
                text = manager.get_formatted_context(session_id)
                times.append(time.perf_counter() - began)
                counts += count_with(manager.counter, [text])
            await asyncio.sleep(0)
        return self._keep("format_context", times, counts)

    async def run_prune_context_benchmark(self, iterations: int = 100, initial_blocks: int = 100) -> BenchmarkResult:
        """Time `prune` to half of what a session has, every iteration on a session of its own.

        Args:
            iterations: sessions, 1 or more.
            initial_blocks: blocks of each, 2 or more.

        Returns:
            The times, and the tokens of what is left of every session, headers included.

        Raises:
            ValidationError: a number is outside its limits, or the manager is in shadow mode and prunes nothing.
        """
        check_tokens("iterations", iterations, least=1)
        check_tokens("initial_blocks", initial_blocks, least=2)
        manager = self.context_manager
        if manager.shadow:
            raise ValidationError("context_manager is in shadow mode: it would prune nothing")
        times, counts = [], []
        for _ in range(iterations):
            with self._session() as session_id:
                half = self._fill(session_id, initial_blocks, _PRUNE_WORDS) // 2
                began = time.perf_counter()
                manager.prune(session_id, half, render="text")
                times.append(time.perf_counter() - began)
                counts.append(manager.sessions[session_id].blocks.total_cost("text"))
            await asyncio.sleep(0)
        return self._keep("prune_context", times, counts)

    def plot_results(self, save_path: str | PathLike[str] | None = None) -> Figure:
        """Draw the results; a window is never opened, and pyplot is left alone.

        Args:
            save_path: where to write the picture, its kind by the ending; None to write nothing.

        Returns:
            The figure, which a notebook shows.

        Raises:
            ValidationError: there are no results.
            OSError: the picture cannot be written.
            ImportError: the extra `plots` is not installed.
        """
        if not self.results:
            raise ValidationError("results are empty: run a benchmark first")
        try:
            from matplotlib.figure import Figure  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ImportError("plot_results needs matplotlib: pip install 'pycontext-layer[plots]'") from error

        figure = Figure(figsize=(10, 3.4), layout="constrained")
        names = [name.replace("_", "\n") for name in self.results]
        results = self.results.values()
        panels = (
            ("mean time", "ms", [result.mean_time * 1e3 for result in results]),
            ("95th percentile of the time", "ms", [result.p95_time * 1e3 for result in results]),
            ("throughput", "million tokens a second", [result.tokens_per_second / 1e6 for result in results]),
        )
        for axes, (title, unit, heights) in zip(figure.subplots(1, len(panels)), panels, strict=True):
            bars = axes.bar(names, heights, color="C0")
            axes.bar_label(bars, [f"{height:.3g}" if height < 100 else f"{height:,.0f}" for height in heights])
            axes.set(title=title, ylabel=unit)
            axes.margins(y=0.12)
        if save_path is not None:
            figure.savefig(save_path)
        return figure

    @contextmanager
    def _session(self) -> Iterator[str]:
        """A new session that is deleted at the end, however that comes."""
        session_id = self.context_manager.create_session("benchmark")
        try:
            yield session_id
        finally:
            self.context_manager.delete_session(session_id)

    def _fill(self, session_id: str, number: int, words: int) -> int:
        """Give a session blocks at once, so that none is pruned, and return its tokens; a store has them as well."""
        # Scores are spread, so that a prune has to choose.
        self.context_manager.sessions[session_id].blocks = [
            ContextBlock(f"b{row}", self._text(words), (row + 1) / number, ContextType.MEMORY) for row in range(number)
        ]
        # Counts and prices the blocks, which in a session that grew has long been done.
        return self.context_manager.refresh(session_id).blocks.total_cost("text")

    def _text(self, words: int) -> str:
        """A text that was not there before."""
        self._written += 1
        return f"Note {self._written}: {' '.join(self._random.choices(_WORDS, k=words))}."

    def _keep(self, operation: str, times: list[float], counts: list[int]) -> BenchmarkResult:
        result = BenchmarkResult(operation, times, counts)
        self.results[operation] = result
        return result
