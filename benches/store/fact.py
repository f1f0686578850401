"""What is measured in other things than time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benches.page import markdown

HEADINGS = ["what", "ours", "other", "the other's", "required"]


@dataclass(frozen=True)
class Fact:
    """One thing, of ours and of another."""

    what: str
    ours: str
    other: str = ""
    theirs: str = ""
    required: str = ""
    met: bool | None = None

    def cells(self) -> list[str]:
        verdict = {True: ", met", False: ", MISSED", None: ""}[self.met]
        return [self.what, self.ours, self.other, self.theirs, self.required + verdict]


def markdown_of(facts: Iterable[Fact]) -> str:
    return markdown(HEADINGS, [fact.cells() for fact in facts])
