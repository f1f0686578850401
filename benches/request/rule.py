"""What a chat request costs and whether a provider takes it, in plain Python: the rule of docs/framing.md and tiktoken.

Nothing in here is pycontext's: it judges what pycontext and its peers give back, and counts for peers that let their
caller count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import tiktoken

from benches.data import tiktoken_cache

ENCODING = "o200k_base"
MODEL = "gpt-4o"
REPLY = 3

Message = dict[str, Any]


@cache
def encoding() -> tiktoken.Encoding:
    os.environ["TIKTOKEN_CACHE_DIR"] = str(tiktoken_cache())
    return tiktoken.get_encoding(ENCODING)


def count(text: str) -> int:
    return len(encoding().encode_ordinary(text)) if text else 0


@cache
def count_name(name: str) -> int:
    """There are few names, and whoever counts remembers them."""
    return count(name)


def message_tokens(message: Message) -> int:
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or ()]
    tokens = tokens_of(text_of(message), [(name, without_blanks(arguments)) for name, arguments in calls])
    if message.get("name") and message["role"] != "tool":
        tokens += count_name(message["name"]) + 1
    return tokens


def tokens_of(text: str, calls: Sequence[tuple[str, str]]) -> int:
    """Tokens of a message of this text and these calls, each a name and its arguments as JSON without blanks."""
    tokens = count(text) + 4 if text or not calls else 0
    if len(calls) == 1:
        ((name, arguments),) = calls
        tokens += 2 * count_name(name) + count(arguments) + 9
    elif calls:
        uses = (f'{{"recipient_name":"functions.{name}","parameters":{arguments}}}' for name, arguments in calls)
        tokens += max(1, count(f'{{"tool_uses":[{",".join(uses)}]}}') + 21 - 4 * len(calls))
    return tokens


def request_tokens(messages: Iterable[Message]) -> int:
    return sum(message_tokens(message) for message in messages) + REPLY


def text_of(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def without_blanks(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), separators=(",", ":"), ensure_ascii=False)
    except ValueError:
        return arguments


@dataclass(frozen=True)
class Check:
    """What is to be said of a request that was cut to a budget."""

    messages: int
    tokens: int
    budget: int
    orphans: int
    """Results without their call right before them."""
    unanswered: int
    """Calls without a result right behind them."""
    has_system: bool
    """Every system message is there, to the letter."""
    has_user: bool
    """The last user message is."""

    @classmethod
    def of(cls, given: Sequence[Message], kept: Sequence[Message], budget: int) -> Check:
        orphans, unanswered = pairing(kept)
        texts = {(message["role"], text_of(message)) for message in kept}
        system = [("system", text_of(message)) for message in given if message["role"] == "system"]
        users = [("user", text_of(message)) for message in given if message["role"] == "user"]
        return cls(
            len(kept),
            request_tokens(kept),
            budget,
            orphans,
            unanswered,
            has_system=texts.issuperset(system),
            has_user=texts.issuperset(users[-1:]),
        )

    @property
    def faults(self) -> list[str]:
        found = {
            "over": self.tokens > self.budget,
            numbered(self.orphans, "orphan result"): self.orphans,
            numbered(self.unanswered, "call") + " without result": self.unanswered,
            "system lost": not self.has_system,
            "user's request lost": not self.has_user,
        }
        return [fault for fault, is_there in found.items() if is_there]


def numbered(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def pairing(messages: Iterable[Message]) -> tuple[int, int]:
    """How many results have no call, and how many calls no result, as a provider looks for them."""
    orphans = unanswered = 0
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] in waiting:
                waiting.remove(message["tool_call_id"])
            else:
                orphans += 1
            continue
        unanswered += len(waiting)
        waiting = [call["id"] for call in message.get("tool_calls") or ()]
    return orphans, unanswered + len(waiting)
