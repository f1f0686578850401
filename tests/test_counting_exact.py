"""Counts equal tiktoken's on texts made to be counted wrongly. `make exact` does the same at length."""

from __future__ import annotations

import random

import pytest

from conftest import oracle
from counting_cases import PIECES, at_every_place, giant, mixtures
from pycontext import count_tokens, count_tokens_batch

ENCODINGS = ["o200k_base", "cl100k_base"]


def wrong(texts: list[str], name: str) -> list[tuple[str, int, int]]:
    """Texts with our count and the oracle's, where they differ."""
    counts = count_tokens_batch(texts, name).tolist()
    encoded = oracle(name).encode_ordinary_batch(texts, num_threads=2)
    return [(t, c, len(ids)) for t, c, ids in zip(texts, counts, encoded, strict=True) if c != len(ids)]


@pytest.mark.parametrize("name", ENCODINGS)
def test_mixtures_of_all_rules(name):
    assert wrong(list(mixtures(8, 30_000)), name) == []


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize(("reach", "around"), [(140, 0), (24, 4_090), (24, 16_370), (24, 32_750)])
def test_every_construct_at_every_place(name, reach, around):
    assert wrong(list(at_every_place(reach, around)), name) == []


@pytest.mark.parametrize("name", ENCODINGS)
def test_texts_of_every_length(name):
    rng = random.Random(1)
    long = "".join(rng.choices(PIECES, k=400))
    assert wrong([long[:length] for length in range(600)] + [long[length:] for length in range(600)], name) == []


@pytest.mark.parametrize("name", ENCODINGS)
def test_runs_of_every_ascii_character(name):
    lengths = [*range(1, 140, 3), 255, 256, 257, 300, 511, 512, 513, 1_025, 1_500]
    assert wrong([chr(code) * length for code in range(128) for length in lengths], name) == []


@pytest.mark.parametrize("name", ENCODINGS)
def test_giant_pieces(name):
    rng = random.Random(2)
    sizes = [*range(58, 72), *range(112, 136), 250, 256, 260, 1_000, 10_000]
    assert wrong([giant(rng, size) for size in sizes for _ in range(6)], name) == []


@pytest.mark.parametrize("name", ENCODINGS)
def test_texts_longer_than_a_chunk(name):
    rng = random.Random(3)
    texts = ["".join(rng.choices(PIECES, k=30_000)) for _ in range(3)]
    texts += [
        "中文字" * 20_000,
        "! ?" * 20_000,
        " \n" * 20_000,
        "é" * 50_000,
        "1" * 50_000,
        "a'" * 30_000,
        "ab\u3000" * 20_000,
    ]
    assert wrong(texts, name) == []


def test_one_text_in_every_kind_of_python_string():
    text = "kind of string 12's\n "
    expected = count_tokens(text)
    for wide in ("é", "中", "😀"):
        assert count_tokens((text + wide)[:-1]) == expected
        assert count_tokens((wide + text)[1:]) == expected

    class Text(str):
        __slots__ = ()

    assert count_tokens(Text(text)) == expected
