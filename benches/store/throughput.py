"""Appends a second by several threads or tasks to one session, beside their PINGs, and many in one go."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count

from benches.page import markdown
from benches.store import sessions
from benches.store.server import async_client, client
from pycontext import ContextBlock
from pycontext.errors import ContextError
from pycontext.store import Version, open_async_store, open_store

WORKERS = (1, 4, 16)
TOTAL, ROUNDS = 800, 5
SIZE = 200
MANY = [f"many.{number}" for number in range(100)]
HEADINGS = ["workers", "append", "PING", "append, async", "PING, async", "append_many", "append_many, async"]


def run(url: str) -> str:
    """The table, as Markdown."""
    lines = [[str(workers), *(f"{value:,.0f}" for value in measured(url, workers))] for workers in WORKERS]
    return markdown(HEADINGS, lines)


def measured(url: str, workers: int) -> list[float]:
    """Done a second: medians of rounds in which all take turns."""
    each, blocks = TOTAL // workers, sessions.later(TOTAL)
    parts = [blocks[start : start + each] for start in range(0, TOTAL, each)]
    store, numbers = open_store(url), count()
    for name in MANY:
        store.save(sessions.package(name, 20))
    taken: dict[str, list[float]] = {name: [] for name in HEADINGS[1:]}
    with ThreadPoolExecutor(workers) as pool, asyncio.Runner() as loop:
        runners = waiting(url, parts, pool) | loop.run(awaiting(url, parts, loop))
        for number in range(-1, ROUNDS):
            for name, work in runners.items():
                # A new one: stores that had seen the last one would say that it is gone.
                session = f"one.{next(numbers)}"
                store.save(sessions.package(session, SIZE))
                began = time.perf_counter()
                work(session)
                took = time.perf_counter() - began
                kept = len(store.load(session).blocks)
                if kept != SIZE + (TOTAL if name.startswith("append") and "many" not in name else 0):
                    raise SystemExit(f"throughput, {name}: {kept} blocks")
                if number >= 0:
                    taken[name].append(TOTAL / took)
    client(url).flushdb()
    return [statistics.median(taken[name]) for name in HEADINGS[1:]]


def waiting(url: str, parts: list[list[ContextBlock]], pool: ThreadPoolExecutor) -> dict[str, Callable[[str], object]]:
    """One thread for each part."""
    store, plain = open_store(url), client(url)

    def append(session: str, part: list[ContextBlock]) -> None:
        for block in part:
            store.append(session, [block])

    def append_many(part: list[ContextBlock]) -> None:
        for batch in batches(part):
            check(store.append_many(batch))

    def ping(part: list[ContextBlock]) -> None:
        for _ in part:
            plain.ping()

    return {
        "append": lambda session: list(pool.map(partial(append, session), parts)),
        "PING": lambda _: list(pool.map(ping, parts)),
        "append_many": lambda _: list(pool.map(append_many, parts)),
    }


async def awaiting(
    url: str, parts: list[list[ContextBlock]], loop: asyncio.Runner
) -> dict[str, Callable[[str], object]]:
    """One task for each part."""
    store, plain = open_async_store(url), async_client(url)

    async def append(session: str, part: list[ContextBlock]) -> None:
        for block in part:
            await store.append(session, [block])

    async def append_many(part: list[ContextBlock]) -> None:
        for batch in batches(part):
            check(await store.append_many(batch))

    async def ping(part: list[ContextBlock]) -> None:
        for _ in part:
            await plain.ping()

    async def all_of(work: Callable[[list[ContextBlock]], Awaitable[None]]) -> None:
        await asyncio.gather(*map(work, parts))

    return {
        "append, async": lambda session: loop.run(all_of(partial(append, session))),
        "PING, async": lambda _: loop.run(all_of(ping)),
        "append_many, async": lambda _: loop.run(all_of(append_many)),
    }


def batches(part: list[ContextBlock]) -> list[list[tuple[str, list[ContextBlock]]]]:
    """One block each for many sessions in one go."""
    goes = (part[start : start + len(MANY)] for start in range(0, len(part), len(MANY)))
    return [[(name, [block]) for name, block in zip(MANY, go, strict=False)] for go in goes]


def check(said: list[Version | ContextError]) -> None:
    if any(isinstance(each, ContextError) for each in said):
        raise SystemExit("throughput: an append was refused")
