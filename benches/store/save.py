"""A session saved as a whole, beside the article's pipeline of as many keys as there are blocks."""

from __future__ import annotations

from benches.comparison.article_store import ArticleStore, Block, Session
from benches.frame import Row, compare, race
from benches.store import sessions
from pycontext.store import open_store

SIZE = 2_000
ROUNDS = 31
NEED = {"article": 5.0}


def run(url: str) -> tuple[list[Row], list[str]]:
    store, article = open_store(url), ArticleStore(url)
    ours, theirs = sessions.package("ours", SIZE), Session.of("theirs", sessions.first(SIZE))
    later = sessions.later(ROUNDS + 1)

    def change(name: str, number: int) -> None:
        """Something to save: the last block is another one every time."""
        if name == "ours":
            ours.blocks[SIZE - 1] = later[number]
        elif name == "article":
            theirs.blocks[SIZE - 1] = Block.of(later[number])

    def check() -> None:
        found = article.load("theirs")
        sessions.check("the article's save", found.blocks if found else [], ours.blocks)
        sessions.check("our save", open_store(url).load("ours").blocks, ours.blocks)

    taken = race(
        {"ours": lambda _: store.save(ours), "article": lambda _: article.save(theirs)}, ROUNDS, prepare=change
    )
    check()
    article.client.flushdb()
    return compare(f"save {SIZE:,} blocks as a whole", taken, ours="ours", at_least=NEED), []
