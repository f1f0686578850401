"""The article's benchmarks: they measure what they say, and leave nothing behind."""

from __future__ import annotations

import asyncio
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontext import BudgetExceededError, ContextManager, ContextType, ValidationError, count_tokens, open_store
from pycontext.benchmark import BenchmarkResult, ContextBenchmark

RUNS = ["run_add_context_benchmark", "run_format_context_benchmark", "run_prune_context_benchmark"]


class Watched(ContextManager):
    """Remembers what it was given and what it returned."""

    def __init__(self, *args, fail_at=None, **options):
        super().__init__(*args, **options)
        self.given, self.returned, self.before, self.after = [], [], [], []
        self.fail_at = fail_at

    def _called(self):
        self.fail_at = None if self.fail_at is None else self.fail_at - 1
        if self.fail_at == 0:
            raise RuntimeError("no more")

    def add_context(self, session_id, content, *args, **options):
        self._called()
        self.given.append(content)
        return super().add_context(session_id, content, *args, **options)

    def get_formatted_context(self, session_id, formatter=None):
        self._called()
        self.returned.append(super().get_formatted_context(session_id, formatter))
        return self.returned[-1]

    def prune(self, session_id, *args, **options):
        self._called()
        self.given += [block.content for block in self.sessions[session_id].blocks]
        self.before.append(self.sessions[session_id].blocks.total_cost("text"))
        selection = super().prune(session_id, *args, **options)
        self.after.append([block.content for block in self.sessions[session_id].blocks])
        return selection


def run(manager, name, *arguments, **options):
    benchmark = ContextBenchmark(manager, **options)
    return asyncio.run(getattr(benchmark, name)(*arguments)), benchmark


def test_adds_are_counted_block_by_block_and_every_text_is_another():
    manager = Watched()
    result, benchmark = run(manager, "run_add_context_benchmark", 30, 50)
    assert result.operation == "add_context"
    assert benchmark.results == {"add_context": result}
    assert len(set(manager.given)) == len(manager.given) == 30
    assert list(result.token_counts) == [count_tokens(text) for text in manager.given]
    assert all(text.count(" ") >= 50 for text in manager.given)


def test_formatted_texts_are_counted_as_they_are_with_the_managers_counter():
    manager = Watched(counter="cl100k_base")
    result, _ = run(manager, "run_format_context_benchmark", 6, 4)
    assert len(set(manager.returned)) == 6
    assert all(text.count("[MEMORY]") == 4 for text in manager.returned)
    assert list(result.token_counts) == [count_tokens(text, "cl100k_base") for text in manager.returned]


def test_the_formatted_text_keeps_to_the_budget():
    manager = Watched(max_tokens=300)
    result, _ = run(manager, "run_format_context_benchmark", 3, 20)
    assert all(0 < tokens <= 300 for tokens in result.token_counts)


def test_the_prune_prunes():
    manager = Watched()
    result, _ = run(manager, "run_prune_context_benchmark", 5, 100)
    assert len(set(manager.given)) == len(manager.given) == 500
    for before, after, tokens in zip(manager.before, manager.after, result.token_counts, strict=True):
        assert 0 < tokens <= before // 2
        # No more than it must: room for less than one of these blocks is left.
        assert tokens > before // 2 - before / 50
        assert tokens > sum(count_tokens(text) for text in after)
        assert len(after) < 100


def test_a_session_is_filled_without_being_pruned_whatever_the_budget():
    manager = Watched(max_tokens=100)
    run(manager, "run_prune_context_benchmark", 1, 60)
    assert len(manager.given) == 60
    assert manager.before[0] > 3_000


def test_a_manager_that_prunes_nothing_is_refused():
    manager = ContextManager(shadow=True)
    with pytest.raises(ValidationError, match="shadow mode: it would prune nothing"):
        run(manager, "run_prune_context_benchmark", 1, 10)
    result, _ = run(manager, "run_format_context_benchmark", 1, 300)
    assert result.token_counts[0] > manager.max_tokens


@pytest.mark.parametrize("name", RUNS)
def test_the_manager_is_left_as_it_was(name, tmp_path):
    url = f"sqlite:///{tmp_path}/sessions.db"
    manager = ContextManager(store=url)
    manager.create_session("agent", session_id="mine")
    manager.add_context("mine", "hello", ContextType.USER)
    before = manager.export_session("mine")
    result, _ = run(manager, name, 3, 5)
    assert len(result.times) == 3
    assert list(manager.sessions) == ["mine"]
    assert manager.export_session("mine") == before
    assert list(open_store(url).sessions()) == ["mine"]


@pytest.mark.parametrize("name", RUNS)
def test_nothing_stays_behind_an_error(name):
    manager = Watched(fail_at=3)
    benchmark = ContextBenchmark(manager)
    with pytest.raises(RuntimeError, match="no more"):
        asyncio.run(getattr(benchmark, name)(5, 4))
    assert dict(manager.sessions) == {}
    assert benchmark.results == {}


def test_nothing_stays_behind_a_block_that_cannot_fit():
    manager = ContextManager(max_tokens=50)
    with pytest.raises(BudgetExceededError):
        run(manager, "run_add_context_benchmark", 5, 500)
    assert dict(manager.sessions) == {}


@pytest.mark.parametrize("name", RUNS)
def test_others_run_between_two_iterations_and_a_run_can_be_cancelled(name):
    manager = ContextManager()
    benchmark = ContextBenchmark(manager)

    async def cancelled():
        task = asyncio.create_task(getattr(benchmark, name)(10**6, 4))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert dict(manager.sessions) == {}


def test_the_same_seed_gives_the_same_texts():
    counts = [run(ContextManager(), "run_add_context_benchmark", 9, 40, seed=seed)[0].token_counts for seed in (1, 1)]
    assert counts[0] == counts[1]
    texts = []
    for _ in range(2):
        manager = Watched()
        run(manager, "run_add_context_benchmark", 9, 40)
        texts.append(manager.given)
    assert texts[0] != texts[1]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("run_add_context_benchmark", (0,), "iterations 0 is not a whole number from 1"),
        ("run_add_context_benchmark", (1, 0), "content_size 0 is not a whole number from 1"),
        ("run_format_context_benchmark", (True,), "iterations True is not a whole number from 1"),
        ("run_format_context_benchmark", (1, 2.0), "block_count 2.0 is not a whole number from 1"),
        ("run_prune_context_benchmark", ("3",), "iterations '3' is not a whole number from 1"),
        ("run_prune_context_benchmark", (1, 1), "initial_blocks 1 is not a whole number from 2"),
    ],
)
def test_numbers_outside_their_limits_are_refused(name, arguments, message):
    with pytest.raises(ValidationError, match=message):
        run(ContextManager(), name, *arguments)


def test_only_a_manager_is_timed():
    with pytest.raises(ValidationError, match="context_manager 'm' is str, not ContextManager"):
        ContextBenchmark("m")
    with pytest.raises(ValidationError, match="seed -1 is not a whole number from 0"):
        ContextBenchmark(ContextManager(), seed=-1)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_of_few_times_as_of_many_mean_and_percentile_lie_within_them(times):
    result = BenchmarkResult("add_context", times, [7] * len(times))
    assert min(times) <= result.mean_time * (1 + 1e-12)
    assert result.mean_time <= max(times) * (1 + 1e-12)
    assert min(times) <= result.p95_time <= max(times)
    assert sum(time > result.p95_time for time in times) <= 0.05 * len(times) + 1


def test_what_a_result_says():
    result = BenchmarkResult("add_context", [0.5] * 19 + [10.5], [3] * 20)
    assert result.mean_time == 1.0
    assert result.p95_time == pytest.approx(1.0)
    assert result.tokens_per_second == 3.0
    one = BenchmarkResult("add_context", [0.25], [5])
    assert (one.mean_time, one.p95_time, one.tokens_per_second) == (0.25, 0.25, 20.0)
    assert BenchmarkResult("add_context", [0.0], [5]).tokens_per_second == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", [1.0], [1]), "operation '' is not a str"),
        (("a", [], []), r"times \[\] is not a list of 1 or more"),
        (("a", "1", [1]), "times '1' is not a list"),
        (("a", [-1.0], [1]), "times -1.0 is not a number of seconds"),
        (("a", [float("nan")], [1]), "times nan is not a number of seconds"),
        (("a", [float("inf")], [1]), "times inf is not a number of seconds"),
        (("a", [True], [1]), "times True is not a number of seconds"),
        (("a", [1.0], [-1]), "token_counts -1 is not a whole number"),
        (("a", [1.0, 2.0], [1]), "token_counts has 1 entries, not one for each of 2 times"),
    ],
)
def test_a_result_of_bad_values_is_refused(arguments, message):
    with pytest.raises(ValidationError, match=message):
        BenchmarkResult(*arguments)


def test_a_plot_needs_results():
    with pytest.raises(ValidationError, match="results are empty"):
        ContextBenchmark(ContextManager()).plot_results()


def test_the_plot_shows_every_result_and_opens_no_window(tmp_path, monkeypatch):
    # Whoever imports it fails.
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    benchmark = ContextBenchmark(ContextManager())
    benchmark.results["add_context"] = BenchmarkResult("add_context", [0.002], [10])
    benchmark.results["prune_context"] = BenchmarkResult("prune_context", [0.004, 0.004], [2, 2])
    target = tmp_path / "results.png"
    figure = benchmark.plot_results(target)
    assert target.read_bytes().startswith(b"\x89PNG")
    mean, p95, throughput = figure.axes
    assert [bar.get_height() for bar in mean.patches] == [2.0, 4.0]
    assert [bar.get_height() for bar in p95.patches] == [2.0, 4.0]
    assert [bar.get_height() for bar in throughput.patches] == pytest.approx([0.005, 0.0005])
    for axes in figure.axes:
        assert [label.get_text() for label in axes.get_xticklabels()] == ["add\ncontext", "prune\ncontext"]
    with pytest.raises(FileNotFoundError):
        benchmark.plot_results(tmp_path / "no" / "folder.svg")


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    benchmark = ContextBenchmark(ContextManager())
    benchmark.results["add_context"] = BenchmarkResult("add_context", [0.002], [10])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pycontext-layer\[plots\]"):
        benchmark.plot_results()
