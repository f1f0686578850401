"""The article's real-time optimizer, in our own words, its flaws kept: all on the event loop, scores overwritten."""

from __future__ import annotations

from benches.synthetic import PlainBlock
from pycontext import ContextType

_TURNS = (ContextType.USER, ContextType.AGENT)


class PlainOptimizer:
    def __init__(self, blocks: list[PlainBlock], token_budget: int, factor_per_minute: float = 0.95) -> None:
        self.blocks = blocks
        self.token_budget = token_budget
        self.factor = factor_per_minute

    async def optimize(self, now: int) -> None:
        others = [block for block in self.blocks if block.type is not ContextType.SYSTEM]
        for block in others:
            minutes = (now - block.timestamp) / 60_000
            block.relevance_score = max(0.1, block.relevance_score * self.factor**minutes)
        turns = [block for block in self.blocks if block.type in _TURNS]
        turns.sort(key=lambda block: -block.timestamp)
        for place, block in enumerate(turns[:10]):
            block.relevance_score = min(1.0, block.relevance_score + 0.95**place)
        if sum(block.token_count for block in self.blocks) > self.token_budget:
            kept = [block for block in self.blocks if block.type is ContextType.SYSTEM]
            used = sum(block.token_count for block in kept)
            for block in sorted(others, key=lambda block: -block.relevance_score):
                if used + block.token_count <= self.token_budget:
                    kept.append(block)
                    used += block.token_count
            self.blocks = kept
        sum(block.token_count for block in self.blocks)
