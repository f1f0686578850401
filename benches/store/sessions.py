"""Sessions of recorded blocks, blocks to append to them, and whether a store has kept them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from uuid import uuid4

from benches.comparison import article_store
from benches.recorded import recorded
from pycontext import BlockSet, ContextBlock, ContextPackage
from pycontext.store import open_store

SIZES = (20, 200, 2_000, 20_000)
AGENT = "agent"


@cache
def first(size: int) -> BlockSet:
    """Recorded blocks, counted; without the rules that open every conversation, which compress to nothing."""
    # `recorded` has no end to come to where nothing is asked for.
    return BlockSet(recorded(size, first=1) if size else [])


def package(session_id: str, size: int) -> ContextPackage:
    """A session that shares nothing with others."""
    return ContextPackage.over(first(size).snapshot(), session_id, AGENT)


@cache
def later(count: int) -> list[ContextBlock]:
    """Blocks with counts that are in none of these sessions, of the same texts."""
    return [replace(block, id=f"later.{block.id}") for block in BlockSet(recorded(count, first=1))]


def check(what: str, found: Iterable[ContextBlock | article_store.Block], expected: Iterable[ContextBlock]) -> None:
    """End the run unless what was read is what was written."""
    read, written = ([vars_of(block) for block in blocks] for blocks in (found, expected))
    if read != written:
        raise SystemExit(f"{what}: read {len(read)} blocks that are not the {len(written)} that were written")


def vars_of(block: ContextBlock | article_store.Block) -> tuple[object, ...]:
    own = article_store.Block.of(block) if isinstance(block, ContextBlock) else block
    return tuple(vars(own).values())


def spread(seconds: list[float]) -> str:
    """What single calls took, the slowest too."""
    cuts = statistics.quantiles(seconds, n=100)
    mean, p50, p99 = (f"{value * 1e6:.0f} µs" for value in (statistics.mean(seconds), cuts[49], cuts[98]))
    return f"mean {mean}, p50 {p50}, p99 {p99}, the longest of {len(seconds):,} {max(seconds) * 1e3:.1f} ms."


class Forgetful:
    """A store that is connected, and has read nothing of a session: it remembers another one, and one only."""

    def __init__(self, url: str) -> None:
        self._store = open_store(url, sessions=1)
        self._other = f"forgetful.{uuid4().hex}"
        self._store.save(package(self._other, 1))

    def forget(self) -> None:
        self._store.load(self._other)

    def load(self, session_id: str) -> ContextPackage:
        return self._store.load(session_id)
