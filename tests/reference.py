"""The kernel once more, in the plainest Python: slow, short, and written from the description alone.

Nothing here asks the library how it chooses or what a block costs: messages are counted with tiktoken and the framing
table of docs/framing.md, and text is counted as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from conftest import tiktoken_count
from pycontext import ContextBlock, ContextType
from pycontext.messages.openai import from_blocks

TURNS = (ContextType.USER, ContextType.AGENT, ContextType.TOOL)
REFERENCES = (ContextType.MEMORY, ContextType.KNOWLEDGE)


class DoesNotFitError(Exception):
    """The pinned blocks need so many tokens."""


@dataclass
class Outcome:
    kept: list[int]
    reasons: list[str]
    tokens: int


def count_messages(messages: Sequence[dict[str, Any]], count: Callable[[str], int] = tiktoken_count) -> int:
    """Tokens of a chat request by the framing table."""
    return 3 + sum(_count_message(message, count) for message in messages) if messages else 0


def _count_message(message: dict[str, Any], count: Callable[[str], int]) -> int:
    content = message.get("content") or ""
    calls = [call["function"] for call in message.get("tool_calls") or []]
    tokens = count(content) + (4 if content or not calls else 0)
    if message["role"] != "tool" and "name" in message:
        tokens += 1 + count(message["name"])
    arguments = [_compact(call["arguments"]) for call in calls]
    if len(calls) == 1:
        tokens += 2 * count(calls[0]["name"]) + count(arguments[0]) + 9
    elif calls:
        uses = ",".join(
            f'{{"recipient_name":"functions.{call["name"]}","parameters":{text}}}'
            for call, text in zip(calls, arguments, strict=True)
        )
        tokens += count(f'{{"tool_uses":[{uses}]}}') + max(1, 21 - 4 * len(calls))
    return tokens


def _compact(arguments: str) -> str:
    return json.dumps(json.loads(arguments), separators=(",", ":"), ensure_ascii=False)


def count_text(text: str) -> int:
    return tiktoken_count(text)


def openai_cost(blocks: Sequence[ContextBlock]) -> int:
    return count_messages(from_blocks(blocks))


def units_of(blocks: Sequence[ContextBlock]) -> list[list[int]]:
    """Rows that live or die together, in order of their first row."""
    rows = {block.id: row for row, block in enumerate(blocks)}
    group = list(range(len(blocks)))

    def join(a: int, b: int) -> None:
        old, new = max(group[a], group[b]), min(group[a], group[b])
        group[:] = [new if g == old else g for g in group]

    named: dict[str, int] = {}
    for row, block in enumerate(blocks):
        if "unit" in block.metadata:
            join(named.setdefault(block.metadata["unit"], row), row)
        for call in _calls_of(block, rows, blocks):
            join(call, row)
    return [[row for row in range(len(blocks)) if group[row] == head] for head in sorted(set(group))]


def _calls_of(block: ContextBlock, rows: dict[str, int], blocks: Sequence[ContextBlock]) -> list[int]:
    if block.type is not ContextType.TOOL:
        return []
    found = [rows[id] for id in block.references if id in rows]
    return [row for row in found if blocks[row].type is ContextType.AGENT]


def broken_rows(blocks: Sequence[ContextBlock], units: Sequence[Sequence[int]]) -> dict[int, int]:
    """Broken units: the row that shows it, by any row of the unit."""
    rows = {block.id: row for row, block in enumerate(blocks)}
    unit_of = {row: unit for unit in units for row in unit}
    broken: dict[int, int] = {}
    for row, block in enumerate(blocks):
        has_missing = any(id not in rows for id in block.references)
        if block.type is ContextType.TOOL and has_missing and not _calls_of(block, rows, blocks):
            broken |= {other: row for other in unit_of[row] if other not in broken}
    for row in reversed(range(len(blocks))):
        calls = len(json.loads(blocks[row].metadata.get("openai.tool_calls", "[]")))
        results = sum(row in _calls_of(block, rows, blocks) for block in blocks)
        later = [r for r in range(len(blocks)) if blocks[r].type in TURNS and r not in broken]
        is_pending = not later or later[-1] in unit_of[row]
        if blocks[row].type is ContextType.AGENT and results < calls and not is_pending:
            broken |= {other: row for other in unit_of[row] if other not in broken}
    return broken


def select(
    blocks: Sequence[ContextBlock],
    available: int,
    total: Callable[[list[ContextBlock]], int],
    *,
    order: str = "score",
    threshold: float = 0.0,
    pins: Iterable[str] = (),
    relevance: Sequence[float] | None = None,
) -> Outcome:
    """What the kernel must choose, `total` being the cost of a request with these blocks."""
    rows = range(len(blocks))
    weights = [1.0] * len(blocks) if relevance is None else [0.3 + 0.7 * relevant for relevant in relevance]
    scores = [block.relevance_score * weight for block, weight in zip(blocks, weights, strict=True)]
    units = units_of(blocks)
    unit_of = {row: index for index, unit in enumerate(units) for row in unit}
    broken = broken_rows(blocks, units)
    reasons = [""] * len(blocks)

    users = [row for row in rows if blocks[row].type is ContextType.USER]
    named = {row for row in rows if blocks[row].id in set(pins)}
    pinned_rows = {row for row in rows if blocks[row].type is ContextType.SYSTEM} | set(users[-1:]) | named
    pinned = {unit_of[row] for row in pinned_rows}
    turns = [row for row in rows if blocks[row].type in TURNS and row not in broken]
    if turns and (not users or turns[-1] > users[-1]):
        pinned.add(unit_of[turns[-1]])

    def fall(unit: Sequence[int], reason: str, speaker: int) -> None:
        for row in unit:
            reasons[row] = reason if row == speaker else f"unit:{blocks[speaker].id}"

    for index, unit in enumerate(units):
        if index in pinned:
            for row in unit:
                reasons[row] = "pinned"
        elif unit[0] in broken:
            fall(unit, "orphan", broken[unit[0]])

    candidates = [u[0] for u in units if len(u) == 1 and blocks[u[0]].type in REFERENCES]
    for row in candidates:
        same = [
            r for r in candidates if blocks[r].type is blocks[row].type and blocks[r].content == blocks[row].content
        ]
        best = max(same, key=lambda r: (unit_of[r] in pinned, scores[r], blocks[r].timestamp, r))
        if best != row and unit_of[row] not in pinned:
            reasons[row] = f"duplicate:{blocks[best].id}"

    kept = {row for row in rows if reasons[row] == "pinned"}

    def tokens(chosen: set[int]) -> int:
        return total([blocks[row] for row in sorted(chosen)])

    if tokens(kept) > available:
        raise DoesNotFitError(tokens(kept))
    waiting = []
    for unit in units:
        if reasons[unit[0]]:
            continue
        if max(blocks[row].relevance_score for row in unit) < threshold:
            fall(unit, "below_threshold", unit[0])
        else:
            waiting.append(unit)

    def key(unit: Sequence[int]) -> tuple[Any, ...]:
        newest = max(blocks[row].timestamp for row in unit)
        best = max(scores[row] for row in unit)
        return (best, newest, unit[-1]) if order == "score" else (newest, unit[-1])

    waiting.sort(key=key, reverse=True)
    while True:
        before = len(waiting)
        for unit in list(waiting):
            if tokens(kept | set(unit)) <= available:
                kept |= set(unit)
                waiting.remove(unit)
                for row in unit:
                    reasons[row] = "kept"
        if len(waiting) == before:
            break
    for unit in waiting:
        fall(unit, "budget", unit[0])
    return Outcome(sorted(kept), reasons, tokens(kept))
