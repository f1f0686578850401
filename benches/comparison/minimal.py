"""The least plain Python that fits a budget: best first, what fits stays, original order. No units, pins or reasons."""

from __future__ import annotations

from collections.abc import Sequence

from pycontext import ContextBlock


def prune(blocks: Sequence[ContextBlock], max_tokens: int) -> list[ContextBlock]:
    scores = [block.relevance_score for block in blocks]
    tokens = [block.token_count for block in blocks]
    keep = bytearray(len(blocks))
    left = max_tokens
    for row in sorted(range(len(blocks)), key=scores.__getitem__, reverse=True):
        if tokens[row] <= left:
            left -= tokens[row]
            keep[row] = 1
    return [block for block, kept in zip(blocks, keep, strict=True) if kept]
