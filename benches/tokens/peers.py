"""The libraries, each as a way to count a list of texts and one text, on one thread."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benches.data import ROOT, tiktoken_cache
from pycontext import count_tokens, count_tokens_batch
from pycontext._core import vocabulary

ENCODING = "o200k_base"
CACHE = ROOT / ".cache" / "peers"

Counts = list[int]


@dataclass(frozen=True)
class Peer:
    """A library that is ready; `count_all` leaves its result as the library has it, `counts_of` reads it."""

    name: str
    distribution: str
    count_all: Callable[[list[str]], object]
    counts_of: Callable[[object], Counts]
    count: Callable[[str], object]


def peers() -> Iterator[Peer | str]:
    """Those that can be used, and a message for each that cannot."""
    for make in (pycontext, tiktoken, gigatoken, fastokens, toktok, rs_bpe):
        try:
            yield make()
        except ImportError as error:
            yield f"{make.__name__} is left out: {error}"


def pycontext() -> Peer:
    return Peer(
        "pycontext",
        "pycontext-layer",
        lambda texts: count_tokens_batch(texts, ENCODING, threads=1),
        lambda counts: counts.tolist(),
        lambda text: count_tokens(text, ENCODING),
    )


def tiktoken() -> Peer:
    import tiktoken

    os.environ["TIKTOKEN_CACHE_DIR"] = str(tiktoken_cache())
    encode = tiktoken.get_encoding(ENCODING).encode_ordinary
    return Peer(
        "tiktoken",
        "tiktoken",
        lambda texts: [len(encode(text)) for text in texts],
        list,
        lambda text: len(encode(text)),
    )


def gigatoken() -> Peer:
    import awkward
    import gigatoken

    tokenizer = gigatoken.Tokenizer.from_tiktoken(rank_file())
    return Peer(
        "gigatoken",
        "gigatoken",
        lambda texts: tokenizer.encode_batch(texts, parallel=False),
        lambda ids: awkward.num(ids).tolist(),
        lambda text: len(tokenizer.encode(text)),
    )


def fastokens() -> Peer:
    import fastokens
    import numpy as np

    tokenizer = fastokens.Tokenizer.from_file(str(tokenizer_file()))
    return Peer(
        "fastokens",
        "fastokens",
        tokenizer.encode_batch_flat,
        lambda result: np.diff(np.frombuffer(result[1], np.uint64)).astype(int).tolist(),
        lambda text: len(tokenizer.encode_ordinary(text)),
    )


def toktok() -> Peer:
    import toktok

    return Peer(
        "toktok-rs",
        "toktok-rs",
        lambda texts: toktok.batch_count(texts, ENCODING, threads=1),
        list,
        lambda text: toktok.batch_count([text], ENCODING, threads=1)[0],
    )


def rs_bpe() -> Peer:
    from rs_bpe.bpe import openai

    count = openai.o200k_base().count
    return Peer("rs-bpe", "rs-bpe", lambda texts: [count(text) for text in texts], list, count)


def rank_file() -> Path:
    """The vocabulary in tiktoken's format."""
    path = CACHE / f"{ENCODING}.tiktoken"
    if not path.exists():
        lines = (base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(vocabulary(ENCODING)))
        written(path, b"".join(lines))
    return path


def tokenizer_file() -> Path:
    """The vocabulary as a tokenizer.json with merges, for those that read nothing else."""
    path = CACHE / f"{ENCODING}.json"
    if not path.exists():
        from tiktoken import get_encoding

        tokens = vocabulary(ENCODING)
        ranks = {token: rank for rank, token in enumerate(tokens)}
        letters = byte_letters()
        written_as = ["".join(letters[byte] for byte in token) for token in tokens]
        pairs = [halves(ranks, token) for token in tokens if len(token) > 1]
        shown = {
            "version": "1.0",
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {
                        "type": "Split",
                        "pattern": {"Regex": get_encoding(ENCODING)._pat_str},  # noqa: SLF001
                        "behavior": "Isolated",
                        "invert": False,
                    },
                    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
                ],
            },
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": True,
                "vocab": {text: rank for rank, text in enumerate(written_as)},
                "merges": [[written_as[left], written_as[right]] for left, right in pairs],
            },
        }
        written(path, json.dumps(shown).encode())
    return path


def written(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


def halves(ranks: dict[bytes, int], token: bytes) -> tuple[int, int]:
    """What a token is merged from last."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        pairs = enumerate(pairwise(parts))
        _, at = min((ranks.get(left + right, len(ranks)), i) for i, (left, right) in pairs)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return ranks[parts[0]], ranks[parts[1]]


def byte_letters() -> list[str]:
    """A letter for every byte, as byte-level tokenizers write them: printable Latin-1 as itself."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
