"""Whether pruned conversations keep what was promised, judged from the files alone."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import tiktoken

Messages = Sequence[dict[str, Any]]


@cache
def _encoding() -> tiktoken.Encoding:
    return tiktoken.get_encoding("o200k_base")


@cache
def tokens_of(text: str) -> int:
    return len(_encoding().encode_ordinary(text))


def simple_count(messages: Messages) -> int:
    """tiktoken plus 4 a message; names and arguments of calls as they stand."""
    total = 0
    for message in messages:
        total += 4 + tokens_of(message.get("content") or "")
        for call in message.get("tool_calls") or []:
            total += tokens_of(call["function"]["name"]) + tokens_of(call["function"]["arguments"])
    return total


def framed_count(messages: Messages) -> int:
    """By docs/framing.md, for conversations with one call at a time."""
    total = 3
    for message in messages:
        content, calls = message.get("content") or "", message.get("tool_calls") or []
        total += tokens_of(content) + (4 if content or not calls else 0)
        for call in calls:
            arguments = json.dumps(json.loads(call["function"]["arguments"]), separators=(",", ":"), ensure_ascii=False)
            total += 2 * tokens_of(call["function"]["name"]) + tokens_of(arguments) + 9
    return total


def units_of(messages: Messages) -> tuple[list[list[int]], int]:
    """Rows that belong together, calls paired with results by order of occurrence; and how many rows are orphans."""
    waiting: defaultdict[str, list[int]] = defaultdict(list)
    units: dict[int, list[int]] = {}
    orphans = 0
    for row, message in enumerate(messages):
        if message["role"] == "tool":
            calls = waiting[message["tool_call_id"]]
            if calls:
                units[calls.pop()].append(row)
                continue
            orphans += 1
        for call in message.get("tool_calls") or []:
            waiting[call["id"]].append(row)
        units[row] = [row]
    orphans += sum(len(calls) for calls in waiting.values())
    return list(units.values()), orphans


def essence(message: dict[str, Any]) -> tuple[Any, ...]:
    """A message without what a client library may write in another way: empty content, blanks of arguments, names."""
    calls = [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or []
    ]
    return message["role"], message.get("content") or "", calls, message.get("tool_call_id")


def rows_kept(before: Messages, after: Messages) -> list[int] | None:
    """Which rows of the input the output has, None when it is no part of the input in order."""
    originals = [essence(message) for message in before]
    rows, start = [], 0
    for message in after:
        wanted = essence(message)
        while start < len(originals) and originals[start] != wanted:
            start += 1
        if start == len(originals):
            return None
        rows.append(start)
        start += 1
    return rows


def judge(source: Path, target: Path, budget: int) -> Counter[str]:
    """Count broken promises by kind; a conversation that is missing counts as refused."""
    before = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    after = {entry["id"]: entry for entry in map(json.loads, target.read_text(encoding="utf-8").splitlines())}
    found: Counter[str] = Counter(conversations=len(before))
    for entry in before:
        if entry["id"] not in after:
            found["refused"] += 1
            continue
        old, new = entry["messages"], after[entry["id"]]["messages"]
        found["messages kept"] += len(new)
        found["tokens kept"] += framed_count(new)
        found["over budget"] += simple_count(new) > budget
        found["over budget by the framing model"] += framed_count(new) > budget
        found["orphans"] += units_of(new)[1]
        rows = rows_kept(old, new)
        if rows is None:
            found["order or content changed"] += 1
            continue
        found["conversations with rewritten messages"] += any(
            old[row] != message for row, message in zip(rows, new, strict=True)
        )
        kept = set(rows)
        users = [row for row, message in enumerate(old) if message["role"] == "user"]
        systems = [row for row, message in enumerate(old) if message["role"] == "system"]
        found["system or last user lost"] += not kept >= {*systems, *users[-1:]}
        found["room left unused"] += any(
            framed_count([old[row] for row in sorted(kept | set(unit))]) <= budget
            for unit in units_of(old)[0]
            if not kept & set(unit)
        )
    return found
