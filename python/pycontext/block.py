"""One typed piece of context."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, cast

from pycontext._core import check_block
from pycontext.counter import count_tokens

__all__ = ["ContextBlock", "ContextType"]


class ContextType(Enum):
    """What a block is; the numbers are those of the wire schema and never change."""

    SYSTEM = 0
    USER = 1
    AGENT = 2
    MEMORY = 3
    KNOWLEDGE = 4
    TOOL = 5


class Counted(int):
    """A count that nobody gave: the default counter made it when somebody asked."""

    __slots__ = ()


def now_ms() -> int:
    """Milliseconds since the epoch, the one clock that blocks are stamped with."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True, weakref_slot=True)
class ContextBlock:
    """One typed piece of context.

    Metadata and references are copied on the way in. Writing `content` resets `token_count`; other fields are checked
    when the block is next used.

    Attributes:
        id: unique in its session, 1 to 256 bytes, no control characters.
        content: what the block says, at most 1 MiB as UTF-8.
        relevance_score: base score from 0 to 1.
        type: what the block is.
        metadata: str to str, at most 256 keys and 64 KiB; the key `unit` ties blocks that live or die together.
        timestamp: milliseconds since the epoch; None for now.
        token_count: tokens of the content alone; None to have them counted.
        references: ids of other blocks; in a TOOL block, of the AGENT blocks whose calls it answers.

    Raises:
        ValidationError: a field is outside its limits; the message names it, the value and the limit.
    """

    id: str
    content: str
    relevance_score: float
    type: ContextType
    metadata: dict[str, str] = field(default_factory=dict)
    timestamp: int = cast("int", None)
    token_count: int = cast("int", None)
    references: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.metadata is None:
            self.metadata = {}
        if self.references is None:
            self.references = []
        if self.timestamp is None:
            self.timestamp = now_ms()
        check_block(self)
        self.metadata = dict(self.metadata)
        self.references = list(self.references)


# Two fields have a rule: writing the content forgets the count, and reading a count that is not there makes it. The
# dataclass keeps its slots, and these properties stand before them; the core reads the slot of the count by its own
# name, so that it can tell a count that was given from one that was only read.
_content_slot: Final[Any] = ContextBlock.__dict__["content"]
_count_slot: Final[Any] = ContextBlock.__dict__["token_count"]


def _write_content(block: ContextBlock, content: str) -> None:
    _content_slot.__set__(block, content)
    _count_slot.__set__(block, None)


def _read_count(block: ContextBlock) -> int:
    count = _count_slot.__get__(block)
    if count is None:
        count = Counted(count_tokens(block.content))
        _count_slot.__set__(block, count)
    return int(count)


_attach: Final[Callable[[type, str, Any], None]] = setattr
_attach(ContextBlock, "_raw_token_count", _count_slot)
_attach(ContextBlock, "content", property(_content_slot.__get__, _write_content))
_attach(ContextBlock, "token_count", property(_read_count, _count_slot.__set__))

_TYPES: Final = tuple(ContextType)


def has_given_count(block: ContextBlock) -> bool:
    """Whether somebody gave the count of a block, rather than the default counter."""
    return type(_count_slot.__get__(block)) is int


def restore(fields: tuple[Any, ...]) -> ContextBlock:
    """Make a block of fields that the core has checked: those of `ContextBlock`, the type by its number."""
    block = ContextBlock.__new__(ContextBlock)
    (
        block.id,
        block.content,
        block.relevance_score,
        number,
        block.metadata,
        block.timestamp,
        block.token_count,
        block.references,
    ) = fields
    block.type = _TYPES[number]
    return block
