"""A conversation of any length that nobody had, as columns; and what each side of a comparison makes of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from pycontext import BlockSet, ContextBlock, ContextType

KINDS = (ContextType.USER, ContextType.AGENT, ContextType.MEMORY, ContextType.KNOWLEDGE)


@dataclass(slots=True)
class PlainBlock:
    """What a program without pycontext would have: the fields and nothing else.

    A `ContextBlock` knows whether its count still holds, so that reading the count runs a Python function.
    """

    id: str
    content: str
    relevance_score: float
    type: ContextType
    timestamp: int
    token_count: int
    references: Sequence[str] = ()


@dataclass(slots=True)
class Conversation:
    """Parallel columns, one entry a block."""

    id: list[str] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    type: list[ContextType] = field(default_factory=list)
    timestamp: list[int] = field(default_factory=list)
    token_count: list[int] = field(default_factory=list)
    references: list[Sequence[str]] = field(default_factory=list)

    @classmethod
    def of(cls, size: int, seed: int) -> Conversation:
        """Exchanges, memories, a few equal texts and scores of every height, between a system and a user message."""
        rng = random.Random(seed)
        made = cls()
        made.append("You help.", 1.0, ContextType.SYSTEM, 3)
        while len(made) < size - 1:
            row = len(made)
            tokens, score = rng.randint(5, 200), rng.random()
            if rng.random() < 0.25 and row < size - 3:
                made.append("calling", score, ContextType.AGENT, 2)
                made.append(f"result {row}", rng.random(), ContextType.TOOL, tokens, (made.id[row],))
            else:
                text = f"text {row if rng.random() < 0.99 else 0}"
                made.append(text, score, rng.choice(KINDS), tokens)
        made.append("and now?", 0.9, ContextType.USER, 3)
        return made

    def __len__(self) -> int:
        return len(self.id)

    def append(
        self, content: str, score: float, kind: ContextType, tokens: int, references: Sequence[str] = ()
    ) -> None:
        row = len(self.id)
        self.id.append(f"b{row}")
        self.content.append(content)
        self.score.append(score)
        self.type.append(kind)
        self.timestamp.append(row)
        self.token_count.append(tokens)
        self.references.append(references)

    def half(self) -> int:
        """A budget that keeps about half."""
        return (sum(self.token_count) + 5 * len(self)) // 2

    def blocks(self) -> list[ContextBlock]:
        columns = zip(
            self.id, self.content, self.score, self.type, self.timestamp, self.token_count, self.references, strict=True
        )
        return [
            ContextBlock(id, content, score, kind, {}, timestamp, tokens, list(references))
            for id, content, score, kind, timestamp, tokens, references in columns
        ]

    def plain(self) -> list[PlainBlock]:
        columns = zip(
            self.id, self.content, self.score, self.type, self.timestamp, self.token_count, self.references, strict=True
        )
        return [PlainBlock(*fields) for fields in columns]

    def blockset(self) -> BlockSet:
        """The columns as ours, each block counted and priced."""
        blocks = BlockSet.from_columns(
            self.content,
            self.type,
            self.score,
            id=self.id,
            timestamp=self.timestamp,
            token_count=self.token_count,
            references=self.references,
        )
        blocks.total_cost("openai")
        return blocks
