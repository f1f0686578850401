"""The words of English that say what a sentence does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from pycontext.statements.statement import StatementKind
from pycontext.statements.value import FIRM, Value
from pycontext.statements.words import Word, listed

__all__ = ["ATTRIBUTES", "has_change", "is_order", "is_retraction", "kind_of", "label_of", "state_verb"]

_R, _G, _D, _P, _F = StatementKind


def _phrases(listed: str) -> tuple[str, ...]:
    """Phrases between commas, each with the blanks that it stands between in a line of words."""
    return tuple(f" {phrase.strip()} " for phrase in listed.split(","))


# The last word of a label, "Budget rule: ...", says what follows.
_LABELS: Final = {
    word: kind
    for kind, words in {
        _R: "rule rules constraint constraints policy requirement requirements limit limitation warning guardrail",
        _G: "goal goals todo task state progress objective blocker next outstanding pending",
        _D: "decision decisions agreed decided resolution",
        _P: "preference preferences",
        _F: "fact facts note update correction important remember reminder fyi",
    }.items()
    for word in words.split()
}
_CHANGES: Final = listed(
    "update updated correction corrected actually now changed changes moved new instead rather switched rotated "
    "rotation replaced replaces rebased extended postponed rescheduled bumped raised lowered increased decreased "
    "reduced revised renamed became latest current currently"
)
_RETRACTIONS: Final = _phrases("no longer, not anymore, any more, anymore, is cancelled, was lifted")

# Nouns whose value stands after them: "the access code 4417", "port 8443".
ATTRIBUTES: Final = listed(
    "code codename password passcode pin key token secret branch version commit region port host serial label "
    "status number id endpoint url address email phone contact owner manager zone timezone passport iban account "
    "color colour size language mode plan tier"
)

_RULES: Final = _phrases(
    "must, shall, not allowed, not permitted, forbidden, prohibited, mandatory, may not, under no circumstances, "
    "make sure, ensure that, be sure to, at all times, without approval, is required, are required, required to, "
    "need approval, needs approval, should not, should never, should always, nobody may, no one may, only with, "
    "does not move, has to be, have to be, you have to, needs to be, need to be, essential, crucial, imperative, "
    "refrain from, important that, important to, to always, not to be, is off limits"
)
_GOALS: Final = _phrases(
    "next step, next up, todo, to-do, current task, currently, in progress, blocked on, blocked by, waiting for, "
    "awaiting, open question, goal is, our goal, remaining, are failing, is failing, fails on, still need, still "
    "needs, we are working on, i am working on, we're working on, i'm working on, aim is, our aim, halfway, "
    "outstanding, left to do, yet to be"
)
_DECISIONS: Final = _phrases(
    "decided, agreed to, agreed that, agreed on, we will use, we'll use, let's use, let's go with, we chose, "
    "settled on, approved, going with, we switched, adopted, we are calling, no longer, voted, we've chosen, we "
    "have chosen, we picked, we'll go with, we will go with, final call, opted for, signed off on, rejected"
)
_PREFERENCES: Final = _phrases(
    "prefer, prefers, preferred, would rather, i'd rather, likes, dislikes, favourite, favorite, wants, i like, i "
    "love, i hate, loves, hates, can't stand, rather than, 'd prefer"
)
_LIMITS: Final = _phrases(
    "below, under, over, exceed, at most, at least, no more than, up to, maximum, max, cap, capped, limit, "
    "limited, ceiling, budget, deadline, due, above"
)
_FIRSTS: Final = {
    cues[0]: frozenset(cue.split()[0] for cue in cues) for cues in (_RULES, _GOALS, _DECISIONS, _PREFERENCES, _LIMITS)
}
# "I must say", "it must have been": no rule.
_ASIDES: Final = frozenset({("i", "must"), ("must", "have")})
_MAY: Final = frozenset({"may", "can", "should", "must"})
_DENIALS: Final = frozenset({"never", "cannot", "can't", "don't", "not"})
_PAST: Final = listed("got had saw went heard knew said made came thought found left lost paid took was were")
_TALK_AFTER_NO: Final = listed("problem problems worries worry rush idea thanks thank need one doubt wonder")
_TALK_AFTER_NOT: Final = listed("worry know mind hesitate think see understand remember")
_OPENERS: Final = listed("please and but so also then note remember important kindly just")
_EVER: Final = listed("all every each any only until unless before always never")
_ORDERS: Final = listed(
    "keep use put report run show send answer write respond reply format include exclude limit stick treat store "
    "leave round translate cite quote sign call escalate ask check confirm verify stop refuse do notify transfer "
    "deny offer reject wait contact tell"
)
_STATES: Final = listed(
    "is are am = must should shall may can cannot will has have needs need requires require belongs owns handles "
    "lives runs uses listens leaves costs goes lands ends starts begins opens closes arrives departs meets lautet "
    "ist est es son sind"
)
_REPLIES: Final = listed("answer answers response responses reply replies tone style writing message messages")


def label_of(words: Sequence[Word]) -> tuple[StatementKind | None, int]:
    """The kind that a label before the first colon names, None where there is none, and the words that it takes."""
    for at, word in enumerate(words[:4]):
        if word.after.startswith(":"):
            kind = _LABELS.get(word.low)
            return kind, (at + 1 if kind else 0)
        if word.after:
            break
    return None, 0


def kind_of(words: Sequence[Word], values: Sequence[Value]) -> StatementKind | None:
    """What a sentence without a label does; None for talk, questions and accounts."""
    if not words or "?" in words[-1].after:
        return None
    lows = [word.low for word in words]
    line = f" {' '.join(lows)} "
    said = frozenset(lows)
    if _is_rule(words, values, lows, line, said):
        return _R
    for kind, cues in ((_G, _GOALS), (_P, _PREFERENCES), (_D, _DECISIONS)):
        if _has_cue(cues, line, said):
            return kind
    kinds = {value.kind for value in values}
    if kinds & {"tone", "system"} and any(word.low in _REPLIES for word in words):
        return _P
    return _F if _is_fact(words, values, kinds) else None


def _has_cue(cues: Sequence[str], line: str, said: frozenset[str]) -> bool:
    """Whether one of the cues is in a line; most lines have not even the first word of one."""
    return not _FIRSTS[cues[0]].isdisjoint(said) and any(cue in line for cue in cues)


def _is_rule(
    words: Sequence[Word], values: Sequence[Value], lows: Sequence[str], line: str, said: frozenset[str]
) -> bool:
    if _has_cue(_RULES, line, said) and _ASIDES.isdisjoint(pairwise(lows)):
        return True
    start = 0
    while start < len(lows) - 1 and lows[start] in _OPENERS:
        start += 1
    if _begins_rule(words, lows, start):
        return True
    for at, low in enumerate(lows if said & _DENIALS else ()):
        if low == "never" and _forbids(lows, at):
            return True
        if low in {"cannot", "can't"} and at and lows[at - 1] not in {"i", "we", "he", "she", "they", "it"}:
            return True
        if low in {"don't", "not"} and at and words[at - 1].after and _orders_not(lows, at):
            return True
    has_firm = any(value.kind in {"money", "date", "number"} for value in values)
    return has_firm and _has_cue(_LIMITS, line, said) and "paid" not in said


def _begins_rule(words: Sequence[Word], lows: Sequence[str], at: int) -> bool:
    first, following = lows[at], lows[at + 1] if at + 1 < len(lows) else ""
    if first in {"don't", "do"}:
        return _orders_not(lows, at)
    if first in {"if", "when"}:
        ends = [n for n, word in enumerate(words) if "," in word.after]
        return any(lows[end + 1] in _ORDERS | {"never", "always"} for end in ends if end + 1 < len(lows))
    match first:
        case "never" | "always" | "avoid" | "ensure" | "unless":
            is_rule = len(lows) - at > 1
        case "only":
            is_rule = following not in {"then", "yesterday", "a", "if"} and len(lows) - at > 2
        case "no":
            is_rule = not words[at].after and following not in _TALK_AFTER_NO and len(lows) - at > 3
        case "nobody":
            is_rule = not _MAY.isdisjoint(lows[at:])
        case "at":
            is_rule = following in {"most", "least"}
        case _:
            is_rule = first in _ORDERS and not _EVER.isdisjoint(lows[at:])
    return is_rule


def _orders_not(lows: Sequence[str], at: int) -> bool:
    """Whether "don't" or "do not" here is an order: not "I do not", and not talk."""
    if lows[at] == "do":
        at += 1
        if at >= len(lows) or lows[at] != "not":
            return False
    elif lows[at] == "not":
        return False
    return at + 1 < len(lows) and lows[at + 1] not in _TALK_AFTER_NOT


def _forbids(lows: Sequence[str], at: int) -> bool:
    """Whether this "never" forbids, and does not tell what somebody did not do."""
    before = lows[at - 1] if at else ""
    following = lows[at + 1] if at + 1 < len(lows) else ""
    if (before, following) == ("you", "know") or before in {"has", "have", "had", "was", "were", "i've", "we've", "is"}:
        return False
    return not following.endswith("ed") and following not in _PAST


def _is_fact(words: Sequence[Word], values: Sequence[Value], kinds: set[str]) -> bool:
    if kinds & FIRM:
        return True
    verb = state_verb(words)
    if verb is None:
        verb = len(words)
    has_attribute = any(word.low.removesuffix("'s") in ATTRIBUTES for word in words)
    if "number" in kinds and (has_attribute or has_change(words) or any(value.start == verb + 1 for value in values)):
        return True
    if "name" in kinds and verb < len(words) and len(words) <= 16:
        return True
    # "Status: green", "the plan is basic".
    return has_attribute and verb + 1 < len(words) <= 12 and any(w.low in ATTRIBUTES for w in words[: verb + 1])


def state_verb(words: Sequence[Word]) -> int | None:
    """Where a sentence begins to say what holds: its first verb of state, or the word before a colon or "="."""
    for at, word in enumerate(words):
        if word.low in _STATES or word.after.startswith(":"):
            return at
    return None


def is_order(words: Sequence[Word]) -> bool:
    """Whether a sentence begins as an order does: "use ...", "report ..."."""
    return bool(words) and words[0].low in _ORDERS


def has_change(words: Sequence[Word]) -> bool:
    """Whether a sentence says that it changes something said before."""
    lows = [word.low for word in words]
    return any(low in _CHANGES for low in lows) or " from now on " in f" {' '.join(lows)} "


def is_retraction(words: Sequence[Word]) -> bool:
    """Whether a sentence takes something back without a new value."""
    lows = [word.low for word in words]
    line = f" {' '.join(lows)} "
    return any(cue in line for cue in _RETRACTIONS)
