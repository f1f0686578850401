"""Texts of the machine and of the recorded conversations; every process makes the same ones."""

from __future__ import annotations

import base64
import gettext
import hashlib
import json
import random
import string
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benches.data import missing, read_jsonl

# Bytes of a corpus, and of one of its texts.
SIZE = 4_000_000
TEXT = 12_000

CONVERSATIONS = "conversations/airline.jsonl"
TELECOM = "conversations/telecom.jsonl"
LANGUAGES = (
    "ar",
    "cs",
    "da",
    "de",
    "el",
    "es",
    "fi",
    "fr",
    "he",
    "hi",
    "hu",
    "id",
    "it",
    "ja",
    "ko",
    "nl",
    "pl",
    "pt_BR",
)
LANGUAGES += ("ro", "ru", "sr", "sv", "th", "tr", "uk", "vi", "zh_CN", "zh_TW")


@dataclass(frozen=True)
class Corpus:
    """Texts in three parts that have no string in common.

    `first` is counted before anything is measured. `unseen` has other passages of the same sources. `warm` has the
    lines of `first` in another order: words that were counted before, in texts that never were.
    """

    name: str
    recipe: str
    first: list[str]
    unseen: list[str]
    warm: list[str]

    @property
    def sha256(self) -> str:
        return hashlib.sha256("".join(self.first + self.unseen).encode()).hexdigest()


def corpora(round_: int, size: int = SIZE) -> list[Corpus]:
    """The corpora of a round; rounds differ in the order of texts and lines."""
    site = Path(sysconfig.get_paths()["purelib"])
    standard = Path(sysconfig.get_paths()["stdlib"])
    prose = [
        *sorted(site.rglob("METADATA")),
        *sorted(site.rglob("*.md")),
        *sorted(Path("/usr/share/doc").rglob("*.txt")),
    ]
    prose += sorted(Path("/usr/share/common-licenses").glob("*")) + sorted(Path("/usr/share/perl").rglob("*.pod"))
    sources = [
        path for path in sorted(standard.rglob("*.py")) if not {"site-packages", "test", "encodings"} & set(path.parts)
    ]
    structured = sorted(site.rglob("*.json"))
    parts = {
        "prose": (
            "READMEs and metadata of packages, /usr/share/doc, licences, what is said in the recorded conversations",
            [*conversations(), *texts_of(prose)],
        ),
        "code and JSON": (
            "the standard library without its tests, JSON files of packages, tool results of recorded conversations",
            [*results(), *interleaved(texts_of(structured), texts_of(sources), size)],
        ),
        "multilingual": (
            f"translations in /usr/share/locale: {', '.join(LANGUAGES)}",
            list(catalogues(size)),
        ),
    }
    return [split(name, recipe, passages, round_, size) for name, (recipe, passages) in parts.items()]


def split(name: str, recipe: str, passages: Iterable[str], round_: int, size: int) -> Corpus:
    texts: list[str] = []
    seen: set[str] = set()
    held = 0
    for passage in passages:
        for text in cut(passage):
            if held < size and text not in seen:
                seen.add(text)
                texts.append(text)
                held += len(text.encode())
    random.Random(1).shuffle(texts)  # the same halves in every round
    first, unseen = texts[::2], texts[1::2]
    rng = random.Random(round_)
    rng.shuffle(first)
    rng.shuffle(unseen)
    lines = [line for text in first for line in text.split("\n")]
    rng.shuffle(lines)
    return Corpus(name, recipe, first, unseen, list(joined(lines)))


def cut(passage: str) -> Iterator[str]:
    for at in range(0, len(passage), TEXT):
        yield passage[at : at + TEXT]


def joined(lines: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    length = 0
    for line in lines:
        held.append(line)
        length += len(line) + 1
        if length >= TEXT:
            yield "\n".join(held)
            held, length = [], 0
    if held:
        yield "\n".join(held)


def texts_of(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        try:
            yield path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue


def interleaved(few: Iterator[str], many: Iterator[str], size: int) -> Iterator[str]:
    """A quarter of JSON, no file of it longer than a few texts."""
    held = 0
    for text in few:
        if held > size / 4:
            break
        part = text[: 5 * TEXT]
        held += len(part.encode())
        yield part
    yield from many


def conversations() -> list[str]:
    if missing(CONVERSATIONS):
        return []
    roles = ("user", "assistant")
    return ["\n".join(said(line, roles)) for line in read_jsonl(CONVERSATIONS)]


def results() -> list[str]:
    if missing(TELECOM):
        return []
    return ["\n".join(said(line, ("tool",))) for line in read_jsonl(TELECOM)]


def said(line: dict, roles: tuple[str, ...]) -> list[str]:
    return [m["content"] for m in line["messages"] if m["role"] in roles and m["content"]]


def catalogues(size: int) -> Iterator[str]:
    """As much of every language as of any other."""
    for language in LANGUAGES:
        held = 0
        for path in sorted(Path("/usr/share/locale", language, "LC_MESSAGES").glob("*.mo")):
            if held > size / len(LANGUAGES):
                break
            for text in translated(path):
                held += len(text.encode())
                yield text


def translated(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)
    except (OSError, ValueError, UnicodeDecodeError):
        return
    strings = [text for key, text in catalogue._catalog.items() if key and not text.isascii()]  # noqa: SLF001
    yield "\n".join(strings)[: 6 * TEXT]


def messages(round_: int) -> list[str]:
    """Up to 6,000 texts of 190 bytes, other ones in every round."""
    source = "\n".join([*conversations(), *results()]) or "\n".join(corpora(0, SIZE // 2)[0].first)
    source = "".join(char for char in source if char.isascii())
    start = 17 * round_
    return [source[at : at + 190] for at in range(start, min(len(source), start + 190 * 6_000) - 190, 190)]


def adversarial(size: int) -> dict[str, str]:
    """Texts made to be slow, of `size` bytes each."""
    rng = random.Random(8)
    letters = lambda n: "".join(rng.choices(string.ascii_lowercase, k=n))  # noqa: E731
    ideographs = "".join(chr(rng.randrange(0x4E00, 0x9FA5)) for _ in range(size // 3))
    return {
        "random letters": letters(size),
        "base64": base64.b64encode(rng.randbytes(size * 3 // 4)).decode(),
        "hex": rng.randbytes(size // 2).hex(),
        "=": "=" * size,
        "a": "a" * size,
        "blanks": " " * size,
        "line ends and blanks": "\n " * (size // 2),
        "ideographs": ideographs,
        "300 letters, 300 a": "".join(letters(300) + "a" * 300 for _ in range(size // 600)),
        "words of 65 to 119 letters": " ".join(letters(rng.randrange(65, 120)) for _ in range(size // 92)),
        "=-": "=-" * (size // 2),
    }


if __name__ == "__main__":
    for corpus in corpora(0):
        lengths = [sum(len(text.encode()) for text in part) for part in (corpus.first, corpus.unseen, corpus.warm)]
        sys.stdout.write(json.dumps([corpus.name, lengths, corpus.sha256]) + "\n")
