"""The article's store after its description: a hash for the session and a key for every block, all JSON.

Its flaws are kept: there is no append, so that a session is written anew for one block; whoever writes last wins; every
key has a time to live of its own. A baseline for time, memory and lost writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from pycontext import ContextBlock, ContextType

TTL_SECONDS = 3_600


@dataclass
class Block:
    """What the article's blocks are: the fields and nothing else."""

    id: str
    content: str
    relevance_score: float
    type: ContextType
    metadata: dict[str, str]
    timestamp: int
    token_count: int
    references: list[str]

    @classmethod
    def of(cls, block: ContextBlock) -> Block:
        return cls(
            block.id,
            block.content,
            block.relevance_score,
            block.type,
            dict(block.metadata),
            block.timestamp,
            int(block.token_count),
            list(block.references),
        )

    def as_json(self) -> str:
        return json.dumps(vars(self) | {"type": self.type.name})

    @classmethod
    def from_json(cls, text: bytes) -> Block:
        fields: dict[str, Any] = json.loads(text)
        return cls(**(fields | {"type": ContextType[fields["type"]]}))


@dataclass
class Session:
    """A session with metrics that somebody made before."""

    session_id: str
    agent_id: str
    blocks: list[Block]
    version: int = 1
    trace_id: str = "trace"
    metrics: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, session_id: str, blocks: Iterable[ContextBlock]) -> Session:
        own = [Block.of(block) for block in blocks]
        return cls(session_id, "agent", own, metrics=metrics_of(own))


def metrics_of(blocks: Sequence[Block]) -> dict[str, Any]:
    tokens = sum(block.token_count for block in blocks)
    by_type: dict[str, float] = {}
    for block in blocks:
        by_type[block.type.name] = by_type.get(block.type.name, 0) + block.token_count / max(tokens, 1)
    return {"total_tokens": tokens, "context_saturation": 1.0, "type_distribution": by_type}


class ArticleStore:
    """Its four methods, which here take and give `Session`s, and the keys of a session."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url)

    def save(self, session: Session) -> None:
        name = hash_name(session.session_id)
        fields = {
            "agent_id": session.agent_id,
            "version": str(session.version),
            "trace_id": session.trace_id,
            "metrics": json.dumps(session.metrics),
            "block_ids": json.dumps([block.id for block in session.blocks]),
        }
        with self.client.pipeline() as pipe:
            pipe.hset(name, mapping=fields)
            pipe.expire(name, TTL_SECONDS)
            for block in session.blocks:
                pipe.set(block_name(session.session_id, block.id), block.as_json(), ex=TTL_SECONDS)
            pipe.execute()

    def load(self, session_id: str) -> Session | None:
        fields = self.client.hgetall(hash_name(session_id))
        if not fields:
            return None
        with self.client.pipeline() as pipe:
            for id in json.loads(fields[b"block_ids"]):
                pipe.get(block_name(session_id, id))
            found = pipe.execute()
        # A block that is gone is left out, and nobody is told.
        blocks = [Block.from_json(text) for text in found if text]
        agent_id, trace_id = fields[b"agent_id"].decode(), fields[b"trace_id"].decode()
        metrics = json.loads(fields[b"metrics"])
        return Session(session_id, agent_id, blocks, int(fields[b"version"]), trace_id, metrics)

    def append(self, session: Session, block: Block) -> None:
        """Write the session anew, with one block more: a block alone is not in the list of ids.

        Metrics are the work of the article's manager, and are not made anew here.
        """
        session.blocks.append(block)
        session.version += 1
        self.save(session)

    def update(self, session_id: str, block: Block) -> None:
        self.client.set(block_name(session_id, block.id), block.as_json(), ex=TTL_SECONDS)

    def delete(self, session_id: str) -> None:
        self.client.delete(*self.names(session_id))

    def names(self, session_id: str) -> list[bytes]:
        """The keys of a session."""
        return [hash_name(session_id).encode(), *self.client.scan_iter(block_name(session_id, "*"), count=1_000)]

    def close(self) -> None:
        self.client.close()


def hash_name(session_id: str) -> str:
    return f"pyctx:session:{session_id}"


def block_name(session_id: str, block_id: str) -> str:
    return f"pyctx:block:{session_id}:{block_id}"
