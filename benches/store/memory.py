"""What a session of recorded text takes in Redis, beside the article's keys of the same blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import redis

from benches.comparison.article_store import ArticleStore, Session
from benches.store import sessions
from benches.store.fact import Fact
from benches.store.server import client
from pycontext import ContextBlock
from pycontext.store import open_store
from pycontext.store.key import Key

SIZE = 2_000
MOST = 0.5


def run(url: str) -> list[Fact]:
    plain, store, article = client(url), open_store(url), ArticleStore(url)
    blocks, name = sessions.first(SIZE), Key.of("default", "ours").name.encode()
    text = sum(len(block.content.encode()) for block in blocks)

    def check() -> None:
        sessions.check("memory", open_store(url).load("ours").blocks, blocks)

    def grow() -> None:
        store.save(sessions.package("ours", 0))
        for block in blocks:
            store.append("ours", [block])

    article.client.flushdb()
    theirs = used(plain, lambda: article.save(Session.of("theirs", blocks)), lambda: article.names("theirs"))
    found = article.load("theirs")
    sessions.check("memory of the article", found.blocks if found else [], blocks)
    plain.flushdb()
    whole = used(plain, lambda: store.save(sessions.package("ours", SIZE)), lambda: [name])
    check()
    plain.flushdb()
    grown = used(plain, grow, lambda: [name])
    check()
    plain.flushdb()
    single = used(plain, lambda: changes_only(url, blocks), lambda: [name])
    plain.flushdb()
    facts = [fact("saved as a whole", whole, theirs), fact("appended one by one", grown, theirs)]
    each = [f"{size / SIZE:,.0f}" for size, _ in (whole, grown, single, theirs)]
    facts.append(
        Fact(
            f"bytes a block in Redis, of which {text / SIZE:,.0f} are text",
            f"{each[0]} in a snapshot, {each[2]} in a change of its own; {each[1]} appended one by one",
            "article",
            each[3],
        )
    )
    return facts


def changes_only(url: str, blocks: Iterable[ContextBlock]) -> None:
    """Appends by stores that know nothing of the session, and therefore make no snapshot before there are many."""
    store = open_store(url, sessions=1)
    store.save(sessions.package("ours", 0))
    for number, block in enumerate(blocks):
        if number == 1_000:
            break
        open_store(url).append("ours", [block])


def used(plain: redis.Redis, write: Callable[[], object], names: Callable[[], list[bytes]]) -> tuple[int, int]:
    """What the server says of the keys, and by how much all that it uses has grown."""
    plain.ping()
    before = int(plain.info("memory")["used_memory"])
    write()
    after = int(plain.info("memory")["used_memory"])
    return sum(int(plain.memory_usage(name, samples=0) or 0) for name in names()), after - before


def fact(how: str, ours: tuple[int, int], theirs: tuple[int, int]) -> Fact:
    share = max(mine / their for mine, their in zip(ours, theirs, strict=True))
    return Fact(
        f"memory of {SIZE:,} blocks, {how}: the keys, and growth of the server",
        " and ".join(f"{size / 1e6:.2f} MB" for size in ours) + f", {share:.0%}",
        "article",
        " and ".join(f"{size / 1e6:.2f} MB" for size in theirs),
        f"at most {MOST:.0%}",
        share <= MOST,
    )
