"""A chat that is sent again and again: always the blocks that reading it anew would give."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycontext import BlockSet, BudgetExceededError, Chat, Selection, ValidationError, prune
from pycontext.messages.openai import to_blocks

TEXTS = st.text("ab \né", max_size=12)
CALL_IDS = st.sampled_from(["a", "b", "c"])


def call(id, name="look", arguments='{"id": "X1"}'):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


MESSAGES = st.one_of(
    st.builds(lambda text: {"role": "user", "content": text}, TEXTS),
    st.builds(lambda text: {"content": text, "role": "user", "name": "ann"}, TEXTS),
    st.builds(lambda text: {"role": "assistant", "content": text}, TEXTS),
    st.builds(lambda text: {"role": "developer", "content": text}, TEXTS),
    st.builds(lambda text: {"role": "user", "content": [{"type": "text", "text": text}, {"type": "x", "n": 1}]}, TEXTS),
    st.builds(
        lambda ids: {"role": "assistant", "content": None, "tool_calls": [call(id) for id in ids], "audio": None},
        st.lists(CALL_IDS, min_size=1, max_size=3),
    ),
    st.builds(lambda id, text: {"role": "tool", "tool_call_id": id, "content": text}, CALL_IDS, TEXTS),
    st.builds(
        lambda value: {"role": "user", "content": "x", "extra": value},
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=5,
        ),
    ),
    st.builds(lambda text: {"role": "function", "name": "f", "content": text}, TEXTS),
)


def edit(chat, row, text):
    chat[row] = {**chat[row], "content": text}


STEPS = st.one_of(
    st.tuples(st.just("add"), st.lists(MESSAGES, max_size=4)),
    st.tuples(st.just("cut"), st.integers(0, 6)),
    st.tuples(st.just("edit"), st.integers(0, 20), TEXTS),
    st.tuples(st.just("other"), st.lists(MESSAGES, max_size=4)),
    st.tuples(st.just("same")),
)


def taken(messages, step):
    match step:
        case ("add", more):
            return [*messages, *more]
        case ("cut", number):
            return messages[: max(len(messages) - number, 0)]
        case ("edit", row, text) if messages:
            edit(messages, row % len(messages), text)
            return messages
        case ("other", others):
            return others
    return list(messages)


@settings(deadline=None)
@given(steps=st.lists(STEPS, max_size=8), budget=st.integers(5, 120))
def test_a_chat_has_the_blocks_that_reading_it_anew_gives(steps, budget):
    chat, messages = Chat(), []
    for step in steps:
        messages = taken(messages, step)
        blocks = chat.update(messages)
        fresh = BlockSet(to_blocks(messages))
        assert blocks == fresh
        assert blocks.exact_hashes() == fresh.exact_hashes()
        assert blocks.units() == fresh.units()
        assert blocks.total_cost("openai") == fresh.total_cost("openai")
        try:
            expected = fresh.prune(budget)
        except BudgetExceededError:
            with pytest.raises(BudgetExceededError):
                chat.prune(messages, budget)
            continue
        selection = chat.prune(messages, budget)
        assert (selection.kept_ids, selection.tokens) == (expected.kept_ids, expected.tokens)
        assert chat.messages(selection) == expected.messages()


def test_messages_are_the_callers_own():
    messages = [{"role": "user", "content": f"Question {n}."} for n in range(9)]
    chat = Chat()
    selection = chat.prune(messages, 30)
    kept = chat.messages(selection)
    assert all(one is messages[row] for one, row in zip(kept, selection.indices, strict=True))
    assert isinstance(selection, Selection)


def test_what_is_changed_in_place_is_seen():
    messages = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": [call("a")]},
        {"role": "tool", "tool_call_id": "a", "content": "one"},
    ]
    chat = Chat()
    chat.update(messages)
    messages[2]["content"] = "another"
    messages[1]["tool_calls"][0]["function"]["arguments"] = '{"id": "Y2"}'
    assert chat.update(messages) == BlockSet(to_blocks(messages))


def test_a_list_that_only_grows_is_read_once():
    class Once(dict):
        reads = 0

        def get(self, *args):
            Once.reads += 1
            return super().get(*args)

    chat = Chat()
    messages = [Once(role="user", content=f"Question {n}.") for n in range(50)]
    chat.update(messages)
    reads = Once.reads
    chat.update([*messages, Once(role="user", content="More.")])
    assert 0 < Once.reads - reads < 5


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"role": "nobody", "content": "x"}, r"messages\[0\]: role 'nobody' is not one of"),
        ({"role": "user", "content": 1}, r"messages\[0\]: content 1 is int"),
        ({"role": "user", "content": "x", "odd": {1}}, r"messages\[0\]: odd \{1\} is not JSON"),
        ("x", r"messages\[0\]: 'x' is str, not a dict"),
        ({"role": "user", "content": "x", "name": "n" * 70_000_000}, r"messages\[0\]: "),
    ],
)
def test_a_bad_message_changes_nothing(bad, message):
    messages = [{"role": "user", "content": "fine"}]
    chat = Chat()
    before = list(chat.update(messages))
    with pytest.raises(ValidationError, match=message):
        chat.update([*messages, bad])
    assert list(chat.update(messages)) == before
    assert len(chat.update([*messages, {"role": "assistant", "content": "yes"}])) == 2


def test_what_is_no_list_is_refused():
    with pytest.raises(ValidationError, match="messages 'x' is str, not a list of dicts"):
        Chat().update("x")
    with pytest.raises(ValidationError, match="selection 1 is int, not a Selection"):
        Chat().messages(1)
    longer = prune(to_blocks([{"role": "user", "content": "x"}]), 100)
    with pytest.raises(ValidationError, match="selection has message 0, the list has 0"):
        Chat().messages(longer)


def test_a_policy_with_a_cache_goes_on_by_itself():
    chat, messages, before, cuts = Chat(), [], [], 0
    for n in range(80):
        messages.append({"role": "assistant" if n % 2 else "user", "content": f"Turn {n} " + "so " * 8})
        kept = copy.deepcopy(chat.messages(chat.prune(messages, 300, policy="cache")))
        cuts += kept[: len(before)] != before
        before = kept
    assert 1 <= cuts <= 15
