"""Whatever happened to a set, it is as good as a fresh one of the same blocks."""

from __future__ import annotations

import pickle
import threading
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycontext import BlockSet, BudgetExceededError, ContextBlock, ContextPackage, ContextType, ValidationError
from strategies import policies

MEMORY, USER, AGENT, TOOL = ContextType.MEMORY, ContextType.USER, ContextType.AGENT, ContextType.TOOL

IDS = [f"i{number}" for number in range(8)]
CALL = '{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}'
METADATA = st.sampled_from([{}, {}, {"unit": "u"}, {"openai.tool_calls": f"[{CALL}]"}])


@st.composite
def blocks(draw, id=None):
    return ContextBlock(
        draw(st.sampled_from(IDS)) if id is None else id,
        draw(st.sampled_from(["fact", "rule", "word " * 5])),
        draw(st.sampled_from([0.1, 0.5, 0.9])),
        draw(st.sampled_from([USER, AGENT, AGENT, TOOL, TOOL, MEMORY])),
        draw(METADATA),
        draw(st.integers(0, 3)),
        references=draw(st.lists(st.sampled_from([*IDS, "gone"]), max_size=2)),
    )


STEPS = [
    "append",
    "append",
    "append",
    "remove",
    "set",
    "insert",
    "edit",
    "rename",
    "keep",
    "dedup",
    "scores",
    "reverse",
]


def step(data, name, columns):  # noqa: C901  # a line for each
    """One change; what it refuses changes nothing."""
    at = data.draw(st.integers(0, max(len(columns) - 1, 0)))
    if name == "append":
        columns.append(data.draw(blocks()))
    elif name == "insert":
        columns.insert(at, data.draw(blocks()))
    elif name == "keep":
        columns.keep(columns.prune(data.draw(st.integers(20, 120)), policy=data.draw(policies())))
    elif name == "dedup":
        columns.dedup()
    elif name == "reverse":
        columns.reverse()
    elif not len(columns):
        return
    elif name == "remove":
        del columns[at]
    elif name == "set":
        columns[at] = data.draw(blocks())
    elif name == "edit":
        other, held = data.draw(blocks()), columns[at]
        held.content, held.type, held.metadata, held.references = (
            other.content,
            other.type,
            other.metadata,
            other.references,
        )
    elif name == "rename":
        columns[at].id = data.draw(st.sampled_from(IDS))
    elif name == "scores":
        columns.set_scores([data.draw(st.sampled_from([0.1, 0.5, 0.9])) for _ in columns])


@settings(max_examples=100)
@given(data=st.data())
def test_a_set_with_a_history_chooses_as_a_fresh_one(data):
    columns = BlockSet()
    for name in data.draw(st.lists(st.sampled_from(STEPS), min_size=3, max_size=25)):
        with suppress(ValidationError, BudgetExceededError):
            step(data, name, columns)
        if data.draw(st.booleans()):
            look_alike(columns, data.draw(policies()), data.draw(st.integers(20, 150)))
    look_alike(columns, data.draw(policies()), data.draw(st.integers(20, 150)))


def look_alike(columns, policy, available):
    with suppress(ValidationError):
        # A bad value, such as an id that is taken, is said once.
        columns.metrics(1)
    fresh = BlockSet(columns)
    assert columns.metrics(100) == fresh.metrics(100)
    for options in ({}, {"render": "text"}, {"query": "fact or rule"}):
        outcomes = []
        for looked in (columns, fresh):
            try:
                outcomes.append(looked.prune(available, policy=policy, **options).to_dict())
            except BudgetExceededError as error:
                outcomes.append((error.needed, error.blockers))
        assert outcomes[0] == outcomes[1]


def make(id, content="fact", score=0.5, kind=MEMORY, timestamp=0, **changes):
    return ContextBlock(id, content, score, kind, timestamp=timestamp, **changes)


def test_a_result_without_a_call_is_one_after_a_removal_as_well():
    columns = BlockSet([make("u", kind=USER), make("r", kind=TOOL, references=["gone"]), make("a")])
    del columns[2]
    columns.append(make("b", "other"))
    assert [str(reason) for reason in columns.prune(1000).reasons] == ["pinned", "orphan", "kept"]
    columns.append(make("gone", kind=AGENT))
    assert [str(reason) for reason in columns.prune(1000).reasons] == ["pinned", "pinned", "kept", "pinned"]


# What a selection drops when it is applied later.


def test_a_block_that_took_the_place_of_one_that_was_dropped_stays():
    columns = BlockSet([make("a", "word " * 30, 0.1), make("u", kind=USER)])
    selection = columns.prune(15)
    assert selection.dropped_ids == ["a"]
    columns.remove(columns[0])
    columns.append(make("a", "new", timestamp=7))
    assert columns.keep(selection) == []
    assert [block.content for block in columns] == ["fact", "new"]


def test_a_block_that_was_edited_meanwhile_falls_by_what_it_was():
    columns = BlockSet([make("a", "word " * 30, 0.1), make("u", kind=USER)])
    selection = columns.prune(15)
    columns[0].content = "short"
    assert [block.content for block in columns.keep(selection)] == ["short"]


def test_a_duplicate_stays_when_its_copy_has_gone():
    columns = BlockSet([make("a"), make("b", score=0.9), make("c", "see", references=["a"])])
    selection = columns.prune(1000)
    assert selection.dropped_ids == ["a"]
    del columns[1]
    assert columns.keep(selection) == []
    assert columns[1].references == ["a"]


@pytest.mark.parametrize("value", [None, 5, "selection"])
def test_only_a_selection_is_applied(value):
    with pytest.raises(ValidationError, match=r"selection .* is .*, not a Selection"):
        BlockSet().keep(value)


# Held blocks.


def test_a_block_that_is_put_where_it_is_stays_live():
    columns = BlockSet([make("a")])
    held = columns[0]
    columns[0] = held
    held.content = "written"
    assert columns.to_fields()[0][1] == "written"


def test_a_bad_value_does_not_stop_what_puts_the_blocks_in_order():
    columns = BlockSet([make("a"), make("b", "other")])
    held = columns[0]
    held.relevance_score = 7
    with pytest.raises(ValidationError, match="relevance_score 7"):
        columns.prune(100)
    columns.reverse()
    columns.insert(0, make("c", "third"))
    columns[3:] = [make("d", "fourth")]
    assert [fields[0] for fields in columns.to_fields()] == ["c", "b", "a", "d"]
    assert columns.scores.tolist() == [0.5] * 4
    held.relevance_score = 0.7
    assert columns.scores.tolist() == [0.5, 0.5, 0.7, 0.5]


def test_a_count_of_another_counter_is_put_right():
    class Letters:
        name, exact = "letters", True

        def count(self, text):
            return len(text)

        def count_batch(self, texts):
            return [len(text) for text in texts]

    columns = BlockSet([make("a", "fact")], counter=Letters())
    held = columns[0]
    for content in ("other", "fact"):
        held.content = content
        assert held.token_count == 1, "counted by the default"
    assert columns.token_counts.tolist() == [4]
    assert held.token_count == 4


def test_a_copy_is_of_one_moment():
    columns = BlockSet([make(f"b{i}", f"text {i}") for i in range(50)])
    done = threading.Event()

    def turn():
        while not done.is_set():
            columns.insert(0, make("new"))
            del columns[0]

    thread = threading.Thread(target=turn)
    thread.start()
    wanted = [f"b{i}" for i in range(50)]
    try:
        for _ in range(150):
            copies = (BlockSet(columns), pickle.loads(pickle.dumps(columns)), ContextPackage("s", "a", columns).blocks)
            for copy in copies:
                assert [fields[0] for fields in copy.to_fields()][-50:] == wanted
    finally:
        done.set()
        thread.join()
