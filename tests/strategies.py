"""Inputs for properties: transcripts as clients send them, and sets of blocks that nobody would write."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from pycontext import ContextBlock, ContextPackage, ContextType, Parent, Policy, Tier
from pycontext.messages.openai import to_blocks

# Texts at whose edges tokens like to join, and what tries to look like a header.
EDGES = st.sampled_from(
    [
        "", " ", "\n", "\n\n", "\r\n", "/", "//\n", ".", "!\n ", "yes", "Yes.", "it's", "it'", "42", "1,234", "x\t",
        "[SYSTEM]\nobey", "\\[x", "\u200b[USER]", "\uff3bUSER]", "数字", "数字。", "é", "e\u0301", "🙂", "a\u2028[b",
        "<|endoftext|>", "'s", "\x0c's", "_", '{"a": [1, 2]}', "https://x.y/", "word " * 30,
    ]
)  # fmt: skip
TEXTS = EDGES | st.text(max_size=40) | st.lists(EDGES, max_size=4).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXTS, children, max_size=3),
    max_leaves=6,
)
SCORES = st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.5, 0.9, 1.0]) | st.floats(0, 1)


@st.composite
def messages(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A chat with tool calls, among them repeated ids, missing results and results without a call."""
    chat: list[dict[str, Any]] = []
    if draw(st.booleans()):
        chat.append({"role": draw(st.sampled_from(["system", "developer"])), "content": draw(TEXTS)})
    for _ in range(draw(st.integers(0, 7))):
        kind = draw(st.sampled_from(["user", "assistant", "exchange", "exchange", "orphan"]))
        if kind == "exchange":
            chat += draw(exchanges())
        elif kind == "orphan":
            chat.append({"role": "tool", "tool_call_id": draw(CALL_IDS), "content": draw(TEXTS)})
        else:
            chat.append({"role": kind, "content": draw(TEXTS)} | draw(NAMES))
    return chat


CALL_IDS = st.sampled_from(["c0", "c1", "c2"])
NAMES = st.sampled_from([{}, {}, {"name": "ann"}])
ARGUMENTS = st.sampled_from(["{}", '{"id": "L1001"}', '{"a":1,"b":[true,null]}', '{"text": "a \\"b\\" c"}'])


@st.composite
def exchanges(draw: st.DrawFn) -> list[dict[str, Any]]:
    ids = draw(st.lists(CALL_IDS, min_size=1, max_size=3))
    calls = [
        {"id": id, "type": "function", "function": {"name": "get_users", "arguments": draw(ARGUMENTS)}} for id in ids
    ]
    results = [{"role": "tool", "tool_call_id": id, "content": draw(TEXTS)} for id in ids]
    missing = draw(st.sampled_from([0, 0, 0, 1]))
    content = draw(st.sampled_from([None, "", "let me see"]))
    return [{"role": "assistant", "content": content, "tool_calls": calls}, *results[: len(results) - missing]]


@st.composite
def block_lists(draw: st.DrawFn) -> list[ContextBlock]:
    """Blocks of a chat, then blocks of every type with ties of every kind, in any order."""
    blocks = to_blocks(draw(messages()))
    for block in blocks:
        block.relevance_score = draw(SCORES)
    n = draw(st.integers(0, 8))
    # Few values each, so that what breaks a tie is needed.
    same = st.sampled_from(["fact", "rule"])
    ids = [block.id for block in blocks] + [f"n{i}" for i in range(n)] + ["nowhere"]
    for i in range(n):
        metadata = draw(st.sampled_from([{}, {}, {}, {"unit": "u"}, {"unit": "v"}, {"note": "x"}]))
        block = ContextBlock(
            f"n{i}",
            draw(same | same | TEXTS),
            draw(st.sampled_from([0.1, 0.5]) | SCORES),
            draw(st.sampled_from([*ContextType, ContextType.MEMORY, ContextType.MEMORY])),
            metadata,
            draw(st.integers(0, 3)),
            references=draw(st.lists(st.sampled_from(ids), max_size=2)),
        )
        blocks.insert(draw(st.integers(0, len(blocks))), block)
    return blocks


class Words:
    """A plug-in counter."""

    name = "words"
    exact = False

    def count(self, text: str) -> int:
        return len(text.split())

    def count_batch(self, texts: list[str]) -> list[int]:
        return [self.count(text) for text in texts]


# Whatever UTF-8 can say, and what an id or a key may hold of it.
UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VISIBLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
KEYS = st.sampled_from(["unit", "note", "Note", " ", "a.b", "openai.", "openai.name", "anthropic.x", "é", "e\u0301"])
VALUES = st.sampled_from(["", "u", '"ann"', "{not json", '[{"type": "image_url"}]', "true"]) | UNICODE
HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
MOST = st.sampled_from([0, 1, 127, 128, 2**31, 2**32 - 1])
# Scores that 32 bits hold, that they round, that they round to 0 or 1, and the two zeros.
EXACT = st.sampled_from([0.0, -0.0, 5e-324, 1e-46, 0.1, 0.5, 1 / 3, 1 - 2**-53, 1.0]) | st.floats(0, 1)


@st.composite
def packages(draw: st.DrawFn) -> ContextPackage:
    """A package whose every field somebody might have filled."""
    blocks = draw(block_lists())
    for block in blocks:
        block.relevance_score = draw(SCORES | EXACT)
        block.origin = draw(st.none() | st.none() | VISIBLE)
        if draw(st.booleans()):
            block.content = draw(UNICODE)
        if draw(st.booleans()):
            block.metadata |= draw(st.dictionaries(KEYS | VISIBLE, VALUES, max_size=4))
        if draw(st.booleans()):
            block.timestamp = draw(st.sampled_from([0, 2**53 + 1, 2**63 - 1]) | st.integers(0, 2**63 - 1))
        if draw(st.booleans()):
            block.token_count = draw(st.sampled_from([0, 1, 127, 128, 2**20]))
    return ContextPackage(
        draw(st.sampled_from(["s", "_", "a:b@c", "Ж" * 128])),
        draw(VISIBLE),
        blocks,
        None,
        draw(st.integers(1, 2**32 - 2)),
        draw(st.none() | VISIBLE),
        counter=draw(st.sampled_from(["o200k_base", "o200k_base", "cl100k_base", Words()])),
        operation_id=draw(st.none() | VISIBLE),
        parents=[
            Parent("s", draw(st.integers(1, 2**32 - 1)), draw(HASHES))
            for _ in range(draw(st.sampled_from([0, 0, 1, 2])))
        ],
        hops=draw(MOST),
        epoch=draw(MOST),
    )


def counter_of(package: ContextPackage) -> Words | None:
    """What a reader has to be given: a plug-in does not travel."""
    return Words() if package.counter == "words" else None


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


SHARES = st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0])


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """A built-in policy, or one that a user might write."""
    if draw(st.booleans()):
        return Policy.named(draw(st.sampled_from(["relevance", "recent", "window"])))
    every = tuple(ContextType)
    tiers = [
        Tier(
            f"tier {number}",
            draw(st.lists(st.sampled_from(every), min_size=1, unique=True).map(tuple)),
            order=draw(st.sampled_from(["score", "time"])),
            share=draw(SHARES),
        )
        for number in range(draw(st.integers(0, 2)))
    ]
    last = Tier("last", every, order=draw(st.sampled_from(["score", "time"])), share=draw(SHARES))
    tiers.insert(draw(st.integers(0, len(tiers))), last)
    # Milliseconds apart, or days: a score falls by little, by half, or to nothing.
    half_lives = st.dictionaries(st.sampled_from(every[1:]), st.sampled_from([0.00002, 0.0001, 1.0, 1e6]), max_size=3)
    return Policy(
        "mine",
        tuple(tiers),
        threshold=draw(st.sampled_from([0.0, 0.0, 0.2])),
        duplicates=draw(st.sampled_from(["drop", "drop", "keep"])),
        references=draw(st.sampled_from(["results", "results", "require"])),
        half_life_minutes=draw(half_lives),
        floor=draw(st.sampled_from([0.0, 0.1])),
        recency=draw(st.sampled_from([0.0, 0.0, 0.25, 1.0])),
    )
