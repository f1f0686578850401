"""Rules of the kernel and of sets that a look at the result alone would not show, each found by breaking a line."""

from __future__ import annotations

import pytest

from conftest import tiktoken_count
from pycontext import (
    BlockSet,
    BudgetExceededError,
    ContextBlock,
    ContextManager,
    ContextType,
    PluginError,
    Policy,
    ShadowReport,
    Tier,
    ValidationError,
    prune,
)
from pycontext.messages.openai import to_blocks

SYSTEM, USER, AGENT, MEMORY, KNOWLEDGE, TOOL = ContextType


def block(id, kind=MEMORY, content="fact", score=0.5, **fields):
    return ContextBlock(id, content, score, kind, timestamp=1, **fields)


def test_a_new_last_block_may_free_room_for_one_that_was_left_out():
    class Dear:
        name = "dear"
        exact = True

        def count(self, text):
            return len(text.split()) + 10 * text.endswith("dear")

        def count_batch(self, texts):
            return [self.count(text) for text in texts]

    notes = [block("a", content="dear", score=0.9), block("b", content="cheap", score=0.1)]
    selection = prune([block("u", USER, "hi"), *notes], 6, render="text", counter=Dear())
    assert selection.kept_ids == ["u", "a", "b"]
    assert selection.tokens == 6


def test_the_text_form_is_filled_to_the_last_token():
    blocks = [block(f"m{i}", content=f"note {i}", score=i / 10) for i in range(5)]
    whole = prune(blocks, 1_000, render="text").tokens
    assert prune(blocks, whole, render="text").kept_ids == [b.id for b in blocks]
    assert "m0" not in prune(blocks, whole - 1, render="text").kept_ids


@pytest.mark.parametrize("policy", ["relevance", "recent"])
@pytest.mark.parametrize("last", ["a unit", "a pin"])
def test_the_last_row_ends_the_text_whether_it_is_of_a_unit_or_a_pin(last, policy):
    unit = {"unit": "u"} if last == "a unit" else {}
    # A separator behind a full stop costs no token, behind a word it does.
    notes = [ContextBlock(f"b{i}", f"note {i}.", 0.5, MEMORY, unit if i == 0 else {}, i) for i in range(600)]
    end = ContextBlock("end", "the end", 0.5, MEMORY if unit else USER, unit, 600)
    selection = prune([*notes, end], 10**6, policy=policy, render="text")
    assert len(selection.kept_ids) == 601
    assert selection.tokens == tiktoken_count(selection.text())


def test_a_call_that_comes_after_its_result_is_found_after_any_change():
    result = block("r", TOOL, "data", references=["call"])
    blocks = BlockSet([block("m"), result, block("u", USER, "hi")])
    del blocks[0]
    assert blocks.prune(100).kept_ids == ["u"]
    blocks.append(block("call", AGENT, "look"))
    assert blocks.prune(100).kept_ids == ["r", "u", "call"]


def test_a_score_of_minus_zero_is_zero():
    old, new = (
        ContextBlock(id, "fact" + id, score, MEMORY, timestamp=t)
        for t, (id, score) in enumerate((("a", -0.0), ("b", 0.0)))
    )
    ask = block("u", USER, "hi")
    room = prune([old, ask], 100).tokens
    assert prune([old, new, ask], room).kept_ids == ["b", "u"]


def test_the_error_says_what_the_largest_pinned_block_costs():
    small, large = block("s", SYSTEM, "rule " * 20), block("l", SYSTEM, "rule " * 50)
    with pytest.raises(BudgetExceededError) as caught:
        prune([small, large], 10)
    assert f"largest is block 'l' with {tiktoken_count(large.content) + 4}" in str(caught.value)


def reasons_of(selection):
    return {entry["id"]: entry["reason"] for entry in selection.to_dict()["blocks"]}


def exchange(ids, results, content=None):
    calls = [{"id": id, "type": "function", "function": {"name": "lookup", "arguments": "{}"}} for id in ids]
    tools = [{"role": "tool", "tool_call_id": id, "content": text} for id, text in zip(ids, results, strict=False)]
    return [{"role": "assistant", "content": content, "tool_calls": calls}, *tools]


ASK = block("u", USER, "and?")


def test_a_result_of_two_calls_makes_one_unit_of_both():
    calls = [block(id, AGENT, "look") for id in ("a", "b")]
    result = block("r", TOOL, "it", references=["a", "b"])
    assert reasons_of(prune([*calls, result, ASK], 100, pin=["a"])) == dict.fromkeys(["a", "b", "r", "u"], "pinned")


@pytest.mark.parametrize(
    "others",
    [[], [block("x", metadata={"unit": "x"}), block("y", content="rule", metadata={"unit": "x"})]],
    ids=["alone", "beside a unit"],
)
def test_a_result_that_has_a_call_is_no_orphan_whatever_else_it_references(others):
    exchange = [block("a", AGENT, "look"), block("r", TOOL, "it", references=["gone", "a"])]
    assert set(prune([*others, *exchange, ASK], 100).reasons) == {"kept", "pinned"}


def test_of_two_calls_in_a_unit_without_results_the_last_one_has_the_reason():
    calls = to_blocks([exchange(["a"], [])[0], exchange(["b"], [])[0]])
    for call in calls:
        call.metadata |= {"unit": "x"}
    assert reasons_of(prune([*calls, ASK], 100)) == {"m0": "unit:m1", "m1": "orphan", "u": "pinned"}


def test_an_add_sees_what_was_written_to_held_blocks():
    blocks = BlockSet([block("a")])
    held = blocks[0]
    held.id = "renamed"
    with pytest.raises(ValidationError, match=r"id 'renamed' is already the id of blocks\[0\]"):
        blocks.add("renamed", "word", 0.5, MEMORY, {}, 0)
    blocks.add("a", "word", 0.5, MEMORY, {}, 0)
    assert [block.id for block in blocks] == ["renamed", "a"]


def test_facts_with_other_calls_say_other_things():
    def calling(id, name):
        calls = f'[{{"id": "c", "type": "function", "function": {{"name": "{name}", "arguments": "{{}}"}}}}]'
        return block(id, metadata={"openai.tool_calls": calls})

    blocks = BlockSet([calling("a", "read"), calling("b", "write"), calling("c", "read")])
    assert [fallen.id for fallen in blocks.dedup()] == ["a"]


def test_the_sentence_counts_what_is_required_to_the_unit():
    rule, note = block("rule", KNOWLEDGE, "a rule"), block("note", references=["rule"])
    selection = prune([rule, note, ASK], 1000, policy=Policy("mine", references="require"))
    costs = {entry["id"]: entry["tokens"] for entry in selection.to_dict()["blocks"]}
    assert f"({costs['note']} tokens, {costs['rule'] + costs['note']} with its unit)" in selection.explain("note")


def without_references(blocks):
    blocks[1] = block("r", TOOL, "it")


def of_another_type(blocks):
    blocks[0].type = MEMORY


def of_another_name(blocks):
    blocks[0].id = "other"


@pytest.mark.parametrize(
    ("change", "reason"), [(without_references, "kept"), (of_another_type, "kept"), (of_another_name, "orphan")]
)
def test_a_result_leaves_its_call_when_one_of_the_two_changes(change, reason):
    blocks = BlockSet([block("a", AGENT, "look"), block("r", TOOL, "it", references=["a"]), ASK])
    assert blocks.prune(100, pin=["a"]).reasons == ["pinned"] * 3
    change(blocks)
    assert blocks.prune(100, pin=[blocks[0].id]).reasons == ["pinned", reason, "pinned"]


def test_a_reference_that_names_the_copy_is_no_longer_to_what_is_gone():
    blocks = BlockSet(
        [block("old", score=0.1), block("new", score=0.9), block("t", TOOL, "it", references=["old"]), ASK]
    )
    selection = blocks.prune(100)
    assert selection.dropped_ids == ["old"]
    del blocks[0]
    assert blocks.prune(100).dropped_ids == ["t"]
    blocks.keep(selection)
    assert blocks.prune(100).kept_ids == ["new", "t", "u"]


def test_a_unit_that_falls_says_what_it_needs_as_a_whole():
    call, result = block("a", AGENT, "look"), block("r", TOOL, "word " * 30, references=["a"])
    selection = prune([call, result, ASK], 20)
    costs = {entry["id"]: entry["tokens"] for entry in selection.to_dict()["blocks"]}
    assert selection.dropped[0].detail == f"needs {costs['a'] + costs['r']} of {20 - selection.tokens} left"


def test_the_sentence_of_a_member_has_the_score_of_its_unit():
    call, result = block("a", AGENT, "look", 0.1), block("r", TOOL, "it", 0.9, references=["a"])
    selection = prune([call, result, ASK], 100)
    assert all("with a score of 0.900 it fitted" in selection.explain(id) for id in ("a", "r"))


def test_looks_and_refusals_are_counted_beside_each_other():
    manager = ContextManager(max_tokens=200, shadow=True)
    session = manager.create_session("agent")
    for i in range(40):
        manager.add_context(session, f"note {i} and more", MEMORY)
    before = manager.shadow_report(session)
    for id in ("r", "s"):
        manager.add_context(session, "rule " * 300, SYSTEM, block_id=id)
    assert manager.shadow_report(session) == ShadowReport(before.looks, 2, before.selection)
    for id in ("r", "s"):
        manager.remove_block(session, id)
    selection = manager.prune(session, 60)
    assert manager.shadow_report(session) == ShadowReport(before.looks + 1, 2, selection)


def filled_to(manager, tokens):
    """A session of just so many tokens in the text form."""
    session = manager.create_session("agent", session_id="s")
    blocks = manager.sessions[session].blocks
    manager.add_context(session, "word", MEMORY, 0.0)
    one = blocks.total_cost("text")
    manager.remove_block(session, blocks[0].id)
    manager.add_context(session, "word" + " word" * (tokens - one), MEMORY, 0.0, block_id="b")
    assert blocks.total_cost("text") == tokens
    return session


@pytest.mark.parametrize(("tokens", "kept"), [(90, ["b", "new"]), (91, ["new"])])
def test_a_session_is_pruned_above_nine_tenths_and_not_at_them(tokens, kept):
    def text(words):
        return "word" + " word" * words

    def total(words):
        return BlockSet([block("b", content=text(words)), block("new", content="new")]).total_cost("text")

    words = tokens - total(0)
    assert total(words) == tokens
    manager = ContextManager(max_tokens=100)
    session = manager.create_session("agent")
    manager.add_context(session, text(words), MEMORY, 0.0, block_id="b")
    manager.add_context(session, "new", MEMORY, block_id="new")
    assert [block.id for block in manager.sessions[session].blocks] == kept


def test_an_import_that_just_fits_is_taken_as_it_is():
    data = ContextManager(max_tokens=1_000)
    session = filled_to(data, 100)
    manager = ContextManager(max_tokens=100)
    # One's own: what a peer sent has longer headers.
    manager.import_session(data.export_session(session), trust="self")
    assert [block.id for block in manager.sessions[session].blocks] == ["b"], (
        "not even what is below the threshold falls"
    )


def test_pins_above_the_low_mark_leave_half_of_what_they_leave_free():
    manager = ContextManager(max_tokens=1_000)
    session = manager.create_session("agent")
    manager.add_context(session, "rule " * 850, SYSTEM)
    blocks = manager.sessions[session].blocks
    pinned = blocks.total_cost("text")
    for i in range(60):
        before = len(blocks)
        manager.add_context(session, f"note {i} of some words", MEMORY)
        if len(blocks) <= before:
            assert blocks.total_cost("text") <= (pinned + 1_000) // 2 + 20


def test_of_equal_units_the_one_that_ends_last_is_kept():
    call, note = block("a", AGENT, "look"), block("m")
    result = block("r", TOOL, "it", references=["a"])
    room = prune([call, result, ASK], 100).tokens
    assert prune([call, note, result, ASK], room).kept_ids == ["a", "r", "u"]


def test_costs_that_a_formatter_says_are_exact_where_the_counter_is():
    class Plain:
        def cost(self, block):
            return tiktoken_count(block.content) + 1

        def render(self, blocks):
            return "\n".join(block.content for block in blocks)

    assert prune([block("m"), ASK], 100, render=Plain()).exact


def test_tiers_may_come_in_a_list():
    policy = Policy("mine", [Tier("all")])
    assert (policy, hash(policy)) == (Policy("mine", (Tier("all"),)), hash(Policy("mine", (Tier("all"),))))


def test_limits_of_a_policy_are_the_last_values_that_are_good():
    name = "x" * 64
    policy = Policy(name, (Tier(name),) * 16, half_life_minutes={USER: 1e-6, AGENT: 1e10})
    assert (policy.name, len(policy.tiers), policy.half_life_minutes) == (name, 16, {USER: 1e-6, AGENT: 1e10})


def test_a_scorer_that_says_yes_or_no_is_refused():
    class Fixed:
        def score(self, _query, _blocks):
            return [True, False]

    with pytest.raises(PluginError, match="returned bool, not real numbers"):
        prune([block("m"), ASK], 100, query="q", scorer=Fixed())


@pytest.mark.parametrize("share", [0.99, 1.0])
def test_the_last_tier_that_a_block_waited_in_says_why_it_falls(share):
    large = ContextBlock("large", "word " * 10, 0.9, MEMORY, timestamp=1)
    small = ContextBlock("small", "word " * 5, 0.8, MEMORY, timestamp=2)
    ask = ContextBlock("ask", "hi", 0.5, USER, timestamp=3)
    policy = Policy("mine", (Tier("first", share=0.3), Tier("second", order="time", share=share)))
    assert prune([large, small, ask], 35, policy=policy).reasons == ["budget", "kept", "pinned"]
