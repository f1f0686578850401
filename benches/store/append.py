"""Appends of one block against PING through the same client, and against the article, who writes the session anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import count

from benches.comparison.article_store import ArticleStore, Block, Session
from benches.frame import Row, compare, longer, race
from benches.store import sessions
from benches.store.server import async_client, client
from pycontext.store import ContextStore, open_async_store, open_store

# Few, so that the session keeps about its size; every round has a session of its own.
CALLS = 10
ROUNDS = {20: 101, 200: 101, 2_000: 41, 20_000: 21}
ASYNC_SIZE = 2_000
LIMIT = 3.0
# Long enough for several snapshots, which are part of the price.
STEADY_CALLS, STEADY_ROUNDS = 1_000, 5
STEADY_SIZES = (20, 2_000, 20_000)


def run(url: str) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    for size, rounds in ROUNDS.items():
        rows += of_one(url, size, rounds)
    rows.append(of_one_async(url))
    notes = []
    for size in STEADY_SIZES:
        row, note = in_a_row(url, size)
        rows.append(row)
        notes.append(note)
    return rows, notes


def of_one(url: str, size: int, rounds: int) -> list[Row]:
    """Our append by a store that has saved the session and by one that has never read it, PING, and the article's."""
    store, blind, plain, article = open_store(url), open_store(url), client(url), ArticleStore(url)
    later = sessions.later(CALLS)
    theirs = Session.of(f"article.{size}", sessions.first(size))
    own = [Block.of(block) for block in later]

    def prepare(name: str, number: int) -> None:
        if name in ("ours", "blind"):
            store.delete(f"{name}.{size}.{number - 1}")
            store.save(sessions.package(f"{name}.{size}.{number}", size))
        elif name == "article":
            del theirs.blocks[size:]

    def appender(name: str, store: ContextStore) -> Callable[[int], None]:
        def append(number: int) -> None:
            session_id = f"{name}.{size}.{number}"
            for block in later:
                store.append(session_id, [block])

        return append

    def ping(_number: int) -> None:
        for _ in range(CALLS):
            plain.ping()

    runners = {
        "ours": appender("ours", store),
        "blind": appender("blind", blind),
        "PING": ping,
        "article": lambda number: article.append(theirs, own[number % CALLS]),
    }
    taken = race(runners, rounds, prepare=prepare)
    for name in ("ours", "blind"):
        kept = open_store(url).load(f"{name}.{size}.{rounds - 1}").blocks
        sessions.check(f"append, {name}", kept, [*sessions.first(size), *later])
        store.delete(f"{name}.{size}.{rounds - 1}")
    kept_by_article = article.load(theirs.session_id)
    last = later[(rounds - 1) % CALLS]
    sessions.check("append, article", kept_by_article.blocks if kept_by_article else [], [*sessions.first(size), last])
    article.delete(theirs.session_id)
    each = {name: [value / CALLS for value in taken[name]] for name in ("ours", "blind", "PING")}
    job = f"append to {size:,} blocks"
    return [
        longer(job, "PING", each["ours"], each["PING"], at_most=LIMIT),
        *compare(job, {"ours": each["ours"], "article": taken["article"]}, ours="ours"),
        longer(f"{job} that this store has not read", "PING", each["blind"], each["PING"]),
    ]


def of_one_async(url: str) -> Row:
    size, rounds = ASYNC_SIZE, ROUNDS[ASYNC_SIZE]
    store, plain, later = open_async_store(url), async_client(url), sessions.later(CALLS)
    loop = asyncio.new_event_loop()

    async def renew(number: int) -> None:
        await store.delete(f"async.{number - 1}")
        await store.save(sessions.package(f"async.{number}", size))

    async def append(number: int) -> None:
        for block in later:
            await store.append(f"async.{number}", [block])

    async def ping() -> None:
        for _ in range(CALLS):
            await plain.ping()

    async def end() -> None:
        kept = await store.load(f"async.{rounds - 1}")
        sessions.check("append, async", kept.blocks, [*sessions.first(size), *later])
        await store.delete(kept.session_id)
        await store.close()
        await plain.aclose()

    runners: dict[str, Callable[[int], object]] = {
        "ours": lambda number: loop.run_until_complete(append(number)),
        "PING": lambda _: loop.run_until_complete(ping()),
    }

    def prepare(name: str, number: int) -> None:
        if name == "ours":
            loop.run_until_complete(renew(number))

    taken = race(runners, rounds, prepare=prepare)
    loop.run_until_complete(end())
    loop.close()
    each = {name: [value / CALLS for value in values] for name, values in taken.items()}
    return longer(f"append to {size:,} blocks, async", "async PING", each["ours"], each["PING"], at_most=LIMIT)


def in_a_row(url: str, size: int) -> tuple[Row, str]:
    """Many appends one behind the other, with the snapshots that they make due."""
    store, plain = open_store(url), client(url)
    later, single, names = sessions.later(STEADY_CALLS), list[float](), count()
    session_id = ""

    def prepare(name: str, _number: int) -> None:
        nonlocal session_id
        if name == "ours":
            session_id = f"row.{size}.{next(names)}"
            store.save(sessions.package(session_id, size))

    def append(number: int) -> None:
        for block in later:
            began = time.perf_counter()
            store.append(session_id, [block])
            if number >= 0:
                single.append(time.perf_counter() - began)

    def ping(_number: int) -> None:
        for _ in range(STEADY_CALLS):
            plain.ping()

    taken = race({"ours": append, "PING": ping}, STEADY_ROUNDS, prepare=prepare)
    sessions.check("appends in a row", open_store(url).load(session_id).blocks, [*sessions.first(size), *later])
    plain.flushdb()
    each = {name: [value / STEADY_CALLS for value in values] for name, values in taken.items()}
    job = f"append to {size:,} blocks, {STEADY_CALLS:,} in a row, snapshots included"
    return longer(job, "PING", each["ours"], each["PING"]), f"{job}: {sessions.spread(single)}"
