"""The article's algorithm, in our own words: drop the least relevant until the rest fits 80 % of the budget.

Its flaws are kept (it pops from the front, loses the order, knows no units): a baseline for time, not for results.
"""

from __future__ import annotations

from collections.abc import Sequence

from pycontext import ContextBlock, ContextType


def prune(blocks: Sequence[ContextBlock], max_tokens: int) -> list[ContextBlock]:
    system = [block for block in blocks if block.type is ContextType.SYSTEM]
    others = sorted(
        (block for block in blocks if block.type is not ContextType.SYSTEM), key=lambda block: block.relevance_score
    )
    target = int(max_tokens * 0.8) - sum(block.token_count for block in system)
    tokens = sum(block.token_count for block in others)
    while tokens > target and others:
        tokens -= others.pop(0).token_count
    return system + others
