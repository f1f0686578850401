"""The data class of a block."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import time

import numpy as np
import pytest
from hypothesis import given

from conftest import tiktoken_count
from pycontext import BlockSet, ContextBlock, ContextType, ValidationError, count_tokens_batch, prune
from strategies import TEXTS


def make(**changes):
    return ContextBlock(
        **{"id": "a", "content": "hello world", "relevance_score": 0.5, "type": ContextType.USER, **changes}
    )


def test_the_positional_order_is_the_articles():
    block = ContextBlock("a", "x", 0.5, ContextType.TOOL, {"k": "v"}, 7, 3, ["b"])
    assert dataclasses.astuple(block)[:8] == ("a", "x", 0.5, ContextType.TOOL, {"k": "v"}, 7, 3, ["b"])


def test_numbers_of_the_types_are_those_of_the_schema():
    assert [kind.name for kind in sorted(ContextType, key=lambda kind: kind.value)] == [
        "SYSTEM", "USER", "AGENT", "MEMORY", "KNOWLEDGE", "TOOL",
    ]  # fmt: skip
    assert [kind.value for kind in ContextType] == list(range(6))


def test_what_is_left_out_has_a_default():
    before = time.time_ns() // 1_000_000
    block = make(metadata=None, references=None, timestamp=None, token_count=None)
    assert (block.metadata, block.references) == ({}, [])
    assert before <= block.timestamp <= time.time_ns() // 1_000_000
    assert block.token_count == 2


@given(text=TEXTS)
def test_the_count_is_that_of_the_content_alone(text):
    assert make(content=text).token_count == tiktoken_count(text)


def test_writing_the_content_forgets_the_count():
    block = make(token_count=99)
    assert block.token_count == 99
    block.content = "one two three"
    assert block.token_count == 3


def test_nothing_is_shared_with_the_caller():
    metadata, references = {"k": "v"}, ["b"]
    block = make(metadata=metadata, references=references)
    metadata["k"] = "changed"
    references.append("c")
    assert (block.metadata, block.references) == ({"k": "v"}, ["b"])


def test_a_score_may_be_any_real_number_but_a_bool():
    for score in (0, 1, 0.5, np.float32(0.5), np.float64(0.5)):
        make(relevance_score=score)
    for score in (True, np.True_, "0.5", 0.5j):
        with pytest.raises(ValidationError):
            make(relevance_score=score)


def test_a_block_is_compared_copied_and_stored_as_a_value():
    block = make(metadata={"k": "v"}, timestamp=5)
    for other in (
        copy.copy(block),
        copy.deepcopy(block),
        pickle.loads(pickle.dumps(block)),
        dataclasses.replace(block),
    ):
        assert other == block
        assert other is not block
    assert block != make(metadata={"k": "v"}, timestamp=6)
    assert "hello world" in repr(block)


def test_there_is_no_room_for_a_misspelt_field():
    with pytest.raises(AttributeError):
        make().relevence_score = 1


RUSSIAN = "Здравствуйте, как дела сегодня вечером? " * 5


@pytest.mark.parametrize(
    "of",
    [
        copy.copy,
        copy.deepcopy,
        dataclasses.replace,
        lambda block: pickle.loads(pickle.dumps(block)),
        lambda block: BlockSet([block])[0],
        lambda block: BlockSet([block]).prune(1000).kept[0],
    ],
)
def test_a_count_that_nobody_gave_is_not_believed_by_another_counter(of):
    block = make(content=RUSSIAN)
    assert block.token_count == tiktoken_count(RUSSIAN)
    copied = of(block)
    assert copied.token_count == tiktoken_count(RUSSIAN)
    other = tiktoken_count(RUSSIAN, "cl100k_base")
    assert other > block.token_count
    assert prune([copied], 1000, counter="cl100k_base").tokens == other + 7
    assert BlockSet([copied], counter="cl100k_base").token_counts.tolist() == [other]


def test_replacing_the_content_replaces_the_count():
    block = make()
    assert block.token_count == 2
    assert dataclasses.replace(block, content="one two three").token_count == 3


def test_a_block_can_always_be_looked_at():
    block = make()
    block.content = 7
    block.relevance_score = object
    assert "content=7" in repr(block)


def test_a_field_that_was_deleted_is_a_bad_block():
    block = make()
    del block.references
    with pytest.raises(ValidationError, match=r"blocks\[0\]: block has lost a field"):
        prune([block], 100)


def test_a_count_that_is_a_numpy_number_goes_with_its_text_as_any_other():
    (count,) = count_tokens_batch(["one"])
    block = ContextBlock("a", "one", 0.5, ContextType.USER, token_count=count)
    assert type(block.token_count) is int
    block.content = "one two three four five six"
    assert block.token_count == 6
    block.token_count = count
    block.content = "one two"
    assert block.token_count == 2
