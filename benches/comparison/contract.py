"""Plain Python that keeps the same contract: units, pins, duplicates, exact costs, a reason for every block.

Written for speed: one pass over the blocks, local names, no objects but lists and dicts; no dict has a type as its key,
because Python runs a method to hash one, and sorts take one number at a time. It takes token counts and the constant
costs of headers as given, as the kernel does when counts are known.
"""

from __future__ import annotations

from collections.abc import Sequence

from pycontext import ContextBlock, ContextType, count_tokens

SYSTEM, USER, AGENT, TOOL = ContextType.SYSTEM, ContextType.USER, ContextType.AGENT, ContextType.TOOL
MEMORY, KNOWLEDGE = ContextType.MEMORY, ContextType.KNOWLEDGE
TURNS = (USER, AGENT, TOOL)

# Tokens around the content by the number of the type: a message of its role, or a user message under a header.
AROUND = [4 + (0 if kind in (SYSTEM, USER, AGENT) else count_tokens(f"[{kind.name}]\n")) for kind in ContextType]


def prune(blocks: Sequence[ContextBlock], available: int) -> tuple[list[int], list[str], int]:  # noqa: C901, PLR0912, PLR0915
    """Kept rows, a reason for every row, and the tokens of the request."""
    n = len(blocks)
    ids: dict[str, int] = {}
    cost = [0] * n
    score = [0.0] * n
    time = [0] * n
    kinds: list[ContextType] = []
    results: list[tuple[int, list[str]]] = []
    last_user = last_turn = -1
    for row, block in enumerate(blocks):
        ids[block.id] = row
        kind = block.type
        kinds.append(kind)
        cost[row] = block.token_count + AROUND[kind._value_]
        score[row] = block.relevance_score
        time[row] = block.timestamp
        if kind is TOOL and block.references:
            results.append((row, block.references))
        elif kind is USER:
            last_user = row
        if kind in TURNS:
            last_turn = row
    if len(ids) < n:
        raise ValueError("duplicate id")

    head = list(range(n))
    members: dict[int, list[int]] = {}
    reasons = [""] * n
    for row, references in results:
        calls = [ids[id] for id in references if id in ids and kinds[ids[id]] is AGENT]
        if calls:
            call = head[calls[0]]
            head[row] = call
            members.setdefault(call, [call]).append(row)
            cost[call] += cost[row]
            score[call] = max(score[call], score[row])
            time[call] = max(time[call], time[row])
        elif any(id not in ids for id in references):
            reasons[row] = "orphan"

    pinned = {head[row] for row in range(n) if kinds[row] is SYSTEM}
    if last_user >= 0:
        pinned.add(head[last_user])
    if last_turn > last_user and not reasons[last_turn]:
        pinned.add(head[last_turn])

    memories: dict[str, int] = {}
    facts: dict[str, int] = {}
    for row in range(n):
        kind = kinds[row]
        if kind is MEMORY or kind is KNOWLEDGE:
            best = memories if kind is MEMORY else facts
            other = best.setdefault(blocks[row].content, row)
            if other != row:
                worse = other
                if (score[row], time[row], row) > (score[other], time[other], other):
                    best[blocks[row].content] = row
                else:
                    worse = row
                reasons[worse] = "duplicate"

    total = 3
    for row in pinned:
        total += cost[row]
        reasons[row] = "pinned"
    if total > available:
        raise ValueError("pins do not fit")
    waiting = [row for row in range(n) if head[row] == row and not reasons[row]]
    last = list(range(n))
    for row, rows in members.items():
        last[row] = rows[-1]
    # Stable sorts by one number each: the last one decides first, and most rows are newer the later they come.
    for key in (last, time, score):
        waiting.sort(key=key.__getitem__, reverse=True)
    for row in waiting:
        needed = total + cost[row]
        if needed <= available:
            total = needed
            reasons[row] = "kept"
        else:
            reasons[row] = "budget"
    for call, rows in members.items():
        reason = reasons[call]
        for row in rows[1:]:
            reasons[row] = reason if reason in ("kept", "pinned") else "unit"
    kept = [row for row in range(n) if reasons[row] in ("kept", "pinned")]
    return kept, reasons, total
