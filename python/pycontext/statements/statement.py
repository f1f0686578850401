"""What a statement is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Statement", "StatementKind"]


class StatementKind(StrEnum):
    """What a statement does; the order is that in which kinds are kept."""

    RULE = "rule"
    GOAL = "goal"
    DECISION = "decision"
    PREFERENCE = "preference"
    FACT = "fact"


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence that says what holds, or two of them where the second leans on the first.

    Attributes:
        text: as it stands in the source, without the mark of a list before it; runs of blanks are one space.
        kind: what it does.
        position: its place among the sentences of the source, from 0.
        is_labelled: the source itself says what it is, as in "Rule: ...".
        superseded_by: position of the later statement that takes its place; None while it holds.
    """

    text: str
    kind: StatementKind
    position: int
    is_labelled: bool = False
    superseded_by: int | None = None
