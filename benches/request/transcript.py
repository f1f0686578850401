"""A conversation of any length that nobody had, made of recorded ones: new texts every time, and no two runs differ."""

from __future__ import annotations

import json
import random
import re
import string
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from benches.data import read_jsonl
from benches.request.rule import Message

SOURCE = "conversations/airline.jsonl"

# Characters of a result: 5,000 messages then have the 365,000 tokens that were asked for.
LONGEST_RESULT = 520

# Words and numbers that get others in their place; not the names and literals of JSON, nor what is escaped there.
SLOT = re.compile(r'((?<![\\A-Za-z])(?!(?:true|false|null)\b)[A-Za-z]{4,}(?![\w ]*":)|\d+(?![\w ]*":))')

Pieces = list[str]
"""A text, at odd positions what gets something else in its place."""


class Recorded:
    """Recorded conversations with their texts in pieces."""

    def __init__(self, conversations: list[list[Message]]) -> None:
        for message in (message for messages in conversations for message in messages if message["role"] == "tool"):
            message["content"] = message["content"][:LONGEST_RESULT]
        self.system = conversations[0][0]
        self.conversations = [messages[1:] for messages in conversations]
        self.pieces: dict[str, Pieces] = {}
        slots: set[str] = set()
        for text in (text for messages in conversations for message in messages for text in texts_of(message)):
            if text not in self.pieces:
                self.pieces[text] = SLOT.split(text)
                slots.update(self.pieces[text][1::2])
        self.slots = sorted(slots)

    def renaming(self, rng: random.Random) -> dict[str, str]:
        """For each word another one of its length, for each number one of as many digits."""
        alike: defaultdict[tuple[int, bool], list[str]] = defaultdict(list)
        others = {}
        for slot in self.slots:
            if slot.isdigit():
                others[slot] = number_like(slot, rng)
            elif slot.isupper():
                others[slot] = "".join(rng.choices(string.ascii_uppercase, k=len(slot)))
            else:
                alike[len(slot), slot[0].isupper()].append(slot)
        for words in alike.values():
            others |= zip(words, rng.sample(words, len(words)), strict=True)
        return others

    def written(self, text: str, others: dict[str, str]) -> str:
        pieces = self.pieces[text].copy()
        pieces[1::2] = [others[piece] for piece in pieces[1::2]]
        return "".join(pieces)


@cache
def recorded() -> Recorded:
    return Recorded([row["messages"] for row in read_jsonl(SOURCE)])


def transcript(size: int, seed: str, *, more: int = 0) -> tuple[list[Message], list[Message]]:
    """A conversation of `size` messages that ends with one of the user, and `more` that the user could send next.

    The recorded conversations follow each other in an order of their own, as often as they are needed, under one system
    message. Each time through, every word of four letters or more has changed places with another one of its length,
    wherever it stands; numbers and codes have other digits and letters. Ids of calls are new, long results are cut.
    """
    rng = random.Random(seed)
    source = recorded()
    others = source.renaming(rng)
    made = [renamed(source, source.system, others, {}, rng)]
    while len(made) < size - 1:
        others = source.renaming(rng)
        for messages in rng.sample(source.conversations, len(source.conversations)):
            ids: dict[str, str] = {}
            made += [renamed(source, message, others, ids, rng) for message in messages]
    del made[size - 1 :]
    said = [message for messages in source.conversations for message in messages if not message.get("tool_calls")]
    if made[-1].get("tool_calls"):
        answer = rng.choice([message for message in said if message["role"] == "assistant"])
        made[-1] = renamed(source, answer, source.renaming(rng), {}, rng)
    asked = [message for message in said if message["role"] == "user"]
    others = source.renaming(rng)
    last, *next_ = (renamed(source, rng.choice(asked), others, {}, rng) for _ in range(1 + more))
    return [*made, last], next_


def renamed(
    source: Recorded, message: Message, others: dict[str, str], ids: dict[str, str], rng: random.Random
) -> Message:
    """The message with other words; `ids` are those of the calls of its conversation so far."""
    made: dict[str, Any] = {}
    for key, value in message.items():
        if key == "content":
            made[key] = value and source.written(value, others)
        elif key == "tool_calls":
            made[key] = [renamed_call(source, call, others, ids, rng) for call in value]
        else:
            made[key] = ids[value] if key == "tool_call_id" else value
    return made


def renamed_call(
    source: Recorded, call: dict[str, Any], others: dict[str, str], ids: dict[str, str], rng: random.Random
) -> dict[str, Any]:
    ids[call["id"]] = f"call_{rng.randbytes(12).hex()}"
    arguments = source.written(call["function"]["arguments"], others)
    json.loads(arguments)  # else a peer would be given what no model writes
    return {**call, "id": ids[call["id"]], "function": {**call["function"], "arguments": arguments}}


def number_like(number: str, rng: random.Random) -> str:
    """A leading zero stays, and no other comes: JSON has none."""
    first = "0" if number[0] == "0" else rng.choice("123456789")
    return first + "".join(rng.choices(string.digits, k=len(number) - 1))


def texts_of(message: Message) -> Iterator[str]:
    """All that is counted of a message: its text, and the arguments of its calls."""
    if message.get("content"):
        yield message["content"]
    for call in message.get("tool_calls") or ():
        yield call["function"]["arguments"]


def all_texts(messages: Iterable[Message]) -> list[str]:
    """The same with the names of the calls."""
    texts = [text for message in messages for text in texts_of(message)]
    texts += [call["function"]["name"] for message in messages for call in message.get("tool_calls") or ()]
    return texts
