"""Four processes append to one session at once: what each has written must be there, once."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable
from multiprocessing.synchronize import Barrier

from benches.comparison.article_store import ArticleStore, Block, Session
from benches.store import sessions
from benches.store.fact import Fact
from pycontext import ContextBlock, ContextType
from pycontext.store import open_store

WRITERS, EACH = 4, 100
SIZE = 20


def run(url: str) -> list[Fact]:
    article, start = ArticleStore(url), sessions.first(SIZE)
    open_store(url).save(sessions.package("ours", SIZE))
    article.save(Session.of("theirs", start))
    wanted = Counter((block.id, block.content) for writer in range(WRITERS) for block in own(writer))
    race(write_ours, url)
    ours = open_store(url).load("ours").blocks
    race(write_theirs, url)
    found = article.load("theirs")
    theirs = found.blocks if found else []
    article.client.flushdb()
    kept, others = (
        (Counter((block.id, block.content) for block in blocks) & wanted).total() for blocks in (ours, theirs)
    )
    is_all = len(ours) == SIZE + WRITERS * EACH and kept == WRITERS * EACH
    return [
        Fact(
            f"appends kept of {WRITERS * EACH}, {WRITERS} processes",
            str(kept),
            "article, load and save",
            str(others),
            "all",
            is_all,
        )
    ]


def race(write: Callable[[str, int, Barrier], None], url: str) -> None:
    """Run a writer in each of the processes."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(WRITERS)
    processes = [context.Process(target=write, args=(url, writer, barrier)) for writer in range(WRITERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("racing: a writer ended with an error")


def own(writer: int) -> list[ContextBlock]:
    """What a writer writes, and nobody else."""
    return [
        ContextBlock(f"w{writer}.{number}", f"writer {writer} says {number}", 0.5, ContextType.AGENT, {}, number)
        for number in range(EACH)
    ]


def write_ours(url: str, writer: int, barrier: Barrier) -> None:
    store, blocks = open_store(url), own(writer)
    store.load("ours")
    barrier.wait()
    for block in blocks:
        store.append("ours", [block])


def write_theirs(url: str, writer: int, barrier: Barrier) -> None:
    """As its manager does: read the session, add a block, write the session."""
    article, blocks = ArticleStore(url), [Block.of(block) for block in own(writer)]
    barrier.wait()
    for block in blocks:
        session = article.load("theirs")
        if session is None:
            raise SystemExit("racing: the article's session is gone")
        article.append(session, block)
