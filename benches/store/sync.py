"""Asking for what is new: where nothing is, where one block is, and where all of it is."""

from __future__ import annotations

from collections.abc import Callable

from benches.comparison.article_store import ArticleStore, Session
from benches.frame import Row, compare, longer, race
from benches.store import sessions
from benches.store.server import client
from pycontext.store import open_store
from pycontext.store.key import Key
from pycontext.store.redis import RedisLog
from pycontext.store.request import Same, Sync

CALLS = 10
ROUNDS = 41
LIMIT = 2.0
ARTICLE_SIZE, ARTICLE_ROUNDS = 2_000, 21
NEED_ARTICLE = {"article": 100.0}


def run(url: str) -> tuple[list[Row], list[str]]:
    rows = [row for size in sessions.SIZES for row in nothing_new(url, size)]
    return [*rows, *against_article(url)], []


def nothing_new(url: str, size: int) -> list[Row]:
    """A repeated load, the bare request, and a load that finds the one block that another store appended."""
    store, other, plain, log = open_store(url), open_store(url), client(url), RedisLog(url)
    session_id, later = f"sync.{size}", sessions.later(ROUNDS + 1)
    store.save(sessions.package(session_id, size))
    # Of its own, so that it stays as it is while the other one grows.
    still = f"still.{size}"
    version = store.save(sessions.package(still, size))
    key = Key.of("default", still)
    request = Sync(version.incarnation, int(version), version.operation_id, 1_024)

    def many(work: Callable[[], object]) -> Callable[[int], None]:
        def run_all(_number: int) -> None:
            for _ in range(CALLS):
                work()

        return run_all

    def prepare(name: str, number: int) -> None:
        if name == "one new":
            other.append(session_id, [later[number]])

    runners: dict[str, Callable[[int], object]] = {
        "load": many(lambda: store.load(still)),
        "request": many(lambda: log.call(key, request)),
        "PING": many(plain.ping),
        "one new": lambda _: store.load(session_id),
    }
    if not isinstance(log.call(key, request), Same):
        raise SystemExit("sync: something is new")
    taken = race(runners, ROUNDS, prepare=prepare)
    sessions.check("a repeated load", store.load(still).blocks, sessions.first(size))
    grown = [*sessions.first(size), later[-1], *later[:ROUNDS]]
    sessions.check("a load of one new block", store.load(session_id).blocks, grown)
    plain.flushdb()
    each = {name: [value / CALLS for value in values] for name, values in taken.items() if name != "one new"}
    return [
        longer(f"load {size:,} blocks again, nothing new", "PING", each["load"], each["PING"], at_most=LIMIT),
        longer(f"ask about {size:,} blocks, nothing new", "PING", each["request"], each["PING"], at_most=LIMIT),
        longer(f"load {size:,} blocks again, one is new", "PING", taken["one new"], each["PING"]),
    ]


def against_article(url: str) -> list[Row]:
    """A repeated and a first load beside the article's, which knows no difference."""
    store, article, size = open_store(url), ArticleStore(url), ARTICLE_SIZE
    forgetful = sessions.Forgetful(url)
    store.save(sessions.package("ours", size))
    article.save(Session.of("theirs", sessions.first(size)))

    def again(_number: int) -> None:
        for _ in range(CALLS):
            store.load("ours")

    def check(when: str) -> None:
        found = article.load("theirs")
        sessions.check(f"the article's load {when}", found.blocks if found else [], sessions.first(size))
        sessions.check(f"our load {when}", open_store(url).load("ours").blocks, sessions.first(size))

    check("before")
    taken = race(
        {"again": again, "first": lambda _: forgetful.load("ours"), "article": lambda _: article.load("theirs")},
        ARTICLE_ROUNDS,
        prepare=lambda name, _: forgetful.forget() if name == "first" else None,
    )
    check("after")
    article.client.flushdb()
    repeated = [value / CALLS for value in taken["again"]]
    job = f"load {size:,} blocks"
    theirs = {"article": taken["article"]}
    return [
        *compare(f"{job} again, nothing new", {"ours": repeated} | theirs, ours="ours", at_least=NEED_ARTICLE),
        *compare(f"{job} for the first time", {"ours": taken["first"]} | theirs, ours="ours"),
    ]
