"""Counts of prefixes, and counts that stop at a limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import tiktoken_count
from pycontext import ValidationError, count_tokens, count_within, prefix_counts
from strategies import TEXTS

ENCODINGS = ["o200k_base", "cl100k_base"]


@pytest.mark.parametrize("name", ENCODINGS)
@given(text=TEXTS | st.text() | st.text(" \n\t\u30001'sA!", max_size=40))
def test_every_prefix_that_is_named_has_the_tokens_that_are_named(name, text):
    ends, counts = prefix_counts(text, name)
    assert ends.dtype == counts.dtype == np.uint64
    assert [tiktoken_count(text[: int(end)], name) for end in ends] == counts.tolist()
    assert ends.tolist() == sorted(set(ends.tolist()))
    assert (ends.tolist() or [0])[-1] == len(text)


def test_a_cut_at_so_many_tokens_is_found_in_one_pass():
    text = "Agents put typed blocks in; the layer counts them, 数字 und Größe as well.\n" * 50
    ends, counts = prefix_counts(text)
    for limit in range(1, 400, 7):
        cut = text[: int(ends[np.searchsorted(counts, limit, side="right") - 1])]
        assert 0 < count_tokens(cut) <= limit
        assert count_tokens(cut) > limit - 4


@pytest.mark.parametrize("name", ENCODINGS)
@given(text=TEXTS | st.text(), more=st.integers(-3, 3))
def test_a_limit_is_kept_to_the_token(name, text, more):
    count = tiktoken_count(text, name)
    limit = max(0, count + more)
    assert count_within(text, limit, name) == (count if count <= limit else None)


@pytest.mark.parametrize("unit", ["word ", "=", "中", "x1\n", " "])
def test_a_long_text_against_small_and_large_limits(unit):
    text = unit * 200_000
    count = count_tokens(text)
    assert [count_within(text, limit) for limit in (0, 10, count // 3, count - 1)] == [None] * 4
    assert count_within(text, count) == count_within(text, 2**32 - 1) == count


@pytest.mark.parametrize("limit", [-1, 2**32, 1.0, None, "9"])
def test_a_limit_is_a_number_of_tokens(limit):
    with pytest.raises(ValidationError, match="limit"):
        count_within("text", limit)


def test_what_is_no_text_is_named():
    with pytest.raises(ValidationError, match="text b'x' is bytes"):
        prefix_counts(b"x")
    with pytest.raises(ValidationError, match="lone surrogate"):
        count_within("\ud800", 5)
