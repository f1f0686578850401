"""A part of a file on its way, and what a kind of file has to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

__all__ = ["Format", "Part", "Piece", "Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A line or row that could not be pruned.

    Attributes:
        line: its number in the part, from 0.
        reason: what is wrong.
        id: of the conversation, where it has one.
        needed: tokens that it needs and that there are; None where it is no conversation.
        raw: the line as it came, None where it is a row or too long.
    """

    line: int
    reason: str
    id: str | None
    needed: tuple[int, int] | None
    raw: bytes | None


@dataclass(frozen=True, slots=True)
class Part:
    """What became of a part of a file: what to append to the output, and the sums."""

    output: bytes
    sums: dict[str, Any]
    problems: list[Problem]
    lines: int


class Piece(Protocol):
    """A part of a file that is still to be pruned."""

    @property
    def file(self) -> int:
        """Number of the file."""

    @property
    def end(self) -> int:
        """Where the next part begins."""

    @property
    def position(self) -> int:
        """How many bytes of the file itself are read."""


class Format(Protocol):
    """A kind of file: how it is cut into pieces, what becomes of one, and how the output is made of the parts."""

    def look_for_duplicates(self, inputs: Sequence[str], threshold: float, beside: Path, threads: int, /) -> None:
        """Find the conversations that say nearly what an earlier one says; `prune` leaves them out.

        Raises:
            ValidationError: they cannot be found in files of this kind.
        """

    def pieces(self, path: str, file: int, start: int) -> Iterator[Any]:
        """Read a file from a place on that is the end of a piece."""

    def prune(self, piece: Any) -> Part:
        """Prune a piece; called by several threads."""

    def finish(self, part: BinaryIO, whole: Path) -> None:
        """Make the whole of the parts, where it is another file than these."""
