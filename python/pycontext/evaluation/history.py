"""What exists when something is asked: blocks, the units they form, what must stay, and what each unit costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Final

from pycontext.block import ContextBlock, ContextType
from pycontext.blockset import BlockSet
from pycontext.evaluation.dataset import Dataset, Question
from pycontext.evaluation.tally import REPLY, Tally
from pycontext.messages.openai import from_blocks

__all__ = ["Case", "Cases", "History"]

_TURNS: Final = (ContextType.USER, ContextType.AGENT, ContextType.TOOL)


_KEYS: Final = count()


class History:
    """The blocks of a context up to a moment, in plain Python: nothing here asks the kernel.

    Args:
        blocks: in order.
        tally: counts what they cost.

    Attributes:
        key: another one for every history, for what contenders remember.
        blocks: in order.
        units: rows that live or die together, in order of their first: a call and its results.
        orphans: places in `units` of results whose call is not there, which may not be kept.
        pins: places in `units` that every contender keeps: SYSTEM, the last USER block, the last unit if it is later.
        costs: tokens of each unit as messages.
    """

    def __init__(self, blocks: Sequence[ContextBlock], tally: Tally) -> None:
        self.key: Final = next(_KEYS)
        self.blocks: Final = blocks
        self.units: Final[list[list[int]]] = []
        self.orphans: Final[set[int]] = set()
        self._build()
        self.pins: Final = self._pins()
        self.costs: Final = [tally.messages(from_blocks([blocks[row] for row in unit])) - REPLY for unit in self.units]

    @cached_property
    def set(self) -> BlockSet:
        """The same for the library, which indexes it once."""
        return BlockSet(self.blocks)

    @cached_property
    def texts(self) -> list[str]:
        """The text of each unit."""
        return ["\n".join(self.blocks[row].content for row in unit) for unit in self.units]

    def _build(self) -> None:
        calls: dict[str, int] = {}
        for row, block in enumerate(self.blocks):
            tied = [calls[id] for id in block.references if id in calls] if block.type is ContextType.TOOL else []
            if tied:
                self.units[tied[0]].append(row)
                continue
            if block.type is ContextType.AGENT:
                calls[block.id] = len(self.units)
            if block.type is ContextType.TOOL and block.references:
                self.orphans.add(len(self.units))
            self.units.append([row])

    def _pins(self) -> frozenset[int]:
        pins = set()
        last_user = last_turn = -1
        for place, unit in enumerate(self.units):
            kinds = {self.blocks[row].type for row in unit}
            if ContextType.SYSTEM in kinds:
                pins.add(place)
            if place not in self.orphans and kinds & set(_TURNS):
                last_turn = place if last_turn < 0 or unit[-1] > self.units[last_turn][-1] else last_turn
                last_user = place if ContextType.USER in kinds else last_user
        return frozenset(pins | {place for place in (last_user, last_turn) if place >= 0})


@dataclass(frozen=True, slots=True)
class Case:
    """A question and what exists when it is asked.

    Attributes:
        history: the blocks.
        question: what is asked.
        clauses: for each clause of the question the units that hold it.
    """

    history: History
    question: Question
    clauses: tuple[frozenset[int], ...]

    @property
    def query(self) -> str:
        """The question itself."""
        return self.question.turns[-1]


class Cases:
    """The cases of a set; what exists for several questions is built once."""

    def __init__(self, dataset: Dataset, tally: Tally) -> None:
        self._dataset: Final = dataset
        self._tally: Final = tally
        self._histories: Final[dict[tuple[str, int], History]] = {}

    def of(self, question: Question) -> Case:
        """Return the case of a question of the set."""
        key = question.cid, question.upto
        if key not in self._histories:
            blocks = self._dataset.contexts[question.cid][: question.upto]
            self._histories[key] = History(blocks, self._tally)
        history = self._histories[key]
        unit_of = {history.blocks[row].id: place for place, unit in enumerate(history.units) for row in unit}
        return Case(history, question, tuple(frozenset(unit_of[id] for id in clause) for clause in question.gold))
