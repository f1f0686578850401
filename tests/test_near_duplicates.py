"""Texts that say nearly the same, against comparing all pairs in plain Python."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycontext import BlockSet, ContextBlock, ContextManager, ContextType, Policy, ValidationError, prune

MEMORY, KNOWLEDGE, USER = ContextType.MEMORY, ContextType.KNOWLEDGE, ContextType.USER


def near(threshold=0.8, **options):
    return Policy("near", near_duplicates=threshold, **options)


def memory(id, text, score=0.5, kind=MEMORY, timestamp=0):
    return ContextBlock(id, text, score, kind, timestamp=timestamp)


def words(start, stop):
    return " ".join(f"word{n}" for n in range(start, stop))


def triples(text):
    found = re.findall(r"[a-z0-9]+", text.lower())
    return {tuple(found[n : n + 3]) for n in range(len(found) - 2)} if len(found) > 2 else {tuple(found)} - {()}


def jaccard(one, other):
    a, b = triples(one), triples(other)
    return len(a & b) / len(a | b) if a and b else 0.0


def expected(blocks, threshold):
    """Who falls, and to whom it may be: the best first, each compared with all that stay."""
    order = sorted(range(len(blocks)), key=lambda n: (blocks[n].relevance_score, blocks[n].timestamp, n), reverse=True)
    stay, fell = [], {}
    for n in order:
        pairs = [(jaccard(blocks[n].content, blocks[k].content), k) for k in stay if blocks[k].type is blocks[n].type]
        best = max((pair[0] for pair in pairs), default=0.0)
        if best >= threshold:
            fell[blocks[n].id] = {blocks[k].id for value, k in pairs if value == best}
        else:
            stay.append(n)
    return fell


def found(selection):
    return {one.id: one.detail for one in selection.dropped if one.reason == "near_duplicate"}


def test_nothing_is_compared_unless_asked():
    blocks = [memory("a", words(0, 30)), memory("b", words(1, 31))]
    assert prune(blocks, 10_000).kept_ids == ["a", "b"]


def test_the_better_stays_and_the_receipt_says_how_similar():
    blocks = [memory("a", words(0, 30), 0.4), memory("b", words(1, 31), 0.9), memory("c", words(50, 80))]
    selection = prune(blocks, 10_000, policy=near(0.9))
    assert selection.kept_ids == ["b", "c"]
    assert found(selection) == {"a": "b"}
    assert selection.explain("a").endswith(
        "falls: block 'b' says nearly the same (93 % of the word triples) and stays."
    )
    (entry, *_) = selection.to_dict()["blocks"]
    assert entry["reason"] == "near_duplicate:b"
    assert selection.copies == {"a": "b"}
    assert prune(blocks, 10_000, policy=near(0.94)).kept_ids == ["a", "b", "c"]


def test_references_to_what_falls_name_what_stays():
    blocks = [memory("a", words(0, 30), 0.4), memory("b", words(1, 31), 0.9), memory("c", "See the above note.")]
    blocks[2].references = ["a"]
    held = BlockSet(blocks)
    selection = held.prune(10_000, policy=near())
    assert selection.kept[-1].references == ["b"]
    held.keep(selection)
    assert [block.id for block in held] == ["b", "c"]
    assert held[1].references == ["b"]


def test_pins_turns_and_other_types_stay():
    text = words(0, 40)
    blocks = [
        memory("pin", text, 0.1),
        memory("best", text + " more", 0.9),
        memory("passage", text + " else", 0.9, KNOWLEDGE),
        memory("asked", text + " now", 0.9, USER),
    ]
    selection = prune(blocks, 10_000, policy=near(), pin=["pin"])
    assert found(selection) == {"best": "pin"}
    assert found(prune(blocks, 10_000, policy=near(), pin=["pin", "best"])) == {}


def test_blocks_of_a_unit_stay():
    blocks = [memory("a", words(0, 30)), memory("b", words(1, 31)), memory("c", "other words entirely here")]
    for block in blocks[1:]:
        block.metadata["unit"] = "u"
    assert found(prune(blocks, 10_000, policy=near())) == {}


EDITS = st.lists(st.tuples(st.integers(0, 39), st.sampled_from(["drop", "change", "double"])), max_size=8)
BASES = st.integers(0, 3)


def edited(base, edits):
    text = [f"w{base}x{n}" for n in range(40)]
    for at, kind in edits:
        if at < len(text):
            text[at : at + 1] = {"drop": [], "change": ["new"], "double": [text[at], text[at]]}[kind]
    return " ".join(text)


TEXTS = st.builds(edited, BASES, EDITS)
STEPS = st.tuples(st.just("add"), TEXTS) | st.tuples(st.sampled_from(["edit", "del"]), st.integers(0, 20))
BLOCKS = st.lists(st.tuples(TEXTS, st.sampled_from([0.3, 0.5, 0.9]), st.sampled_from([MEMORY, KNOWLEDGE])), max_size=14)


@settings(deadline=None)
@given(rows=BLOCKS, threshold=st.sampled_from([0.8, 0.9, 1.0]))
def test_as_comparing_all_pairs(rows, threshold):
    blocks = [memory(f"b{n}", text, score, kind, n) for n, (text, score, kind) in enumerate(rows)]
    selection = prune(blocks, 100_000, policy=near(threshold, duplicates="keep"))
    falls = expected(blocks, threshold)
    actual = found(selection)
    assert actual.keys() == falls.keys()
    assert all(actual[id] in falls[id] for id in actual)


@settings(deadline=None, max_examples=60)
@given(
    rows=BLOCKS,
    steps=st.lists(STEPS, max_size=8),
)
def test_a_set_that_changes_finds_what_a_fresh_one_finds(rows, steps):
    held = BlockSet([memory(f"b{n}", text, score, kind, n) for n, (text, score, kind) in enumerate(rows)])
    held.prune(100_000, policy=near())
    for number, step in enumerate(steps):
        if step[0] == "add":
            held.append(memory(f"n{number}", step[1], 0.5, MEMORY, 99 + number))
        elif len(held):
            at = step[1] % len(held)
            if step[0] == "edit":
                held[at].content = edited(at % 4, [(number, "change")])
            else:
                del held[at]
        assert found(held.prune(100_000, policy=near())) == found(BlockSet(list(held)).prune(100_000, policy=near()))
        assert found(held.snapshot().prune(100_000, policy=near())) == found(held.prune(100_000, policy=near()))


def test_the_budget_holds_and_what_falls_makes_room():
    blocks = [memory(f"m{n}", words(0, 60) + f" tail{n}", 0.9) for n in range(20)]
    blocks += [memory("other", words(100, 160), 0.1), memory("ask", "And now?", 0.9, USER)]
    plain = prune(blocks, 400)
    selection = prune(blocks, 400, policy=near())
    assert "other" not in plain.kept_ids
    assert "other" in selection.kept_ids
    assert selection.tokens <= 400


def test_a_manager_takes_the_policy():
    manager = ContextManager(10_000, policy=near())
    session = manager.create_session("a")
    for n in range(5):
        manager.add_context(session, words(0, 40) + f" tail{n}", MEMORY)
    assert len(manager.select(session).kept_ids) == 1


@pytest.mark.parametrize("value", [0.4, 1.1, True, "0.8", float("nan")])
def test_the_threshold_has_limits(value):
    with pytest.raises(ValidationError, match=r"near_duplicates .* is not a number from 0"):
        Policy("x", near_duplicates=value)


def test_a_policy_keeps_it_through_a_copy():
    assert replace(near(0.7), name="y").near_duplicates == 0.7
