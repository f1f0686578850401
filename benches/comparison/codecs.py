"""How others write and read the same package: dicts as JSON, dataclasses, messages of Python's protobuf."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
import orjson

from pycontext import ContextPackage, ContextType, schema

Kind = Enum("Kind", {kind.name: kind.name for kind in ContextType})


@dataclass(slots=True)
class Block:
    id: str
    content: str
    relevance_score: float
    type: Kind
    metadata: dict[str, str]
    timestamp: int
    token_count: int
    references: list[str]


@dataclass(slots=True)
class Package:
    session_id: str
    agent_id: str
    blocks: list[Block]
    version: int
    trace_id: str


def writers(package: ContextPackage) -> dict[str, Callable[[], bytes]]:
    """What is written is there before: dicts, dataclasses, messages."""
    values = package.to_dict()
    typed = msgspec.json.decode(orjson.dumps(values), type=Package)
    message = message_class().FromString(package.to_protobuf())
    encoder = msgspec.json.Encoder()
    return {
        "orjson of dicts": lambda: orjson.dumps(values),
        "json of dicts": lambda: json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode(),
        "msgspec of dataclasses": lambda: encoder.encode(typed),
        "protobuf of messages": message.SerializeToString,
    }


def readers(package: ContextPackage) -> dict[str, Callable[[], Any]]:
    """Bytes to what each reads them into."""
    text, message = package.to_json().encode(), package.to_protobuf()
    decoder, kind = msgspec.json.Decoder(Package), message_class()
    return {
        "msgspec to dataclasses": lambda: decoder.decode(text),
        "orjson to dicts": lambda: orjson.loads(text),
        "json to dicts": lambda: json.loads(text),
        "protobuf to messages": lambda: kind.FromString(message),
    }


def message_class() -> Any:
    return schema.messages()["ContextPackage"]


def check(package: ContextPackage) -> None:
    """All of them read the same blocks that we do."""
    ours = ContextPackage.from_bytes(package.to_bytes()).to_dict()
    found = {name: read() for name, read in readers(package).items()}
    for name in ("orjson to dicts", "json to dicts"):
        if found[name] != ours:
            raise SystemExit(f"codec: {name} reads something else")
    if [msgspec.to_builtins(block) for block in found["msgspec to dataclasses"].blocks] != ours["blocks"]:
        raise SystemExit("codec: msgspec reads something else")
    for block, other in zip(found["protobuf to messages"].blocks, ours["blocks"], strict=True):
        same = (block.id, block.content, block.timestamp, block.token_count, list(block.references)) == tuple(
            other[name] for name in ("id", "content", "timestamp", "token_count", "references")
        )
        if not same or dict(block.metadata) != other["metadata"]:
            raise SystemExit(f"codec: protobuf reads something else at block {block.id}")
