"""A long chat nobody has counted yet: pruned to a fifth of its tokens, in the time that tiktoken needs to count it."""

from __future__ import annotations

import os
from typing import Any

import tiktoken

from benches.data import missing, read_jsonl, tiktoken_cache
from benches.frame import Row, compare, race
from pycontext import prune
from pycontext.messages.openai import to_blocks

FILES = ("conversations/airline.jsonl", "conversations/telecom.jsonl")
MESSAGES = 5_000
ROUNDS = 15


def run() -> tuple[list[Row], list[str]]:
    if problem := missing(*FILES):
        return [], [f"prune messages was left out: {problem}"]
    os.environ["TIKTOKEN_CACHE_DIR"] = str(tiktoken_cache())
    encoding = tiktoken.get_encoding("o200k_base")
    messages = chat()
    tokens = prune(to_blocks(messages), 10**9).tokens

    def count(_number: int) -> int:
        return sum(len(encoding.encode_ordinary(text)) for message in messages for text in texts(message))

    def ours(number: int) -> list[dict[str, Any]]:
        return prune(to_blocks(messages), tokens // 5 - number).messages()

    rows = compare(
        f"prune {len(messages):,} messages of {tokens:,} tokens to a fifth, from messages to messages",
        race({"pycontext": ours, "tiktoken, counting alone": count}, ROUNDS),
        ours="pycontext",
    )
    return rows, []


def chat() -> list[dict[str, Any]]:
    """Recorded conversations as one; the system prompt of the first only."""
    messages: list[dict[str, Any]] = []
    for name in FILES:
        for conversation in read_jsonl(name):
            messages += [m for m in conversation["messages"] if m["role"] != "system" or not messages]
    # Up to the last message that is no call, so that nothing is pending.
    end = next(i for i in range(MESSAGES, 0, -1) if messages[i - 1]["role"] == "user")
    return messages[:end]


def texts(message: dict[str, Any]) -> list[str]:
    calls = message.get("tool_calls") or []
    return [message["content"] or "", *(call["function"]["arguments"] for call in calls)]
