"""Values in sentences: amounts, dates, addresses, codes, names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from pycontext.statements.words import Word, listed

__all__ = ["FIRM", "SETTINGS", "Value", "values_of"]

# Found in any language, and enough to make a fact of a sentence.
FIRM: Final = frozenset({"money", "date", "clock", "email", "url", "id", "zone", "path"})
# One at a time: the last that is said holds.
SETTINGS: Final = frozenset({"zone", "tone", "system"})

_DIGIT: Final = re.compile(r"\d").search
_CURRENCIES: Final = listed(
    "dollar dollars usd euro euros eur pound pounds gbp yen jpy chf francs cents rupees inr yuan € $ £ ¥"
)
_NUMBERS: Final = listed(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion"
)
_MONTHS: Final = listed(
    "january february march april may june july august september october november december jan feb mar apr jun jul aug "
    "sep sept oct nov dec"
)
_DAYS: Final = listed("monday tuesday wednesday thursday friday saturday sunday")
_ZONES: Final = listed("utc gmt est edt cst cdt mst mdt pst pdt cet cest bst ist jst aest")
_ZONE_WORDS: Final = listed("pacific eastern central mountain")
_TONES: Final = listed(
    "terse concise brief short verbose detailed formal informal casual playful warm friendly polite blunt"
)
_SYSTEMS: Final = frozenset({"metric", "imperial"})
# A capital at the start of a sentence, or of "I", makes no name.
_NO_NAMES: Final = listed(
    "a all always an and any as at but by do each every for from if in is it its keep let no not now of on once only "
    "or our please since so that the their these this those to unless until use we when with you your never i"
)


class Value(NamedTuple):
    """A value: of what kind, as text in lower case, and the words that it takes, from and up to."""

    kind: str
    text: str
    start: int
    end: int


def values_of(words: Sequence[Word]) -> list[Value]:
    """The values of a sentence, in order; no word is in two of them."""
    found: list[Value] = []
    at = 0
    while at < len(words):
        kind, end = _value_at(words, at)
        if kind:
            found.append(Value(kind, " ".join(word.low for word in words[at:end]), at, end))
        at = end
    return found


def _value_at(words: Sequence[Word], at: int) -> tuple[str, int]:  # noqa: C901, PLR0911  # one kind after the other
    """The kind of the value that begins here, "" for none, and where to go on."""
    text, low, _ = words[at]
    following = words[at + 1].low if at + 1 < len(words) else ""
    if _DIGIT(text):
        if following in _MONTHS:
            return "date", _after_numbers(words, at + 2)
        if following in _CURRENCIES:
            return "money", at + 2
        return _with_digit(text), at + 1
    if low in _MONTHS and following and following[0].isdigit():
        return "date", _after_numbers(words, at + 1)
    if low in _NUMBERS:
        end = at + 1
        while end < len(words) and words[end].low in _NUMBERS:
            end += 1
        if end < len(words) and words[end].low in _CURRENCIES:
            return "money", end + 1
        return "", end
    if low in _DAYS:
        return "date", at + 1
    if low in _ZONES and text.isupper():
        return "zone", at + 1
    if low in _ZONE_WORDS and following == "time":
        return "zone", at + 2
    return _plain(words, at)


def _plain(words: Sequence[Word], at: int) -> tuple[str, int]:  # noqa: PLR0911  # one kind after the other
    """A value without a digit, of one word or, for a name, of more."""
    text, low, after = words[at]
    if "@" in text[1:-1] and "." in text.rpartition("@")[2]:
        return "email", at + 1
    if "://" in text or low.startswith("www."):
        return "url", at + 1
    if "/" in text[1:-1]:
        left, _, right = text.partition("/")
        if left[:1].isupper() and right[:1].isupper():
            return "zone", at + 1
        return ("path", at + 1) if "-" in text or "_" in text or text.count("/") > 1 else ("", at + 1)
    if low in _TONES:
        return "tone", at + 1
    if low in _SYSTEMS:
        return "system", at + 1
    end = at
    if low not in _NO_NAMES and not after:
        while end < len(words) and _is_capital(words[end].text) and words[end].low not in _NO_NAMES:
            end += 1
            if words[end - 1].after:
                break
    return ("name", end) if end - at > 1 else ("", at + 1)


def _with_digit(text: str) -> str:  # noqa: PLR0911  # one kind after the other
    if "://" in text:
        return "url"
    if "@" in text[1:-1]:
        return "email"
    if text[0] in "$€£¥₹" or text[-1] in "$€£¥₹":
        return "money"
    parts = text.replace("/", "-").replace(".", "-").split("-")
    if len(parts) == 3 and all(part.isdigit() and len(part) in {1, 2, 4} for part in parts):
        # 2.5.0 is a version: a date has its year.
        return "date" if any(len(part) == 4 for part in parts) or "/" in text else "number"
    hours, _, minutes = text.partition(":")
    if hours.isdigit() and minutes[:2].isdigit() and len(hours) <= 2 and len(minutes) in {2, 4, 5}:
        return "clock"
    has_letter = any(c.isalpha() for c in text)
    if "/" in text[1:-1] and has_letter:
        return "path"
    digits = sum(c.isdigit() for c in text)
    if has_letter and digits and not _is_measure(text):
        return "id"
    return "id" if digits >= 6 and text.isdigit() else "number"


def _is_measure(text: str) -> bool:
    """Whether it is a number with a unit, as 30s, 10MB or 3rd."""
    letters = text.lstrip("0123456789.,")
    return letters != text and letters.isalpha() and len(letters) <= 3 and sum(c.isdigit() for c in text) <= 4


def _is_capital(text: str) -> bool:
    return text[0].isupper() and text.replace("-", "").isalpha() and len(text) > 1 and not text.isupper()


def _after_numbers(words: Sequence[Word], at: int) -> int:
    """Past at most a day and a year."""
    end = min(at + 2, len(words))
    while at < end and words[at].text[0].isdigit():
        at += 1
    return at
