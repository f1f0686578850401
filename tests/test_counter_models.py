"""Counters by the names of models: OpenAI's exactly, others by an estimate that says so."""

from __future__ import annotations

import math

import pytest
import tiktoken.model
from hypothesis import given
from hypothesis import strategies as st

from pycontext import ContextBlock, ContextType, TokenCounter, ValidationError, count_tokens, get_counter, prune
from pycontext.counter import EstimateCounter
from strategies import TEXTS

HERE = {"o200k_base": "o200k_base", "cl100k_base": "cl100k_base", "o200k_harmony": "o200k_base"}


@pytest.mark.parametrize("model", [*tiktoken.model.MODEL_TO_ENCODING, "o200k_harmony"])
def test_a_model_has_the_encoding_that_tiktoken_says(model):
    encoding = HERE.get(tiktoken.model.MODEL_TO_ENCODING.get(model, model))
    if encoding:
        assert get_counter(model).name == encoding
        assert get_counter(model).exact
    else:
        with pytest.raises(ValidationError, match="is not one of o200k_base"):
            get_counter(model)


@pytest.mark.parametrize("prefix", tiktoken.model.MODEL_PREFIX_TO_ENCODING)
def test_a_prefix_has_the_encoding_that_tiktoken_says(prefix):
    expected = HERE[tiktoken.model.encoding_name_for_model(f"{prefix}2026-11-24")]
    assert get_counter(f"{prefix}2026-11-24").name == expected


@pytest.mark.parametrize("model", ["claude", "claude-sonnet-5", "gemini-3-pro"])
def test_a_model_without_a_public_tokenizer_is_estimated(model):
    counter = get_counter(model)
    assert isinstance(counter, TokenCounter)
    assert not counter.exact
    assert counter.name.startswith(f"estimate:{model.split('-')[0]}:")
    assert "an assumption" in repr(counter)
    assert counter.count("a few words") >= count_tokens("a few words")


@given(st.lists(TEXTS | st.text(), max_size=8), st.sampled_from(["middle", "upper"]))
def test_a_batch_is_its_texts(texts, bound):
    counter = get_counter("claude", bound=bound)
    assert counter.count_batch(texts).tolist() == [counter.count(text) for text in texts]


@given(TEXTS | st.text())
def test_bytes_are_a_bound_before_there_are_samples(text):
    assert get_counter("claude", bound="upper").count(text) == len(text.encode())


TEXT = st.text("the quick brown fox größer 数字 12", min_size=1, max_size=80)


@given(st.lists(st.tuples(TEXT, st.integers(1, 400)), min_size=1, max_size=20))
def test_no_sample_is_beyond_the_upper_bound_that_it_made(samples):
    counter = get_counter("claude", bound="upper").calibrate(samples)
    assert all(counter.count(text) >= count for text, count in samples)
    assert counter.samples == len(samples)
    assert not counter.exact


def test_the_middle_is_all_tokens_over_all_of_ours():
    texts = ["one text", "another text that is longer", "and a third"]
    samples = [(text, 2 * count_tokens(text)) for text in texts]
    counter = get_counter("claude").calibrate(samples)
    assert counter.factor == 2
    assert counter.count("one text") == 2 * count_tokens("one text")
    assert "measured on 3 samples" in repr(counter)


def test_a_calibrated_counter_is_another_counter():
    counter = get_counter("claude")
    measured = counter.calibrate([("one text", 7)])
    assert measured.name != counter.name
    assert counter.samples == 0
    assert measured.count("one text") == math.ceil(count_tokens("one text") * measured.factor)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([], "samples has none"),
        ([("", 1)], "samples[0]"),
        ([("a", 1), ("b", 0)], "samples[1]"),
        ([("a", -1)], "samples[0]"),
        ([("a", 1.5)], "samples[0]"),
        ([("a", math.nan)], "samples[0]"),
        ([("a", True)], "samples[0]"),
        ([("a", 2**32)], "samples[0]"),
        ([("a",)], "samples[0]"),
        ([(b"a", 1)], "samples[0]"),
    ],
)
def test_a_sample_is_a_text_and_its_tokens(samples, words):
    with pytest.raises(ValidationError) as caught:
        get_counter("claude").calibrate(samples)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"factor": 0}, "factor 0"),
        ({"factor": math.nan}, "factor nan"),
        ({"factor": math.inf}, "factor inf"),
        ({"factor": True}, "factor True"),
        ({"factor": "1"}, "factor '1'"),
        ({"factor": 1, "bound": "lower"}, "bound 'lower'"),
        ({"factor": 1, "family": ""}, "family ''"),
    ],
)
def test_an_estimate_is_made_of_numbers(arguments, words):
    with pytest.raises(ValidationError) as caught:
        EstimateCounter(**({"family": "mine"} | arguments))
    assert words in str(caught.value)


def test_a_prune_by_an_estimate_keeps_its_budget():
    blocks = [ContextBlock(f"b{i}", f"message {i} with a few words", 0.5, ContextType.AGENT) for i in range(50)]
    selection = prune(blocks, 400, counter=get_counter("claude"))
    assert 0 < selection.tokens <= 400
    assert prune(blocks, 400, counter="claude-sonnet-5").tokens == selection.tokens
