"""One task a session, so many at once, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycontext.concurrency.manager import ContextConcurrencyManager
from pycontext.errors import BusyError, ContextError, DeadlockError, ValidationError


async def settle():
    """Let everybody go as far as he can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Stage:
    """Tasks that enter sessions and leave when they are told to."""

    def __init__(self, manager):
        self.manager = manager
        self.entered = []
        self.leaves = {}

    def start(self, name, session_id):
        self.leaves[name] = asyncio.Event()
        return asyncio.create_task(self._hold(name, session_id))

    async def _hold(self, name, session_id):
        async with self.manager.session_context(session_id):
            self.entered.append(name)
            await self.leaves[name].wait()

    async def leave(self, name):
        self.leaves[name].set()
        await settle()


def idle(manager):
    return (manager.held, manager.operating, manager.waiting) == (0, 0, 0)


def test_one_holder_a_session_the_first_to_come_first():
    async def main():
        manager = ContextConcurrencyManager()
        stage = Stage(manager)
        tasks = []
        for name in "abcd":
            tasks.append(stage.start(name, "s"))
            await settle()
        assert (manager.held, manager.waiting) == (1, 3)
        for count, name in enumerate("abcd", 1):
            assert stage.entered == list("abcd"[:count])
            await stage.leave(name)
        await asyncio.gather(*tasks)
        assert stage.entered == list("abcd")
        assert idle(manager)

    asyncio.run(main())


def test_those_who_wait_for_a_busy_session_do_not_delay_an_idle_one():
    async def main():
        manager = ContextConcurrencyManager(max_concurrent_sessions=2)
        stage = Stage(manager)
        tasks = [stage.start(f"hot{n}", "hot") for n in range(11)]
        await settle()
        tasks.append(stage.start("other", "idle"))
        await settle()
        assert stage.entered == ["hot0", "other"]
        assert manager.waiting == 10
        for name in ("other", *(f"hot{n}" for n in range(11))):
            await stage.leave(name)
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_no_more_than_the_places_are_held_and_who_came_first_goes_first():
    async def main():
        manager = ContextConcurrencyManager(max_concurrent_sessions=2)
        stage = Stage(manager)
        tasks = []
        for name in "abcde":
            tasks.append(stage.start(name, name))
            await settle()
        assert stage.entered == ["a", "b"]
        assert (manager.held, manager.waiting) == (2, 3)
        await stage.leave("b")
        assert stage.entered == ["a", "b", "c"]
        await stage.leave("a")
        await stage.leave("c")
        assert stage.entered == list("abcde")
        await stage.leave("d")
        await stage.leave("e")
        await asyncio.gather(*tasks)
        assert idle(manager)

    asyncio.run(main())


def test_to_clean_up_a_session_that_is_held_lets_no_second_one_in():
    async def main():
        manager = ContextConcurrencyManager()
        stage = Stage(manager)
        first = stage.start("a", "s")
        await settle()
        assert manager.cleanup_session("s") is False
        second = stage.start("b", "s")
        await settle()
        assert stage.entered == ["a"]
        assert manager.cleanup_session("s") is False
        await stage.leave("a")
        assert stage.entered == ["a", "b"]
        await stage.leave("b")
        await asyncio.gather(first, second)
        assert manager.cleanup_session("s") is True
        assert manager.cleanup_session("never-seen") is True

    asyncio.run(main())


class Name(str):
    """A str that can be watched."""

    __slots__ = ("__weakref__",)


def test_nothing_is_left_of_sessions_that_nobody_holds():
    async def main():
        manager = ContextConcurrencyManager(max_concurrent_sessions=7)
        names = [Name(f"s{n}") for n in range(2000)]
        alive = [weakref.ref(name) for name in names]

        async def once(name):
            async with manager.session_context(name), manager.context_operation():
                await asyncio.sleep(0)

        async with AsyncExitStack() as full:
            # All wait for a place, and every third one gives up.
            for n in range(7):
                await asyncio.create_task(full.enter_async_context(manager.session_context(f"full{n}")))
            tasks = [asyncio.create_task(once(name)) for name in names]
            alive += map(weakref.ref, tasks)
            await settle()
            for task in tasks[::3]:
                task.cancel()
            await settle()
        await asyncio.gather(*tasks, return_exceptions=True)
        names.clear()
        tasks.clear()
        del task
        # What woke this task is of the loop until the next step.
        await settle()
        gc.collect()
        assert idle(manager)
        assert sum(name() is not None for name in alive) == 0

    asyncio.run(main())


def test_who_gives_up_is_forgotten_while_all_places_are_taken():
    async def main():
        manager = ContextConcurrencyManager(max_concurrent_sessions=1)

        async def wait(name):
            async with manager.session_context(name):
                pass

        async with manager.session_context("full"):
            names = [Name(f"s{n}") for n in range(50)]
            tasks = [asyncio.create_task(wait(name)) for name in names]
            alive = [weakref.ref(one) for one in (*names, *tasks)]
            await settle()
            assert manager.waiting == 50
            for task in tasks:
                task.cancel()
            tasks.clear()
            names.clear()
            del task
            await settle()
            gc.collect()
            assert manager.waiting == 0
            assert sum(one() is not None for one in alive) == 0
            assert all(manager.cleanup_session(f"s{n}") for n in range(50))

    asyncio.run(main())


def test_the_same_task_enters_again_and_needs_no_second_place():
    async def main():
        manager = ContextConcurrencyManager(max_concurrent_sessions=1, max_concurrent_contexts=1)
        stage = Stage(manager)
        async with manager.session_context("s"), manager.context_operation():
            async with manager.session_context("s"), manager.session_context("t"), manager.context_operation():
                assert (manager.held, manager.operating) == (2, 1)
            other = stage.start("other", "s")
            await settle()
            # The inner ones are over, the outer one is not.
            assert stage.entered == []
            assert manager.held == 1
        await stage.leave("other")
        await other
        assert stage.entered == ["other"]
        assert idle(manager)

    asyncio.run(main())


def test_who_has_a_place_takes_a_session_whose_next_one_waits_for_that_place():
    async def main():
        manager = ContextConcurrencyManager(max_concurrent_sessions=1)
        stage = Stage(manager)
        async with manager.session_context("a"):
            waits = [stage.start("early", "b"), stage.start("late", "c")]
            await settle()
            async with manager.session_context("b"):
                assert stage.entered == []
        await settle()
        # It keeps its turn before the one who came later.
        assert stage.entered == ["early"]
        await stage.leave("early")
        await stage.leave("late")
        await asyncio.gather(*waits)
        assert idle(manager)

    asyncio.run(main())


def test_who_has_a_place_goes_before_those_who_wait_for_it():
    async def main():
        manager = ContextConcurrencyManager(max_concurrent_sessions=2)
        stage = Stage(manager)
        first = stage.start("first", "b")
        await settle()
        inner = asyncio.Event()

        async def nested():
            async with manager.session_context("a"), manager.session_context("b"):
                stage.entered.append("nested")
                await inner.wait()

        outsider = stage.start("outsider", "b")
        await settle()
        insider = asyncio.create_task(nested())
        await settle()
        await stage.leave("first")
        assert stage.entered == ["first", "nested"]
        inner.set()
        await settle()
        await stage.leave("outsider")
        await asyncio.gather(first, outsider, insider)
        assert stage.entered == ["first", "nested", "outsider"]
        assert idle(manager)

    asyncio.run(main())


def circle(manager, *orders):
    """Tasks that enter what they are given, each step when all have done the one before it."""

    async def walk(order):
        async with AsyncExitStack() as stack:
            for what in order:
                entered = manager.context_operation() if what is None else manager.session_context(what)
                await stack.enter_async_context(entered)
                await settle()
        return "done"

    return [asyncio.create_task(walk(order)) for order in orders]


@pytest.mark.parametrize(
    "orders",
    [
        ("ab", "ba"),
        ("ab", "bc", "ca"),
        ("ab", "bc", "cd", "da"),
        ((None, "a"), ("a", None)),
        (("a", None), (None, "a")),
    ],
)
@pytest.mark.parametrize("places", [4, 10])
def test_tasks_that_wait_for_each_other_are_found_and_the_last_one_gives_up(orders, places):
    async def main():
        manager = ContextConcurrencyManager(places, max_concurrent_contexts=1)
        outcomes = await asyncio.gather(*circle(manager, *orders), return_exceptions=True)
        errors = [outcome for outcome in outcomes if outcome != "done"]
        assert [type(error) for error in errors] == [DeadlockError]
        assert "wait" in str(errors[0])
        assert "\n" not in str(errors[0])
        assert idle(manager)

    asyncio.run(asyncio.wait_for(main(), 10))


def test_the_last_one_to_wait_is_the_one_who_is_told():
    async def main():
        manager = ContextConcurrencyManager()
        told = []
        both = asyncio.Event()

        async def walk(first, second, *, pause):
            async with manager.session_context(first):
                await both.wait()
                for _ in range(pause):
                    await asyncio.sleep(0)
                try:
                    async with manager.session_context(second):
                        pass
                except DeadlockError:
                    told.append(first)

        tasks = [asyncio.create_task(walk("a", "b", pause=5)), asyncio.create_task(walk("b", "a", pause=0))]
        await settle()
        both.set()
        await asyncio.gather(*tasks)
        assert told == ["a"]
        assert idle(manager)

    asyncio.run(main())


def test_places_and_operations_that_wait_for_each_other_are_found():
    async def main():
        manager = ContextConcurrencyManager(max_concurrent_sessions=1, max_concurrent_contexts=1)
        # One has the only place, the other the only operation.
        outcomes = await asyncio.gather(*circle(manager, ("a", None), (None, "b")), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["DeadlockError", "str"]
        assert idle(manager)

    asyncio.run(asyncio.wait_for(main(), 10))


def test_a_wait_that_ends_some_day_is_no_deadlock():
    async def main():
        manager = ContextConcurrencyManager(max_concurrent_sessions=3, max_concurrent_contexts=2)
        # b waits for a's holder, who waits for an operation that somebody has who runs.
        busy = asyncio.Event()

        async def runs():
            async with manager.context_operation():
                await busy.wait()

        runners = [asyncio.create_task(runs()) for _ in range(2)]
        await settle()
        walkers = circle(manager, ("a", None), ("b", "a"))
        await settle()
        await settle()
        assert manager.waiting == 2
        busy.set()
        assert await asyncio.gather(*walkers) == ["done", "done"]
        await asyncio.gather(*runners)

    asyncio.run(asyncio.wait_for(main(), 10))


def test_a_child_is_another_holder_and_a_parent_that_awaits_it_has_the_time_limit():
    async def main():
        manager = ContextConcurrencyManager()

        async def child():
            async with manager.session_context("s", timeout_seconds=0.02):
                return "in"

        async with manager.session_context("s"):
            with pytest.raises(BusyError, match=r"^session 's' was held by others for all of 0\.02 s$"):
                await asyncio.create_task(child())
        assert await asyncio.create_task(child()) == "in"
        async with manager.session_context("s"):
            gathered = asyncio.gather(child(), child(), return_exceptions=True)
            assert [type(error) for error in await gathered] == [BusyError, BusyError]
        assert idle(manager)

    asyncio.run(main())


def test_a_limit_of_zero_takes_what_is_free_and_nothing_else():
    async def main():
        manager = ContextConcurrencyManager(max_concurrent_contexts=1)

        async def child():
            async with manager.context_operation(timeout_seconds=0):
                pass

        async with manager.context_operation(timeout_seconds=0):
            with pytest.raises(BusyError):
                await asyncio.create_task(child())
        await asyncio.create_task(child())
        assert idle(manager)

    asyncio.run(main())


@pytest.mark.parametrize("after_it_was_let_in", [False, True])
def test_who_is_cancelled_while_waiting_leaves_nothing_and_the_next_goes_on(after_it_was_let_in):
    async def main():
        manager = ContextConcurrencyManager(max_concurrent_sessions=1, max_concurrent_contexts=1)
        stage = Stage(manager)

        async def operate(name):
            async with manager.context_operation():
                stage.entered.append(name)

        first = stage.start("first", "s")
        await settle()
        cancelled, following, elsewhere = (stage.start(*pair) for pair in (("x", "s"), ("n", "s"), ("e", "other")))
        await settle()
        async with manager.context_operation():
            waits = [asyncio.create_task(operate("x")), asyncio.create_task(operate("operation"))]
            await settle()
            if not after_it_was_let_in:
                waits[0].cancel()
                cancelled.cancel()
        if after_it_was_let_in:
            # It has the place, and has not run since.
            waits[0].cancel()
            stage.leaves["first"].set()
            await first
            assert not cancelled.done()
            cancelled.cancel()
        else:
            await stage.leave("first")
        await settle()
        for name in "ne":
            await stage.leave(name)
        await stage.leave("e")
        outcomes = await asyncio.gather(first, cancelled, following, elsewhere, *waits, return_exceptions=True)
        assert [type(outcome).__name__ for outcome in outcomes].count("CancelledError") == 2
        assert "x" not in stage.entered
        assert {"n", "e", "operation"} < set(stage.entered)
        assert idle(manager)
        assert manager.cleanup_session("s")

    asyncio.run(main())


def test_an_error_inside_gives_the_session_back():
    async def main():
        manager = ContextConcurrencyManager()
        with pytest.raises(KeyError):
            async with manager.session_context("s"), manager.context_operation():
                raise KeyError
        assert idle(manager)

    asyncio.run(main())


def test_a_second_event_loop_is_refused():
    manager = ContextConcurrencyManager()

    async def enter():
        async with manager.session_context("s"):
            return manager.held

    assert asyncio.run(enter()) == 1
    with pytest.raises(ContextError, match="serves one event loop, and this is another"):
        asyncio.run(enter())
    assert idle(manager)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "5", None, 1_000_001])
@pytest.mark.parametrize("name", ["max_concurrent_sessions", "max_concurrent_contexts"])
def test_numbers_outside_their_limits_are_refused(name, value):
    with pytest.raises(ValidationError, match=rf"^{name} .* is not a whole number from 1 to 1000000$"):
        ContextConcurrencyManager(**{name: value})


def test_arguments_outside_their_limits_are_refused_and_leave_nothing():
    async def main():
        manager = ContextConcurrencyManager()
        with pytest.raises(ValidationError, match="session_id"):
            async with manager.session_context("a b"):
                pass
        for seconds in (-1, float("nan"), float("inf"), True, "1"):
            with pytest.raises(ValidationError, match="timeout_seconds"):
                async with manager.session_context("s", timeout_seconds=seconds):
                    pass
            with pytest.raises(ValidationError, match="timeout_seconds"):
                async with manager.context_operation(timeout_seconds=seconds):
                    pass
        with pytest.raises(ValidationError, match="session_id"):
            manager.cleanup_session("")
        assert idle(manager)

    asyncio.run(main())


class Watched:
    """A manager whose users say who is where, and fail when a rule is broken."""

    def __init__(self, places, operations):
        self.manager = ContextConcurrencyManager(places, operations)
        self._places = places
        self._operations = operations
        self._holders = {}
        self._depth = Counter()
        self._operating = 0

    @asynccontextmanager
    async def session(self, session_id):
        task = asyncio.current_task()
        async with self.manager.session_context(session_id):
            assert self._holders.setdefault(session_id, task) is task, "two hold one session"
            assert len(set(self._holders.values())) <= self._places, "more hold sessions than there are places"
            self._depth[session_id] += 1
            try:
                yield
            finally:
                self._depth[session_id] -= 1
                if not self._depth[session_id]:
                    del self._holders[session_id]

    async def operate(self, pauses):
        async with self.manager.context_operation():
            self._operating += 1
            try:
                assert self._operating <= self._operations, "more operate than may"
                for _ in range(pauses):
                    await asyncio.sleep(0)
            finally:
                self._operating -= 1


def test_ten_thousand_sessions_under_small_bounds():
    async def main():
        watched = Watched(8, 5)
        order = {}
        plan = random.Random(6)

        async def operation(session_id, turn):
            async with watched.session(session_id):
                order.setdefault(session_id, []).append(turn)
                await watched.operate(plan.randrange(3))

        # The operations of a session begin in their order, those of all sessions mixed.
        tasks = [asyncio.create_task(operation(f"s{n}", turn)) for turn in range(4) for n in range(10_000)]
        await asyncio.gather(*tasks)
        assert set(map(tuple, order.values())) == {(0, 1, 2, 3)}
        assert len(order) == 10_000
        assert idle(watched.manager)
        assert all(watched.manager.cleanup_session(name) for name in order)

    asyncio.run(main())


@settings(max_examples=300)
@given(
    places=st.integers(1, 3),
    operations=st.integers(1, 3),
    plans=st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=3),
            st.none() | st.integers(0, 12),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_any_schedule_keeps_every_rule_and_leaves_nothing(places, operations, plans):
    """Tasks nest as they like and are cancelled at any moment; the others end, or are told of a deadlock."""

    async def walk(watched, steps):
        async with AsyncExitStack() as stack:
            for session, pauses in steps:
                await stack.enter_async_context(watched.session(f"s{session}"))
                await watched.operate(pauses)

    async def main():
        watched = Watched(places, operations)
        tasks = [(asyncio.create_task(walk(watched, steps)), moment) for steps, moment in plans]
        for tick in range(13):
            for task, moment in tasks:
                if moment == tick:
                    task.cancel()
            await asyncio.sleep(0)
        outcomes = await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
        for outcome, (_, moment) in zip(outcomes, tasks, strict=True):
            if isinstance(outcome, asyncio.CancelledError):
                assert moment is not None
            else:
                assert outcome is None or isinstance(outcome, DeadlockError), repr(outcome)
        assert idle(watched.manager)
        assert all(watched.manager.cleanup_session(f"s{n}") for n in range(3))

    asyncio.run(asyncio.wait_for(main(), 20))
