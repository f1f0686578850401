"""Sessions held to a budget in the background, without what was wrong in the article."""

from __future__ import annotations

import asyncio
import logging
import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontext import (
    BudgetExceededError,
    ContextBlock,
    ContextManager,
    ContextPackage,
    ContextType,
    UnknownBlockError,
    ValidationError,
)
from pycontext.optimize import RealTimeContextOptimizer

SYSTEM, USER, AGENT, MEMORY, KNOWLEDGE, TOOL = (
    ContextType.SYSTEM,
    ContextType.USER,
    ContextType.AGENT,
    ContextType.MEMORY,
    ContextType.KNOWLEDGE,
    ContextType.TOOL,
)

MINUTE = 60_000
NOW = 1_800_000_000_000
TICK = 0.001


def manager_of(*blocks, session_id="s", manager=None, **options):
    """A session of blocks given as id, type, score and age in minutes."""
    manager = manager or ContextManager(max_tokens=1_000_000, relevance_threshold=0, **options)
    made = [
        ContextBlock(id, f"{id} says so", score, kind, timestamp=NOW - int(age * MINUTE), token_count=5)
        for id, kind, score, age in blocks
    ]
    manager.import_session(ContextPackage(session_id, "agent", made), trust="self")
    return manager


def optimizer_of(manager, budget=60, **options):
    return RealTimeContextOptimizer(manager, budget, TICK, **{"clock": lambda: NOW, **options})


def look(manager, budget=60, **options):
    return asyncio.run(optimizer_of(manager, budget, **options).optimize_session("s"))


def ids(manager, session_id="s"):
    return manager.sessions[session_id].blocks.ids()


def facts(count, kind=MEMORY, score=0.5, age=0.0):
    return [(f"m{at}", kind, score, age) for at in range(count)]


async def until(condition):
    for _ in range(5_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never came to be")


# What a look does.


def test_a_session_that_is_not_there_is_no_error():
    assert look(ContextManager()) is None


def test_within_the_budget_nothing_happens():
    manager = manager_of(*facts(3))
    version = manager.sessions["s"].version
    assert look(manager, 1_000) is None
    assert manager.sessions["s"].version == version


def test_over_the_budget_what_matters_least_falls_and_can_be_fetched():
    manager = manager_of(*facts(20), ("best", MEMORY, 0.9, 0), ("ask", USER, 0.5, 0))
    selection = look(manager)
    assert selection.tokens <= 60
    assert ids(manager) == selection.kept_ids
    assert "best" in ids(manager)
    assert manager.get_block("s", "m0").content == "m0 says so"


def test_no_score_is_written():
    manager = manager_of(*facts(20, age=500), ("ask", USER, 0.5, 0))
    look(manager)
    assert {block.relevance_score for block in manager.sessions["s"].blocks} == {0.5}


def test_conversation_tools_memories_knowledge_in_that_order():
    kinds = [KNOWLEDGE, MEMORY, TOOL, AGENT, USER]
    blocks = [(f"{kind.name}{at}", kind, 0.9 if kind is KNOWLEDGE else 0.3, 0) for at in range(4) for kind in kinds]
    manager = manager_of(*blocks)
    # Each has three words and a header.
    look(manager, 140)
    left = [block.type for block in manager.sessions["s"].blocks]
    assert left.count(USER) == left.count(AGENT) == 4
    assert left.count(TOOL) > left.count(MEMORY) >= left.count(KNOWLEDGE)


def test_scores_fall_by_the_factor_in_a_minute_and_a_factor_of_1_leaves_them():
    # After 10 minutes 0.8 has come down to 0.48.
    blocks = [("old", MEMORY, 0.8, 10), ("new", MEMORY, 0.6, 0), ("ask", USER, 0.5, 0)]
    manager = manager_of(*blocks)
    look(manager, 16)
    assert ids(manager) == ["new", "ask"]
    manager = manager_of(*blocks)
    look(manager, 16, relevance_decay_factor=1.0)
    assert ids(manager) == ["old", "ask"]


@pytest.mark.parametrize("factor", [5e-324, 1e-300, 0.5, math.nextafter(1, 0), 1, 1.0])
def test_every_factor_is_taken(factor):
    manager = manager_of(*facts(20), ("ask", USER, 0.5, 0))
    assert look(manager, relevance_decay_factor=factor).tokens <= 60


def test_a_low_score_is_not_raised_by_the_floor():
    manager = manager_of(("low", MEMORY, 0.01, 0), ("old", MEMORY, 0.9, 10_000), ("ask", USER, 0.5, 0))
    selection = look(manager, 16)
    assert ids(manager) == ["old", "ask"]
    assert "score of 0.010" in selection.explain("low")
    assert "score of 0.100" in selection.explain("old")


def test_a_block_from_an_hour_ahead_is_not_raised_and_lowers_no_other():
    ahead = ("ahead", MEMORY, 0.5, -60)
    manager = manager_of(ahead, ("m", MEMORY, 0.6, 0), ("low", MEMORY, 0.3, 0), ("ask", USER, 0.5, 0))
    selection = look(manager, 16)
    assert ids(manager) == ["m", "ask"]
    assert "score of 0.500" in selection.explain("ahead")
    assert "score of 0.300" in selection.explain("low")


def test_beside_a_block_from_ahead_scores_do_not_fall_with_the_clock():
    """Age is counted to the newest of the others, whenever somebody looks."""
    for minutes in (0, 30):
        manager = manager_of(("ahead", MEMORY, 0.5, -60), ("m", MEMORY, 0.6, 0), ("low", MEMORY, 0.3, 0))
        selection = look(manager, 8, clock=lambda minutes=minutes: NOW + minutes * MINUTE)
        assert ids(manager) == ["m"]
        assert "score of 0.300" in selection.explain("low")


def test_the_last_turns_are_raised_once_however_often_somebody_looks():
    turns = [(f"t{at}", USER, 0.9 if at == 0 else 0.2, 0) for at in range(30)]
    manager = manager_of(*turns)
    selection = look(manager, 100)
    # Of one millisecond are all; the last in the order are the newest.
    assert ids(manager) == ["t0", *(f"t{at}" for at in range(30 - len(ids(manager)) + 1, 30))]
    assert "score of 0.200" in selection.explain("t5")


def test_of_two_kinds_of_error_nothing_is_lost():
    manager = manager_of(("rule", SYSTEM, 1.0, 0), *((f"r{at}", SYSTEM, 1.0, 0) for at in range(20)))
    before = ids(manager)
    with pytest.raises(BudgetExceededError):
        look(manager)
    assert ids(manager) == before


# Scores that meet at the floor within the hour, so that an order by the clock would change.
BLOCKS = st.lists(
    st.tuples(
        st.sampled_from([MEMORY, USER, AGENT, KNOWLEDGE, TOOL]),
        st.sampled_from([0.05, 0.2, 0.4, 0.6, 0.9]),
        st.integers(0, 40),
    ),
    min_size=8,
    max_size=25,
)


def test_two_that_come_down_to_the_floor_do_not_change_places():
    blocks = [("good", MEMORY, 0.9, 20), ("fresh", MEMORY, 0.2, 1), ("ask", USER, 0.5, 0)]
    early, late = manager_of(*blocks), manager_of(*blocks)
    look(early, 16)
    look(late, 16, clock=lambda: NOW + 120 * MINUTE)
    assert ids(early) == ids(late) == ["good", "ask"]


@given(
    BLOCKS,
    st.lists(st.integers(0, 100 * MINUTE), min_size=1, max_size=6),
    st.integers(20, 150),
    st.sampled_from([0.9, 0.95, 1.0]),
)
def test_when_and_how_often_somebody_looks_changes_nothing(blocks, ticks, budget, factor):
    named = [(f"b{at}", *block) for at, block in enumerate(blocks)]
    often, once = manager_of(*named), manager_of(*named)
    end = sum(ticks)

    async def run(manager, times):
        time = [0]
        optimizer = optimizer_of(manager, budget, relevance_decay_factor=factor, clock=lambda: NOW + time[0])
        for at in times:
            time[0] = at
            try:
                await optimizer.optimize_session("s")
            except BudgetExceededError:
                assert len(ids(manager)) == len(blocks)

    asyncio.run(run(often, [sum(ticks[:at]) for at in range(len(ticks) + 1)]))
    asyncio.run(run(once, [end]))
    assert ids(often) == ids(once)


# The loops.


def test_a_loop_holds_a_session_to_its_budget_until_it_is_stopped():
    manager = manager_of(("ask", USER, 0.5, 0))

    async def main():
        optimizer = optimizer_of(manager)
        assert not optimizer.running
        task = asyncio.create_task(optimizer.start_optimization_loop("s"))
        await until(lambda: optimizer.performance_metrics)
        assert optimizer.running
        for at in range(40):
            manager.add_context("s", f"fact {at}", MEMORY, 0.5, block_id=f"m{at}", timestamp=NOW)
        await until(lambda: len(ids(manager)) < 41)
        optimizer.stop_optimization_loop("s")
        assert not optimizer.running
        await task
        return optimizer.performance_metrics

    seconds = asyncio.run(main())
    assert seconds.maxlen == 1000
    assert all(second >= 0 for second in seconds)
    assert manager.select("s", 10**6, render="text").tokens <= 60


@pytest.mark.parametrize("end", ["close_session", "delete_session"])
def test_a_loop_ends_with_its_session(end):
    manager = manager_of(("ask", USER, 0.5, 0))

    async def main():
        optimizer = optimizer_of(manager)
        task = asyncio.create_task(optimizer.start_optimization_loop("s"))
        await until(lambda: optimizer.performance_metrics)
        getattr(manager, end)("s")
        await asyncio.wait_for(task, 10)
        assert not optimizer.running
        await asyncio.wait_for(optimizer.start_optimization_loop("s"), 10)

    asyncio.run(main())


def test_each_session_has_one_loop_of_its_own():
    manager = manager_of(("ask", USER, 0.5, 0))
    manager_of(("ask", USER, 0.5, 0), session_id="other", manager=manager)

    async def main():
        async with optimizer_of(manager) as optimizer:
            first, second, other = (
                asyncio.create_task(optimizer.start_optimization_loop(id)) for id in ("s", "s", "other")
            )
            await until(lambda: len(optimizer.performance_metrics) > 3)
            others = asyncio.all_tasks() - {first, second, other, asyncio.current_task()}
            assert len(others) == 2, "two loops for three callers"
            optimizer.stop_optimization_loop("s")
            await asyncio.wait_for(asyncio.gather(first, second), 10)
            assert optimizer.running
            assert not other.done()
            again = asyncio.create_task(optimizer.start_optimization_loop("s"))
            await asyncio.sleep(0.01)
            assert not again.done()
        assert not optimizer.running
        await asyncio.wait_for(asyncio.gather(again, other), 10)

    asyncio.run(main())


def test_a_loop_can_be_started_again_while_it_stops():
    manager = manager_of(("ask", USER, 0.5, 0))

    async def main():
        async with optimizer_of(manager) as optimizer:
            first = asyncio.create_task(optimizer.start_optimization_loop("s"))
            await until(lambda: optimizer.performance_metrics)
            optimizer.stop_optimization_loop()
            second = asyncio.create_task(optimizer.start_optimization_loop("s"))
            await asyncio.wait_for(first, 10)
            await until(lambda: optimizer.running)
            assert not second.done()

    asyncio.run(main())


def test_to_cancel_one_who_waits_leaves_the_loop_to_the_others():
    manager = manager_of(("ask", USER, 0.5, 0))

    async def main():
        optimizer = optimizer_of(manager)
        first, second = (asyncio.create_task(optimizer.start_optimization_loop("s")) for _ in range(2))
        await until(lambda: optimizer.performance_metrics)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        looks = len(optimizer.performance_metrics)
        await until(lambda: len(optimizer.performance_metrics) > looks + 3)
        assert optimizer.running
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        await until(lambda: len(asyncio.all_tasks()) == 1)
        assert not optimizer.running

    asyncio.run(main())


def test_a_loop_can_be_stopped_from_another_thread():
    manager = manager_of(("ask", USER, 0.5, 0))

    async def main():
        optimizer = RealTimeContextOptimizer(manager, 60, 3_600)
        task = asyncio.create_task(optimizer.start_optimization_loop("s"))
        await until(lambda: optimizer.performance_metrics)
        threading.Thread(target=optimizer.stop_optimization_loop).start()
        await asyncio.wait_for(task, 10)

    asyncio.run(main())


def test_an_error_is_logged_once_and_survived(caplog):
    manager = manager_of(*((f"r{at}", SYSTEM, 1.0, 0) for at in range(20)))

    def messages():
        return [record.getMessage() for record in caplog.records if record.name == "pycontext.optimize"]

    async def main():
        async with optimizer_of(manager) as optimizer:
            task = asyncio.create_task(optimizer.start_optimization_loop("s"))
            await until(lambda: len(optimizer.performance_metrics) > 5)
            assert len(messages()) == 1
            assert "session s is not optimized: BudgetExceededError: budget of 60 tokens" in messages()[0]
            for at in range(18):
                manager.remove_block("s", f"r{at}")
            for at in range(40):
                manager.add_context("s", f"fact {at}", MEMORY, 0.5, timestamp=NOW)
            await until(lambda: len(ids(manager)) < 42)
            assert not task.done()

    with caplog.at_level(logging.INFO):
        asyncio.run(main())


def test_a_bad_block_does_not_end_the_loop(caplog):
    manager = manager_of(*facts(3), ("ask", USER, 0.5, 0))

    async def main():
        async with optimizer_of(manager, 45) as optimizer:
            task = asyncio.create_task(optimizer.start_optimization_loop("s"))
            await until(lambda: optimizer.performance_metrics)
            bad = manager.sessions["s"].blocks[0]
            bad.relevance_score = math.nan
            await until(lambda: caplog.records)
            assert "m0" in caplog.text
            assert not task.done()
            looks = len(optimizer.performance_metrics)
            await until(lambda: len(optimizer.performance_metrics) > looks + 3)
            bad.relevance_score = 0.5

    with caplog.at_level(logging.ERROR, "pycontext.optimize"):
        asyncio.run(main())


def test_a_clock_that_fails_is_survived(caplog):
    manager = manager_of(*facts(30))
    looks = []

    def clock():
        looks.append(NOW)
        if len(looks) == 1:
            raise OSError("the clock stands still")
        return NOW

    async def main():
        async with optimizer_of(manager, clock=clock) as optimizer:
            task = asyncio.create_task(optimizer.start_optimization_loop("s"))
            await until(lambda: len(ids(manager)) < 30)
            task.cancel()

    with caplog.at_level(logging.ERROR, "pycontext.optimize"):
        asyncio.run(main())
    assert "the clock stands still" in caplog.text


def test_a_session_that_did_not_change_is_not_looked_into(monkeypatch):
    manager = manager_of(*facts(3))
    looks = []
    in_thread = asyncio.to_thread

    async def noted(*call):
        looks.append(call)
        return await in_thread(*call)

    monkeypatch.setattr(asyncio, "to_thread", noted)

    async def main():
        async with optimizer_of(manager, 10_000) as optimizer:
            task = asyncio.create_task(optimizer.start_optimization_loop("s"))
            await until(lambda: len(optimizer.performance_metrics) > 20)
            assert len(looks) == 1
            manager.add_context("s", "more", MEMORY)
            await until(lambda: len(looks) > 1)
            count = len(optimizer.performance_metrics)
            await until(lambda: len(optimizer.performance_metrics) > count + 20)
            assert len(looks) == 2
            assert not task.done()

    asyncio.run(main())


def test_nothing_is_lost_that_other_threads_add():
    manager = manager_of(("ask", USER, 0.5, 0))
    added = [f"w{writer}.{at}" for writer in range(3) for at in range(300)]

    def write(writer):
        for at in range(300):
            manager.add_context("s", f"fact {writer}.{at}", MEMORY, 0.5, block_id=f"w{writer}.{at}", token_count=4)

    async def main():
        async with optimizer_of(manager, 300, clock=lambda: NOW + 10**9) as optimizer:
            task = asyncio.create_task(optimizer.start_optimization_loop("s"))
            await asyncio.gather(*(asyncio.to_thread(write, writer) for writer in range(3)))
            await until(lambda: manager.sessions["s"].blocks.total_cost("text") <= 300)
            assert not task.done()

    asyncio.run(main())
    lost = []
    for id in added:
        try:
            manager.get_block("s", id)
        except UnknownBlockError:
            lost.append(id)
    assert lost == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"token_budget": 0}, "token_budget 0"),
        ({"token_budget": True}, "token_budget True"),
        ({"token_budget": 4096.0}, "token_budget 4096.0"),
        ({"optimization_interval": 0}, "optimization_interval 0 is not a finite number above 0"),
        ({"optimization_interval": math.inf}, "optimization_interval inf"),
        ({"optimization_interval": math.nan}, "optimization_interval nan"),
        ({"optimization_interval": "1"}, "optimization_interval '1'"),
        ({"relevance_decay_factor": 0}, "relevance_decay_factor 0 is not a number above 0 and at most 1"),
        ({"relevance_decay_factor": 1.01}, "relevance_decay_factor 1.01"),
        ({"relevance_decay_factor": math.nan}, "relevance_decay_factor nan"),
        ({"relevance_decay_factor": True}, "relevance_decay_factor True"),
    ],
)
def test_arguments_have_limits(arguments, message):
    with pytest.raises(ValidationError, match=message):
        RealTimeContextOptimizer(ContextManager(), **arguments)
