"""How long a prune takes, by the number of blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final

import numpy as np

from pycontext.block import ContextBlock
from pycontext.blockset import BlockSet, prune

__all__ = ["SIZES", "Timing", "run_latency"]

SIZES: Final = (100, 1_000, 10_000)
_BUDGET: Final = 4_000
_WARM_ROUNDS: Final = 100
_COLD_ROUNDS: Final = {100: 40, 1_000: 20}
_FEWEST_ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Timing:
    """How long prunes took.

    Attributes:
        kind: of blocks.
        blocks: how many.
        state: "indexed" where the set was asked before, "from a list" where all is counted and indexed anew.
        rounds: prunes that were timed.
        p50_ms: half of them took no longer, in milliseconds.
        p95_ms: the same of 95 %.
    """

    kind: str
    blocks: int
    state: str
    rounds: int
    p50_ms: float
    p95_ms: float


def run_latency(
    kind: str,
    make: Callable[[int], Sequence[ContextBlock]],
    queries: Sequence[str],
    *,
    sizes: Sequence[int] = SIZES,
    on_size: Callable[[int], object] = lambda _: None,
) -> list[Timing]:
    """Time prunes to 4,000 tokens with another query each.

    Args:
        kind: what the blocks are, for the table.
        make: returns so many blocks.
        queries: taken one after the other, and all again where they end.
        sizes: numbers of blocks.
        on_size: is told 1 after every size.
    """
    found = []
    for size in sizes:
        source = make(size)
        blocks = BlockSet(source)
        blocks.prune(_BUDGET, query=queries[-1])
        warm = [_seconds(blocks, query) for query in islice(cycle(queries), _WARM_ROUNDS)]
        cold = []
        for query in islice(cycle(queries), _COLD_ROUNDS.get(size, _FEWEST_ROUNDS)):
            # A copy has no count yet: what a program has that reads messages and prunes them once.
            fresh = [
                ContextBlock(
                    one.id,
                    one.content,
                    one.relevance_score,
                    one.type,
                    dict(one.metadata),
                    one.timestamp,
                    references=list(one.references),
                )
                for one in source
            ]
            cold.append(_seconds(fresh, query))
        found += [_timing(kind, size, "indexed", warm), _timing(kind, size, "from a list", cold)]
        on_size(1)
    return found


def _seconds(blocks: BlockSet | list[ContextBlock], query: str) -> float:
    began = time.perf_counter()
    selection = prune(blocks, _BUDGET, query=query)
    # Rows and the sum are what everybody reads.
    selection.indices.tolist()
    return time.perf_counter() - began


def _timing(kind: str, size: int, state: str, seconds: list[float]) -> Timing:
    half, most = np.percentile(seconds, (50, 95))
    return Timing(kind, size, state, len(seconds), float(half) * 1e3, float(most) * 1e3)
