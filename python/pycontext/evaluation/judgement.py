"""What a choice is worth, judged from the blocks and the messages alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pycontext.block import ContextType
from pycontext.evaluation.contender import Choice
from pycontext.evaluation.history import Case
from pycontext.evaluation.tally import Tally

__all__ = ["Gate", "Judgement", "judge"]


class Gate(StrEnum):
    """Promises that are never broken; the values are shown in tables."""

    ORPHAN = "calls without results or results without calls"
    ORDER = "order changed"
    LAST_USER = "last user turn lost"
    BUDGET = "over the budget"
    COUNT = "tokens said are not those counted"


@dataclass(frozen=True, slots=True)
class Judgement:
    """One question under one budget; means where there were several draws.

    Attributes:
        recall: 1 when every clause is satisfied, else 0.
        gold_tokens: of kept texts that a clause names.
        kept_tokens: of all kept texts.
        tokens: of the messages.
        refused: 1 where what must stay did not fit, which also misses the evidence.
        broken: how often a promise was broken.
    """

    recall: float
    gold_tokens: float
    kept_tokens: float
    tokens: float
    refused: int = 0
    broken: Counter[Gate] = field(default_factory=Counter)


_REFUSED: Final = Judgement(0.0, 0.0, 0.0, 0.0, 1)


def judge(case: Case, choices: Sequence[Choice], budget: int, tally: Tally) -> Judgement:
    """Judge what a contender kept of a case within a budget."""
    if not choices:
        return _REFUSED
    broken: Counter[Gate] = Counter()
    ones = []
    for choice in choices:
        counted = tally.messages(choice.messages)
        broken.update(_broken(case, choice, set(choice.rows), counted, budget))
        ones.append((float(recalled(case, choice)), *_texts(case, choice, tally), counted))
    recall, gold, kept, tokens = (sum(values) / len(ones) for values in zip(*ones, strict=True))
    return Judgement(recall, gold, kept, tokens, broken=broken)


def _texts(case: Case, choice: Choice, tally: Tally) -> tuple[int, int]:
    """Tokens of the kept texts that a clause names, and of all of them."""
    gold = frozenset[str]().union(*case.question.gold)
    blocks = [case.history.blocks[row] for row in choice.rows]
    tokens = {block.id: tally.text(block.content) for block in blocks}
    return sum(tokens[id] for id in gold & tokens.keys()), sum(tokens.values())


def recalled(case: Case, choice: Choice) -> bool:
    """Return whether every clause is satisfied by a block that was kept."""
    ids = {case.history.blocks[row].id for row in choice.rows}
    return all(clause & ids for clause in case.question.gold)


def _broken(case: Case, choice: Choice, kept: set[int], counted: int, budget: int) -> list[Gate]:
    history = case.history
    users = [row for row, block in enumerate(history.blocks) if block.type is ContextType.USER]
    halves = sum(0 < len(kept & set(unit)) < len(unit) for unit in history.units)
    orphans = sum(history.units[place][0] in kept for place in history.orphans)
    found = [Gate.ORPHAN] * (halves + orphans)
    if list(choice.rows) != sorted(kept):
        found.append(Gate.ORDER)
    if users and users[-1] not in kept:
        found.append(Gate.LAST_USER)
    if counted > budget:
        found.append(Gate.BUDGET)
    if choice.said is not None and choice.said != counted:
        found.append(Gate.COUNT)
    return found
