"""The kernel once more, in the plainest Python: slow, short, and written from the description alone.

Nothing here asks the library how it chooses or what a block costs: messages are counted with tiktoken and the framing
table of docs/framing.md, and text is counted as a whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from conftest import tiktoken_count
from evidence_reference import Evidence
from pycontext import ContextBlock, ContextType, Policy
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


def units_of(blocks: Sequence[ContextBlock], *, required: bool = False) -> list[list[int]]:
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
        tied = [rows[id] for id in block.references if id in rows] if required else _calls_of(block, rows, blocks)
        for other in tied:
            join(other, row)
    return [[row for row in range(len(blocks)) if group[row] == head] for head in sorted(set(group))]


def _calls_of(block: ContextBlock, rows: dict[str, int], blocks: Sequence[ContextBlock]) -> list[int]:
    if block.type is not ContextType.TOOL:
        return []
    found = [rows[id] for id in block.references if id in rows]
    return [row for row in found if blocks[row].type is ContextType.AGENT]


def broken_rows(
    blocks: Sequence[ContextBlock], units: Sequence[Sequence[int]], *, required: bool = False
) -> dict[int, int]:
    """Broken units: the row that shows it, by any row of the unit."""
    rows = {block.id: row for row, block in enumerate(blocks)}
    unit_of = {row: unit for unit in units for row in unit}
    broken: dict[int, int] = {}
    for row, block in enumerate(blocks):
        has_missing = any(id not in rows for id in block.references)
        is_orphan = block.type is ContextType.TOOL and not _calls_of(block, rows, blocks)
        if has_missing and (is_orphan or required):
            broken |= {other: row for other in unit_of[row] if other not in broken}
    for row in reversed(range(len(blocks))):
        calls = len(json.loads(blocks[row].metadata.get("openai.tool_calls", "[]")))
        results = sum(row in _calls_of(block, rows, blocks) for block in blocks)
        later = [r for r in range(len(blocks)) if blocks[r].type in TURNS and r not in broken]
        is_pending = not later or later[-1] in unit_of[row]
        if blocks[row].type is ContextType.AGENT and results < calls and not is_pending:
            broken |= {other: row for other in unit_of[row] if other not in broken}
    return broken


def effective_scores(
    blocks: Sequence[ContextBlock], policy: Policy, relevance: Sequence[float] | None, now: int | None
) -> list[float]:
    """Base scores after decay, recency and relevance."""
    scores = [block.relevance_score for block in blocks]
    now = max((block.timestamp for block in blocks), default=0) if now is None else now
    for row, block in enumerate(blocks):
        if block.type in policy.half_life_minutes:
            age = max(0, now - block.timestamp) / 60_000
            fallen = scores[row] * 0.5 ** (age / policy.half_life_minutes[block.type])
            scores[row] = max(fallen, min(scores[row], policy.floor))
    if policy.recency:
        turns = [row for row, block in enumerate(blocks) if block.type in (ContextType.USER, ContextType.AGENT)]
        for back, row in enumerate(turns[:-11:-1]):
            scores[row] = min(1.0, scores[row] + policy.recency * 0.95**back)
    weights = [1.0] * len(blocks) if relevance is None else [0.3 + 0.7 * relevant for relevant in relevance]
    return [score * weight for score, weight in zip(scores, weights, strict=True)]


def select(
    blocks: Sequence[ContextBlock],
    available: int,
    total: Callable[[list[ContextBlock]], int],
    policy: Policy,
    *,
    pins: Iterable[str] = (),
    relevance: Sequence[float] | None = None,
    now: int | None = None,
    evidence: Evidence | None = None,
) -> Outcome:
    """What the kernel must choose, `total` being the cost of a request with these blocks."""
    rows = range(len(blocks))
    scores = effective_scores(blocks, policy, relevance, now)
    required = policy.references == "require"
    units = units_of(blocks, required=required)
    unit_of = {row: index for index, unit in enumerate(units) for row in unit}
    broken = broken_rows(blocks, units, required=required)
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

    kept = {row for row in rows if reasons[row] == "pinned"}

    def tokens(chosen: set[int]) -> int:
        return total([blocks[row] for row in sorted(chosen)])

    if tokens(kept) > available:
        raise DoesNotFitError(tokens(kept))
    for unit in units:
        if not reasons[unit[0]] and max(blocks[row].relevance_score for row in unit) < policy.threshold:
            fall(unit, "below_threshold", unit[0])

    candidates = [
        u[0] for u in units if len(u) == 1 and blocks[u[0]].type in REFERENCES and reasons[u[0]] in ("", "pinned")
    ]
    for row in candidates if policy.duplicates == "drop" else []:
        same = [
            r for r in candidates if blocks[r].type is blocks[row].type and blocks[r].content == blocks[row].content
        ]
        best = max(same, key=lambda r: (unit_of[r] in pinned, scores[r], blocks[r].timestamp, r))
        if best != row and unit_of[row] not in pinned:
            reasons[row] = f"duplicate:{blocks[best].id}"

    for unit in evidence.begin(units, reasons, policy.min_relevance) if evidence else []:
        fall(unit, "below_threshold", unit[0])

    def try_to_keep(unit: Sequence[int], limit: int) -> bool:
        if fits := tokens(kept | set(unit)) <= limit:
            kept.update(unit)
            for row in unit:
                reasons[row] = "kept"
        return fits

    for tier in policy.tiers:
        limit = math.floor(available * tier.share + 1e-6)
        waiting = [unit for unit in units if blocks[unit[0]].type in tier.types and is_open(reasons[unit[0]])]
        waiting.sort(key=lambda unit: sort_key(unit, blocks, scores, tier.order), reverse=True)
        taken: list[list[int]] | None = None
        while taken is None or taken:
            if evidence and tier.order == "evidence":
                taken = evidence.take(waiting, scores, tokens(kept), limit, try_to_keep)
            else:
                taken = [unit for unit in waiting if try_to_keep(unit, limit)]
            waiting = [unit for unit in waiting if unit not in taken]
        for unit in waiting:
            short_of_share = tokens(kept | set(unit)) <= available
            fall(unit, f"share:{tier.name}" if short_of_share else "budget", unit[0])
    return Outcome(sorted(kept), reasons, tokens(kept))


def is_open(reason: str) -> bool:
    """Whether a unit may still be taken by a later tier."""
    return not reason or reason == "budget" or reason.startswith("share:")


def sort_key(
    unit: Sequence[int], blocks: Sequence[ContextBlock], scores: Sequence[float], order: str
) -> tuple[Any, ...]:
    newest = max(blocks[row].timestamp for row in unit)
    best = max(scores[row] for row in unit)
    return (best, newest, unit[-1]) if order == "score" else (newest, unit[-1])
