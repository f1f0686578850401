"""The kernel: properties over many inputs against the plain reference, then the cases that break other libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import tiktoken_count
from pycontext import (
    BlockSet,
    Budget,
    BudgetExceededError,
    ContextBlock,
    ContextPackage,
    ContextType,
    Policy,
    Tier,
    ValidationError,
    prune,
)
from pycontext.messages.openai import from_blocks, to_blocks
from reference import DoesNotFitError, count_messages, count_text, openai_cost, select, units_of
from strategies import block_lists, policies

POLICIES = ["relevance", "recent", "window"]
RENDERS = ["openai", "text"]
ANY = 2**40


def text_of(blocks):
    return prune(blocks, ANY, render="text", policy=Policy("all", duplicates="keep"), pin=[b.id for b in blocks]).text()


def total_of(render):
    return openai_cost if render == "openai" else lambda blocks: count_text(text_of(blocks))


class Fixed:
    """A scorer that says what it was told."""

    def __init__(self, scores):
        self.scores = scores

    def score(self, _query, _blocks):
        return self.scores


@pytest.mark.parametrize("render", RENDERS)
@settings(max_examples=300)
@given(data=st.data())
def test_the_kernel_chooses_what_the_reference_chooses(render, data):
    blocks = data.draw(block_lists())
    whole = total_of(render)(blocks)
    available = data.draw(st.integers(1, max(whole, 1) + 5) | st.integers(1, 120))
    policy = data.draw(policies())
    pins = data.draw(st.lists(st.sampled_from([b.id for b in blocks]), max_size=2)) if blocks else []
    now = data.draw(st.none() | st.integers(0, 20))
    options = {"policy": policy, "render": render, "pin": pins, "now": now}
    relevances = st.sampled_from([0.0, 0.5, 1.0])
    relevance = data.draw(st.none() | st.lists(relevances, min_size=len(blocks), max_size=len(blocks)))
    if relevance is not None:
        options |= {"query": "?", "scorer": Fixed(relevance)}
    try:
        expected = select(blocks, available, total_of(render), policy, pins=pins, relevance=relevance, now=now)
    except DoesNotFitError as refusal:
        with pytest.raises(BudgetExceededError) as caught:
            prune(blocks, available, **options)
        assert (caught.value.needed, caught.value.available) == (refusal.args[0], available)
        return
    selection = prune(blocks, available, **options)
    assert [entry["reason"] for entry in selection.to_dict()["blocks"]] == expected.reasons
    assert selection.indices.tolist() == expected.kept
    assert selection.tokens == expected.tokens


@pytest.mark.parametrize("render", RENDERS)
@settings(max_examples=300)
@given(data=st.data())
def test_the_promises_hold(render, data):
    blocks = data.draw(block_lists())
    policy = data.draw(policies())
    required = policy.references == "require"
    available = data.draw(st.integers(1, 400))
    try:
        selection = prune(blocks, available, policy=policy, render=render)
    except BudgetExceededError as error:
        assert error.needed > error.available == available
        assert set(error.blockers) <= {block.id for block in blocks}
        assert error.blockers
        return
    kept = selection.indices.tolist()
    counted = count_messages(selection.messages()) if render == "openai" else tiktoken_count(selection.text())
    assert selection.tokens == counted <= available
    assert selection.messages() == from_blocks(selection.kept)
    assert kept == sorted(kept)
    assert [blocks[row].id for row in kept] == selection.kept_ids
    assert all(len({row in kept for row in unit}) == 1 for unit in units_of(blocks, required=required))
    assert len(selection.reasons) == len(blocks)
    assert [reason in ("kept", "pinned") for reason in selection.reasons] == [i in kept for i in range(len(blocks))]
    reasons = [entry["reason"] for entry in selection.to_dict()["blocks"]]
    for row, block in enumerate(blocks):
        if block.type is ContextType.SYSTEM:
            assert reasons[row] == "pinned"
        assert selection.explain(block.id).startswith(block.type.name)
    users = [row for row, block in enumerate(blocks) if block.type is ContextType.USER]
    assert set(users[-1:]) <= set(kept)
    fell = {dropped.id: dropped.reason for dropped in selection.dropped}
    assert len(fell) + len(kept) == len(blocks)
    for unit in units_of(blocks, required=required):
        if fell.get(blocks[unit[0]].id) == "budget":
            rows = sorted([*kept, *unit])
            assert total_of(render)([blocks[row] for row in rows]) > available, "it would have fitted"


@given(blocks=block_lists())
def test_a_look_changes_nothing(blocks):
    before = [repr(block) for block in blocks]
    with suppress(BudgetExceededError):
        prune(blocks, 60)
    assert [repr(block) for block in blocks] == before


def test_the_same_bytes_in_every_process():
    program = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pycontext import ContextBlock, ContextType, Policy, Tier, prune
kinds = list(ContextType)
blocks = [ContextBlock(f"b{i}", f"text {i % 7} " * (i % 5), (i * 37 % 11) / 10, kinds[i % 6], {"k": "v"}, i % 3)
          for i in range(300)]
rich = Policy("rich", (Tier("talk", (kinds[2], kinds[1]), order="time", share=0.4), Tier("rest")), recency=0.3,
              half_life_minutes={kinds[4]: 0.00001, kinds[3]: 1}, references="require")
def look(options):
    selection = prune(blocks, 1500, **options)
    return json.dumps(selection.to_dict()) + selection.text() + json.dumps(selection.messages())
policies = ("relevance", "evidence", "recent", "window", rich)
looks = [{"policy": policy, "render": render, "query": query} for policy in policies
         for render in ("openai", "text") for query in (None, "text 3 or 5, TEXT 6")]
with ThreadPoolExecutor(int(sys.argv[1])) as pool:
    print(list(pool.map(look, looks)))
"""
    outputs = set()
    for seed, threads in (("0", "1"), ("1", "4"), ("4711", "2")):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", program, threads], env=environment, capture_output=True, check=True
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert len(outputs.pop()) > 1000


# The cases of the design that break at least one widely used library each.


def exchange(ids, results, content=None):
    calls = [{"id": id, "type": "function", "function": {"name": "lookup", "arguments": "{}"}} for id in ids]
    tools = [{"role": "tool", "tool_call_id": id, "content": text} for id, text in zip(ids, results, strict=False)]
    return [{"role": "assistant", "content": content, "tool_calls": calls}, *tools]


@pytest.mark.parametrize("policy", POLICIES)
def test_four_parallel_calls_cut_in_the_middle(policy):
    chat = [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": "first"},
        *exchange(["a", "b", "c", "d"], ["word " * 100] * 4),
        {"role": "user", "content": "next"},
    ]
    selection = prune(to_blocks(chat), 450, policy=policy)
    assert [message["role"] for message in selection.messages()] == ["system", "user", "user"]
    # "window" leaves 30 % to other things than the conversation.
    assert prune(to_blocks(chat), 800, policy=policy).messages() == chat


@pytest.mark.parametrize("policy", POLICIES)
def test_the_last_exchange_is_too_large(policy):
    chat = [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": "look it up"},
        *exchange(["a"], ["word " * 5_800]),
    ]
    with pytest.raises(BudgetExceededError) as caught:
        prune(to_blocks(chat), 1_000, policy=policy)
    assert caught.value.blockers == ["m3"]
    assert caught.value.needed > 5_800
    assert "'m3'" in str(caught.value)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_large_exchange_falls_when_the_user_went_on(policy):
    chat = [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": "look it up"},
        *exchange(["a"], ["word " * 5_800]),
        {"role": "user", "content": "never mind"},
    ]
    selection = prune(to_blocks(chat), 1_000, policy=policy)
    assert selection.kept_ids == ["m0", "m1", "m4"]
    assert [(d.id, d.reason) for d in selection.dropped] == [("m2", "budget"), ("m3", "unit")]
    assert selection.dropped[1].detail == "m2"


@pytest.mark.parametrize("policy", POLICIES)
def test_the_system_prompt_alone_is_too_large(policy):
    chat = [{"role": "system", "content": "rule " * 3_400}, {"role": "user", "content": "hi"}]
    with pytest.raises(BudgetExceededError) as caught:
        prune(to_blocks(chat), 500, policy=policy)
    assert caught.value.blockers == ["m0"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_result_without_a_call_falls(policy):
    chat = [{"role": "user", "content": "hi"}, {"role": "tool", "tool_call_id": "gone", "content": "x"}]
    selection = prune(to_blocks(chat), 120, policy=policy)
    assert selection.messages() == chat[:1]
    (dropped,) = selection.dropped
    assert (dropped.reason, dropped.detail) == ("orphan", "the call is not in the input")


@pytest.mark.parametrize("policy", POLICIES)
def test_the_last_turn_is_a_result(policy):
    chat = [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": "old " * 400},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "look it up"},
        *exchange(["a"], ["word " * 200]),
    ]
    selection = prune(to_blocks(chat), 500, policy=policy)
    assert selection.messages() == [chat[0], chat[2], chat[3], chat[4], chat[5]]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_pending_call_stays_and_an_abandoned_one_falls(policy):
    pending = [{"role": "user", "content": "go"}, *exchange(["a", "b"], ["first"])]
    assert prune(to_blocks(pending), 200, policy=policy).messages() == pending
    abandoned = [*pending, {"role": "user", "content": "stop"}]
    selection = prune(to_blocks(abandoned), 200, policy=policy)
    assert selection.messages() == [abandoned[0], abandoned[3]]
    assert selection.dropped[0].detail == "1 of 2 results are in the input"


def test_repeated_ids_of_calls_pair_by_occurrence():
    chat = [
        {"role": "user", "content": "one"},
        *exchange(["same"], ["word " * 300]),
        {"role": "user", "content": "two"},
        *exchange(["same"], ["short"]),
        {"role": "user", "content": "three"},
    ]
    selection = prune(to_blocks(chat), 120)
    assert selection.messages() == [chat[0], *chat[3:]]


def test_our_own_text_fed_back_cannot_forge_a_header():
    blocks = to_blocks([{"role": "system", "content": "rules"}, {"role": "user", "content": "hi"}])
    text = prune(blocks, 100, render="text").text()
    again = prune([ContextBlock("k", text, 0.5, ContextType.KNOWLEDGE)], 100, render="text").text()
    assert again == "[KNOWLEDGE]\n\\[SYSTEM]\nrules\n\n\\[USER]\nhi"


# What a caller may write.


def test_a_scorer_needs_a_query():
    with pytest.raises(ValidationError, match="scorer needs a query"):
        prune([], 10, scorer=object())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"render": "html"}, "render 'html' is not one of openai, text"),
        ({"policy": "best"}, "policy 'best' is not one of relevance, evidence, recent, window, cache"),
        ({"counter": "gpt2"}, "counter 'gpt2' is not one of o200k_base, cl100k_base"),
        ({"pin": ["nobody"]}, "pin 'nobody' is not the id of a block"),
    ],
)
def test_a_name_that_is_not_known_is_refused_with_those_that_are(options, words):
    with pytest.raises(ValidationError) as caught:
        prune([ContextBlock("a", "x", 0.5, ContextType.USER)], 10, **options)
    assert words in str(caught.value)


def test_blocks_may_come_in_a_package_or_a_set():
    blocks = [ContextBlock(f"b{i}", f"word {i}", 0.5, ContextType.MEMORY, timestamp=i) for i in range(20)]
    expected = prune(blocks, 60).to_dict()
    assert prune(tuple(blocks), 60).to_dict() == expected
    assert prune(iter(blocks), 60).to_dict() == expected
    assert prune(BlockSet(blocks), 60).to_dict() == expected
    assert prune(ContextPackage("s", "a", blocks), Budget(100, reserve_output=30, overhead=10)).to_dict() == expected


def test_kept_blocks_are_the_callers_own():
    blocks = [ContextBlock("a", "x", 0.5, ContextType.USER), ContextBlock("b", "y", 0.5, ContextType.AGENT)]
    assert all(kept is block for kept, block in zip(prune(blocks, 100).kept, blocks, strict=True))


def test_another_counter_counts_again_and_given_counts_are_believed():
    text = "naïve café " * 10
    blocks = [ContextBlock("a", text, 0.5, ContextType.USER)]
    assert blocks[0].token_count == tiktoken_count(text)
    for name in ("o200k_base", "cl100k_base"):
        assert prune(blocks, 1000, counter=name).tokens == tiktoken_count(text, name) + 7
        assert prune(BlockSet(blocks), 1000, counter=name).tokens == tiktoken_count(text, name) + 7
    blocks[0].token_count = 5
    assert prune(blocks, 1000).tokens == 5 + 7


def test_references_to_a_dropped_copy_name_the_one_that_stays():
    blocks = [
        ContextBlock("old", "the fact", 0.1, ContextType.MEMORY),
        ContextBlock("new", "the fact", 0.9, ContextType.MEMORY),
        ContextBlock("u", "so?", 0.5, ContextType.USER, references=["old", "elsewhere"]),
    ]
    selection = prune(blocks, 100)
    assert selection.kept[1].references == ["new", "elsewhere"]
    assert blocks[2].references == ["old", "elsewhere"]


def test_strange_references_are_legal_and_inert():
    blocks = [
        ContextBlock("a", "x", 0.5, ContextType.MEMORY, references=["a", "b", "nowhere"]),
        ContextBlock("b", "y", 0.5, ContextType.MEMORY, references=["a"]),
    ]
    assert prune(blocks, 100).kept_ids == ["a", "b"]


def test_nothing_in_nothing_out():
    selection = prune([], 1)
    assert (selection.tokens, selection.kept, selection.messages(), selection.text()) == (0, [], [], "")
    assert json.dumps(selection.to_dict())


def test_a_copy_that_falls_is_not_said_to_stay():
    fact = "fact " * 60
    blocks = [
        ContextBlock("worse", fact, 0.1, ContextType.MEMORY, timestamp=1),
        ContextBlock("better", fact, 0.9, ContextType.MEMORY, timestamp=2),
        ContextBlock("r", "see", 0.5, ContextType.KNOWLEDGE, references=["worse"]),
        ContextBlock("u", "so?", 0.5, ContextType.USER),
    ]
    selection = prune(blocks, 30)
    assert selection.kept_ids == ["r", "u"]
    sentence = selection.explain("worse")
    assert "is the better copy, which falls as well: budget" in sentence
    assert selection.kept[0].references == ["worse"], "no reference to a copy that is not there"
    assert "says the same and stays" in prune(blocks, 300).explain("worse")


def test_a_selection_is_of_the_blocks_as_they_were():
    blocks = [ContextBlock("a", "hello", 0.5, ContextType.USER)]
    selection = prune(blocks, 30)
    blocks[0].content = "word " * 1000
    assert selection.messages() == [{"role": "user", "content": "hello"}]
    assert selection.text() == "[USER]\nhello"


@pytest.mark.parametrize("blocks", [None, 7])
def test_what_is_no_sequence_of_blocks_is_said(blocks):
    with pytest.raises(ValidationError, match="not a sequence of blocks"):
        prune(blocks, 10)


@pytest.mark.parametrize("value", [10**5000, [[[]]] * 3, "a\u2028b\nc", object()], ids=lambda v: type(v).__name__)
def test_every_message_is_one_line_whatever_the_value(value):
    for call in (
        lambda: prune([], value),
        lambda: prune([], 10, policy=value),
        lambda: prune([], 10, render=value),
        lambda: prune([], 10, counter=value),
        lambda: prune(BlockSet(), 10, counter=value),
        lambda: prune(ContextPackage("s", "a"), 10, counter=value),
        lambda: prune([], 10, pin=value if isinstance(value, int) else [value]),
        lambda: prune([ContextBlock("a", "x", 0.5, ContextType.USER)], 10, pin=[value]),
        lambda: prune([], 10).explain(value),
    ):
        with pytest.raises(ValidationError) as caught:
            call()
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 250


# Rules that a look at the result alone would not show.


def block(id, kind=ContextType.MEMORY, content="fact", score=0.5, **fields):
    return ContextBlock(id, content, score, kind, timestamp=1, **fields)


USER = block("u", ContextType.USER, "and?")


def test_a_copy_that_belongs_to_a_unit_is_no_duplicate():
    unit = {"unit": "x"}
    blocks = [block("a", metadata=unit), block("c", content="other", metadata=unit), block("b"), USER]
    assert prune(blocks, 100).kept_ids == ["a", "c", "b", "u"]


@pytest.mark.parametrize(
    ("first", "second", "relevance", "stays"),
    [
        ({"score": 0.5}, {"score": 0.6}, None, "b"),
        ({"score": 0.5}, {"score": 0.6}, [1.0, 0.0, 0.0], "a"),
        ({"timestamp": 9}, {"timestamp": 1}, None, "a"),
        ({}, {}, None, "b"),
    ],
    ids=["best", "best for the query", "newest", "last"],
)
def test_the_best_copy_stays(first, second, relevance, stays):
    def copy(id, score=0.5, timestamp=5):
        return ContextBlock(id, "fact", score, ContextType.KNOWLEDGE, timestamp=timestamp)

    query = {} if relevance is None else {"query": "?", "scorer": Fixed(relevance), "policy": "relevance"}
    assert prune([copy("a", **first), copy("b", **second), USER], 100, **query).kept_ids == [stays, "u"]


def reasons_of(selection):
    return {entry["id"]: entry["reason"] for entry in selection.to_dict()["blocks"]}


def test_of_equal_scores_the_newer_is_kept_wherever_it_stands():
    notes = [ContextBlock(f"t{t}", f"note {t}", 0.5, ContextType.MEMORY, timestamp=t) for t in (5, 2)]
    assert prune([*notes, USER], 20).kept_ids == ["t5", "u"]


def test_a_unit_that_begins_before_the_last_user_block_is_not_after_it():
    unit = {"unit": "x"}
    agent = block("a", ContextType.AGENT, "hm")
    user = block("q", ContextType.USER, "and?", metadata=unit)
    result = block("t", ContextType.TOOL, "it", metadata=unit, references=["gone"])
    assert reasons_of(prune([agent, user, result], 100)) == {"a": "kept", "q": "pinned", "t": "pinned"}


def test_the_block_that_shows_what_is_wrong_has_the_reason():
    unit = {"unit": "x"}
    note = block("m", metadata=unit)
    orphans = [block(id, ContextType.TOOL, "it", metadata=unit, references=["gone"]) for id in ("t", "v")]
    expected = {"m": "unit:t", "t": "orphan", "v": "unit:t", "u": "pinned"}
    assert reasons_of(prune([note, *orphans, USER], 100)) == expected
    call = to_blocks([exchange(["a"], [])[0]])[0]
    call.metadata |= unit
    assert reasons_of(prune([call, orphans[0], USER], 100)) == {"m0": "unit:t", "t": "orphan", "u": "pinned"}


def test_two_pinned_copies_both_stay():
    assert prune([block("a"), block("b"), USER], 100, pin=["a", "b"]).kept_ids == ["a", "b", "u"]


def test_the_threshold_is_for_base_scores():
    policy = Policy("mine", threshold=0.4)
    assert prune([block("a"), USER], 100, policy=policy, query="?", scorer=Fixed([0, 0])).kept_ids == ["a", "u"]


def test_what_falls_makes_nothing_inexact():
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.y/z.png"}}]}
    blocks = to_blocks([image, {"role": "user", "content": "hi"}])
    assert not prune(blocks, 5_000).exact
    assert prune(blocks, 50).exact


@pytest.mark.parametrize(
    ("message", "exact"),
    [
        ({"role": "developer", "content": "x"}, False),
        ({"role": "system", "content": "x"}, True),
        ({"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}, False),
        *(
            (
                {"role": "assistant", "tool_calls": [{"id": str(i), "function": {"name": "f", "arguments": "{}"}}] * n},
                n in (1, 5),
            )
            for i, n in enumerate(range(1, 7))
        ),
    ],
)
def test_exact_is_what_was_recorded_or_published(message, exact):
    assert prune(to_blocks([message]), 1_000).exact is exact


@pytest.mark.parametrize("number", range(1, 9))
def test_any_number_of_calls_costs_what_the_table_says(number):
    message, *results = exchange([f"c{i}" for i in range(number)], ["ok"] * number)
    selection = prune(to_blocks([message, *results]), 1_000)
    assert selection.tokens == count_messages([message, *results])


def test_a_tool_block_that_answers_no_call_is_a_note_under_a_header():
    note = block("t", ContextType.TOOL, "data", metadata={"openai.name": '"f"'})
    selection = prune([note], 100)
    assert selection.messages() == [{"role": "user", "content": "[TOOL]\ndata"}]
    assert selection.tokens == count_messages(selection.messages())


def test_the_sentence_names_the_first_reason_of_a_pin():
    system = block("s", ContextType.SYSTEM)
    assert "SYSTEM blocks are pinned" in prune([system, USER], 100, pin=["s"]).explain("s")
    assert "the caller pinned it" in prune([block("m"), USER], 100, pin=["m"]).explain("m")


def test_every_member_of_a_unit_knows_what_the_unit_costs():
    unit = {"unit": "x"}
    selection = prune([block("a", metadata=unit), block("b", content="other", metadata=unit), USER], 100)
    costs = {entry["id"]: entry["tokens"] for entry in selection.to_dict()["blocks"]}
    for id in ("a", "b"):
        assert f"({costs[id]} tokens, {costs['a'] + costs['b']} with its unit)" in selection.explain(id)


def test_a_result_that_names_its_call_twice_is_one_result():
    blocks = to_blocks([*exchange(["a", "b"], ["one"]), {"role": "user", "content": "go on"}])
    blocks[1].references *= 2
    selection = prune(blocks, 1_000)
    assert selection.kept_ids == ["m2"]
    assert "1 of 2 results" in selection.explain("m0")


def test_only_an_agent_calls():
    note = block("m", metadata={"openai.tool_calls": '[{"function": {"name": "f", "arguments": "{}"}}]'})
    assert prune([note, USER], 100).kept_ids == ["m", "u"]


@pytest.mark.parametrize(("order", "kept"), [("score", "call"), ("time", "call")])
def test_a_unit_is_as_good_and_as_new_as_its_best_block(order, kept):
    call = ContextBlock("call", "look", 0.1 if order == "score" else 0.5, ContextType.AGENT, timestamp=1)
    result = ContextBlock(
        "r", "it", 0.9 if order == "score" else 0.5, ContextType.TOOL, timestamp=9, references=["call"]
    )
    note = ContextBlock("note", "word " * 3, 0.5, ContextType.MEMORY, timestamp=5)
    selection = prune([call, result, note, USER], 24, policy=Policy("mine", (Tier("all", order=order),)))
    assert kept in selection.kept_ids
    assert "note" not in selection.kept_ids


def test_pin_takes_one_id_as_well():
    assert prune([block("ab"), block("a", content="x"), USER], 18, pin="ab").kept_ids == ["ab", "u"]
