"""Columns in and out: sets made of columns, snapshots as arrays, all scores at once, scores that fall, metrics."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from conftest import tiktoken_count
from pycontext import BlockSet, ContextBlock, ContextType, PluginError, ValidationError
from strategies import SCORES, TEXTS

MEMORY = ContextType.MEMORY
MINUTE = 60_000
SNAPSHOTS = {"scores": "float64", "token_counts": "uint32", "timestamps": "int64", "types": "uint8"}


def of_two(**changes):
    """A set of two rows, good where nothing else is said."""
    columns = {"content": ["one", "two words"], "type": [MEMORY, MEMORY], "score": [0.5, 0.5]}
    return BlockSet.from_columns(**{**columns, **changes})


def of_scores(*scores, kind=MEMORY, timestamp=None):
    n = len(scores)
    return BlockSet.from_columns([f"note {i}" for i in range(n)], [kind] * n, scores, timestamp=timestamp or [0] * n)


class Asked:
    """A plug-in counter that remembers the batches."""

    name, exact = "asked", True

    def __init__(self):
        self.batches = []

    def count(self, text):
        return len(text)

    def count_batch(self, texts):
        self.batches.append(list(texts))
        return [len(text) for text in texts]


KINDS = st.sampled_from(ContextType)
FORMS = st.sampled_from([list, tuple])
IDS = st.sampled_from(["a", "b", "c", "d", "nowhere"])


@st.composite
def rows(draw):
    """Fields of blocks, the calls and the results among them."""
    n = draw(st.integers(0, 4))
    return [
        {
            "id": id,
            "content": draw(st.just("same") | TEXTS),
            "relevance_score": draw(SCORES),
            "type": draw(KINDS),
            "timestamp": draw(st.integers(0, 3) | st.integers(0, 2**63 - 1)),
            "token_count": draw(st.integers(0, 9) | st.just(2**32 - 1)),
            "references": draw(st.lists(IDS, max_size=2)),
        }
        for id in ["a", "b", "c", "d"][:n]
    ]


@given(fields=rows(), is_counted=st.booleans(), form=FORMS, is_array=st.booleans())
def test_a_set_of_columns_is_the_set_of_blocks_with_these_fields(fields, is_counted, form, is_array):
    columns = {name: form(row[name] for row in fields) for name in ("id", "content", "type", "timestamp", "references")}
    columns["score"] = form(row["relevance_score"] for row in fields)
    if not is_counted:
        columns["token_count"] = form(row["token_count"] for row in fields)
    if is_array:
        columns |= {
            name: np.array(columns[name], dtype=dtype)
            for name, dtype in (("score", "f8"), ("timestamp", "i8"), ("token_count", "u4"))
            if name in columns
        }
    blocks = BlockSet.from_columns(**columns)
    counts = {"token_count": None} if is_counted else {}
    expected = BlockSet([ContextBlock(**{**row, **counts}) for row in fields])
    assert blocks == expected
    assert blocks.to_fields() == expected.to_fields()
    assert blocks.type_tokens() == expected.type_tokens()
    assert [blocks.find(row["id"]) for row in fields] == list(range(len(fields)))
    pinned = [row["id"] for row in fields]
    for render in ("openai", "text"):
        assert blocks.total_cost(render) == expected.total_cost(render)
        receipts = [these.prune(2**40, render=render, pin=pinned[1:2]).to_dict() for these in (blocks, expected)]
        assert receipts[0] == receipts[1]
    if is_counted:
        assert blocks.token_counts.tolist() == [tiktoken_count(row["content"]) for row in fields]


def test_ids_are_numbers_of_rows_and_the_time_is_now_where_nothing_is_said():
    before = time.time_ns() // 1_000_000
    blocks = of_two()
    after = time.time_ns() // 1_000_000
    assert [block.id for block in blocks] == ["b0", "b1"]
    assert before <= blocks.timestamps[0] == blocks.timestamps[1] <= after
    assert [block.references for block in blocks] == [[], []]
    assert [block.metadata for block in blocks] == [{}, {}]
    assert blocks.token_counts.tolist() == [tiktoken_count("one"), tiktoken_count("two words")]
    with pytest.raises(ValidationError, match=r"id 'b1' is already the id of blocks\[1\]"):
        blocks.append(ContextBlock("b1", "x", 0.5, MEMORY))


def test_a_set_of_no_rows_is_as_good_as_any_other():
    for empty in ([], ()):
        blocks = BlockSet.from_columns(empty, empty, np.array(empty), timestamp=np.array(empty), id=empty)
        assert blocks == BlockSet()
        assert blocks.revision == 0
        blocks.append(ContextBlock("b0", "x", 0.5, MEMORY))
        assert blocks.revision == 1


def test_being_filled_is_one_change():
    assert of_two().revision == 1


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", ">f8", "i8", "i1", "u1", "u8", ">i2"])
def test_scores_may_be_an_array_of_any_real_numbers(dtype):
    blocks = of_two(score=np.array([0, 1], dtype=dtype))
    assert blocks.scores.tolist() == [0.0, 1.0]
    blocks.set_scores(np.array([1, 0], dtype=dtype))
    assert blocks.scores.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("dtype", ["i8", "i4", "i1", "u1", "u4", "u8", ">i8", ">u2"])
def test_times_and_counts_may_be_arrays_of_any_whole_numbers(dtype):
    blocks = of_two(timestamp=np.array([7, 100], dtype=dtype), token_count=np.array([0, 99], dtype=dtype))
    assert blocks.timestamps.tolist() == [7, 100]
    assert blocks.token_counts.tolist() == [0, 99]


def test_arrays_may_be_views_and_lists_may_hold_numpy_numbers():
    every = np.array([0.1, 9.0, 0.2, 9.0])
    times = np.array([[1, 2], [3, 4]])
    blocks = of_two(score=every[::2], timestamp=times[:, 1], token_count=np.array([5, 6])[::-1])
    assert blocks.scores.tolist() == [0.1, 0.2]
    assert blocks.timestamps.tolist() == [2, 4]
    assert blocks.token_counts.tolist() == [6, 5]
    every[:] = 0.7
    assert blocks.scores.tolist() == [0.1, 0.2]
    blocks = of_two(score=[np.float32(0.5), np.int8(1)], timestamp=[np.int64(3), np.uint8(4)], token_count=(1, 2))
    assert [(block.relevance_score, block.timestamp) for block in blocks] == [(0.5, 3), (1.0, 4)]
    assert all(type(block.timestamp) is int for block in blocks)


def test_text_of_an_array_is_text_like_any_other():
    blocks = of_two(content=np.array(["one", "zwei"]), id=np.array(["p", "q"]), type=np.array([MEMORY, MEMORY]))
    assert [(block.id, block.content) for block in blocks] == [("p", "one"), ("q", "zwei")]
    assert all(type(text) is str for block in blocks for text in (block.id, block.content))


def test_columns_are_copied_on_the_way_in():
    content, references = ["one", "two words"], [["x"], ["y"]]
    blocks = of_two(content=content, references=references)
    content[0] = "other"
    references[0].append("z")
    assert [(block.content, block.references) for block in blocks] == [("one", ["x"]), ("two words", ["y"])]


def test_a_plug_in_counter_is_asked_once_for_all_rows():
    counter = Asked()
    blocks = of_two(counter=counter)
    assert counter.batches == [["one", "two words"]]
    assert blocks.token_counts.tolist() == [3, 9]
    assert blocks.counter is counter


def test_a_plug_in_counter_is_not_asked_for_counts_that_are_given():
    counter = Asked()
    assert of_two(counter=counter, token_count=[5, 6]).token_counts.tolist() == [5, 6]
    assert counter.batches == []


def test_a_plug_in_counter_that_fails_is_named():
    class Down(Asked):
        def count_batch(self, _texts):
            raise OSError("down")

    with pytest.raises(PluginError, match="counter 'asked' raised OSError"):
        of_two(counter=Down())


def test_the_other_encoding_counts_when_it_is_named():
    text = "Übergrößenträger 数字"
    blocks = of_two(content=[text, text], counter="cl100k_base")
    assert blocks.token_counts.tolist() == [tiktoken_count(text, "cl100k_base")] * 2


NAN = float("nan")
NOT_A_SCORE = "is not a number from 0 to 1"
NOT_A_TIME = "is not from 0 to 9223372036854775807"
NOT_A_COUNT = "is not from 0 to 4294967295"
# A column, what is bad of it, and what the message must say of the row.
BAD_ENTRIES = [
    ("score", [0.5, True], "relevance_score True is bool, not a number"),
    ("score", [0.5, NAN], f"relevance_score NaN {NOT_A_SCORE}"),
    ("score", np.array([0.5, NAN]), f"relevance_score NaN {NOT_A_SCORE}"),
    ("score", np.array([0.5, NAN], dtype="f4"), f"relevance_score NaN {NOT_A_SCORE}"),
    ("score", [0.5, float("inf")], f"relevance_score inf {NOT_A_SCORE}"),
    ("score", (0.5, 1.5), f"relevance_score 1.5 {NOT_A_SCORE}"),
    ("score", np.array([0.5, 1.5]), f"relevance_score 1.5 {NOT_A_SCORE}"),
    ("score", np.array([0, 2]), f"relevance_score 2 {NOT_A_SCORE}"),
    ("score", [0.5, -0.1], f"relevance_score -0.1 {NOT_A_SCORE}"),
    ("score", [0.5, "0.5"], "relevance_score '0.5' is str, not a number"),
    ("score", [0.5, None], "relevance_score None is NoneType, not a number"),
    ("score", [0.5, [0.5]], "relevance_score [0.5] is list, not a number"),
    ("content", ["one", 7], "content 7 is int, not str"),
    ("content", ["one", None], "content None is NoneType, not str"),
    ("content", ["one", b"two"], "content b'two' is bytes, not str"),
    ("content", ["one", "a\ud800"], "content 'a\\ud800' holds a lone surrogate"),
    ("content", ["one", "x" * (2**20 + 1)], "content is 1048577 bytes, over 1048576"),
    ("content", ["one", "é" * 2**19 + "x"], "content is 1048577 bytes, over 1048576"),
    ("type", [MEMORY, 3], "type 3 is not one of ContextType.SYSTEM"),
    ("type", [MEMORY, "MEMORY"], "type 'MEMORY' is not one of ContextType.SYSTEM"),
    ("type", (MEMORY, None), "type None is not one of ContextType.SYSTEM"),
    ("id", ["a", "b\n"], "id 'b\\n' holds a control character"),
    ("id", ["a", "a"], "id 'a' is already the id of blocks[0]"),
    ("id", ["a", ""], "id '' is empty"),
    ("id", ["a", "x" * 257], "is 257 bytes, over 256"),
    ("id", ["a", 7], "id 7 is int, not str"),
    ("id", ("a", None), "id None is NoneType, not str"),
    ("id", ["a", "\udfff"], "id '\\udfff' holds a lone surrogate"),
    ("timestamp", [0, -1], f"timestamp -1 {NOT_A_TIME}"),
    ("timestamp", np.array([0, -1]), f"timestamp -1 {NOT_A_TIME}"),
    ("timestamp", [0, 2**63], f"timestamp 9223372036854775808 {NOT_A_TIME}"),
    ("timestamp", [0, 2**70], f"timestamp 1180591620717411303424 {NOT_A_TIME}"),
    ("timestamp", [0, 1.5], "timestamp 1.5 is float, not int"),
    ("timestamp", [0, np.float64(1)], "is float64, not int"),
    ("timestamp", [0, True], "timestamp True is bool, not int"),
    ("timestamp", [0, None], "timestamp None is NoneType, not int"),
    ("timestamp", [0, "now"], "timestamp 'now' is str, not int"),
    ("token_count", [0, -1], f"token_count -1 {NOT_A_COUNT}"),
    ("token_count", np.array([0, -1]), f"token_count -1 {NOT_A_COUNT}"),
    ("token_count", [0, 2**32], f"token_count 4294967296 {NOT_A_COUNT}"),
    ("token_count", np.array([0, 2**32]), f"token_count 4294967296 {NOT_A_COUNT}"),
    ("token_count", [0, 1.5], "token_count 1.5 is float, not int"),
    ("token_count", [0, True], "token_count True is bool, not int"),
    ("token_count", [0, None], "token_count None is NoneType, not int"),
    ("references", [[], [7]], "references[0] 7 is int, not str"),
    ("references", [[], ["a", "b\n"]], "references[1] 'b\\n' holds a control character"),
    ("references", [[], [""]], "references[0] '' is empty"),
    ("references", [[], "ab"], "references 'ab' is str, not a list of str"),
    ("references", ((), None), "references None is NoneType, not a list of str"),
    ("references", [[], 7], "references 7 is int, not a list of str"),
]
# A column that is bad as a whole, and words of the message.
BAD_COLUMNS = [
    ("content", "ab", "content 'ab' is str, not a sequence"),
    ("content", 7, "content 7 is int, not a sequence"),
    ("content", None, "content None is NoneType, not a sequence"),
    ("type", "ab", "type 'ab' is str, not a sequence"),
    ("type", [MEMORY], "has not one entry for each of 2 blocks"),
    ("score", [0.5], "score [0.5] has not one entry for each of 2 blocks"),
    ("score", [0.5] * 3, "has not one entry for each of 2 blocks"),
    ("score", np.array([0.5]), "has not one entry for each of 2 blocks"),
    ("score", "ab", "score 'ab' is str, not a sequence"),
    ("score", np.array([[0.5], [0.5]]), "is an array of float64, not of numbers in one row"),
    ("score", np.array([0.5, 0.5], dtype=object), "is an array of object, not of numbers in one row"),
    ("score", np.array([True, False]), "is an array of bool, not of numbers in one row"),
    ("score", np.array(["a", "b"]), "is an array of <U1, not of numbers in one row"),
    ("score", np.array([0.5, 0.5j]), "is an array of complex128, not of numbers in one row"),
    ("id", [], "id [] has not one entry for each of 2 blocks"),
    ("id", "ab", "id 'ab' is str, not a sequence"),
    ("id", ["a", "b", "c"], "has not one entry for each of 2 blocks"),
    ("timestamp", [1], "timestamp [1] has not one entry for each of 2 blocks"),
    ("timestamp", np.array([1, 2, 3]), "has not one entry for each of 2 blocks"),
    ("timestamp", np.array([1.0, 2.0]), "is an array of float64, not of whole numbers in one row"),
    ("timestamp", np.array([[1], [2]]), "is an array of int64, not of whole numbers in one row"),
    ("timestamp", np.array([1, 2], dtype=object), "is an array of object, not of whole numbers in one row"),
    ("timestamp", np.array([True, False]), "is an array of bool, not of whole numbers in one row"),
    ("timestamp", np.array(["2020-01-01", "2021-01-01"], dtype="M8[ms]"), "is an array of datetime64[ms], not of"),
    ("token_count", [1, 2, 3], "has not one entry for each of 2 blocks"),
    ("token_count", np.array([1.0, 2.0]), "is an array of float64, not of whole numbers in one row"),
    ("references", "ab", "references 'ab' is str, not a sequence"),
    ("score", (score for score in (0.5,)), "score [0.5] has not one entry for each of 2 blocks"),
    ("score", 5, "score 5 is int, not a sequence"),
    ("type", MEMORY, "is ContextType, not a sequence"),
    ("references", [["a"]], "references [['a']] has not one entry for each of 2 blocks"),
]


def refusal(call, *arguments, **keywords):
    """The message of what is refused, which is one short line."""
    with pytest.raises(ValidationError) as caught:
        call(*arguments, **keywords)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 300
    return message


def labels(cases):
    return [f"{number} {field}" for number, (field, *_) in enumerate(cases)]


@pytest.mark.parametrize(("field", "values", "words"), BAD_ENTRIES, ids=labels(BAD_ENTRIES))
def test_a_bad_entry_is_refused_with_its_row(field, values, words):
    message = refusal(of_two, **{field: values})
    assert message.startswith("blocks[1]: ")
    assert words in message


@pytest.mark.parametrize(("field", "values", "words"), BAD_COLUMNS, ids=labels(BAD_COLUMNS))
def test_a_bad_column_is_refused_by_name(field, values, words):
    message = refusal(of_two, **{field: values})
    assert message.startswith(f"{field} ")
    assert words in message


def test_the_first_bad_row_is_the_one_that_is_named():
    columns = {"content": ["a"] * 4, "type": [MEMORY] * 4, "score": [0.5, 0.5, 7, 0.5]}
    message = refusal(BlockSet.from_columns, **columns, timestamp=[0, -1, 0, -1])
    assert message == f"blocks[1]: timestamp -1 {NOT_A_TIME}"


@pytest.mark.parametrize("counter", ["gpt2", 7, None])
def test_a_counter_that_is_none_is_refused_for_columns_as_well(counter):
    assert "is not one of o200k_base, cl100k_base" in refusal(of_two, counter=counter)


def test_limits_of_columns_are_the_last_values_that_are_good():
    blocks = of_two(
        content=["x" * 2**20, ""],
        id=["é" * 128, " "],
        timestamp=[0, 2**63 - 1],
        token_count=np.array([0, 2**32 - 1]),
        score=[0, 1],
    )
    assert blocks.timestamps.tolist() == [0, 2**63 - 1]
    assert blocks.token_counts.tolist() == [0, 2**32 - 1]


def snapshots(blocks):
    return {name: getattr(blocks, name) for name in SNAPSHOTS}


@given(fields=rows())
def test_snapshots_hold_what_the_blocks_have(fields):
    blocks = BlockSet([ContextBlock(**row) for row in fields])
    assert {name: array.dtype.name for name, array in snapshots(blocks).items()} == SNAPSHOTS
    assert {name: array.tolist() for name, array in snapshots(blocks).items()} == {
        "scores": [row["relevance_score"] for row in fields],
        "token_counts": [row["token_count"] for row in fields],
        "timestamps": [row["timestamp"] for row in fields],
        "types": [row["type"].value for row in fields],
    }


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_a_snapshot_cannot_be_written_to(name):
    array = getattr(of_two(), name)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        array += 1
    assert not array.flags.writeable


def test_snapshots_stay_as_they_were_and_stop_nothing():
    blocks = of_scores(0.1, 0.2, 0.3)
    seen = snapshots(blocks)
    before = {name: array.tolist() for name, array in seen.items()}
    blocks.append(ContextBlock("x", "more words", 0.9, ContextType.USER, timestamp=5))
    blocks[0] = ContextBlock("y", "other words", 0.8, ContextType.AGENT, timestamp=6)
    blocks.set_scores([0.5] * 4)
    del blocks[1]
    blocks.keep(blocks.prune(20))
    blocks.clear()
    assert {name: array.tolist() for name, array in seen.items()} == before
    assert [len(array) for array in snapshots(blocks).values()] == [0] * 4


def test_snapshots_see_what_was_written_to_blocks_that_are_held():
    blocks = of_scores(0.1, 0.2)
    held = blocks[1]
    held.relevance_score = 0.75
    assert blocks.scores.tolist() == [0.1, 0.75]
    held.timestamp = 99
    assert blocks.timestamps.tolist() == [0, 99]
    held.type = ContextType.TOOL
    assert blocks.types.tolist() == [MEMORY.value, ContextType.TOOL.value]
    held.content = "three words here"
    assert blocks.token_counts[1] == tiktoken_count("three words here")
    held.token_count = 70
    assert blocks.token_counts[1] == 70


@given(data=st.data(), fields=rows(), form=st.sampled_from([list, tuple, np.array]))
def test_scores_are_put_in_the_place_of_all_and_nothing_else_changes(data, fields, form):
    blocks = BlockSet([ContextBlock(**row) for row in fields])
    held = {row: blocks[row] for row in range(len(fields)) if data.draw(st.booleans())}
    scores = [data.draw(SCORES) for _ in fields]
    before = blocks.revision
    blocks.set_scores(form(scores))
    assert blocks.revision > before
    assert [held[row].relevance_score for row in held] == [scores[row] for row in held]
    assert blocks.scores.tolist() == scores
    assert blocks == [ContextBlock(**{**row, "relevance_score": s}) for row, s in zip(fields, scores, strict=True)]
    for block in held.values():
        block.timestamp = 8
    assert blocks.scores.tolist() == scores, "the next look at held blocks does not bring the old scores back"
    for row, block in held.items():
        assert type(block.relevance_score) is float
        assert blocks[row] is block


def test_a_held_block_can_be_written_to_before_and_after_scores_are_set():
    blocks = of_scores(0.1, 0.2)
    held = blocks[0]
    held.relevance_score = 0.7
    held.content = "written before"
    blocks.set_scores([0.3, 0.4])
    assert [block.content for block in blocks] == ["written before", "note 1"]
    assert blocks.scores.tolist() == [0.3, 0.4]
    held.relevance_score = 0.9
    assert blocks.scores.tolist() == [0.9, 0.4]


def test_scores_that_are_set_mend_a_held_block_whose_score_was_bad():
    blocks = of_scores(0.1, 0.2)
    held = blocks[0]
    held.relevance_score = 7
    with pytest.raises(ValidationError, match="relevance_score 7"):
        blocks.set_scores([0.3, 0.4])
    assert blocks.scores.tolist() == [0.1, 0.2]
    blocks.set_scores([0.3, 0.4])
    assert held.relevance_score == 0.3
    assert blocks.scores.tolist() == [0.3, 0.4]


def test_scores_that_are_set_are_copied_and_may_be_a_snapshot():
    blocks = of_scores(0.25, 0.5)
    scores = np.array([0.5, 1.0])
    blocks.set_scores(scores)
    scores[:] = 0
    assert blocks.scores.tolist() == [0.5, 1.0]
    blocks.set_scores(blocks.scores)
    blocks.set_scores(blocks.scores[::-1] / 2)
    assert blocks.scores.tolist() == [0.5, 0.25]


def test_a_selection_does_not_see_scores_that_came_later():
    blocks = of_scores(0.25, 0.5)
    selection = blocks.prune(1000)
    blocks.set_scores([1, 0])
    assert [block.relevance_score for block in selection.kept] == [0.25, 0.5]
    assert [block.relevance_score for block in blocks.prune(1000).kept] == [1.0, 0.0]


def test_scores_decide_as_soon_as_they_are_set():
    blocks = of_scores(0.1, 0.9)
    room = blocks.prune(1000).tokens - 1
    assert blocks.prune(room).kept_ids == ["b1"]
    blocks.set_scores([0.9, 0.1])
    assert blocks.prune(room).kept_ids == ["b0"]


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([], "scores has 0 entries for 2 blocks"),
        ([0.5], "scores has 1 entries for 2 blocks"),
        (np.array([0.1, 0.2, 0.3]), "scores has 3 entries for 2 blocks"),
        ([0.5, NAN], f"blocks[1]: relevance_score NaN {NOT_A_SCORE}"),
        (np.array([1.5, 0.5]), f"blocks[0]: relevance_score 1.5 {NOT_A_SCORE}"),
        ([0.5, -0.1], f"blocks[1]: relevance_score -0.1 {NOT_A_SCORE}"),
        ([0.5, float("inf")], f"blocks[1]: relevance_score inf {NOT_A_SCORE}"),
        (["0.5", "0.5"], "scores ['0.5', '0.5'] is an array of <U3, not of numbers"),
        ([0.5, "a\nb"], "scores [0.5, 'a\\nb'] is an array of"),
        ("ab", "scores 'ab' is str, not a sequence"),
        ([True, False], "blocks[0]: scores True is bool, not a number"),
        ([0.5, True], "blocks[1]: scores True is bool, not a number"),
        (np.array([True, False]), "is an array of bool, not of numbers in one row"),
        ([0.5, None], "scores [0.5, None] is an array of object, not of numbers"),
        (None, "scores None is NoneType, not a sequence"),
        (0.5, "scores 0.5 is float, not a sequence"),
        ([[0.5], [0.5]], "scores [[0.5], [0.5]] is an array of float64, not of numbers in one row"),
        ([[0.5], [0.5, 0.5]], "scores [[0.5], [0.5, 0.5]] is no array of numbers"),
        ([0.5, 2**70], "is an array of object, not of numbers"),
        ([0.5, 1j], "is an array of complex128, not of numbers"),
        ((score for score in (0.5,)), "scores has 1 entries for 2 blocks"),
    ],
    ids=str,
)
def test_scores_that_are_bad_are_refused_and_nothing_changes(scores, words):
    blocks = of_scores(0.1, 0.2)
    held = blocks[1]
    before = blocks.revision
    assert words in refusal(blocks.set_scores, scores)
    assert blocks.scores.tolist() == [0.1, 0.2]
    assert held.relevance_score == 0.2
    assert blocks.revision == before


def fallen(block, factor, floor, now):
    """The formula, for one block."""
    base = block.relevance_score
    if block.type is ContextType.SYSTEM:
        return base
    minutes = max(0, now - block.timestamp) / MINUTE
    return max(base * factor**minutes, min(base, floor))


def is_close(array, expected):
    return array.shape == (len(expected),) and np.allclose(array, expected, rtol=0, atol=1e-12)


FACTORS = st.sampled_from([1.0, 0.999999, 0.95, 0.5, 1e-9, 5e-324]) | st.floats(0, 1, exclude_min=True)
# Seconds, minutes, a month, millennia.
TIMES = st.integers(0, 5_000) | st.integers(0, 10 * MINUTE) | st.integers(0, 50_000 * MINUTE) | st.integers(0, 2**50)


@given(data=st.data(), factor=FACTORS, floor=st.sampled_from([0.0, 0.1, 0.5, 1.0]) | SCORES)
def test_scores_fall_as_the_formula_says(data, factor, floor):
    n = data.draw(st.integers(0, 9))
    blocks = BlockSet(
        ContextBlock(f"b{i}", "x", data.draw(SCORES), data.draw(KINDS), None, data.draw(TIMES)) for i in range(n)
    )
    now = data.draw(st.none() | TIMES)
    scores = blocks.effective_scores(factor_per_minute=factor, floor=floor, now=now)
    when = max((block.timestamp for block in blocks), default=0) if now is None else now
    assert scores.dtype == np.float64
    assert is_close(scores, [fallen(block, factor, floor, when) for block in blocks])
    assert (scores <= blocks.scores).all(), "nothing rises"
    is_fresh = [block.type is ContextType.SYSTEM or when <= block.timestamp for block in blocks]
    assert scores[is_fresh].tolist() == blocks.scores[is_fresh].tolist()


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 127, 128, 129, 130, 511, 512, 513, 1000])
def test_scores_fall_the_same_wherever_their_row_is(n):
    kinds = list(ContextType)
    scores = [i * 37 % 101 / 100 for i in range(n)]
    times = [i * i * 977 % (3 * 60 * MINUTE) for i in range(n)]
    blocks = BlockSet.from_columns(["x"] * n, [kinds[i * 5 % 6] for i in range(n)], scores, timestamp=times)
    now = 2 * 60 * MINUTE
    together = blocks.effective_scores(factor_per_minute=0.97, floor=0.2, now=now)
    assert is_close(together, [fallen(block, 0.97, 0.2, now) for block in blocks])
    del blocks[0]
    again = blocks.effective_scores(factor_per_minute=0.97, floor=0.2, now=now)
    assert again.tolist() == together[1:].tolist()


def test_system_blocks_keep_their_scores():
    for kind in ContextType:
        (score,) = of_scores(0.8, kind=kind).effective_scores(factor_per_minute=0.5, now=10 * MINUTE)
        assert score == (0.8 if kind is ContextType.SYSTEM else pytest.approx(0.8 / 1024, abs=1e-12))


def test_it_is_the_newest_timestamp_where_nothing_is_said():
    blocks = of_scores(0.8, 0.8, 0.8, timestamp=[MINUTE, 3 * MINUTE, 0])
    expected = [0.2, 0.8, 0.1]
    assert is_close(blocks.effective_scores(factor_per_minute=0.5), expected)
    assert is_close(blocks.effective_scores(factor_per_minute=0.5, now=3 * MINUTE), expected)
    assert is_close(blocks.effective_scores(factor_per_minute=0.5, now=0), [0.8] * 3)


def test_minutes_compose():
    blocks = of_scores(0.9, 0.4, 0.03)

    def after(minutes, factor):
        return blocks.effective_scores(factor_per_minute=factor, now=minutes * MINUTE)

    assert is_close(after(2, 0.7), [0.9 * 0.7 * 0.7, 0.4 * 0.7 * 0.7, 0.03 * 0.7 * 0.7])
    assert is_close(after(2, 0.7), after(1, 0.7 * 0.7))
    assert is_close(after(6, 0.7), after(3, 0.49))
    assert is_close(after(1, 0.7) * 0.7, after(2, 0.7))


def test_a_floor_holds_what_falls_and_raises_nothing():
    blocks = of_scores(0.8, 0.3, 0.1, 0.0)
    floors = blocks.effective_scores(factor_per_minute=0.5, floor=0.3, now=1000 * MINUTE)
    assert floors.tolist() == [0.3, 0.3, 0.1, 0.0]
    assert blocks.effective_scores(factor_per_minute=0.5, floor=1, now=1000 * MINUTE).tolist() == [0.8, 0.3, 0.1, 0.0]


def test_extremes_of_time_are_numbers_like_any_other():
    blocks = of_scores(1.0, 1.0, timestamp=[0, 2**63 - 1])
    for now, expected in ((2**63 - 1, [0.0, 1.0]), (0, [1.0, 1.0]), (None, [0.0, 1.0])):
        assert is_close(blocks.effective_scores(factor_per_minute=0.5, now=now), expected)


def test_a_look_at_scores_that_fall_stores_nothing():
    blocks = of_scores(0.8, 0.3)
    held = blocks[0]
    before = blocks.to_fields(), blocks.revision
    first = blocks.effective_scores(factor_per_minute=0.5, now=MINUTE)
    second = blocks.effective_scores(factor_per_minute=0.5, now=MINUTE)
    assert first.tolist() == second.tolist()
    first[:] = 0
    assert (blocks.to_fields(), blocks.revision) == before
    assert held.relevance_score == 0.8
    assert blocks.scores.tolist() == [0.8, 0.3]


def test_scores_that_fall_are_those_of_held_blocks_and_of_scores_that_were_set():
    blocks = of_scores(0.8, 0.3)
    held = blocks[0]
    held.relevance_score, held.timestamp = 0.4, MINUTE
    assert is_close(blocks.effective_scores(factor_per_minute=0.5, now=2 * MINUTE), [0.2, 0.075])
    blocks.set_scores([1.0, 0.5])
    assert is_close(blocks.effective_scores(factor_per_minute=0.5, now=2 * MINUTE), [0.5, 0.125])


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("factor_per_minute", 0, "is not above 0"),
        ("factor_per_minute", 0.0, "is not above 0"),
        *[("factor_per_minute", value, NOT_A_SCORE) for value in (-0.5, 1.5, NAN, float("inf"), "0.5", None, True)],
        *[("floor", value, NOT_A_SCORE) for value in (-0.1, 1.5, NAN, "0", None, True)],
        *[("now", value, "is not a whole number from 0 to") for value in (-1, 2**63, 1.5, NAN, True, "now")],
    ],
)
def test_arguments_of_the_fall_are_refused_by_name(name, value, rule):
    message = refusal(of_scores(0.5).effective_scores, **{name: value})
    # Zero is shown as 0, whatever zero it is.
    assert message.startswith(f"{name} {value or 0 if isinstance(value, float) else value!r} {rule}")


class MetricsMachine(RuleBasedStateMachine):
    """A set and a plain list of types and texts are changed alike, and their sums must never differ."""

    def __init__(self):
        super().__init__()
        self.blocks = BlockSet()
        self.rows = []
        self.held = None
        self.next = 0

    def new(self, kind, text):
        self.next += 1
        return ContextBlock(f"b{self.next}", text, 0.5, kind)

    @rule(kind=KINDS, text=TEXTS)
    def add(self, kind, text):
        self.blocks.append(self.new(kind, text))
        self.rows.append((kind, text))

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), kind=KINDS, text=TEXTS)
    def edit(self, data, kind, text):
        row = data.draw(st.integers(0, len(self.rows) - 1))
        # Held until the next one is.
        self.held = self.blocks[row]
        self.held.type, self.held.content = kind, text
        self.rows[row] = (kind, text)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), kind=KINDS, text=TEXTS)
    def put(self, data, kind, text):
        row = data.draw(st.integers(0, len(self.rows) - 1))
        self.blocks[row] = self.new(kind, text)
        self.rows[row] = (kind, text)

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def remove(self, data):
        row = data.draw(st.integers(0, len(self.rows) - 1))
        del self.blocks[row]
        del self.rows[row]

    @precondition(lambda self: self.rows)
    @rule()
    def reverse(self):
        self.blocks.reverse()
        self.rows.reverse()

    @invariant()
    def metrics_are_sums_over_the_blocks(self):
        counts = [tiktoken_count(text) for _, text in self.rows]
        total = sum(counts)
        by_type = Counter()
        for (kind, _), count in zip(self.rows, counts, strict=True):
            by_type[kind.name] += count
        for limit in (1, 7, 8192):
            metrics = self.blocks.metrics(limit)
            assert metrics.total_tokens == total
            assert metrics.context_saturation == min(1, total / limit)
            assert metrics.type_distribution == {name: n / total for name, n in by_type.items() if n}


TestMetricsMachine = MetricsMachine.TestCase


def test_metrics_of_nothing_are_zero_and_the_limit_is_8192_where_nothing_is_said():
    metrics = BlockSet().metrics()
    assert (metrics.total_tokens, metrics.context_saturation, metrics.type_distribution) == (0, 0.0, {})
    assert of_two(token_count=[2048, 2048]).metrics().context_saturation == 0.5


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, None, "8192", NAN, 2**53 + 1])
def test_a_bad_limit_of_metrics_is_refused_by_name(limit):
    message = refusal(BlockSet().metrics, limit)
    assert message == f"max_tokens {limit!r} is not a whole number from 1 to {2**53}"


def test_what_is_no_text_is_not_the_counters_fault():
    class Words:
        name, exact = "words", True

        def count(self, text):
            return len(text.split())

        def count_batch(self, texts):
            return [self.count(text) for text in texts]

    with pytest.raises(ValidationError, match=r"blocks\[1\]: content 7 is int, not str"):
        BlockSet.from_columns(["a", 7], [MEMORY] * 2, [0.5] * 2, counter=Words())


@pytest.mark.parametrize(("field", "most"), [("timestamp", 2**63 - 1), ("token_count", 2**32 - 1)])
def test_a_number_of_an_array_that_is_too_large_is_said_with_its_row(field, most):
    for value in (most + 1, 2**64 - 1):
        array = np.array([0, value], dtype="u8")
        with pytest.raises(ValidationError, match=rf"blocks\[1\]: {field} {value} is not from 0 to {most}"):
            BlockSet.from_columns(["a", "b"], [MEMORY] * 2, [0.5] * 2, **{field: array})


def test_a_time_may_be_a_number_of_an_array():
    blocks = BlockSet.from_columns(["a", "b"], [MEMORY] * 2, [0.5] * 2, timestamp=[0, 60_000])
    newest = blocks.timestamps.max()
    assert blocks.effective_scores(factor_per_minute=0.5, now=newest).tolist() == [0.25, 0.5]
    assert blocks.prune(1000, now=newest).kept_ids == ["b0", "b1"]


def test_arrays_may_lie_in_memory_as_they_like():
    records = np.zeros(8, dtype=[("time", "i8"), ("score", "f8"), ("count", "i4"), ("odd", "i1")])
    records["time"] = np.arange(8) * 1_000
    records["score"] = np.arange(8) / 10
    records["count"] = np.arange(8) + 5
    views = {"time": records["time"], "score": records["score"], "count": records["count"]}
    backwards = {name: view[::-1][::-1] for name, view in views.items()}
    for order in (views, backwards):
        blocks = BlockSet.from_columns(
            ["a"] * 8, [MEMORY] * 8, order["score"], timestamp=order["time"], token_count=order["count"]
        )
        assert blocks.timestamps.tolist() == [1_000 * i for i in range(8)]
        assert blocks.scores.tolist() == [i / 10 for i in range(8)]
        assert blocks.token_counts.tolist() == [i + 5 for i in range(8)]
        blocks.set_scores(order["score"][::-1])
        assert blocks.scores.tolist() == [i / 10 for i in reversed(range(8))]
