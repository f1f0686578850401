"""A prune with a query over 10,000 real texts, against the article, which learns its vocabulary anew every time."""

from __future__ import annotations

import json
import re

from benches.comparison import article
from benches.data import DATA, missing
from benches.frame import Row, compare, race
from benches.synthetic import PlainBlock
from pycontext import BlockSet, ContextType, Selection

SOURCE = "evidence/knowledge.json"
SIZE = 10_000
ROUNDS = 9
BUDGET = 4_000
NEED = 20.0


def run() -> tuple[list[Row], list[str]]:
    if problem := missing(SOURCE):
        return [], [f"query was left out: {problem}"]
    recorded = json.loads((DATA / SOURCE).read_text(encoding="utf-8"))
    texts = pieces([block["text"] for context in recorded["contexts"] for block in context["blocks"]])
    queries = list(dict.fromkeys(entry["query"] for entry in recorded["queries"]))
    kinds, scores, times = [ContextType.KNOWLEDGE] * SIZE, [0.5] * SIZE, list(range(SIZE))
    # Counts as the article would have them: they decide nothing here but how much is kept.
    tokens = [len(text.split()) for text in texts]

    def new_set() -> BlockSet:
        return BlockSet.from_columns(texts, kinds, scores, timestamp=times, token_count=tokens)

    warm = new_set()
    check(warm.prune(BUDGET, query=queries[-1]))
    plain = [PlainBlock(f"b{row}", text, 0.5, kinds[row], row, tokens[row]) for row, text in enumerate(texts)]
    fresh: list[BlockSet] = []

    def prepare(name: str, _number: int) -> None:
        fresh[:] = [new_set()] if name == "cold" else []

    def ours(blocks: BlockSet, number: int) -> tuple[object, object]:
        selection = blocks.prune(BUDGET - number, query=queries[number])
        return selection.indices, selection.reasons

    def refit(number: int) -> list[PlainBlock]:
        article.relevance(queries[number], plain)
        return article.prune(plain, BUDGET - number)

    taken = race(
        {
            "warm": lambda number: ours(warm, number),
            "cold": lambda number: ours(fresh[0], number),
            "article": refit,
        },
        ROUNDS,
        prepare=prepare,
    )
    jobs = {
        "warm": f"a query over {SIZE:,} blocks",
        "cold": f"the first query over {SIZE:,} blocks",
    }
    return [
        row
        for name, job in jobs.items()
        for row in compare(
            job,
            {"ours": taken[name], "article": taken["article"]},
            ours="ours",
            at_least={"article": NEED} if name == "warm" else None,
        )
    ], []


def pieces(passages: list[str]) -> list[str]:
    """Different texts of one to three sentences that follow each other."""
    found: dict[str, None] = {}
    for length in (1, 2, 3):
        for passage in passages:
            sentences = [text for part in re.split(r"(?<=[.!?])\s+|\n+", passage) if len(text := part.strip()) > 20]
            for start in range(len(sentences) - length + 1):
                found[" ".join(sentences[start : start + length])] = None
    return list(found)[:SIZE]


def check(selection: Selection) -> None:
    """A query finds something, and fits."""
    if not len(selection.indices) or selection.tokens > BUDGET:
        raise SystemExit("a query over the pieces keeps nothing, or too much")
