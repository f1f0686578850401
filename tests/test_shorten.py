"""Shorter forms instead of dropping: what is kept of a result, what is made whole again, and that the budget holds."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycontext import (
    BlockSet,
    BudgetExceededError,
    Chat,
    ContextBlock,
    ContextManager,
    ContextType,
    Shorten,
    ValidationError,
    prune,
)
from pycontext._core import repack, stub
from pycontext.messages.openai import to_blocks
from pycontext.recall import RECALL_TOOL, recall

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def call(id):
    return {"id": id, "type": "function", "function": {"name": "search_flights", "arguments": "{}"}}


def flights(n, count=6):
    found = [
        {
            "flight_number": f"HAT{n:02}{k}",
            "origin": "New York City",
            "destination": "Los Angeles, California",
            "status": "available",
            "remark": "Meals are served on this flight, and seats may be chosen at the gate.",
            "price": 100 + k,
        }
        for k in range(count)
    ]
    return json.dumps({"flights": found}, indent=1)


def conversation(results, last="And now?"):
    chat = [{"role": "system", "content": "You book flights."}, {"role": "user", "content": "Find me flights."}]
    for n, result in enumerate(results):
        chat.append({"role": "assistant", "content": None, "tool_calls": [call(f"c{n}")]})
        chat.append({"role": "tool", "tool_call_id": f"c{n}", "content": result})
    return [*chat, {"role": "user", "content": last}] if last else chat


def test_nothing_is_shortened_unless_asked():
    blocks = to_blocks(conversation([flights(n) for n in range(6)]))
    selection = prune(blocks, 1_000)
    assert selection.shortened == {}
    assert all("form" not in entry for entry in selection.to_dict()["blocks"])


def test_results_are_stubs_and_the_newest_are_whole():
    blocks = to_blocks(conversation([flights(n) for n in range(8)]))
    plain, short = prune(blocks, 1_500), prune(blocks, 1_500, shorten="tool")
    assert len(short.kept_ids) > len(plain.kept_ids)
    assert plain.tokens <= 1_500
    assert short.tokens <= 1_500
    forms = [short.shortened[id] for id in short.kept_ids if id in short.shortened]
    assert forms == sorted(forms, reverse=True), "stubs first, then what is whole: JSON without blanks"
    assert {"repack", "stub"} == set(forms)
    text = json.dumps(short.messages())
    for n in range(8):
        if f"m{2 * n + 3}" in short.kept_ids:
            assert f"HAT{n:02}5" in text
    first = next(message for message in short.messages() if message["role"] == "tool")
    content = json.loads(first["content"])
    assert content["shortened"] in short.kept_ids
    assert content["flights"][0]["status"] == "available"
    assert "remark" not in content["flights"][0]
    assert first["tool_call_id"].startswith("c")


def test_what_was_chosen_is_counted_as_it_is_rendered():
    blocks = to_blocks(conversation([flights(n, 2 + n) for n in range(6)]))
    for render in ("openai", "text"):
        for budget in range(300, 2_000, 190):
            selection = BlockSet(blocks).prune(budget, render=render, shorten="tool")
            assert selection.tokens <= budget
            assert selection.tokens == BlockSet(selection.kept).total_cost(render)
            assert selection.render == render


def test_the_callers_blocks_stay_as_they_are():
    blocks = to_blocks(conversation([flights(n) for n in range(4)]))
    held = BlockSet(blocks)
    contents = [block.content for block in blocks]
    kept = prune(blocks, 700, shorten="tool").kept
    held.prune(700, shorten="tool")
    assert [block.content for block in blocks] == contents
    assert [block.content for block in held] == contents
    assert any(block.content not in contents for block in kept)


def test_a_last_unit_that_is_too_large_is_cut_with_a_mark():
    giant = " ".join(f"word{n}" for n in range(2_600))
    blocks = to_blocks(conversation([flights(1), giant], last=None))
    with pytest.raises(BudgetExceededError) as caught:
        prune(blocks, 1_000)
    assert caught.value.blockers == ["m5"]
    selection = prune(blocks, 1_000, shorten="tool")
    assert {"m0", "m1", "m4", "m5"} <= set(selection.kept_ids)
    assert 900 < selection.tokens <= 1_000
    assert selection.shortened["m5"] == "ends"
    result = selection.messages()[-1]["content"]
    assert result.startswith("word0 word1 ")
    assert result.endswith(" word2599")
    assert re.search(r'\[shortened: [\d,]+ of [\d,]+ tokens left out; recall_context\("m5"\) has all\]', result)
    assert "beginning and its end" in selection.explain("m5")


def test_a_last_unit_of_json_is_a_stub_before_it_is_cut():
    blocks = to_blocks(conversation([flights(1, 40)], last=None))
    whole = BlockSet(blocks).total_cost("openai")
    selection = prune(blocks, whole * 2 // 3, shorten="tool")
    assert selection.shortened == {"m3": "stub"}
    cut = prune(blocks, 300, shorten="tool")
    assert cut.shortened == {"m3": "ends"}
    assert cut.tokens <= 300


def test_what_cannot_be_shortened_raises():
    rules = {"role": "system", "content": "Rule. " * 900}
    blocks = to_blocks([rules, *conversation([flights(1)], last=None)[1:]])
    with pytest.raises(BudgetExceededError) as caught:
        prune(blocks, 500, shorten="tool")
    assert caught.value.blockers[0] == "m0"
    with pytest.raises(BudgetExceededError):
        prune(to_blocks([{"role": "user", "content": "word " * 900}]), 500, shorten="tool")


def test_a_unit_that_is_not_the_last_may_fall():
    giant = "word " * 5_800
    selection = prune(to_blocks(conversation([giant])), 1_000, shorten=Shorten(types=()))
    assert selection.kept_ids == ["m0", "m1", "m4"]
    assert prune(to_blocks(conversation([giant])), 1_000, shorten="tool").shortened == {"m3": "ends"}


def test_pinned_blocks_are_whole_unless_asked():
    blocks = to_blocks(conversation([flights(n) for n in range(5)]))
    kept = prune(blocks, 1_200, shorten="tool", pin=["m3"])
    assert "m3" not in kept.shortened
    asked = prune(blocks, 1_200, shorten=Shorten(pins="shorten"), pin=["m3"])
    assert asked.shortened["m3"] == "stub"


def test_a_summary_of_the_caller_stands_for_a_block():
    blocks = [
        ContextBlock("long", "A long story. " * 100, 0.9, ContextType.MEMORY),
        ContextBlock("ask", "What was it?", 0.9, ContextType.USER),
    ]
    shorten = Shorten(summaries={"long": "It was a story."})
    selection = prune(blocks, 100, shorten=shorten)
    assert selection.shortened == {"long": "summary"}
    assert selection.kept[0].content == "It was a story."
    assert prune(blocks, 1_000, shorten=shorten).kept[0].content == blocks[0].content


def test_the_whole_can_be_had_again():
    manager = ContextManager(100_000, relevance_threshold=0.0)
    session = manager.create_session("a")
    for block in to_blocks(conversation([flights(n) for n in range(5)])):
        manager.add_context(
            session,
            block.content,
            block.type,
            block_id=block.id,
            metadata=block.metadata,
            timestamp=block.timestamp,
            references=block.references,
        )
    selection = manager.select(session, 900, shorten="tool")
    (first, *_) = selection.shortened
    assert recall(manager, session, first) == flights(int(first[1:]) // 2 - 1)
    manager.prune(session, 900, shorten="tool")
    assert recall(manager, session, "m3") == flights(0), "also of what fell"
    assert recall(manager, session, "nobody") == "there is no text 'nobody'"
    assert RECALL_TOOL["function"]["name"] == "recall_context"


def test_a_chat_returns_shortened_messages_as_new_ones():
    messages = conversation([flights(n) for n in range(6)])
    chat = Chat()
    selection = chat.prune(messages, 1_000, shorten="tool")
    assert chat.messages(selection) == selection.messages()
    assert messages == conversation([flights(n) for n in range(6)])


def test_equal_input_gives_equal_bytes():
    blocks = to_blocks(conversation([flights(n) for n in range(6)]))
    made = {json.dumps(prune(blocks, 1_000, shorten="tool").messages()) for _ in range(3)}
    assert len(made) == 1


@given(JSON, st.integers(0, 4))
def test_json_without_blanks_is_the_same_json(value, indent):
    text = json.dumps(value, indent=indent or None, ensure_ascii=bool(indent % 2))
    packed = repack(text)
    if isinstance(value, dict | list):
        assert json.loads(packed) == value
        assert repack(packed) == packed
        assert len(packed) <= len(text)
    else:
        assert packed is None


def leaves(value):
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)
    else:
        yield value


@given(JSON)
def test_a_stub_is_json_with_every_number_and_identifier(value):
    short = stub(json.dumps({"it": value}), "m1")
    read = json.loads(short)
    assert read.pop("shortened") == "m1"
    old, new = list(leaves(value)), list(leaves(read))
    numbers = [leaf for leaf in old if isinstance(leaf, int | float)]
    assert [leaf for leaf in new if isinstance(leaf, int | float)] == numbers
    rest = iter(old)
    assert all(any(leaf == other and type(leaf) is type(other) for other in rest) for leaf in new), "nothing is new"


@settings(max_examples=60)
@given(
    results=st.lists(st.builds(flights, st.integers(0, 9), st.integers(0, 5)) | st.text(max_size=300), max_size=5),
    budget=st.integers(60, 1_500),
    last=st.sampled_from(["And now?", None]),
)
def test_every_request_fits_and_exchanges_are_whole(results, budget, last):
    blocks = to_blocks(conversation(results, last))
    try:
        selection = prune(blocks, budget, shorten="tool")
    except BudgetExceededError:
        return
    assert selection.tokens <= budget
    assert selection.tokens == BlockSet(selection.kept).total_cost("openai")
    kept = set(selection.kept_ids)
    for block in blocks:
        if block.references:
            assert (block.id in kept) == (block.references[0] in kept)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shorten": "all"}, "shorten 'all' is neither tool nor a Shorten"),
        ({"shorten": 1}, "shorten 1 is neither tool nor a Shorten"),
        ({"shorten": "tool", "render": str}, "shorten needs render openai or text"),
    ],
)
def test_what_is_no_way_to_shorten_is_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        prune(to_blocks(conversation([])), 500, **options)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"types": "TOOL"}, "types 'TOOL' is not a tuple of ContextType"),
        ({"types": (ContextType.SYSTEM,)}, "is not a ContextType but SYSTEM"),
        ({"summaries": {"a": 1}}, "is not a dict of str to str"),
        ({"head_tokens": -1}, "head_tokens -1 is not a whole number from 0"),
        ({"least_saved": True}, "least_saved True is not a whole number from 0"),
        ({"pins": "cut"}, "pins 'cut' is not one of keep, shorten"),
    ],
)
def test_fields_have_limits(fields, message):
    with pytest.raises(ValidationError, match=message):
        Shorten(**fields)
