"""How large what comes from outside may be."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from pycontext.errors import ValidationError, shown

__all__ = ["Limits"]

# What a block is held to wherever it is made: an import may be stricter, never laxer.
_OF_BLOCKS: Final = ("id_bytes", "block_bytes", "metadata_bytes", "metadata_keys", "references")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large what comes from outside may be; bytes and text that are larger are refused before they are decoded.

    Attributes:
        package_bytes: of a package before it is compressed, and of JSON.
        package_blocks: number of blocks of a package.
        block_bytes: content and provider fields of a block, as UTF-8; at most the default.
        metadata_bytes: keys and values, provider fields left out; at most the default.
        metadata_keys: their number, provider fields left out; at most the default.
        id_bytes: of an id, a reference or an origin; at most the default.
        references: number of references of a block; at most the default.
        json_depth: lists and objects inside each other.
        json_values: lists, objects and what stands in them.
        json_digits: digits of a whole number.

    Raises:
        ValidationError: a limit is no whole number from 1 up, or above the default where that is the most.
    """

    package_bytes: int = 64 << 20
    package_blocks: int = 100_000
    block_bytes: int = 1 << 20
    metadata_bytes: int = 64 << 10
    metadata_keys: int = 256
    id_bytes: int = 256
    references: int = 10_000
    json_depth: int = 64
    json_values: int = 5_000_000
    json_digits: int = 1_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            most: int = field.default if field.name in _OF_BLOCKS else 2**32 - 1  # type: ignore[assignment]  # all are int
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise ValidationError(f"{field.name} {shown(value)} is not a whole number from 1 to {most}")


DEFAULT: Final = Limits()
