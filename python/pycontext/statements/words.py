"""The words of a sentence, and the plain form by which two of them are the same."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["Word", "listed", "same", "stem", "words_of"]


def listed(words: str) -> frozenset[str]:
    """A list of words, as one reads it."""
    return frozenset(words.split())


_AROUND: Final = "\"'“”‘’«»()[]{}<>.,;:!?…、。！？"  # noqa: RUF001  # these very characters

# Words for one thing, where what is limited, dated, named or owned is said in many ways.
_GROUPS: Final = {
    "money": "budget spend spending spent expense expenses expenditure cost costs outlay",
    "date": "deadline deadlines due date timing schedule scheduled",
    "name": "codename name named call called calling label labelled designated title",
    "on-call": "on-call oncall pager escalation duty incident",
    "owner": "owner owns own owned belongs responsible handles handling",
    "reply": "answer answers answering response responses reply replies responding",
    "tell": "disclose disclosed reveal revealed share shared sharing leak expose",
    "clock": "time times timestamp timestamps clock clocks timezone zone",
    "branch": "branch branches rebase rebased",
    "unit": "unit units measurement measurements",
    "link": "url endpoint link",
}
_SAME: Final = {word: name for name, words in _GROUPS.items() for word in words.split()}


class Word(NamedTuple):
    """One word between blanks: without the punctuation around it, in lower case, and what follows it."""

    text: str
    low: str
    after: str


def words_of(sentence: str) -> list[Word]:
    """The words of a sentence, apostrophes straight."""
    found = []
    for chunk in sentence.replace("\u2019", "'").split():
        text = chunk.strip(_AROUND)
        if text:
            after = chunk[chunk.rfind(text) + len(text) :]
            found.append(Word(text, text.lower(), after))
        elif found:
            found[-1] = found[-1]._replace(after=found[-1].after + chunk)
    return found


@lru_cache(maxsize=1 << 14)
def same(word: str) -> str:
    """The name of the group that a word in lower case belongs to, or its stem."""
    word = word.removesuffix("'s").removesuffix("'")
    return _SAME.get(word) or stem(word)


def stem(word: str) -> str:
    """A word without common endings of English; for comparing words within one text, not for reading."""
    if not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for ending in ("ing", "ed", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word[: -len(ending)]
            break
    if word.endswith("al") and len(word) > 5:
        word = word[:-2]
    return word[:-1] if word.endswith("e") and len(word) > 4 else word
