"""What is worth knowing of a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "State", "size_of"]

State = Literal["good", "info", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is worth knowing of a store.

    Attributes:
        topic: what it is about.
        state: "warning" where something may be lost, slow or seen by others.
        value: as it is.
        text: what it means, and what to do.
    """

    topic: str
    state: State
    value: str
    text: str

    @property
    def is_warning(self) -> bool:
        """Whether something may be lost, slow or seen by others."""
        return self.state == "warning"


def size_of(number: int) -> str:
    """Return a number of bytes as people read it."""
    if number < 2**10:
        return f"{number:,} B"
    unit, one = ("KiB", 2**10) if number < 2**20 else ("MiB", 2**20) if number < 2**30 else ("GiB", 2**30)
    return f"{number / one:,.1f} {unit}"
