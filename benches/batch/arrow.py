"""Arrow tables in memory, counts given: how many blocks a second one core prunes."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import pyarrow as pa

from benches.frame import Spread
from pycontext import BlockSet, ContextType
from pycontext.batch import prune_batches

BLOCKS = 4_000_000
SEED = 5
TEXTS = ["alpha beta gamma", "please look at order 42 again and tell me", "done", "it was sent on Monday by our office"]
TYPES = ["USER", "AGENT", "TOOL", "MEMORY"]


def table(blocks: int, each: int, *, has_ids: bool) -> pa.Table:
    """Conversations of so many blocks."""
    chance = np.random.default_rng(SEED)
    fields = {
        "content": pa.array(TEXTS).take(pa.array(chance.integers(0, len(TEXTS), blocks))),
        "type": pa.array(TYPES[:2]).take(pa.array(chance.integers(0, 2, blocks))),
        "score": pa.array(chance.random(blocks)),
        "timestamp": pa.array(np.arange(blocks)),
        "token_count": pa.array(chance.integers(1, 40, blocks).astype(np.uint32)),
    }
    if has_ids:
        fields = {"id": pa.array([f"block-{number}" for number in range(blocks)]), **fields}
    items = pa.StructArray.from_arrays(list(fields.values()), list(fields))
    ends = pa.array(np.arange(0, blocks + 1, each, dtype=np.int32))
    return pa.table({"number": np.arange(blocks // each), "messages": pa.ListArray.from_arrays(ends, items)})


def run(source: pa.Table, budget: int) -> tuple[float, int]:
    """Seconds of one core until all is read, and the rows."""
    started = time.perf_counter()
    reader = pa.RecordBatchReader.from_stream(prune_batches(source, budget, threads=1))
    rows = sum(batch.num_rows for batch in reader)
    return time.perf_counter() - started, rows


def check(source: pa.Table, budget: int) -> None:
    """The first conversations keep what a set of blocks keeps."""
    part = source.slice(0, 200)
    pruned = pa.table(prune_batches(part, budget)).to_pylist()
    for row, left in zip(part.to_pylist(), pruned, strict=True):
        blocks = row["messages"]
        made = BlockSet.from_columns(
            [block["content"] for block in blocks],
            [ContextType[block["type"]] for block in blocks],
            [block["score"] for block in blocks],
            timestamp=[block["timestamp"] for block in blocks],
            token_count=[block["token_count"] for block in blocks],
        )
        if [blocks[at] for at in made.prune(budget).chosen.rows()] != left["messages"]:
            raise SystemExit("an Arrow table keeps other blocks than a set")


def measured(rounds: int) -> list[dict[str, Any]]:
    """One row a kind of table; the first one is the required figure."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    kinds = [("100 blocks a conversation", 100, False), ("20 blocks", 20, False), ("20 blocks with ids", 20, True)]
    found = []
    try:
        for name, each, has_ids in kinds:
            source = table(BLOCKS // (4 if has_ids else 1), each, has_ids=has_ids)
            budget, blocks = each * 10, source.num_rows * each
            check(source, budget)
            times = []
            for _ in range(2 * rounds + 1):
                seconds, rows = run(source, budget)
                if rows != source.num_rows:
                    raise SystemExit(f"{rows} rows came out of {source.num_rows}")
                times.append(seconds)
            rate = Spread.of([blocks / seconds / 1e6 for seconds in times[1:]])
            found.append(
                {"name": name, "seconds": Spread.of(times[1:]), "rate": rate, "required": each == 100, "blocks": blocks}
            )
    finally:
        os.sched_setaffinity(0, allowed)
    return found
