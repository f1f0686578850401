"""The article's algorithms, in our own words.

Their flaws are kept: the prune pops from the front, loses the order and knows no units; the decay overwrites the scores
it decays; metrics go over every block; the vocabulary is learnt anew for every query. A baseline for time, not for
results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from benches.synthetic import PlainBlock
from pycontext import ContextBlock, ContextMetrics, ContextType

Block = TypeVar("Block", ContextBlock, PlainBlock)


def prune(blocks: Sequence[Block], max_tokens: int) -> list[Block]:
    system = [block for block in blocks if block.type is ContextType.SYSTEM]
    others = sorted(
        (block for block in blocks if block.type is not ContextType.SYSTEM), key=lambda block: block.relevance_score
    )
    target = int(max_tokens * 0.8) - sum(block.token_count for block in system)
    tokens = sum(block.token_count for block in others)
    while tokens > target and others:
        tokens -= others.pop(0).token_count
    return system + others


def decay(blocks: Sequence[Block], now: int, factor_per_minute: float) -> None:
    for block in blocks:
        if block.type == ContextType.SYSTEM:
            continue
        age_seconds = (now - block.timestamp) / 1000
        block.relevance_score *= factor_per_minute ** (age_seconds / 60)
        block.relevance_score = max(0.1, block.relevance_score)


def metrics(blocks: Sequence[Block], max_tokens: int) -> ContextMetrics:
    tokens = sum(block.token_count for block in blocks)
    by_type: dict[str, int] = {}
    for block in blocks:
        name = block.type.name
        if name not in by_type:
            by_type[name] = 0
        by_type[name] += block.token_count
    shares = {name: count / tokens if tokens > 0 else 0 for name, count in by_type.items()}
    return ContextMetrics(tokens, min(1.0, tokens / max_tokens), shares)


def relevance(query: str, blocks: Sequence[Block]) -> None:
    """Give every block but rules its similarity to the query as its score."""
    others = [block for block in blocks if block.type != ContextType.SYSTEM]
    texts = [text if text.strip() else "empty" for text in (query, *(block.content for block in others))]
    found = TfidfVectorizer(stop_words="english").fit_transform(texts)
    similarities = cosine_similarity(found[0:1], found[1:]).flatten()
    scores = {block.id: float(similarity) for block, similarity in zip(others, similarities, strict=True)}
    for block in others:
        block.relevance_score = scores[block.id]


def as_dict(session_id: str, agent_id: str, blocks: Sequence[ContextBlock]) -> dict[str, object]:
    """A session as JSON values: shared with the blocks, unchecked."""
    return {
        "session_id": session_id,
        "agent_id": agent_id,
        "version": 1,
        "blocks": [
            {
                "id": block.id,
                "content": block.content,
                "relevance_score": block.relevance_score,
                "type": block.type.name,
                "metadata": block.metadata,
                "timestamp": block.timestamp,
                "token_count": block.token_count,
                "references": block.references,
            }
            for block in blocks
        ],
    }
