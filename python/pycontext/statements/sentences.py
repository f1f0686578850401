"""Texts cut into sentences, in one walk: no text takes longer than its length says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pycontext.statements.words import listed

__all__ = ["sentences_of"]

# Possessive, and never begun within a run: a megabyte of full stops is read once.
_END: Final = re.compile(r"(?<![.!?])[.!?]++[\"'”’)\]]*+(?=\s)|[。！？]++")  # noqa: RUF001  # of Chinese and Japanese
_MARK: Final = re.compile(r"(?:[-*•–]|\d{1,3}[.)])\s+")  # noqa: RUF001  # a dash is one of them
# A role before a line is how transcripts are printed.
_ROLE: Final = re.compile(r"\[(?:system|user|agent|assistant|memory|knowledge|tool)\]\s*", re.IGNORECASE)
_ABBREVIATIONS: Final = listed(
    "e.g. i.e. mr. mrs. ms. dr. prof. vs. no. nr. approx. etc. st. inc. ltd. co. fig. jan. feb. mar. apr. jun. jul. "
    "aug. sep. sept. oct. nov. dec. a.m. p.m. u.s. bzw. z.b. ca."
)
_LEANS: Final = listed("it this that these those they them he she its their")
_BARE: Final = (["never"], ["always"], ["don't"], ["do"])
_WITHOUT_OBJECT: Final = listed("without unless before until after beyond")
_LONGEST: Final = 600


def sentences_of(text: str) -> Iterator[str]:
    """The sentences of a text, line by line, each with single spaces; those longer than 600 characters are left out."""
    for line in text.splitlines():
        for sentence in _joined(_unmarked(" ".join(line.split()))):
            # Once more: a list may go on within a line.
            found = _unmarked(sentence)
            if 0 < len(found) <= _LONGEST:
                yield found


def _unmarked(line: str) -> str:
    """A line without the marks before it: all of them, so that what comes out of here comes out of here again."""
    start = 0
    while match := _ROLE.match(line, start) or _MARK.match(line, start):
        start = match.end()
    return line[start:]


def _joined(line: str) -> Iterator[str]:
    """The sentences of a line; what says "it" or breaks off ("Never exceed it.") stays with what it leans on."""
    held = ""
    for sentence in _cut(line):
        if held and len(held) + len(sentence) < _LONGEST and _leans(sentence):
            held += sentence
        else:
            if held:
                yield held.strip()
            held = sentence
    if held:
        yield held.strip()


def _cut(line: str) -> Iterator[str]:
    """The sentences of a line, each with the blank before it."""
    start = 0
    for match in _END.finditer(line):
        end = match.end()
        if line[match.start()] in ".!?":
            following = line[end + 1 : end + 2]
            last = line[max(start, end - 12) : end].rpartition(" ")[2].lower()
            # Of a full stop alone it is not known what it ends.
            if following.islower() or last in _ABBREVIATIONS or (len(last) == 2 and last[0].isalpha()):
                continue
        yield line[start:end]
        start = end
    if start < len(line):
        yield line[start:]


def _leans(sentence: str) -> bool:
    words = sentence.lower().rstrip(".!").split(maxsplit=5)
    if any(word in _LEANS for word in words[:3]):
        return True
    # "Never exceed without approval": exceed what? "Never book the Astra" stands alone.
    at = 2 if words[:2] == ["do", "not"] else 1
    return words[:1] in _BARE and len(words) > at and (len(words) == at + 1 or words[at + 1] in _WITHOUT_OBJECT)
