"""One typed piece of context."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Self, cast

from pycontext._core import check_block
from pycontext.counter import DEFAULT_ENCODING, ENCODINGS, count_tokens

__all__ = ["ContextBlock", "ContextType"]

# Metadata keys that hold the fields of a provider's message, as JSON.
PROVIDER_PREFIXES: Final = ("openai.", "anthropic.")


class ContextType(Enum):
    """What a block is; the numbers are those of the wire schema and never change."""

    SYSTEM = 0
    USER = 1
    AGENT = 2
    MEMORY = 3
    KNOWLEDGE = 4
    TOOL = 5


class Counted(int):
    """A count that a counter made and nobody gave: it is worth something for this text and this counter only.

    It goes with a block through copies, pickles and `dataclasses.replace`, and says there whether it still holds.
    """

    counter: str
    content: str

    def __new__(cls, count: int, counter: str, content: str) -> Self:
        """Remember what was counted, and by which counter."""
        self = super().__new__(cls, count)
        self.counter = counter
        self.content = content
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Counted, (int(self), self.counter, self.content)


def now_ms() -> int:
    """Milliseconds since the epoch, the one clock that blocks are stamped with."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True, repr=False)
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
        origin: whom the block came from, as its importer says; None for one's own. Blocks are equal whatever it is.

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
    origin: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.metadata is None:
            self.metadata = {}
        if self.references is None:
            self.references = []
        if self.timestamp is None:
            self.timestamp = now_ms()
        check_block(self)
        given = raw_count(self)
        if given is not None and type(given) is not int and not isinstance(given, Counted):
            # A NumPy number is taken, and kept as the int that it is.
            self.token_count = int(given)
        self.metadata = dict(self.metadata)
        self.references = list(self.references)

    def __repr__(self) -> str:
        return (
            f"ContextBlock(id={self.id!r}, content={self.content!r}, relevance_score={self.relevance_score!r}, "
            f"type={self.type}, metadata={self.metadata!r}, timestamp={self.timestamp!r}, "
            f"token_count={_count_slot.__get__(self)!r}, references={self.references!r}, origin={self.origin!r})"
        )


# Two fields have a rule: writing the content takes back a count that was given, and reading a count that does not hold
# makes it. The dataclass keeps its slots, and these properties stand before them; the core reads the two slots by names
# of their own: it is faster, and tells a count that was given from one that some counter made.
_content_slot: Final[Any] = ContextBlock.__dict__["content"]
_count_slot: Final[Any] = ContextBlock.__dict__["token_count"]


def _write_content(block: ContextBlock, content: str) -> None:
    _content_slot.__set__(block, content)
    raw = raw_count(block)
    if raw is not None and not isinstance(raw, Counted):
        _count_slot.__set__(block, None)


def raw_count(block: ContextBlock) -> int | None:
    """What the slot of the count holds: a `Counted`, a number that somebody gave, or None."""
    # The content is written before the count when a block is made: then the slot is empty.
    return cast("int | None", getattr(block, "_raw_token_count", None))


def _read_count(block: ContextBlock) -> int:
    raw, content = raw_count(block), block.content
    if raw is not None and (not isinstance(raw, Counted) or raw.content == content):
        return raw
    counter = raw.counter if isinstance(raw, Counted) and raw.counter in ENCODINGS else DEFAULT_ENCODING
    count = Counted(count_tokens(content, counter), counter, content)
    _count_slot.__set__(block, count)
    return count


_attach: Final[Callable[[type, str, Any], None]] = setattr
_attach(ContextBlock, "_raw_content", _content_slot)
_attach(ContextBlock, "_raw_token_count", _count_slot)
_attach(ContextBlock, "content", property(_content_slot.__get__, _write_content))
_attach(ContextBlock, "token_count", property(_read_count, _count_slot.__set__))

_TYPES: Final = tuple(ContextType)
_NEW: Final = ContextBlock.__new__


def needs_count(block: ContextBlock, counter: str) -> bool:
    """Whether a set that counts with `counter` has to count a block: no count was given, and none of its own holds."""
    raw = raw_count(block)
    return raw is None or (isinstance(raw, Counted) and (raw.counter, raw.content) != (counter, block.content))


def copied(block: ContextBlock) -> ContextBlock:
    """A block with the same fields, unchecked, each read once; what was deleted is not there either."""
    copy = ContextBlock.__new__(ContextBlock)
    # In the order of the slots: writing the content takes back a count that was given.
    for name in ContextBlock.__slots__:
        with suppress(AttributeError):
            setattr(copy, name, raw_count(block) if name == "token_count" else getattr(block, name))
    return copy


def restore(fields: tuple[Any, ...], counter: str | None = None) -> ContextBlock:
    """Make a block of fields in the order of `ContextBlock`, the type by its number, without checking them.

    Args:
        fields: from the core, or on the way to it.
        counter: name of the counter of the set that the fields come from: a count in a set is worth as much as one of
            its counter, whoever gave it. None where somebody gave it just now.
    """
    return renew(_NEW(ContextBlock), fields, counter)


def renew(block: Any, fields: tuple[Any, ...], counter: str | None = None) -> ContextBlock:
    """Give a block the fields that `restore` takes, in the place of its own."""
    # By the names of the slots: no count is to be taken back.
    (
        block.id,
        block._raw_content,  # noqa: SLF001
        block.relevance_score,
        number,
        block.metadata,
        block.timestamp,
        count,
        block.references,
        block.origin,
    ) = fields
    block.type = _TYPES[number]
    block._raw_token_count = count if counter is None else Counted(count, counter, fields[1])  # noqa: SLF001
    return cast("ContextBlock", block)
