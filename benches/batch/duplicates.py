"""Near-duplicates over a corpus: precision and recall against all pairs compared exactly, and what the search takes."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

from benches.batch.corpus import FOLDER
from benches.data import read_jsonl
from benches.near.__main__ import triples
from pycontext.batch.duplicates import Duplicates

THRESHOLDS = (0.5, 0.7, 0.8, 0.9)
COPIES = 3
SEED = 13


def corpus() -> list[dict[str, Any]]:
    """The recorded conversations, and copies of each with words changed and messages left out, in no order."""
    chance = random.Random(SEED)
    found = [row for name in ("airline", "telecom") for row in read_jsonl(f"conversations/{name}.jsonl")]
    words = sorted({word for row in found[:20] for m in row["messages"] for word in (m.get("content") or "").split()})
    out = []
    for row in found:
        out.append(row)
        for _ in range(COPIES):
            rate = chance.choice([0.0, 0.005, 0.01, 0.02, 0.05, 0.1])
            messages = []
            for message in row["messages"]:
                text = message.get("content")
                if text and message["role"] != "system":
                    text = " ".join(chance.choice(words) if chance.random() < rate else word for word in text.split())
                if message["role"] == "system" or chance.random() > rate:
                    messages.append({**message, "content": text})
            out.append({**row, "messages": messages})
    chance.shuffle(out)
    return out


def said(row: dict[str, Any]) -> set[tuple[str, ...]]:
    """All word triples of what is said but by the operator."""
    texts = [m["content"] for m in row["messages"] if m["role"] != "system" and m.get("content")]
    return {triple for text in texts for triple in triples(text)}


def exact(sets: list[set[tuple[str, ...]]]) -> dict[tuple[int, int], float]:
    """The similarity of all pairs that have something in common."""
    found = {}
    for row, mine in enumerate(sets):
        for other in range(row):
            shared = len(mine & sets[other])
            if shared:
                found[other, row] = shared / (len(mine) + len(sets[other]) - shared)
    return found


def greedy(rows: int, pairs: dict[tuple[int, int], float], threshold: float) -> set[int]:
    """Each that is like an earlier one that stays."""
    like: dict[int, list[int]] = {}
    for (earlier, row), value in pairs.items():
        if value >= threshold:
            like.setdefault(row, []).append(earlier)
    fell: set[int] = set()
    for row in range(rows):
        if any(earlier not in fell for earlier in like.get(row, ())):
            fell.add(row)
    return fell


def ours(data: bytes, threshold: float) -> tuple[set[int], float, float]:
    """What falls, and the seconds of sketching and of finding."""
    started = time.perf_counter()
    with Duplicates(threshold, FOLDER / "near") as found:
        found.add(*found.sketch(data, len(data)))
        sketched = time.perf_counter()
        bits, total = found.find(), len(found)
        ended = time.perf_counter()
    fell = {row for row in range(total) if bits[row // 8] >> (row % 8) & 1}
    return fell, sketched - started, ended - sketched


def measured() -> tuple[list[list[str]], str]:
    """Rows of a table, and a sentence on the time."""
    rows = corpus()
    data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    pairs = exact([said(row) for row in rows])
    table = []
    for threshold in THRESHOLDS:
        right = greedy(len(rows), pairs, threshold)
        found, sketching, _ = ours(data, threshold)
        common = len(right & found)
        recall, precision = common / max(len(right), 1), common / max(len(found), 1)
        table.append([f"{threshold}", f"{len(right):,}", f"{len(found):,}", f"{precision:.1%}", f"{recall:.1%}"])
    sentence = (
        f"{len(rows):,} conversations; to sketch them takes {len(data) / sketching / 1e6:,.0f} MB a second and core."
    )
    return table, sentence


def over(path: Path) -> str:
    """What the search takes of a corpus: one part after the other, on one core."""
    with Duplicates(0.8, FOLDER / "near") as found, path.open("rb") as file:
        started = time.perf_counter()
        while lines := file.readlines(4 << 20):
            data = b"".join(lines)
            found.add(*found.sketch(data, len(data)))
        sketched = time.perf_counter()
        fell = sum(byte.bit_count() for byte in found.find())
        ended = time.perf_counter()
        return (
            f"Of {len(found):,} conversations of fresh text, {path.stat().st_size / 1e6:,.0f} MB, {fell:,} fall at 0.8:"
            f" {sketched - started:.1f} s to sketch them on one core, {ended - sketched:.1f} s to find them."
        )
