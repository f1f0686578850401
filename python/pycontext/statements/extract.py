"""Statements found in a text, and which of them still hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from pycontext.errors import ValidationError
from pycontext.statements.cues import has_change, is_order, is_retraction, kind_of, label_of
from pycontext.statements.sentences import sentences_of
from pycontext.statements.statement import Statement, StatementKind
from pycontext.statements.subject import Subject, content, parts_of, subjects_of
from pycontext.statements.value import SETTINGS, values_of
from pycontext.statements.words import words_of

__all__ = ["extract_statements"]

_MANY: Final = 2


class Found(NamedTuple):
    """A statement with what it is about."""

    statement: Statement
    subjects: list[Subject]
    content: frozenset[str]
    is_change: bool
    is_retraction: bool


def extract_statements(text: str) -> list[Statement]:
    """Find the statements of a text: rules, goals, decisions, preferences, and facts with a value.

    A statement is a sentence; a line end ends it. What it does is told by a label before a colon ("Rule: ...",
    "Decision: ..."), by cue words of English ("never", "must", "at most", "prefer", "decided", "next step"), or by a
    value: an amount of money, a date, an address of the web or of mail, a code with digits, a time zone. In other
    languages only labels and values are seen. Questions and talk are no statements.

    A later statement takes the place of an earlier one that gives another value of the same kind to the same subject,
    whether it says so ("now", "changed to", "instead") or not; one with "no longer" takes back what it repeats. The
    subject is the words of the clause without little words, compared by stem and by a few groups of words for one
    thing (budget, spending, cost). One must contain all words of the other: what adds nothing but a qualifier of its
    own ("travel budget", "hotel budget") is another subject. This is no understanding: a change in altogether other
    words is not seen, and of two values in one sentence a change of one replaces both.

    Args:
        text: to look through; any length, in time that grows with its length.

    Returns:
        In order, each once, the last where one is repeated; what is superseded says by which.

    Raises:
        ValidationError: `text` is no str.
    """
    if not isinstance(text, str):
        raise ValidationError(f"text is {type(text).__name__}, not str")
    # Of what is repeated the last place counts: a rule said again is as new as that.
    last = {sentence.casefold(): (position, sentence) for position, sentence in enumerate(sentences_of(text))}
    found = (_recognised(sentence, position) for position, sentence in sorted(last.values()))
    return _brought_up_to_date([one for one in found if one])


def _recognised(sentence: str, position: int) -> Found | None:
    words = words_of(sentence)
    label, taken = label_of(words)
    rest = words[taken:]
    if not rest:
        return None
    values = values_of(rest)
    is_update = label is StatementKind.FACT and has_change(words[:taken])
    read = kind_of(rest, values)
    kind = (read or label) if is_update else (label or read)
    if kind is None:
        return None
    statement = Statement(sentence, kind, position, is_labelled=label is not None and not is_update)
    is_change = has_change(words)
    is_stated = label is not None or is_change or kind is not StatementKind.FACT or is_order(rest)
    subjects = subjects_of(rest, is_stated=is_stated)
    return Found(statement, subjects, content(rest), is_change, is_retraction(rest))


def _brought_up_to_date(found: Sequence[Found]) -> list[Statement]:
    """Mark what is superseded, newest first: only what itself holds takes the place of another."""
    later = _Later()
    statements = []
    for one in reversed(found):
        by = later.than(one)
        if by is None:
            later.add(one)
        statements.append(one.statement if by is None else replace(one.statement, superseded_by=by))
    statements.reverse()
    return statements


# Of a subject: the kind of the value, what must be equal, and some of the words.
_Key = tuple[str, frozenset[str], frozenset[str]]
# A value, where it is stated, and whether as a change.
_Entry = tuple[str, int, bool]


def _remember(index: dict[_Key, list[_Entry]], key: _Key, entry: _Entry) -> None:
    """Add an entry where it can matter: two values of each sort tell whether there is another than any one."""
    entries = index.setdefault(key, [])
    alike = [value for value, _, is_change in entries if is_change == entry[2]]
    if len(alike) < _MANY and entry[0] not in alike:
        entries.append(entry)


class _Later:
    """The statements that hold and come later than those still to be looked at.

    What contains a subject, and what a subject contains, are looked up as whole sets: the time does not depend on how
    many statements there are, whatever they say.
    """

    def __init__(self) -> None:
        self._exact: dict[_Key, list[_Entry]] = {}
        self._parts: dict[_Key, list[_Entry]] = {}
        self._taken_back: dict[frozenset[str], int] = {}

    def add(self, found: Found) -> None:
        """Remember a statement that holds."""
        position = found.statement.position
        for subject in found.subjects:
            entry = subject.value, position, found.is_change
            _remember(self._exact, (subject.kind, subject.guard, subject.words), entry)
            for part in parts_of(subject.words):
                _remember(self._parts, (subject.kind, subject.guard, part), entry)
        if found.is_retraction and len(found.content) <= 6:
            for part in parts_of(found.content):
                if len(part) >= _MANY:
                    self._taken_back.setdefault(part, position)

    def than(self, found: Found) -> int | None:
        """The position of a later statement that takes this one's place."""
        if not found.is_retraction and (by := self._taken_back.get(found.content)) is not None:
            return by
        for subject in found.subjects:
            by = self._other_value(subject)
            if by is not None:
                return by
        return None

    def _other_value(self, subject: Subject) -> int | None:
        is_setting = subject.kind in SETTINGS
        # It is all in a later one, or a later one is all in it.
        for part in parts_of(subject.words):
            key = subject.kind, subject.guard, part
            is_whole = part == subject.words
            entries = self._parts.get(key, []) if is_whole or is_setting else self._exact.get(key, [])
            is_same = is_whole and key in self._exact
            for value, position, is_change in entries:
                if value != subject.value and (is_same or is_setting or is_change or len(part) >= _MANY):
                    return position
        return None
