"""Texts that a counter gets wrong if it gets anything wrong: every rule, at every place, in every mixture."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pycontext._core import vocabulary

# What texts are made of: contractions and what looks like one, line ends, blanks, scripts with and without case, marks.
PIECES = [
    *("'s", "'S", "'t", "'re", "'LL", "'ve", "'d", "'m", "'ſ", "'x", "'", "don't", "I'LLX", "ſ", "\u212a"),
    *("\n", "\r\n", "\n\n", "/", "//", " ", "  ", "\t", "\x0c", "\x0b", "\0", "\x01", "\x1c", "\x1f", "\x7f"),
    *("\x85", "\xa0", "\u1680", "\u2003", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u200b", "\ufeff"),
    *("é", "É", "ß", "ʰ", "ª", "ǅ", "ᾈ", "İ", "ı", "\u0301", "\u0308", "\u20dd", "\ufe0f", "\u200d"),
    *(
        "中",
        "文字",
        "日本語",
        "カタカナ",
        "ー",
        "한국",
        "어",
        "ไทย",
        "ำ",
        "ุู",
        "हिन्दी",
        "العربية",
        "עִבְרִית",
        "ქართული",
        "ᲓᲐ",
        "Ꭰꭰ",
        "Ελλάς",
    ),
    *("1", "12", "123", "4567", "٣", "½", "①", "²", "Ⅷ", "𝟘"),
    *("a", "B", "cd", "EF", "gHi", "Word", "hello", "WORLD", "I", "camelCase", "SCREAMING_CASE", "_"),
    *(".", ",", "!!", "--", "=====", "://", '{"', '":', "().", "\\n", "\ufffd", "\u0378", "\U000e0000", "\U000105c0"),
    *("<|endoftext|>", "🏳️‍🌈", "👨‍👩‍👧", "🇩🇪", "😀"),
]
ASCII = [piece for piece in PIECES if piece.isascii()]
SPECIAL = [
    "'s ",
    " \0",
    "\x0c's's",
    "\n  x",
    "  \n",
    ".\n/x",
    "''s",
    "é",
    "\u3000",
    "1234",
    "aB",
    " !",
    "\t!",
    "'ſa",
    "中",
    "\r\n\r",
]

# Where a character may stand, and where its class changes what is around it.
CONTEXTS = ["%s", "a%sb", "A%sb", "1%s2", " %s ", "!%s\n", "'%s", "%s's", "\n%s"]


def mixtures(seed: int, number: int) -> Iterator[str]:
    """Texts of all kinds; the same ones for the same seed."""
    rng = random.Random(seed)
    tokens = [token.decode() for token in vocabulary("o200k_base")[::31] if token.isascii()]
    halves = [token[: len(token) // 2] for token in tokens if len(token) > 3]
    alphabets = [
        PIECES,
        ASCII,
        tokens + PIECES,
        halves + ASCII,
        list(" \n\t\r"),
        list("abAB '1/\n."),
        list("'sStTlLdDmMrReEvVſ "),
    ]
    for _ in range(number):
        kind = rng.random()
        length = int(rng.expovariate(1 / 25)) + 1
        if kind < 0.85:
            yield "".join(rng.choices(rng.choice(alphabets), k=length))
        elif kind < 0.93:
            yield "".join(character(rng) for _ in range(length))
        elif kind < 0.97:
            blanks = "".join(rng.choices(" \n\u3000", [20, 1, 1], k=length * 5))
            yield rng.choice(PIECES) + blanks + rng.choice(PIECES)
        else:
            yield giant(rng, rng.choice([60, 90, 118, 130, 190, 260, 520]))


def character(rng: random.Random) -> str:
    return chr(
        rng.choice([rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)])
    )


def giant(rng: random.Random, length: int) -> str:
    """One piece of letters, or of symbols, from parts that merge differently."""
    text = ""
    while len(text) < length:
        n = rng.randrange(1, 40)
        part = rng.randrange(5)
        if part == 0:
            text += "".join(rng.choices("etaoinshrdlu", k=n))
        elif part == 1:
            text += rng.choice("abez") * n
        elif part == 2:
            text += rng.choice(["the", "ation", "international", "ab", "qz"]) * (n // 4 + 1)
        elif part == 3:
            text += "".join(chr(rng.randrange(0x4E00, 0x9FA5)) for _ in range(n // 3 + 1))
        else:
            text += "".join(rng.choices("бвгдеж", k=n))
    return text


def at_every_place(reach: int, around: int = 0) -> Iterator[str]:
    """Every construct at every offset up to `reach` behind `around` bytes of text: blocks and chunks end somewhere."""
    filler = "ab, 12 C/d\n" * ((around + reach) // 11 + 1)
    for special in SPECIAL:
        for offset in range(reach):
            yield filler[: around + offset] + special + "x' \n y"
