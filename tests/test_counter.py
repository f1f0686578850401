"""Token counts are tiktoken's."""

from __future__ import annotations

import hashlib
import random
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import oracle, rank_file, tiktoken_count
from pycontext import PluginError, TokenCounter, ValidationError, count_tokens, count_tokens_batch, get_counter
from pycontext.counter import as_counter, count_with
from strategies import TEXTS

# Published with tiktoken; the same files that OpenAI serves.
SHA256 = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
ENCODINGS = list(SHA256)

# Alphabets of fuzzing, mixed: letters at contractions, white space, control characters, scripts, marks, unassigned.
ALPHABETS = [
    "abc XYZ '’sStTmMdDlLvVrReE",
    "0123456789 .,;:/\\[]{}()\"'\n\r\t",
    "\x00\x0b\x0c\x1c\x1d\x85\xa0\u2003\u2028\u200b\ufeff",
    "àéîßſİıǅǈʰªº",
    "中文字日本語カナ한국어",
    "абвАБВελΣςאבגعرب",
    "ุูเกनमस्",
    "e\u0301\u0308\u20dd",
    "😀👨\u200d👩\u200d👧🏽",
    "\u0378\u0379\u1c89\ua7cb\U000105c0",
    "①²½٣४",
]


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_vocabulary_is_the_published_one(name):
    assert hashlib.sha256(rank_file(name)).hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", ENCODINGS)
@given(text=TEXTS | st.text())
def test_counts_of_any_text(name, text):
    assert count_tokens(text, name) == tiktoken_count(text, name)


@pytest.mark.parametrize("name", ENCODINGS)
def test_counts_of_mixed_alphabets(name):
    rng = random.Random(7)
    texts = []
    for _ in range(20_000):
        letters = "".join(rng.sample(ALPHABETS, rng.randint(1, 4)))
        texts.append("".join(rng.choices(letters, k=rng.randint(1, 40))))
    expected = [tiktoken_count(text, name) for text in texts]
    assert count_tokens_batch(texts, name).tolist() == expected


@pytest.mark.parametrize("name", ENCODINGS)
def test_counts_of_every_code_point(name):
    contexts = ["%s", "a%sb", " %s'S", "1%s\n"]
    points = [chr(c) for c in range(0x3_4000) if not 0xD800 <= c < 0xE000]
    for context in contexts:
        texts = [context.replace("%s", point) for point in points]
        counts = count_tokens_batch(texts, name).tolist()
        encoded = oracle(name).encode_ordinary_batch(texts, num_threads=1)
        wrong = [text for text, count, ids in zip(texts, counts, encoded, strict=True) if count != len(ids)]
        assert wrong == []


@pytest.mark.parametrize("name", ENCODINGS)
def test_counts_of_long_pre_tokens(name):
    rng = random.Random(3)
    for unit in ("=", "a", " ", "中", "ab", "\n", "-_"):
        text = unit * 3_000
        assert count_tokens(text, name) == tiktoken_count(text, name)
    for n in (65, 119, 300, 2_000):
        text = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=n)) + "a" * n
        assert count_tokens(text, name) == tiktoken_count(text, name)


def test_what_the_oracle_cannot_count():
    # tiktoken itself gives up here; 7,813 is what six other implementations agree on.
    assert count_tokens(" " * 1_000_000) == 7_813


def test_special_tokens_in_text_are_ordinary_text():
    assert count_tokens("<|endoftext|>") == 7


def test_counts_of_our_own_sources():
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path and path.endswith(".py") and "pycontext" in path:
            text = Path(path).read_text(encoding="utf-8")
            assert count_tokens(text) == tiktoken_count(text)


def test_a_batch_takes_any_sequence_and_gives_numbers():
    for texts in (["a b", ""], ("a b", ""), np.array(["a b", ""], dtype=object), iter(["a b", ""])):
        counts = count_tokens_batch(texts)
        assert counts.dtype == np.uint32
        assert counts.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: count_tokens(None), "text None is NoneType, not str"),
        (lambda: count_tokens(b"x"), "text b'x' is bytes, not str"),
        (lambda: count_tokens("\ud800"), "text '\\ud800' holds a lone surrogate"),
        (lambda: count_tokens("x", "p50k_base"), "encoding 'p50k_base' is not one of o200k_base, cl100k_base"),
        (lambda: count_tokens_batch("abc"), "texts is one str, not a sequence"),
        (lambda: count_tokens_batch(["a", 1]), "texts[1] 1 is int, not str"),
        (lambda: get_counter("gpt-9"), "counter 'gpt-9' is not one of o200k_base, cl100k_base"),
        (lambda: get_counter(None), "counter None is not one of"),
    ],
)
def test_what_is_no_text_or_no_encoding_is_named(call, words):
    with pytest.raises(ValidationError) as caught:
        call()
    assert words in str(caught.value)


def test_a_counter_of_ours_is_a_token_counter():
    counter = get_counter("cl100k_base")
    assert isinstance(counter, TokenCounter)
    assert (counter.name, counter.exact) == ("cl100k_base", True)
    assert counter.count("hello world") == tiktoken_count("hello world", "cl100k_base")
    assert counter.count_batch(["hello world"]).tolist() == [counter.count("hello world")]


class Plugin:
    """A counter that returns what it is told."""

    name = "plug-in"
    exact = False

    def __init__(self, result):
        self.result = result

    def count(self, text):
        return self.count_batch([text])[0]

    def count_batch(self, _texts):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ([1], "returned 1 counts for 2 texts"),
        ([1, 1, 1], "returned 3 counts for 2 texts"),
        ([1, -1], "returned -1, not a whole number from 0 to"),
        ([1, 2**32], "returned 4294967296, not a whole number"),
        ([1, "many"], "returned 'many', not a whole number"),
        (RuntimeError("down"), "raised RuntimeError"),
    ],
)
def test_a_plug_in_that_fails_is_named(result, words):
    with pytest.raises(PluginError, match="plug-in") as caught:
        count_with(Plugin(result), ["a", "b"])
    assert words in str(caught.value)


def test_the_largest_count_is_a_count():
    assert count_with(Plugin([0, 2**32 - 1]), ["a", "b"]) == [0, 2**32 - 1]


@pytest.mark.parametrize("name", ["", None, 7])
def test_a_plug_in_has_a_name(name):
    plugin = Plugin([])
    plugin.name = name
    with pytest.raises(ValidationError, match="has the name"):
        as_counter(plugin)


def test_other_threads_run_while_a_long_text_is_counted():
    text = "some words and more " * 400_000
    gaps = []
    done = threading.Event()

    def tick():
        last = time.perf_counter()
        while not done.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    ticker = threading.Thread(target=tick)
    ticker.start()
    start = time.perf_counter()
    count_tokens(text)
    took = time.perf_counter() - start
    done.set()
    ticker.join()
    # Held, the lock would show as one gap as long as the call.
    assert max(gaps) < took / 2
