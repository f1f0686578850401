"""Conversations that break libraries, as chat messages, and what comes of them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from benches.request.ours import Cold, copied
from benches.request.peers import Peer, Request
from benches.request.rule import Check, Message, count, request_tokens

# One token each.
WORDS = """
the of and to in for is on that by this with you it not or be are from at as your all have new more an was we will home
can us about if page my has search free but our one other do no information time they site he up may what which their
news out use any there see only so his when contact here business who web also now help get view online first am been
would how were services some these click its like service than find price date back top people had list name just over
state year day into email two health world next used go work last most
"""


@dataclass(frozen=True)
class Case:
    """A conversation, a budget, and whether there is a request within it that keeps all that must stay."""

    name: str
    messages: list[Message]
    budget: int
    has_answer: bool

    @property
    def heading(self) -> str:
        return f"{self.name}: {self.budget:,} of {request_tokens(self.messages):,}"


@dataclass(frozen=True)
class Outcome:
    """What a library did: a request, or an error."""

    check: Check | None
    said: str
    has_answer: bool

    def cell(self) -> str:
        if self.check is None:
            return f"raises {self.said}" + (", though it fits" if self.has_answer else "")
        says = f" (says {self.said})" if self.said else ""
        return f"{self.check.tokens:,}: {', '.join(self.check.faults) or 'ok'}{says}"

    @property
    def is_right(self) -> bool:
        return (not self.check.faults) if self.check else not self.has_answer


def cases() -> list[Case]:
    system, asked = said("system", 20, 1), said("user", 25, 2)
    four = [calling("c1", "c2", "c3", "c4"), *(result(f"c{i}", 83, i) for i in range(1, 5))]
    giant = [system, asked, calling("g1"), result("g1", 5_796, 3)]
    lost = [said("user", 150, 4), said("assistant", 150, 5), asked, result("gone", 30, 6), said("assistant", 15, 7)]
    steps = [message for i in range(3) for message in (calling(f"l{i}"), result(f"l{i}", 190, 16 + i))]
    return [
        Case(
            "4 parallel calls at the cut",
            [system, asked, *four, said("assistant", 16, 10), said("user", 12, 11)],
            450,
            has_answer=True,
        ),
        Case("last unit holds a giant result", giant, 1_000, has_answer=False),
        Case("a user turn after the giant", [*giant, said("user", 14, 12)], 1_000, has_answer=True),
        Case("system alone", [said("system", 3_396, 13), said("user", 1, 14)], 500, has_answer=False),
        Case("result without its call", [system, *lost, said("user", 12, 15)], 120, has_answer=True),
        Case("last turn is a result", [system, asked, *steps], 500, has_answer=True),
    ]


def outcomes(peers: Iterable[Peer], found: Iterable[Case]) -> dict[str, list[Outcome]]:
    """By the name of the library, in the order of the cases."""
    listed = list(found)
    return {peer.name: [outcome(peer, case) for case in listed] for peer in [Cold("pycontext"), *peers]}


def outcome(peer: Peer, case: Case) -> Outcome:
    try:
        result = peer.fit(peer.prepare(Request(copied(case.messages), case.budget)))
        kept, said = peer.read(result), peer.says(result)
    except Exception as error:  # noqa: BLE001  # what it raises is what is to be found out
        return Outcome(None, type(error).__name__, case.has_answer)
    return Outcome(Check.of(case.messages, kept, case.budget), said, case.has_answer)


def said(role: str, tokens: int, seed: int) -> Message:
    return {"role": role, "content": text(tokens, seed)}


def calling(*ids: str) -> Message:
    calls = [
        {"id": id, "type": "function", "function": {"name": "find_flights", "arguments": f'{{"day":"2024-05-1{i}"}}'}}
        for i, id in enumerate(ids)
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(id: str, tokens: int, seed: int) -> Message:
    return {"role": "tool", "tool_call_id": id, "content": text(tokens, seed)}


def text(tokens: int, seed: int) -> str:
    """Words that together have so many tokens."""
    found = " ".join(random.Random(seed).choices(WORDS.split(), k=tokens))
    if count(found) != tokens:
        raise AssertionError(f"{count(found)} tokens, not {tokens}")
    return found
