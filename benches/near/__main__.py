"""Measures how near-duplicates are found: exactly, by our MinHash, by SimHash, by rensa; keeps that in a page."""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from hashlib import blake2b

import numpy as np
from rich.console import Console
from rich.table import Table

from benches.data import DATA, ROOT, missing
from pycontext import BlockSet, ContextType, Policy

PAGE = ROOT / "benches" / "near.md"
SETS = ("memory", "knowledge", "airline_handoff", "telecom_handoff")
FILES = [f"evidence/{name}.json" for name in SETS]
THRESHOLD = 0.8
ROUNDS = 5
SEED = 7
COPIES = 3

Pairs = set[tuple[int, int]]


def words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def triples(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[n : n + 3]) for n in range(len(found) - 2)}


def texts() -> list[str]:
    """Recorded texts of 30 words and more, each once, and copies of them with words dropped, put in and changed."""
    found: dict[str, None] = {}
    for name in FILES:
        for context in json.loads((DATA / name).read_bytes())["contexts"]:
            found.update((block["text"], None) for block in context["blocks"] if len(words(block["text"])) >= 30)
    chance = random.Random(SEED)
    vocabulary = sorted({word for text in found for word in words(text)})
    out = []
    for text in found:
        out.append(text)
        for _ in range(COPIES):
            parts = text.split()
            # So that similarities come out between 0.5 and 1.
            for _ in range(max(1, int(len(parts) * chance.uniform(0.0, 0.09)))):
                at = chance.randrange(len(parts))
                word = chance.choice(vocabulary)
                parts[at : at + 1] = chance.choice([[], [word], [parts[at], word]]) or (
                    [] if len(parts) > 3 else [word]
                )
            out.append(" ".join(parts))
    chance.shuffle(out)
    return out


def exact(all_texts: list[str], least: float) -> dict[tuple[int, int], float]:
    """All pairs, by an inverted index over triples: as exact as comparing each with each, and sooner done."""
    sets = [triples(text) for text in all_texts]
    postings: dict[tuple[str, ...], list[int]] = {}
    found = {}
    for row, mine in enumerate(sets):
        common: dict[int, int] = {}
        for triple in mine:
            for other in postings.setdefault(triple, []):
                common[other] = common.get(other, 0) + 1
            postings[triple].append(row)
        for other, shared in common.items():
            value = shared / (len(mine) + len(sets[other]) - shared)
            if value >= least:
                found[other, row] = value
    return found


def all_pairs(all_texts: list[str]) -> Pairs:
    """Each with each, as a loop has it."""
    sets = [triples(text) for text in all_texts]
    found = set()
    for row, mine in enumerate(sets):
        for other in range(row):
            shared = len(mine & sets[other])
            if shared and shared / (len(mine) + len(sets[other]) - shared) >= THRESHOLD:
                found.add((other, row))
    return found


def ours(all_texts: list[str]) -> set[int]:
    """Rows that fall to one that stays."""
    # Newer is better, and later: the first of equals stays where times fall.
    rows = len(all_texts)
    blocks = BlockSet.from_columns(
        all_texts, [ContextType.MEMORY] * rows, [0.5] * rows, timestamp=list(range(rows, 0, -1)), token_count=[1] * rows
    )
    policy = Policy("near", near_duplicates=THRESHOLD)
    started = time.perf_counter()
    selection = blocks.prune(10**9, policy=policy)
    ours.seconds = time.perf_counter() - started  # type: ignore[attr-defined]
    return {int(one.id[1:]) for one in selection.dropped}


def greedy(all_texts: list[str], pairs: Pairs) -> set[int]:
    """Who falls, given all pairs: each that is like an earlier one that stays."""
    likes: dict[int, list[int]] = {}
    for one, other in pairs:
        likes.setdefault(other, []).append(one)
    fell: set[int] = set()
    for row in range(len(all_texts)):
        if any(one not in fell for one in likes.get(row, [])):
            fell.add(row)
    return fell


def simhashes(all_texts: list[str]) -> np.ndarray:
    """64 bits each, of the triples' hashes."""
    out = np.zeros(len(all_texts), dtype=np.uint64)
    weights = np.uint64(1) << np.arange(64, dtype=np.uint64)
    for row, text in enumerate(all_texts):
        hashes = [blake2b(" ".join(t).encode(), digest_size=8).digest() for t in triples(text)]
        if hashes:
            bits = np.unpackbits(np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(hashes), 8), axis=1)
            out[row] = weights[bits.sum(axis=0) * 2 > len(hashes)].sum()
    return out


def by_simhash(all_texts: list[str], distance: int) -> Pairs:
    hashes = simhashes(all_texts)
    found = set()
    for row in range(1, len(hashes)):
        near = np.bitwise_count(hashes[:row] ^ hashes[row]) <= distance
        found.update((int(other), row) for other in np.flatnonzero(near))
    return found


def by_rensa(kind: str) -> Callable[[list[list[str]]], Pairs] | str:
    try:
        import rensa
    except ImportError as error:
        return f"rensa could not be imported: {error}"
    make = getattr(rensa, kind)

    def run(all_shingles: list[list[str]]) -> Pairs:
        # 96 values in 32 bands, as ours; its LSH gives candidates, which it compares by their signatures.
        index = rensa.RMinHashLSH(threshold=THRESHOLD, num_perm=96, num_bands=32)
        found, made = set(), []
        for row, shingles in enumerate(all_shingles):
            sketch = make(num_perm=96, seed=42)
            sketch.update(shingles)
            for other in index.query(sketch):
                if sketch.jaccard(made[other]) >= THRESHOLD:
                    found.add((other, row))
            index.insert(row, sketch)
            made.append(sketch)
        return found

    return run


def timed(run: Callable[[], object]) -> tuple[object, float]:
    started = time.perf_counter()
    value = run()
    return value, time.perf_counter() - started


class Results:
    """Rows of the table."""

    def __init__(self, texts: int) -> None:
        self.texts = texts
        self.rows: list[tuple[str, str, str, str]] = []

    def add(self, name: str, found: set, right: set, seconds: list[float]) -> None:
        common = len(found & right)
        micros = [1e6 * value / self.texts for value in seconds]
        spread = f" ({min(micros):,.1f}-{max(micros):,.1f})" if len(micros) > 1 else ""
        time_of = f"{statistics.median(micros):,.1f}{spread}"
        self.rows.append((name, f"{common / len(right):.2%}", f"{common / max(len(found), 1):.2%}", time_of))


def main() -> int:
    if absent := missing(*FILES):
        Console(stderr=True).print(absent)
        return 1
    corpus = texts()
    pairs = set(exact(corpus, THRESHOLD))
    results, peer = Results(len(corpus)), by_rensa("RMinHash")
    # In the hands of rensa before the clock runs.
    given = [[" ".join(triple) for triple in triples(text)] for text in corpus]
    whole, kernel, rensa = [], [], []
    for _ in range(ROUNDS):
        fell, spent = timed(lambda: ours(corpus))
        whole.append(spent)
        kernel.append(ours.seconds)  # type: ignore[attr-defined]
        if not isinstance(peer, str):
            found, spent = timed(lambda: peer(given))
            rensa.append(spent)
    right = greedy(corpus, pairs)
    results.add("pycontext, blocks made and pruned", fell, right, whole)
    results.add("pycontext, prune alone", fell, right, kernel)
    if rensa:
        results.add("rensa, R-MinHash of 96 values in 32 bands", found, pairs, rensa)
    for distance in (3, 6, 9, 12, 15):
        found, spent = timed(lambda distance=distance: by_simhash(corpus, distance))
        results.add(f"SimHash, 64 bits, distance {distance}", found, pairs, [spent])
    found, spent = timed(lambda: all_pairs(corpus))
    results.add("exact, each with each", found, pairs, [spent])
    show(results, f"{len(corpus):,} texts, {len(pairs):,} pairs at {THRESHOLD} or more", peer)
    return 0


HEADINGS = ("way", "recall", "precision", "µs a text")
PAGE_TEXT = f"""\
# Near-duplicates

Written by `python -m benches.near`, never by hand. Texts of 30 words and more of the labelled evidence, each once, and
{COPIES} copies of each with up to 9 % of the words dropped, put in or changed. Truth: the Jaccard index of the sets of
word triples, {THRESHOLD} or more. Ours is judged by which texts fall (the first of those that are alike stays), all
others by pairs. rensa has the triples ready-made, ours are made from
the texts within its time. Medians of {ROUNDS} rounds in
turns with the least and the most, one thread; SimHash and the exact loop once, in Python, whose times say nothing of
the method.

"""


def show(results: Results, title: str, peer: object) -> None:
    table = Table(title=title, title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for row in results.rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    lines = ["| " + " | ".join(row) + " |" for row in (HEADINGS, ("---", "---:", "---:", "---:"), *results.rows)]
    note = f"\n{peer}\n" if isinstance(peer, str) else ""
    PAGE.write_text(PAGE_TEXT + f"{title}.\n\n" + "\n".join(lines) + "\n" + note, encoding="utf-8")
    console.print(f"kept in {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
