"""What a statement is about: the keys by which a later statement is known to be about the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final, NamedTuple

from pycontext.statements.cues import ATTRIBUTES, state_verb
from pycontext.statements.value import SETTINGS, Value, values_of
from pycontext.statements.words import Word, listed, same

__all__ = ["Subject", "content", "parts_of", "subjects_of"]

# Words that say nothing of what a statement is about: little words, verbs that only hold a value, marks of change.
_LIGHT: Final = listed(
    "a an the this that these those my our your their his her its i we you they he she it us me them of to in on at by "
    "for from with as and or but if so than then there here who which what when where is are was were be been being am "
    "do does did has have had will would shall should can could may might must not no never always only any all every "
    "each some such very also just still yet too again up down out off over under below above about into onto between "
    "per via within without until unless before after during please now new old current currently previous latest "
    "actually update updated correction instead rather longer quick changed change moved move switched switch rotated "
    "rotation replaced become became extended bumped raised lowered increased reduced revised renamed retired done "
    "run runs running host hosted live lives use uses used set keep kept make made put stay stays stick want wants "
    "prefer prefers preferred get give take go goes refer refers light total target limit limits cap capped ceiling "
    "maximum max exceed exceeding user users week today explicit ship works working parked active "
    "show let pass send progress first else nobody more most less least dollars dollar euros euro pounds free"
)
# Words that make two of a kind: a statement without the same ones is about something else.
_APART: Final = listed(
    "primary secondary backup staging production prod test testing dev alternate second third other another main spare "
    "left right inbound outbound minimum min internal external local remote read write old-style guest"
)
_OWNERS: Final = listed("owns handles leads manages covers handling leading managing covering")
# A longer subject is only the same as itself.
_WIDEST: Final = 5


class Subject(NamedTuple):
    """One value of a statement, and what it is the value of.

    Attributes:
        kind: of the value.
        value: in lower case.
        words: what the clause is about.
        guard: words that must be the same in both.
    """

    kind: str
    value: str
    words: frozenset[str]
    guard: frozenset[str]


def subjects_of(words: Sequence[Word], *, is_stated: bool) -> list[Subject]:
    """The values of a statement with their subjects, clause by clause.

    Args:
        words: of the statement, without its label.
        is_stated: it has a label or a cue: it says what holds even without a verb of state.
    """
    found: list[Subject] = []
    for clause in _clauses(words):
        values = values_of(clause)
        verb = state_verb(clause)
        if verb is None and not is_stated:
            # An account: two amounts that were paid are no new and old value.
            values = [value for value in values if value.kind in SETTINGS]
        held = [value for value in values if not _is_thing(clause, value, verb)]
        things = frozenset(value.text for value in values if value not in held)
        taken = {at for value in values for at in range(value.start, value.end)}
        about = content(word for at, word in enumerate(clause) if at not in taken)
        guard = things | (about & _APART)
        kinds = {value.kind for value in held}
        found += (
            Subject(kind, " ".join(value.text for value in held if value.kind == kind), about, guard)
            for kind in sorted(kinds)
        )
        if not values and verb is not None and verb + 1 < len(clause):
            found += _of_words(clause, verb)
    return found


def content(words: Iterator[Word] | Sequence[Word]) -> frozenset[str]:
    """What words say something of their own, by group or stem."""
    found: set[str] = set()
    for word in words:
        parts = word.low.split("-") if "-" in word.low and not word.low.startswith("on-call") else [word.low]
        found.update(same(part) for part in parts if len(part) > 1 and part not in _LIGHT)
    return frozenset(found)


def parts_of(words: frozenset[str]) -> Iterator[frozenset[str]]:
    """All that a subject contains, itself first; of a long one itself alone."""
    yield words
    if len(words) <= _WIDEST:
        ordered = sorted(words)
        for size in range(len(ordered) - 1, 0, -1):
            yield from map(frozenset, combinations(ordered, size))


def _clauses(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    start = 0
    for at, word in enumerate(words):
        if word.after.endswith((";", ".", "!")):
            yield words[start : at + 1]
            start = at + 1
    if start < len(words):
        yield words[start:]


def _is_thing(clause: Sequence[Word], value: Value, verb: int | None) -> bool:
    """Whether a value names what the clause is about, as the number of an order does before "is"."""
    if verb is None or value.start > verb:
        return False
    before = clause[value.start - 1].low if value.start else ""
    if before in ATTRIBUTES or value.kind not in {"id", "number", "name", "email", "path", "url"}:
        return False
    following = clause[verb + 1].low if verb + 1 < len(clause) else ""
    # "Ada Moor is the approver", "Ada Moor now owns the pager", "only Ada Moor may": the name is the value.
    is_held = value.kind == "name" and (
        before == "only" or {following, clause[verb].low} & ({"the", "our", "your", "now"} | _OWNERS)
    )
    return not is_held


def _of_words(clause: Sequence[Word], verb: int) -> Iterator[Subject]:
    """A value in plain words, only of what is known to have one: "status: green"."""
    left = clause[:verb] if clause[verb].after[:1] != ":" else clause[: verb + 1]
    if any(word.low in ATTRIBUTES for word in left):
        about = content(left)
        yield Subject("words", " ".join(word.low for word in clause[verb + 1 :]), about, about)
