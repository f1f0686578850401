"""Queries over texts, against the libraries that people take for it: text in, the ten best out."""

from __future__ import annotations

import importlib.metadata
import json
import random
import statistics
import time
from collections.abc import Callable

import numpy as np

from benches.data import DATA, missing
from benches.frame import Row, Spread, compare, race
from pycontext import BlockSet, ContextBlock, ContextType

SOURCE = "evidence/knowledge.json"
SIZES = (1_000, 10_000, 100_000)
BEST = 10
ROUNDS = 25
SLOW_ROUNDS = 5
WORDS = 50
"""Words of each of the two pieces of passages that a text is made of."""

Ask = Callable[[str], object]

AT_LEAST = {"bm25s": 3.0, "scikit-learn, fitted": 20.0}
MOST_ADD_SECONDS = 20e-6
ADDED = 500


def run() -> tuple[list[Row], list[str]]:
    if problem := missing(SOURCE):
        return [], [f"search was left out: {problem}"]
    recorded = json.loads((DATA / SOURCE).read_text(encoding="utf-8"))
    passages = [block["text"] for context in recorded["contexts"] for block in context["blocks"]]
    queries = list(dict.fromkeys(entry["query"] for entry in recorded["queries"]))
    texts = mixed(passages, SIZES[-1] + ADDED)
    rows: list[Row] = []
    notes: list[str] = []
    for size in SIZES:
        rows += searched(texts[:size], queries)
    rows += added(texts)
    notes.append(agreement(texts[: SIZES[1]], queries))
    return rows, notes


def mixed(passages: list[str], count: int) -> list[str]:
    """Different texts, each of two pieces of the passages: as many words as a passage of a store has."""
    words = " ".join(passages).split()
    dice = random.Random(7)
    found: dict[str, None] = {}
    while len(found) < count:
        starts = [dice.randrange(len(words) - WORDS) for _ in range(2)]
        found[" ".join(word for start in starts for word in words[start : start + WORDS])] = None
    return list(found)


def searched(texts: list[str], queries: list[str]) -> list[Row]:
    job = f"the {BEST} best of {len(texts):,} blocks"
    fast = {"ours": ours(texts), **bm25s(texts), "tantivy": tantivy(texts), "scikit-learn, fitted": sklearn(texts)}
    slow = {"ours": fast["ours"], "rank-bm25": rank_bm25(texts), "scikit-learn, fitted anew": refitted(texts)}
    rows = []
    for runners, rounds in ((fast, ROUNDS), (slow, SLOW_ROUNDS)):
        # A query alone is over before a clock is sure of it.
        several = {name: asking(ask, queries, 10 if runners is fast else 1) for name, ask in runners.items()}
        taken = race(several, rounds)
        at_least = AT_LEAST if len(texts) == SIZES[-1] else None
        rows += compare(job, taken, ours="ours", at_least=at_least)
    return rows


def asking(ask: Ask, queries: list[str], several: int) -> Callable[[int], object]:
    return lambda number: [ask(queries[(number * several + i) % len(queries)]) for i in range(several)]


def block_set(texts: list[str]) -> BlockSet:
    count = len(texts)
    return BlockSet.from_columns(texts, [ContextType.KNOWLEDGE] * count, [1.0] * count, token_count=[WORDS * 2] * count)


def ours(texts: list[str]) -> Ask:
    blocks = block_set(texts)
    return lambda query: blocks.search(query, BEST)


def bm25s(texts: list[str]) -> dict[str, Ask]:
    """Its own stop words and Snowball's stems, as ours; as it installs, and with the compiler that it can have."""
    import bm25s as library
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    found: dict[str, Ask] = {}
    options = {"stopwords": "en", "stemmer": stemmer, "show_progress": False}
    tokens = library.tokenize(texts, **options)
    for name, backend in (("bm25s", "numpy"), ("bm25s, numba", "numba")):
        index = library.BM25(k1=1.5, b=0.9, backend=backend)
        index.index(tokens, show_progress=False)

        def ask(query: str, index: library.BM25 = index) -> object:
            return index.retrieve(library.tokenize([query], **options), k=BEST, show_progress=False)

        found[name] = ask
    return found


def tantivy(texts: list[str]) -> Ask:
    import tantivy as library

    builder = library.SchemaBuilder()
    builder.add_text_field("text", stored=False, tokenizer_name="en_stem")
    index = library.Index(builder.build())
    writer = index.writer()
    for text in texts:
        writer.add_document(library.Document(text=text))
    writer.commit()
    index.reload()
    searcher = index.searcher()

    def ask(query: str) -> object:
        plain = "".join(char if char.isalnum() else " " for char in query)
        return searcher.search(index.parse_query(plain, ["text"]), BEST).hits

    return ask


def sklearn(texts: list[str]) -> Ask:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(stop_words="english")
    matrix = vectorizer.fit_transform(texts).T.tocsr()

    def ask(query: str) -> object:
        # Of unit length both: the product is the cosine.
        return best_of((vectorizer.transform([query]) @ matrix).toarray()[0])

    return ask


def refitted(texts: list[str]) -> Ask:
    """As the article does it."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics.pairwise import cosine_similarity

    def ask(query: str) -> object:
        matrix = TfidfVectorizer(stop_words="english").fit_transform([query, *texts])
        return best_of(cosine_similarity(matrix[:1], matrix[1:])[0])

    return ask


def rank_bm25(texts: list[str]) -> Ask:
    from rank_bm25 import BM25Okapi

    index = BM25Okapi([text.lower().split() for text in texts], k1=1.5, b=0.9)
    return lambda query: best_of(index.get_scores(query.lower().split()))


def best_of(scores: np.ndarray) -> np.ndarray:
    best = np.argpartition(scores, -BEST)[-BEST:]
    return best[np.argsort(-scores[best])]


def added(texts: list[str]) -> list[Row]:
    """What a block costs that comes to an index of the largest size: to add it, and to read its words."""
    size = SIZES[-1]
    blocks = block_set(texts[:size])
    blocks.search(texts[0], 1)
    taken = []
    for number, text in enumerate(texts[size : size + ADDED]):
        block = ContextBlock(f"new{number}", text, 1.0, ContextType.KNOWLEDGE, token_count=WORDS * 2)
        started = time.perf_counter()
        # The words are read when somebody asks; a query that nothing matches asks for nothing else.
        blocks.append(block)
        blocks.search("?", 1)
        ended = time.perf_counter()
        blocks.search("?", 1)
        taken.append(max(2 * ended - started - time.perf_counter(), 0.0))
    spread = Spread.of(taken)
    limit = Spread.of([MOST_ADD_SECONDS] * 2)
    ratio = Spread(*(MOST_ADD_SECONDS / value for value in (spread.median, spread.high, spread.low)))
    return [
        Row(
            f"a block added to an index of {size:,}",
            "the limit of 20 µs",
            spread,
            limit,
            ratio,
            required="at least 1x",
            met=statistics.median(taken) <= MOST_ADD_SECONDS,
        )
    ]


def agreement(texts: list[str], queries: list[str]) -> str:
    """How far ours and bm25s find the same: their stop words and idf are not quite ours."""
    ask, other = ours(texts), bm25s(texts)["bm25s"]
    shared = []
    for query in queries:
        mine = {int(id[1:]) for id, _ in ask(query)}
        theirs = {int(row) for row in other(query).documents[0]}
        if mine:
            shared.append(len(mine & theirs) / len(mine))
    version = importlib.metadata.version("bm25s")
    return (
        f"search: of the {BEST} best of {len(texts):,} blocks ours and bm25s {version} share "
        f"{statistics.mean(shared):.0%} in the mean over {len(shared)} queries"
    )
