"""Many texts in one call: sequences, Arrow columns, threads, forks, and texts that come again."""

from __future__ import annotations

import os
import random
import threading

import numpy as np
import pyarrow as pa
import pytest

from conftest import tiktoken_count
from pycontext import ValidationError, count_tokens, count_tokens_batch

TEXTS = ["hello world", "", "  \n x", "данные и 数字", "a" * 700, "don't's\x0c's", "🏳️‍🌈 flags"]
COUNTS = [tiktoken_count(text) for text in TEXTS]

ARROWS = {
    "string": pa.array(TEXTS, pa.string()),
    "large": pa.array(TEXTS, pa.large_string()),
    "view": pa.array(TEXTS, pa.string_view()),
    "slice": pa.array(["left out", *TEXTS, "as well"], pa.string())[1:-1],
    "chunks": pa.chunked_array([TEXTS[:2], [], TEXTS[2:]], pa.string()),
}


@pytest.mark.parametrize("kind", ARROWS)
def test_an_arrow_column_is_counted_as_its_list(kind):
    assert count_tokens_batch(ARROWS[kind]).tolist() == COUNTS
    assert count_tokens_batch(ARROWS[kind], "cl100k_base").tolist() == [tiktoken_count(t, "cl100k_base") for t in TEXTS]


class Capsule:
    """A column of another library: all that is known of it is the interface."""

    def __init__(self, array):
        self.array = array

    def __arrow_c_array__(self, requested_schema=None):
        return self.array.__arrow_c_array__(requested_schema)


def test_any_object_with_the_arrow_interface_will_do():
    assert count_tokens_batch(Capsule(ARROWS["string"])).tolist() == COUNTS


def broken_utf8() -> pa.Array:
    offsets, data = pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe")
    return pa.StringArray.from_buffers(1, offsets, data)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([1, 2]), "is an Arrow array of Int64, not of strings"),
        (pa.array(["a", None]), "texts[1]  is null, not a string"),
        (broken_utf8(), "is no valid Arrow array"),
        (pa.array([b"a"], pa.binary()), "is an Arrow array of Binary, not of strings"),
    ],
)
def test_what_is_no_column_of_text_is_named(column, words):
    with pytest.raises(ValidationError) as caught:
        count_tokens_batch(column)
    assert words.replace("  ", " ") in str(caught.value).replace("  ", " ")


def test_sequences_of_all_kinds():
    for texts in (TEXTS, tuple(TEXTS), np.array(TEXTS, dtype=object), np.array(TEXTS[:3]), iter(TEXTS)):
        assert count_tokens_batch(texts).tolist() in (COUNTS, COUNTS[:3])


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads_change_no_count(threads):
    rng = random.Random(threads)
    texts = [" ".join(rng.choices(TEXTS, k=rng.randint(0, 30))) for _ in range(5_000)]
    assert count_tokens_batch(texts, threads=threads).tolist() == [count_tokens(text) for text in texts]


@pytest.mark.parametrize(
    ("threads", "words"), [(0, "threads 0"), (-1, "threads -1"), (1.5, "threads 1.5"), (True, "threads True")]
)
def test_a_number_of_threads_is_a_number(threads, words):
    with pytest.raises(ValidationError, match=words):
        count_tokens_batch(TEXTS, threads=threads)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_was_forked_counts_on():
    texts = ["so many words " * 100 + str(i) for i in range(2_000)]
    counts = count_tokens_batch(texts, threads=3).tolist()
    stop = threading.Event()

    def count():
        while not stop.is_set():
            count_tokens_batch(texts, threads=3)

    busy = threading.Thread(target=count)
    busy.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if count_tokens_batch(texts, threads=3).tolist() == counts else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        busy.join()


def test_a_text_that_comes_again_has_the_count_it_had():
    rng = random.Random(5)
    texts = ["".join(rng.choices("ab c\n,.1é", k=400)) for _ in range(300)]
    first = [count_tokens(text) for text in texts]
    assert first == [tiktoken_count(text) for text in texts]
    assert [count_tokens("".join(list(text))) for text in texts] == first
    # The other encoding keeps its own.
    assert [count_tokens(text, "cl100k_base") for text in texts] == [tiktoken_count(t, "cl100k_base") for t in texts]


def test_more_texts_than_are_kept_are_counted_all_the_same():
    texts = [f"number {i} " * 40 for i in range(80_000)]
    once = count_tokens_batch(texts)
    assert (count_tokens_batch(texts) == once).all()
    for i in range(0, len(texts), 7_919):
        assert once[i] == tiktoken_count(texts[i])
