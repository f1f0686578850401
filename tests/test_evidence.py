"""The policy `evidence`: what it chooses against the plain reference, what it says about it, and its promises."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evidence_reference import CloseError, Evidence
from pycontext import BlockSet, BudgetExceededError, ContextBlock, ContextType, Policy, Tier, prune
from pycontext.messages.openai import to_blocks
from reference import DoesNotFitError, count_messages, count_text, openai_cost, select, units_of
from strategies import EDGES, block_lists, compact

ANY = 2**40
EVERY = tuple(ContextType)
BY_EVIDENCE = Policy.named("evidence")

# Few words, so that units tie; among them what the rules tell apart: stems, stop words, identifiers of every kind.
WORDS = st.sampled_from(
    [
        "refund", "Refunded", "hotel", "hotels", "baggage", "allowance", "window", "seat", "the", "you", "is", "x",
        "HAT136", "HAT069", "hat136", "mia_li_3668", "mia.li@example.com", "2024-05-20", "2024-05-21T10:30:00", "10:30",
        "one_way", "350.50", "78750", "123456", "東京都", "книги", "книгами", "café",
    ]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=9).map(" ".join)
SCORES = st.sampled_from([0.0, 0.3, 0.5, 1.0, 1.0, 1.0])
ARGUMENTS = st.dictionaries(st.sampled_from(["code", "user_id"]), WORDS, max_size=2).map(compact)


@st.composite
def exchanges(draw):
    """A call in the fields of OpenAI with its results, some of which may be missing."""
    ids = draw(st.sampled_from([["c1"], ["c1"], ["c1", "c2"]]))
    calls = [{"id": i, "type": "function", "function": {"name": "look", "arguments": draw(ARGUMENTS)}} for i in ids]
    results = [{"role": "tool", "tool_call_id": i, "content": draw(TEXTS)} for i in ids]
    missing = draw(st.sampled_from([0, 0, 0, 0, 1]))
    said = draw(st.sampled_from([None, "let me see", "HAT136 then"]))
    return [{"role": "assistant", "content": said, "tool_calls": calls}, *results[: len(results) - missing]]


@st.composite
def sets(draw):
    """Blocks of every type: turns, calls as fields and as text, facts; or a chat without tools."""
    chat = draw(st.lists(exchanges() | turns(), max_size=4)) if draw(st.booleans()) else []
    blocks = to_blocks([message for part in chat for message in part])
    kinds = draw(st.sampled_from([EVERY, EVERY, EVERY[:-1], (ContextType.USER, ContextType.AGENT)]))
    for number in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(kinds))
        at = draw(st.integers(0, len(blocks)))
        calls = [block.id for block in blocks if block.type is ContextType.AGENT] + ["nowhere"]
        is_result = kind is ContextType.TOOL and draw(st.booleans())
        references = [draw(st.sampled_from(calls))] if is_result else []
        metadata = draw(st.sampled_from([{}, {}, {}, {"unit": "u"}]))
        blocks.insert(at, ContextBlock(f"n{number}", draw(TEXTS), 1.0, kind, metadata, references=references))
    for block in blocks:
        block.relevance_score = draw(SCORES)
        block.timestamp = draw(st.integers(0, 2))
    return blocks


def turns():
    return st.builds(
        lambda role, text: [{"role": role, "content": text}], st.sampled_from(["user", "assistant"]), TEXTS
    )


@st.composite
def queries(draw, blocks):
    """None, one turn, several, or what the user said last."""
    said = [block.content for block in blocks if block.type is ContextType.USER]
    return draw(st.none() | TEXTS | st.lists(TEXTS, min_size=1, max_size=4) | st.sampled_from(said[-1:] or [None]))


def asked(query, blocks):
    """The turns of a query, as the documentation has them."""
    turns = [query] if isinstance(query, str) else query or []
    said = [block.content for block in blocks if block.type is ContextType.USER]
    return said[-3:] if query is None or said[-1:] == turns else turns


@st.composite
def evidence_policies(draw):
    least = draw(st.sampled_from([0.0, 0.0, 0.0, 0.2, 0.6, 1.0]))
    if draw(st.booleans()):
        return Policy("evidence", BY_EVIDENCE.tiers, min_relevance=least)
    first = Tier("first", draw(st.lists(st.sampled_from(EVERY), min_size=1).map(tuple)), share=draw(SCORES))
    orders = st.sampled_from(["evidence", "evidence", "score", "time"])
    tiers = [Tier(first.name, first.types, order=draw(orders), share=first.share), Tier("rest", order="evidence")]
    recency = draw(st.sampled_from([0.0, 0.25]))
    return Policy("mine", tuple(tiers), min_relevance=least, threshold=draw(st.sampled_from([0, 0.4])), recency=recency)


class Fixed:
    """A scorer that says what it was told."""

    def __init__(self, scores):
        self.scores = scores

    def score(self, _query, _blocks):
        return self.scores


def text_cost(blocks):
    everything = Policy("all", duplicates="keep")
    return count_text(prune(blocks, ANY, render="text", policy=everything, pin=[b.id for b in blocks]).text())


def cost_of_units(blocks, units, total):
    """Tokens of each unit where something stands behind it."""
    end = ContextBlock("the end", "end", 1.0, ContextType.USER)
    return {unit[0]: total([*(blocks[row] for row in unit), end]) - total([end]) for unit in units}


@pytest.mark.parametrize("render", ["openai", "text"])
@settings(max_examples=400)
@given(data=st.data())
def test_the_kernel_chooses_what_the_reference_chooses(render, data):
    total = openai_cost if render == "openai" else text_cost
    blocks = data.draw(sets())
    policy = data.draw(evidence_policies())
    query = data.draw(queries(blocks))
    every = len(blocks)
    scores = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=every, max_size=every)
    scorer = data.draw(st.none() | scores) if query is not None else None
    pins = data.draw(st.lists(st.sampled_from([block.id for block in blocks]), max_size=1)) if blocks else []
    available = data.draw(st.integers(1, total(blocks) + 5))
    options = {"policy": policy, "query": query, "render": render, "pin": pins}
    if scorer is not None:
        options["scorer"] = Fixed(scorer)
    try:
        selection = prune(blocks, available, **options)
    except BudgetExceededError as error:
        selection, needed = None, error.needed
    units = units_of(blocks)
    turns = asked(query, blocks)
    chosen = [] if selection is None else selection.indices.tolist()
    try:
        evidence = Evidence(blocks, units, cost_of_units(blocks, units, total), turns, scorer, chosen)
        expected = select(blocks, available, total, policy, pins=pins, evidence=evidence)
    except DoesNotFitError as refusal:
        assert (selection, needed) == (None, refusal.args[0])
        return
    except CloseError:
        assume(False)
    assert [entry["reason"] for entry in selection.to_dict()["blocks"]] == expected.reasons
    assert selection.indices.tolist() == expected.kept
    assert selection.tokens == expected.tokens
    found = selection.evidence
    assert found["terms"] == [term for term in evidence.query if term in evidence.words.df]
    assert found["added_terms"] == evidence.added
    assert found["scorer"] == (scorer is not None and bool(evidence.references))
    assert found["reference_share"] == (None if evidence.share is None else pytest.approx(evidence.share))
    assert found["query_weight"] == pytest.approx(evidence.gate)


@settings(max_examples=200)
@given(data=st.data())
def test_how_a_set_came_to_be_changes_nothing(data):
    blocks = data.draw(sets())
    query = data.draw(queries(blocks))
    available = data.draw(st.integers(1, openai_cost(blocks) + 5))

    def look(found):
        try:
            selection = prune(found, available, policy="evidence", query=query)
        except BudgetExceededError as error:
            return str(error)
        return selection.to_dict(), [selection.explain(block.id) for block in blocks]

    grown = BlockSet()
    others = data.draw(st.lists(TEXTS, min_size=len(blocks), max_size=len(blocks)))
    for number, (block, text) in enumerate(zip(blocks, others, strict=True)):
        # One that is not there in the end, and one that says something else at first.
        grown.append(ContextBlock(f"gone {number}", text, 0.5, ContextType.MEMORY))
        grown.append(ContextBlock(block.id, text, 0.5, ContextType.AGENT))
        if data.draw(st.booleans()):
            grown.prune(ANY, policy="evidence", query="refund")
        grown[-1] = block
        del grown[-2]
    assert grown == blocks
    assert look(grown) == look(blocks)


def test_every_process_chooses_the_same():
    program = """
import json
from pycontext import ContextBlock, ContextType, prune
words = "refund hotel baggage seat window HAT136 HAT069 2024-05-20 mia_li_3668 350.50 allowance cancel".split()
kinds = [kind for kind in ContextType if kind is not ContextType.SYSTEM]
text = lambda i: " ".join(words[(i * k + i // k) % len(words)] for k in range(1, 8))
blocks = [ContextBlock(f"b{i}", text(i), 1.0, kinds[i % 5], timestamp=i % 3) for i in range(200)]
for query in (None, "refund of HAT136", ["hotel", "seat", "cancel it"]):
    selection = prune(blocks, 1500, policy="evidence", query=query)
    print(json.dumps(selection.to_dict()), [selection.explain(block.id) for block in blocks])
"""
    environments = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("0", "1", "4711")]
    runs = [
        subprocess.run([sys.executable, "-c", program], env=env, check=True, capture_output=True)
        for env in environments
    ]
    assert len({run.stdout for run in runs}) == 1
    assert runs[0].stdout.count(b"added_terms") == 3


@settings(max_examples=200)
@given(data=st.data())
def test_the_promises_hold(data):
    blocks = data.draw(block_lists())
    said = [block.content for block in blocks if block.type is ContextType.USER]
    query = data.draw(st.none() | EDGES | st.lists(EDGES, min_size=1, max_size=3) | st.sampled_from(said or [None]))
    available = data.draw(st.integers(1, 400))
    try:
        selection = prune(blocks, available, policy="evidence", query=query)
    except BudgetExceededError as error:
        assert error.needed > error.available == available
        return
    kept = selection.indices.tolist()
    assert selection.tokens == count_messages(selection.messages()) <= available
    assert kept == sorted(kept)
    users = [row for row, block in enumerate(blocks) if block.type is ContextType.USER]
    systems = [row for row, block in enumerate(blocks) if block.type is ContextType.SYSTEM]
    assert {*users[-1:], *systems} <= set(kept)
    reasons = [entry["reason"] for entry in selection.to_dict()["blocks"]]
    for unit in units_of(blocks):
        assert len({row in kept for row in unit}) == 1, "an orphan"
        if reasons[unit[0]] == "budget":
            rows = sorted([*kept, *unit])
            assert openai_cost([blocks[row] for row in rows]) > available, "it would have fitted"


def fact(id, text, score=1.0, kind=ContextType.MEMORY):
    return ContextBlock(id, text, score, kind)


def chat(*said):
    """User and agent by turns; what comes as a pair is a call and its result."""
    blocks = []
    for number, text in enumerate(said):
        if isinstance(text, tuple):
            blocks.append(ContextBlock(f"call{number}", text[0], 1.0, ContextType.AGENT))
            blocks.append(ContextBlock(f"result{number}", text[1], 1.0, ContextType.TOOL, references=[f"call{number}"]))
        else:
            blocks.append(
                ContextBlock(f"turn{number}", text, 1.0, ContextType.USER if number % 2 == 0 else ContextType.AGENT)
            )
    return blocks


FACTS = [
    fact("paris", "the hotel in Paris is booked"),
    fact("rome", "a refund for the hotel in Rome takes a week"),
    fact("seat", "a window seat is free"),
]


def test_a_receipt_says_which_terms_counted():
    selection = prune(FACTS, ANY, query=["and in Rome?", "refunds of hotels"])
    assert selection.policy == "evidence"
    assert selection.to_dict()["evidence"] == selection.evidence
    assert selection.evidence == {
        "terms": ["refund", "hotel", "rome"],
        "added_terms": ["take", "week", "book", "pari"],
        "scorer": False,
        "reference_share": None,
        "query_weight": 0.0,
    }
    assert prune(FACTS, ANY).evidence is None
    assert "evidence" not in prune(FACTS, ANY).to_dict()
    fused = prune(FACTS, ANY, query="refund", scorer=Fixed([0.1, 0.2, 0.9]))
    assert fused.evidence["scorer"] is True


def test_a_reference_falls_with_its_relevance_and_its_score():
    room = openai_cost(FACTS[1:2])
    selection = prune(FACTS, room, query="refunds in Rome")
    assert selection.kept_ids == ["rome"]
    assert selection.explain("rome").endswith(
        f"stays: with a relevance of 1.000 and a score of 1.000 it fitted into the {room} tokens available."
    )
    assert "falls: with a relevance of 0.000 and a score of 1.000 it found no room" in selection.explain("seat")


def test_a_unit_of_a_conversation_falls_with_its_identifiers():
    blocks = chat("book HAT136", ('{"flight": "HAT136"}', "seats 12, 14"), "fine", "go on", "yes")
    selection = prune(blocks, openai_cost(blocks[-1:]) + 4, query="yes")
    assert selection.kept_ids == ["turn4"]
    assert selection.evidence["reference_share"] is None
    assert "with 1 identifier that nothing kept before it had, which weigh 3.784," in selection.explain("call1")
    assert "falls with block 'call1', which it belongs to: budget" in selection.explain("result1")
    assert "with 0 identifiers that nothing kept before it had, which weigh 0.000, and" in selection.explain("turn3")


def test_words_count_in_a_conversation_where_the_question_has_many():
    rare = "please recheck roaming carrier signal towers apn dongle router voicemail handset warranty invoice"
    blocks = chat(rare.replace("please", "kindly"), ("look", "HAT136"), "fine", "what now", rare)
    assert prune(blocks, ANY, query=rare).evidence["query_weight"] > 0.2
    assert "and words of the query that weigh" in prune(blocks, 40, query=rare).explain("turn0")
    assert prune(blocks, ANY, query="yes, go ahead").evidence["query_weight"] == 0.0


def test_the_room_goes_to_what_matches_the_question():
    talk = chat("book HAT136", ('{"flight": "HAT136"}', "done"), "thanks")
    for query, share in (("hotel refund in Rome", 1.0), ("book flight HAT136", 0.0), ("nothing of that", 0.0)):
        selection = prune([*FACTS, *talk], ANY, query=query)
        assert selection.evidence["reference_share"] == pytest.approx(share, abs=0.05), query


def test_what_the_share_leaves_is_for_references():
    """No turn waits, and none matches: the references have what is left, and not their share alone."""
    blocks = [*FACTS, *chat("hello", ("look", "HAT136"))]
    for query in (None, "nothing of that", "HAT136"):
        selection = prune(blocks, ANY, policy="evidence", query=query)
        assert len(selection.kept) == len(blocks)


def test_results_are_no_units_beside_their_call():
    """An exchange counts once: in how often an identifier is mentioned, and in how long ago that is."""
    one = chat("hi", ("HAT136", "HAT136"), "go on", "what else", "yes")
    two = [*one]
    two.insert(3, ContextBlock("more", "HAT136", 1.0, ContextType.TOOL, references=["call1"]))
    explained = [prune(blocks, ANY, query="yes").explain("call1").partition("with 1")[2] for blocks in (one, two)]
    assert "which weigh" in explained[0]
    assert explained[0] == explained[1]


def test_feedback_counts_where_it_adds_no_word():
    """The best matches may only make words of the query weigh more."""
    blocks = [fact("both", "refund refund hotel"), fact("a", "refund"), fact("b", "hotel")]
    selection = prune(blocks, ANY, query="hotel refund")
    assert selection.evidence["added_terms"] == []
    assert float(selection.explain("a").partition("relevance of ")[2][:5]) > float(
        selection.explain("b").partition("relevance of ")[2][:5]
    )


def test_what_matters_too_little_is_left_out():
    policy = Policy("strict", BY_EVIDENCE.tiers, min_relevance=0.5)
    selection = prune([*FACTS, *chat("hi", ("look", "HAT136"), "bye")], ANY, policy=policy, query="refunds of hotels")
    assert selection.dropped_ids == ["seat"]
    assert [dropped.detail for dropped in selection.dropped][-1] == "relevance 0.000 below 0.5"
    assert "its relevance of 0.000 is below the least of 0.5" in selection.explain("seat")
    pinned = prune(FACTS, ANY, policy=policy, query="refunds of hotels", pin=["seat"])
    assert "seat" in pinned.kept_ids
    assert len(prune(FACTS, ANY, policy=policy).kept) == 3, "nothing is asked"


def test_base_scores_multiply():
    blocks = [fact("low", "refund of the hotel", 0.1), fact("high", "hotel", 1.0), fact("none", "hotel refund", 0.0)]
    one = openai_cost(blocks[1:2])
    assert prune(blocks, one, query="refund of hotels").kept_ids == ["high"]
    assert prune(blocks, ANY, query="refund of hotels").kept_ids == ["low", "high", "none"]


def test_where_nothing_is_an_identifier_the_words_of_a_ticket_count():
    words = "router lamp blinks amber cable socket hallway modem reboot signal weak kitchen upstairs provider mast"
    chat = [{"role": "user", "content": "hello"}]
    for said in ("alpha", words, "beta", "gamma", "delta"):
        call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        chat += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": f"{said} seen by somebody in the house"},
        ]
    chat.append({"role": "user", "content": "go ahead"})
    blocks = to_blocks(chat)
    room = prune(blocks, ANY).tokens // 2
    ticket = " ".join(reversed(words.split()))
    assert "m4" in prune(blocks, room, query=ticket).kept_ids
    assert "m4" not in prune(blocks, room, query="go ahead").kept_ids
