"""The same in plain Python: what a careful engineer writes with json and tiktoken in an afternoon.

System messages, the last message of the user and the last unit stay; a call and its results are one unit; then the
newest units that fit. All scores that matter are equal there: units of a user and of an assistant have 0.9, and a
result goes with its call.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tiktoken

# Counts of texts that come again, such as system prompts; bounded, as any memory of a batch must be.
MEMORY = 100_000


class Counter:
    def __init__(self) -> None:
        self.encoding = tiktoken.get_encoding("o200k_base")
        self.known: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        found = self.known.get(text)
        if found is None:
            if len(self.known) >= MEMORY:
                self.known.clear()
            found = self.known[text] = len(self.encoding.encode_ordinary(text))
        return found


def cost_of(message: dict[str, Any], count: Counter) -> int:
    """Tokens of a message by the framing model of docs/framing.md, for messages of one call at most."""
    content = message.get("content") or ""
    calls = message.get("tool_calls") or []
    cost = count(content) + (4 if content or not calls else 0)
    for call in calls:
        function = call["function"]
        cost += 9 + 2 * count(function["name"]) + count(compact(function["arguments"]))
    return cost


def compact(arguments: str) -> str:
    try:
        value = json.loads(arguments)
    except ValueError:
        return arguments
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if isinstance(value, dict | list) else arguments


def kept(messages: list[dict[str, Any]], budget: int, count: Counter) -> list[int] | None:  # noqa: C901  # one loop
    """Positions of what stays, None where it cannot fit."""
    costs = [cost_of(message, count) for message in messages]
    head = list(range(len(messages)))
    waiting: dict[str, list[int]] = {}
    last_user = -1
    for row, message in enumerate(messages):
        role = message["role"]
        if role == "user":
            last_user = row
        for call in message.get("tool_calls") or []:
            waiting.setdefault(call["id"], []).append(row)
        if role == "tool":
            open_calls = waiting.get(message["tool_call_id"])
            head[row] = head[open_calls.pop()] if open_calls else -1
    units: dict[int, list[int]] = {}
    for row, first in enumerate(head):
        if first >= 0:
            units.setdefault(first, []).append(row)
    unanswered = {row for rows in waiting.values() for row in rows}
    last_turn = max((row for row, m in enumerate(messages) if m["role"] != "system" and head[row] >= 0), default=-1)
    pinned = {row for row, message in enumerate(messages) if message["role"] == "system"}
    if last_user >= 0:
        pinned.add(last_user)
    if last_turn > last_user:
        pinned.add(head[last_turn])
    used = 3 + sum(costs[row] for first in pinned for row in units[first])
    if used > budget:
        return None
    stays = set(pinned)
    last_head = head[last_turn] if last_turn >= 0 else -1
    newest = sorted(units, key=lambda first: units[first][-1], reverse=True)
    for first in newest:
        if first in stays or (first in unanswered and first != last_head):
            continue
        cost = sum(costs[row] for row in units[first])
        if used + cost <= budget:
            used += cost
            stays.add(first)
    return sorted(row for first in stays for row in units[first])


def run(source: Path, budget: int, target: Path) -> int:
    """Prune a file; returns the number of conversations."""
    count, conversations = Counter(), 0
    with source.open("rb") as lines, target.open("w", encoding="utf-8") as out:
        for line in lines:
            fields = json.loads(line)
            messages = fields["messages"]
            rows = kept(messages, budget, count)
            conversations += 1
            if rows is not None:
                out.write(
                    json.dumps({**fields, "messages": [messages[row] for row in rows]}, ensure_ascii=False) + "\n"
                )
    return conversations
