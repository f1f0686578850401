"""What chooses blocks, ours and others, behind one Protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pycontext.evaluation.history import Case, History
from pycontext.messages.openai import from_blocks

__all__ = ["Choice", "Contender", "Role", "choice_of"]


class Role(StrEnum):
    """What a contender is compared as."""

    FLOOR = "floor"
    """Knows nothing."""
    SINGLE = "single"
    """One simple scorer: what ours must not fall below."""
    MODEL = "model"
    """One embedding model alone: the same for ours with that model."""
    FUSION = "fusion"
    """Simple scorers together."""
    OURS = "ours"
    OURS_WITH_MODEL = "ours with a model"
    VARIANT = "variant"
    """Ours under another policy: shown, not judged."""
    CEILING = "ceiling"
    """Knows the answer."""

    @property
    def rivals(self) -> tuple[Role, ...]:
        """What ours is judged against; empty for all that is not ours."""
        rivals = {Role.OURS: (Role.SINGLE,), Role.OURS_WITH_MODEL: (Role.SINGLE, Role.MODEL)}
        return rivals.get(self, ())


@dataclass(frozen=True, slots=True)
class Choice:
    """What a contender kept.

    Attributes:
        rows: of the blocks, ascending.
        messages: what a model would be sent.
        said: tokens that it says these are, None where it says nothing.
    """

    rows: tuple[int, ...]
    messages: list[dict[str, Any]]
    said: int | None = None


class Contender(Protocol):
    """Chooses blocks within a budget of rendered tokens."""

    @property
    def name(self) -> str:
        """Shown in tables."""

    @property
    def role(self) -> Role:
        """What it is compared as."""

    def choices(self, case: Case, budget: int, /) -> Sequence[Choice]:
        """One choice, or several draws of which the mean counts; none where what must stay does not fit."""


def choice_of(history: History, units: set[int]) -> Choice:
    """Return the choice that keeps these units."""
    rows = tuple(sorted(row for place in units for row in history.units[place]))
    return Choice(rows, from_blocks([history.blocks[row] for row in rows]))
