"""The statements that stay within a budget, and the block that keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from typing import Final

from pycontext.block import ContextBlock, ContextType
from pycontext.budget import check_tokens
from pycontext.counter import count_tokens
from pycontext.statements.extract import extract_statements
from pycontext.statements.statement import Statement, StatementKind

__all__ = ["compact", "rule_blocks", "select_statements"]

# What tools and documents say is not the user's word: a rule in it would be an order from outside.
_TRUSTED: Final = (ContextType.SYSTEM, ContextType.USER, ContextType.AGENT, ContextType.MEMORY)
_HALF_LIFE: Final = 32


def select_statements(
    statements: Sequence[Statement], budget: int, *, cost: Callable[[str], int] = count_tokens
) -> list[Statement]:
    """Choose the statements that stay within a budget.

    What is superseded falls. Rules come first, then the rest; within each what is labelled, newer and shorter.

    Args:
        statements: in their order.
        budget: how much the texts of those that stay, one a line, may cost.
        cost: of a text, in the unit of the budget; `len` for characters.

    Returns:
        In their order. To give them as text to `extract_statements` and choose again changes nothing.

    Raises:
        ValidationError: `budget` is outside its limits.
    """
    check_tokens("budget", budget)
    standing = [statement for statement in statements if statement.superseded_by is None]
    costs = {id(statement): cost(statement.text + "\n") for statement in standing}
    newest = len(standing)

    def rank(entry: tuple[int, Statement]) -> tuple[bool, float, int]:
        place, statement = entry
        worth = (2.0 if statement.is_labelled else 1.0) * (0.5 + 0.5 * 0.5 ** ((newest - place) / _HALF_LIFE))
        return statement.kind is not StatementKind.RULE, -worth / sqrt(max(costs[id(statement)], 1)), -place

    left = budget
    taken: list[tuple[int, Statement]] = []
    for place, statement in sorted(enumerate(standing), key=rank):
        if costs[id(statement)] <= left:
            left -= costs[id(statement)]
            taken.append((place, statement))
    # Lines may cost more together than alone: what was taken last falls until all fit.
    while taken and cost(_text(chosen for _, chosen in sorted(taken, key=_place))) > budget:
        taken.pop()
    return [statement for _, statement in sorted(taken, key=_place)]


def compact(
    blocks: Iterable[ContextBlock],
    budget: int,
    *,
    types: Iterable[ContextType] = _TRUSTED,
    cost: Callable[[str], int] = count_tokens,
    id: str = "statements",
) -> ContextBlock | None:
    """Make one MEMORY block of the statements in blocks, so much of them as a budget allows.

    Args:
        blocks: in their order; a block is nothing but its content here.
        budget: tokens that the content of the new block may have.
        types: of the blocks that are read. KNOWLEDGE and TOOL are not among them unless named: a rule that a document
            or a tool states is an order from outside.
        cost: of a text, in the unit of the budget.
        id: of the new block.

    Returns:
        The block: one statement a line, with the newest timestamp and the highest score of the blocks that were read.
        None where nothing was stated or nothing fits.

    Raises:
        ValidationError: `budget` is outside its limits.
    """
    wanted = frozenset(types)
    read = [block for block in blocks if block.type in wanted]
    statements = extract_statements("\n".join(block.content for block in read))
    chosen = select_statements(statements, budget, cost=cost)
    if not chosen:
        return None
    return ContextBlock(
        id,
        _text(chosen),
        max(block.relevance_score for block in read),
        ContextType.MEMORY,
        timestamp=max(block.timestamp for block in read),
    )


def rule_blocks(blocks: Iterable[ContextBlock], *, types: Iterable[ContextType] = _TRUSTED) -> list[str]:
    """Find the blocks that state a rule which still holds, for `prune(..., pin=...)`.

    Args:
        blocks: in their order.
        types: of the blocks that are read, as in `compact`.

    Returns:
        Their ids, in order; of blocks that state the same rule the last.
    """
    wanted = frozenset(types)
    read = [block for block in blocks if block.type in wanted]
    standing = {
        statement.text.casefold()
        for statement in extract_statements("\n".join(block.content for block in read))
        if statement.kind is StatementKind.RULE and statement.superseded_by is None
    }
    states: set[str] = set()
    for block in reversed(read):
        said = {statement.text.casefold() for statement in extract_statements(block.content)} & standing
        if said:
            states.add(block.id)
            standing -= said
    return [block.id for block in read if block.id in states]


def _place(entry: tuple[int, Statement]) -> int:
    return entry[0]


def _text(statements: Iterable[Statement]) -> str:
    return "\n".join(statement.text for statement in statements)
