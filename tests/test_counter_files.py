"""Counters over files of ranks: tiktoken's counts, and no trust in the file."""

from __future__ import annotations

import base64
import random
from itertools import pairwise
from unittest.mock import patch

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tiktoken_ext import openai_public

from conftest import rank_file
from pycontext import ContextBlock, ContextType, ValidationError, get_counter, prune
from pycontext._core import vocabulary
from strategies import TEXTS


def published_pattern(name: str) -> str:
    with (
        patch.object(openai_public, "load_tiktoken_bpe", lambda *_, **__: {}),
        patch.object(openai_public, "data_gym_to_mergeable_bpe_ranks", lambda *_, **__: {b"": 0}),
    ):
        return getattr(openai_public, name)()["pat_str"]


R50K = published_pattern("r50k_base")
O200K = published_pattern("o200k_base")
SIMPLE = r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PATTERNS = {
    "r50k": R50K,
    "p50k": published_pattern("p50k_base"),
    "o200k": O200K,
    "simple": SIMPLE,
    "letters": r"\p{L}+",
}


def toy_ranks() -> dict[bytes, int]:
    """Trained on a few words, with holes in the ranks, and a token that merging never reaches."""
    text = "the context of the agents, the tokens of the context: größer, größte; 数字数字 \n\n  aaaaaaaa".encode()
    parts = [bytes([byte]) for byte in text]
    ranks = {bytes([byte]): 3 * byte for byte in range(256)}
    for rank in range(1_000, 1_060):
        pairs = list(pairwise(parts))
        best = max(set(pairs), key=lambda pair: (pairs.count(pair), pair))
        joined = best[0] + best[1]
        ranks.setdefault(joined, rank)
        merged = []
        while parts:
            part = parts.pop(0)
            merged.append(part + parts.pop(0) if parts and (part, parts[0]) == best else part)
        parts = merged
    ranks[b"unreachable"] = 5_000
    return ranks


def write(path, ranks):
    path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items()))
    return path


TOY = toy_ranks()
ORACLES = {
    name: tiktoken.Encoding(name="toy", pat_str=pattern, mergeable_ranks=TOY, special_tokens={})
    for name, pattern in PATTERNS.items()
}


@pytest.fixture(scope="module", name="toys")
def counters_over_the_toy(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("ranks") / "toy.tiktoken", TOY)
    return {name: get_counter(path, pattern=pattern) for name, pattern in PATTERNS.items()}


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=TEXTS | st.text("the context größ数字a \n\t'sS123.,", max_size=60) | st.text())
def test_counts_are_tiktokens(toys, pattern, text):
    expected = len(ORACLES[pattern].encode_ordinary(text))
    assert toys[pattern].count(text) == expected
    assert toys[pattern].count_batch([text, ""]).tolist() == [expected, 0]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_token_that_is_a_piece_is_one_token(toys, pattern):
    assert toys[pattern].count("unreachable") == 1


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pieces_without_end(toys, pattern):
    rng = random.Random(4)
    for unit in ("a", " ", "the", "数字", "=", "\n "):
        text = unit * 2_000
        assert toys[pattern].count(text) == len(ORACLES[pattern].encode_ordinary(text))
    text = "".join(rng.choices("thecontxa", k=200_000))
    assert toys[pattern].count(text) == len(ORACLES[pattern].encode_ordinary(text))


def test_a_published_file_with_its_pattern(tmp_path):
    path = tmp_path / "cl100k_base.tiktoken"
    path.write_bytes(rank_file("cl100k_base"))
    counter = get_counter(path, pattern=R50K)
    ranks = {token: rank for rank, token in enumerate(vocabulary("cl100k_base"))}
    oracle = tiktoken.Encoding(name="mixed", pat_str=R50K, mergeable_ranks=ranks, special_tokens={})
    text = "Ranks of one encoding, the pattern of another: it's 12345 größer\n\n  数字 naïve" * 20
    assert counter.count(text) == len(oracle.encode_ordinary(text))
    assert counter.exact


def test_the_content_is_in_the_name(tmp_path):
    first = get_counter(write(tmp_path / "a.tiktoken", TOY), pattern=SIMPLE)
    same = get_counter(write(tmp_path / "a.tiktoken", TOY), pattern=SIMPLE)
    other = get_counter(write(tmp_path / "a.tiktoken", TOY | {b"zz": 9_000}), pattern=SIMPLE)
    pattern = get_counter(write(tmp_path / "a.tiktoken", TOY), pattern=R50K)
    assert first.name == same.name
    assert len({first.name, other.name, pattern.name}) == 3


def test_a_prune_counts_with_it(tmp_path):
    counter = get_counter(write(tmp_path / "toy.tiktoken", TOY), pattern=SIMPLE)
    blocks = [ContextBlock(f"b{i}", f"the context of the agents {i}", 0.5, ContextType.AGENT) for i in range(40)]
    selection = prune(blocks, 300, counter=counter)
    assert 0 < selection.tokens <= 300


def line(token: bytes, rank: int) -> bytes:
    return base64.b64encode(token) + b" %d\n" % rank


BYTES = b"".join(line(bytes([byte]), byte) for byte in range(256))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0x00 is a byte without a token"),
        (BYTES[: -len(line(b"\xff", 255))], "0xFF is a byte without a token"),
        (BYTES + b"not base64\n", "line 257 not base64 is not base64, a space and a rank"),
        (BYTES + b"YWI=\n", "line 257 YWI= is not base64"),
        (BYTES + b"YWI= -1\n", "line 257"),
        (BYTES + b"YWI= 99999999999\n", "line 257"),
        (BYTES + b"YWI= 12\n", "has a rank that another line has"),
        (BYTES + line(b"a", 300), "is a token that another line has"),
        (BYTES + line(b"x" * 1_025, 300), "is a token of 1025 bytes, not of 1 to 1024"),
        (BYTES + b" 300\n", "line 257"),
    ],
)
def test_a_file_is_not_trusted(tmp_path, content, words):
    path = tmp_path / "bad.tiktoken"
    path.write_bytes(content)
    with pytest.raises(ValidationError) as caught:
        get_counter(path, pattern=SIMPLE)
    message = str(caught.value)
    assert words in message.replace("'", "")
    assert "\n" not in message
    assert len(message) < 400


def test_a_file_has_a_size(tmp_path):
    path = tmp_path / "large.tiktoken"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ValidationError, match="has more than 67108864 bytes"):
        get_counter(path, pattern=SIMPLE)
    with pytest.raises(ValidationError, match="cannot be read"):
        get_counter(tmp_path / "absent.tiktoken", pattern=SIMPLE)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "is no pattern"),
        (r"\p{L}*", "matches a text without characters"),
        (r"a|", "matches a text without characters"),
        (r"(?<=a)b", "looks around"),
        (r"a(?!b)", "looks around"),
        (r"a++b", "possessive quantifier that is not the last"),
        (r"(a++|b)c", "possessive quantifier that is not the last"),
        (r"(a)\1", "is no pattern"),
        ("a" * 20_000, "is longer than 16384 bytes"),
        (r"(\p{L}{1000}){1000}", "is no pattern"),
    ],
)
def test_a_pattern_is_not_trusted(tmp_path, pattern, words):
    path = write(tmp_path / "toy.tiktoken", TOY)
    with pytest.raises(ValidationError) as caught:
        get_counter(path, pattern=pattern)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message


def test_what_belongs_together_is_asked_for(tmp_path):
    path = write(tmp_path / "toy.tiktoken", TOY)
    with pytest.raises(ValidationError, match="wants a pattern="):
        get_counter(path)
    with pytest.raises(ValidationError, match="is for a file of ranks"):
        get_counter("o200k_base", pattern=SIMPLE)


def test_a_tokenizer_file_says_what_it_wants(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(ValidationError, match=r"--features tokenizers|is not read by tokenizers"):
        get_counter(path)
