"""Costs add up to what an independent count of the rendered request gives."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import tiktoken_count
from pycontext import BlockSet, ContextBlock, ContextType, prune
from pycontext._core import escape, unescape
from pycontext.messages.openai import to_blocks
from reference import count_messages
from strategies import TEXTS, block_lists, messages

ANY = 2**40
BLOCKS = st.lists(st.tuples(st.sampled_from(ContextType), TEXTS), max_size=5)


def make(pairs):
    return [ContextBlock(f"b{i}", text, 0.5, kind, timestamp=i) for i, (kind, text) in enumerate(pairs)]


@given(chat=messages())
def test_the_cost_of_messages_is_the_count_of_the_request(chat):
    assert BlockSet(to_blocks(chat)).total_cost("openai") == count_messages(chat)


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
@given(pairs=BLOCKS)
def test_the_cost_of_text_is_the_count_of_the_text(encoding, pairs):
    selection = prune(make(pairs), ANY, render="text", counter=encoding)
    assert selection.tokens == tiktoken_count(selection.text(), encoding)


@given(blocks=block_lists())
def test_costs_of_strange_blocks_add_up_too(blocks):
    for render in ("openai", "text"):
        selection = prune(blocks, ANY, render=render)
        if render == "text":
            assert selection.tokens == tiktoken_count(selection.text())
        else:
            assert selection.tokens == count_messages(selection.messages())


@given(first=TEXTS, second=TEXTS)
def test_a_header_of_ours_begins_a_pre_token_whatever_is_before(first, second):
    # The rule that lets counts of pieces add up, for both encodings.
    for encoding in ("o200k_base", "cl100k_base"):
        head, tail = f"{first}\n\n", f"[USER]\n{second}"
        joint = tiktoken_count(head + tail, encoding)
        assert joint == tiktoken_count(head, encoding) + tiktoken_count(tail, encoding)


def rendered_lines(text):
    return text.splitlines()


def looks_like_header(line):
    """Whether the first character that can be seen is an opening bracket, or normalises to one."""
    for character in line:
        if character.isspace() or unicodedata.category(character) in ("Cc", "Cf", "Zs"):
            continue
        return unicodedata.normalize("NFKC", character).startswith("[")
    return False


@given(content=TEXTS | st.text(alphabet="[\uff3b\ufe47\\ \n\r\t\u200b\u2028\x85\u3164\ufe0fx]", max_size=12))
def test_no_content_can_write_a_header(content):
    escaped = escape(content)
    assert unescape(escaped) == content
    assert not any(looks_like_header(line) for line in rendered_lines(escaped))


def test_every_bracket_of_unicode_is_known():
    for point in range(0x110000):
        character = chr(point)
        if not 0xD800 <= point < 0xE000 and unicodedata.normalize("NFKC", character).startswith("["):
            assert escape(character) == "\\" + character


@given(pairs=BLOCKS)
def test_a_rendered_line_that_starts_with_a_bracket_is_ours(pairs):
    text = prune(make(pairs), ANY, render="text", policy="recent").text()
    headers = [line for line in rendered_lines(text) if looks_like_header(line)]
    assert all(re.fullmatch(r"\[(SYSTEM|USER|AGENT|MEMORY|KNOWLEDGE|TOOL)\]", line) for line in headers)


def test_calls_are_part_of_the_text():
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at": "L1"}'}}
    chat = [
        {"role": "assistant", "content": "one moment", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "found"},
    ]
    text = prune(to_blocks(chat), ANY, render="text").text()
    assert text == '[AGENT]\none moment\n{"name":"look","arguments":{"at":"L1"}}\n\n[TOOL]\nfound'


@pytest.mark.parametrize(
    ("message", "exact"),
    [
        ({"role": "user", "content": [{"type": "text", "text": "hi"}]}, True),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, False),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}, False),
        ({"role": "assistant", "content": "x", "reasoning_content": "because"}, False),
        ({"role": "assistant", "content": "x", "refusal": None, "annotations": [], "audio": None}, True),
    ],
)
def test_what_is_estimated_says_so(message, exact):
    assert prune(to_blocks([message]), ANY).exact is exact


def test_an_image_has_a_price():
    def cost(detail):
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000, "detail": detail}}
        return BlockSet(to_blocks([{"role": "user", "content": [image]}])).total_cost("openai")

    assert cost("low") == 3 + 4 + 85
    assert cost("high") == 3 + 4 + 1_445


WHY = "because " * 50


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ({"function": {"name": "f", "arguments": "{ cut off   " + WHY}}, "{ cut off   " + WHY),
        ({"function": {"name": "f", "arguments": "[1, 2   " + WHY}}, "[1, 2   " + WHY),
        ({"function": {"name": "f", "arguments": "{}"}, "note": WHY}, WHY),
        ({"function": {"name": "f", "arguments": "{}", "note": WHY}}, WHY),
        ({"type": "custom", "custom": {"name": "f", "input": WHY}}, WHY),
        ({"type": "odd", "odd": WHY}, WHY),
    ],
)
def test_nothing_of_a_call_is_free(call, text):
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", **call}]}
    assert BlockSet(to_blocks([message])).total_cost("openai") >= tiktoken_count(text)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": [WHY]}]},
        {"role": "user", "content": [{"type": "text", "text": "x", "note": WHY}]},
        {"role": "user", "content": [{"type": "audio", "audio": WHY}]},
        {"role": "assistant", "content": "x", "tool_call_id": "c", "name": WHY},
        {"role": "assistant", "content": "x", "refusal": WHY},
        {"role": "assistant", "content": "x", "tool_calls": WHY},
    ],
)
def test_nothing_of_a_message_is_free(message):
    assert BlockSet(to_blocks([message])).total_cost("openai") >= tiktoken_count(WHY)


def test_a_name_counts_once_the_type_is_edited():
    (block,) = to_blocks([{"role": "tool", "tool_call_id": "c", "name": WHY, "content": "x"}])
    assert BlockSet([block]).total_cost("openai") < 20
    block.type = ContextType.USER
    assert BlockSet([block]).total_cost("openai") > tiktoken_count(WHY)
