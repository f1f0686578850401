"""One store for several threads, tasks and processes, and one that was closed."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import traceback
from threading import Barrier, Thread

import pytest
import redis

from pycontext import AsyncContextStore, ConflictError, StoreError, open_async_store, open_store
from stores import KINDS, block, package, texts

THREADS = 8


def in_threads(work):
    """Calls it in several threads at once with their numbers; an error in one is an error here."""
    errors = []
    start = Barrier(THREADS)

    def run(number):
        try:
            start.wait()
            work(number)
        except BaseException as error:  # noqa: BLE001  # it is raised again below
            errors.append(error)

    threads = [Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for error in errors:
        raise error


def test_threads_share_a_store(waiting_home):
    store = waiting_home.open()
    store.save(package())
    versions, seen = [], [[] for _ in range(THREADS)]

    def work(number):
        for turn in range(25):
            versions.append(store.append("s", [block(f"{number}-{turn}", f"by {number}")]))
            if turn % 3 == 0:
                seen[number].append(store.load("s").blocks.ids())

    in_threads(work)
    assert sorted(versions) == list(range(2, 2 + THREADS * 25))
    order = store.load("s").blocks.ids()
    assert order == waiting_home.open().load("s").blocks.ids()
    assert sorted(order) == sorted(f"{number}-{turn}" for number in range(THREADS) for turn in range(25))
    # What a thread saw at any time is how it began, with what it had written itself.
    for number, states in enumerate(seen):
        for turn, state in zip(range(0, 25, 3), states, strict=True):
            assert state == order[: len(state)]
            assert f"{number}-{turn}" in state


def test_threads_update_one_block_and_no_update_is_lost(waiting_home):
    store = waiting_home.open()
    store.save(package(block("sum", "0")))

    def work(_):
        done = 0
        while done < 5:
            loaded = store.load("s")
            try:
                store.update_block("s", block("sum", str(int(loaded.blocks[0].content) + 1)), expect=loaded.version)
            except ConflictError:
                continue
            done += 1

    in_threads(work)
    assert texts(store.load("s")) == [("sum", str(THREADS * 5))]


def test_tasks_share_a_store(waiting_home):
    url = getattr(waiting_home, "url", "memory://")

    async def main():
        async with open_async_store(url) as store:
            assert isinstance(store, AsyncContextStore)
            await store.save(package())

            async def work(number):
                for turn in range(10):
                    await store.append("s", [block(f"{number}-{turn}")])
                    state = (await store.load("s")).blocks.ids()
                    assert f"{number}-{turn}" in state

            await asyncio.gather(*(work(number) for number in range(THREADS)))
            loaded = await store.load("s")
            assert len(set(loaded.blocks.ids())) == THREADS * 10
            assert loaded.version == 1 + THREADS * 10

    asyncio.run(main())


def test_an_async_store_is_for_one_loop(waiting_home):
    url = getattr(waiting_home, "url", "memory://")
    store = open_async_store(url)
    with asyncio.Runner() as first:
        first.run(store.save(package()))

        async def listed():
            return [id async for id in store.sessions()]

        with asyncio.Runner() as second:
            for call in (
                lambda: store.load("s"),
                lambda: store.append("s", [block("a")]),
                lambda: store.append_many([]),
                lambda: store.inbox("bob"),
                listed,
            ):
                with pytest.raises(StoreError, match="belongs to another event loop: open one for each"):
                    second.run(call())
        assert first.run(store.load("s")).version == 1
        first.run(store.close())


def test_what_is_closed_does_nothing_any_more(home):
    store, other = home.open(), home.open()
    store.save(package(block("a")))
    session = store.load("s")
    store.transfer("s", "bob")
    (hint,) = other.inbox("bob")
    store.close()
    store.close()
    for call in (
        lambda: store.save(session),
        lambda: store.load("s"),
        lambda: store.refresh("s"),
        lambda: store.append("s", [block("b")]),
        lambda: store.append_many([]),
        lambda: store.update_block("s", block("a", "new")),
        lambda: store.remove_blocks("s", ["a"]),
        lambda: store.transfer("s", "eve"),
        lambda: store.delete("s"),
        lambda: store.purge("s"),
        lambda: store.compact("s"),
        lambda: store.inquire("s"),
        lambda: list(store.sessions()),
        lambda: store.notify(session),
        lambda: store.inbox("bob"),
        lambda: store.settle("bob", hint),
        lambda: store.remember("s", "o"),
        lambda: store.forget("s", "o"),
    ):
        with pytest.raises(StoreError, match="is closed"):
            call()
    assert other.load("s").version == 2


def test_a_store_is_closed_at_the_end_of_its_block(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/s.db") as store:
        store.save(package())
    with pytest.raises(StoreError, match="is closed"):
        store.load("s")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.db"]


@pytest.mark.parametrize("home", [kind for kind in KINDS if kind.startswith("redis")], indirect=True)
def test_a_closed_store_has_no_connections(home):
    def named():
        with redis.Redis.from_url(home.url) as client:
            return {one["id"] for one in client.client_list()}

    before = named()
    store = home.open()
    store.save(package())
    assert named() - before
    store.close()
    with redis.Redis.from_url(home.url) as client:
        # The one that asks is the last of all.
        assert len({one["id"] for one in client.client_list()} - before) == 1


@pytest.mark.parametrize("waiting_home", ["sqlite", "redis"], indirect=True)
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_store_goes_on_on_both_sides_of_a_fork(waiting_home):
    store = waiting_home.open()
    store.save(package())
    store.append("s", [block("before")])
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for number in range(30):
                store.append("s", [block(f"child {number}")])
                assert f"child {number}" in store.load("s").blocks.ids()
            status = 0
        except BaseException:  # noqa: BLE001  # the parent is told by the status
            traceback.print_exc()
        finally:
            os._exit(status)
    for number in range(30):
        store.append("s", [block(f"parent {number}")])
        assert f"parent {number}" in store.load("s").blocks.ids()
    _, status = os.waitpid(child, 0)
    assert status == 0
    ids = store.load("s").blocks.ids()
    assert ids == waiting_home.open().load("s").blocks.ids()
    for name in ("child", "parent"):
        assert [id for id in ids if id.startswith(name)] == [f"{name} {number}" for number in range(30)]
    store.append("s", [block("after")])
    assert len(store.load("s").blocks) == 62


def append_many_times(url, number, gate):
    with open_store(url) as store:
        gate.wait()
        for turn in range(100):
            store.append("s", [block(f"{number}-{turn}", f"turn {turn} of {number}")])


@pytest.mark.parametrize("waiting_home", ["sqlite", "redis"], indirect=True)
def test_racing_appends_of_four_processes_are_all_kept(waiting_home):
    readers = [waiting_home.open() for _ in range(2)]
    readers[0].save(package())
    spawn = multiprocessing.get_context("spawn")
    gate = spawn.Barrier(5)
    processes = [spawn.Process(target=append_many_times, args=(waiting_home.url, n, gate)) for n in range(4)]
    for process in processes:
        process.start()
    gate.wait(60)
    while any(process.is_alive() for process in processes):
        readers[0].load("s")
    for process in processes:
        process.join()
        assert process.exitcode == 0
    states = [texts(reader.load("s")) for reader in (*readers, waiting_home.open())]
    assert states[0] == states[1] == states[2]
    assert sorted(states[0]) == sorted((f"{n}-{t}", f"turn {t} of {n}") for n in range(4) for t in range(100))
    for number in range(4):
        mine = [id for id, _ in states[0] if id.startswith(f"{number}-")]
        assert mine == [f"{number}-{turn}" for turn in range(100)]
    assert readers[0].load("s").version == 401
