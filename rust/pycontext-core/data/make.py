"""Writes the tables beside this file: `python make.py o200k_base.tiktoken cl100k_base.tiktoken`.

`NAME.tokens` holds a vocabulary as the counter wants it: the tokens, and the two halves that each was merged from last,
so that nothing has to be merged when it is loaded. `classes.bin` holds what the patterns ask of a code point, as the
regular expressions of tiktoken see it: Unicode tables of other makers differ in thousands of letters.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from itertools import pairwise
from pathlib import Path

import tiktoken

HERE = Path(__file__).parent
SHA256 = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
NONE = 0xFFFFFF

# One bit a class, in the order of class.rs.
CLASSES = [r"\p{Ll}", r"[\p{Lu}\p{Lt}]", r"[\p{Lm}\p{Lo}]", r"\p{M}", r"\p{N}", r"[^\S\r\n]", r"[\r\n]"]
OTHER = 1 << len(CLASSES)
BLOCK = 128


def halves(ranks: dict[bytes, int], token: bytes) -> tuple[int, int]:
    """The last two parts of a token, or NONE twice: a single byte, or a token that merging never reaches."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        rank, at = min((ranks.get(a + b, NONE), i) for i, (a, b) in enumerate(pairwise(parts)))
        if rank == NONE:
            return NONE, NONE
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return (ranks[parts[0]], ranks[parts[1]]) if len(parts) == 2 else (NONE, NONE)


def write_tokens(path: Path) -> None:
    """The number of tokens as four bytes, their lengths, left halves, right halves (three bytes each), their bytes."""
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != SHA256[path.stem]:
        raise SystemExit(f"{path.name} is not the published file")
    lines = (line.split() for line in raw.splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    tokens = sorted(ranks, key=ranks.__getitem__)
    if [ranks[token] for token in tokens] != list(range(len(tokens))):
        raise SystemExit(f"{path.name} has holes in its ranks")
    pairs = [halves(ranks, token) for token in tokens]
    lone = [token for token, (left, _) in zip(tokens, pairs, strict=True) if left == NONE and len(token) > 1]
    print(f"{path.stem}: {len(tokens):,} tokens, {len(lone)} that merging never reaches: {lone[:5]}")
    parts = [
        len(tokens).to_bytes(4, "little"),
        bytes(len(token) for token in tokens),
        b"".join(left.to_bytes(3, "little") for left, _ in pairs),
        b"".join(right.to_bytes(3, "little") for _, right in pairs),
        b"".join(tokens),
    ]
    (HERE / f"{path.stem}.tokens").write_bytes(b"".join(parts))


def write_classes() -> None:
    """For each 128 code points the number of a block, then the blocks, a byte a code point."""
    everything = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    classes = bytearray([OTHER]) * 0x110000
    for bit, pattern in enumerate(CLASSES):
        # A piece that is not matched gives no token: with bytes as tokens only what is in the class comes back.
        oracle = tiktoken.Encoding(
            name="class", pat_str=pattern, mergeable_ranks={bytes([b]): b for b in range(256)}, special_tokens={}
        )
        found = bytes(oracle.encode_ordinary("".join(everything))).decode()
        for char in found:
            if classes[ord(char)] != OTHER:
                raise SystemExit(f"U+{ord(char):04X} has two classes")
            classes[ord(char)] = 1 << bit
    blocks: dict[bytes, int] = {}
    index = [blocks.setdefault(bytes(classes[at : at + BLOCK]), len(blocks)) for at in range(0, len(classes), BLOCK)]
    if len(blocks) > 256:
        raise SystemExit(f"{len(blocks)} blocks do not fit a byte")
    (HERE / "classes.bin").write_bytes(bytes(index) + b"".join(blocks))
    print(f"classes: {len(blocks)} blocks, {len(index) + BLOCK * len(blocks):,} bytes")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        write_tokens(Path(argument))
    write_classes()
