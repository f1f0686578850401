"""Requests that begin like the one before: water marks, reports, and a manager that goes on by itself."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontext import (
    BlockSet,
    Budget,
    BudgetExceededError,
    Cache,
    ContextBlock,
    ContextManager,
    ContextType,
    Policy,
    ValidationError,
    prune,
)
from pycontext.messages.openai import to_blocks

CACHE = Policy.named("cache")
KINDS = (ContextType.USER, ContextType.AGENT, ContextType.MEMORY)


def turn(n, words=8, kind=None):
    kind = kind or (ContextType.USER if n % 2 == 0 else ContextType.AGENT)
    return ContextBlock(f"t{n}", f"Turn {n} " + f"w{n % 7} " * words, 0.5, kind, timestamp=n)


def system():
    return ContextBlock("rules", "You help.", 1.0, ContextType.SYSTEM, timestamp=0)


def sends(turns, budget, policy=CACHE, **options):
    """The selections of a session that grows turn by turn."""
    blocks, previous = BlockSet([system()]), None
    for n in range(turns):
        blocks.append(turn(n))
        previous = blocks.prune(budget, policy=policy, previous=previous, **options)
        yield previous


def test_requests_between_two_cuts_are_prefixes_of_each_other():
    cuts, before = 0, None
    for selection in sends(120, 400):
        messages = selection.messages()
        assert selection.tokens <= 400
        if before is not None:
            is_prefix = messages[: len(before)] == before
            assert is_prefix == (not selection.cache.is_broken)
            cuts += not is_prefix
        before = messages
    assert 2 <= cuts <= 20, "each cut leaves room for several turns"


def test_a_cut_goes_down_to_the_low_mark_of_what_system_blocks_leave():
    rules = ContextBlock("rules", "Rule " * 200, 1.0, ContextType.SYSTEM, timestamp=0)
    blocks, previous, cuts = BlockSet([rules]), None, []
    fixed = blocks.total_cost("openai")
    budget = fixed + 400
    for n in range(100):
        blocks.append(turn(n))
        previous = blocks.prune(budget, policy=CACHE, previous=previous)
        if previous.cache and previous.cache.is_broken:
            cuts.append(previous.tokens - fixed)
    assert cuts
    assert all(200 < tokens <= 0.65 * 400 for tokens in cuts)


def test_what_fell_is_chosen_from_again():
    policy = Policy("marks", cache=Cache())
    code = ContextBlock("code", "The booking is ZX81QQ. " + "so " * 40, 0.1, ContextType.AGENT, timestamp=0)
    blocks = BlockSet([system(), code, *(turn(n, 20) for n in range(60))])
    first = blocks.prune(300, policy=policy)
    assert "code" not in first.kept_ids
    blocks.set_scores([0.9 if block.id == "code" else block.relevance_score for block in blocks])
    blocks.append(ContextBlock("ask", "What of the booking?", 0.9, ContextType.USER, timestamp=99))
    silent = blocks.prune(300, policy=policy, previous=first)
    assert "code" not in silent.kept_ids
    assert str(next(one.reason for one in silent.dropped if one.id == "code")) == "cut"
    assert "earlier cut" in silent.explain("code")
    blocks.extend(turn(n, 20) for n in range(100, 106))
    later = blocks.prune(300, policy=policy, previous=silent)
    assert later.cache.is_broken
    assert "code" in later.kept_ids
    assert "code" in later.diff(silent).returned


def test_a_call_and_its_results_stay_together_also_when_the_results_come_later():
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "found"},
        {"role": "user", "content": "Thanks."},
    ]
    blocks, previous = BlockSet(), None
    for block in to_blocks(messages):
        blocks.append(block)
        previous = blocks.prune(200, policy=CACHE, previous=previous)
        assert not previous.dropped
    # The same without the result: the call cannot be sent any more, whatever the prefix.
    blocks = BlockSet([to_blocks(messages)[row] for row in (0, 1)])
    pending = blocks.prune(200, policy=CACHE)
    assert pending.kept_ids == ["m0", "m1"]
    blocks.append(to_blocks(messages)[3])
    broken = blocks.prune(200, policy=CACHE, previous=pending)
    assert broken.kept_ids == ["m0", "m3"]
    assert broken.cache.is_broken


def test_results_of_a_call_that_fell_stay_out():
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    blocks = BlockSet(
        to_blocks(
            [
                {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "d"}]},
                {"role": "tool", "tool_call_id": "c", "content": "x " * 300},
                {"role": "user", "content": "Hm."},
            ]
        )
    )
    first = blocks.prune(100, policy=CACHE)
    assert first.kept_ids == ["m2"]
    rest = [{"role": "tool", "tool_call_id": "d", "content": "y"}, {"role": "user", "content": "So?"}]
    blocks.extend(to_blocks(rest, start=3, after=list(blocks)))
    second = blocks.prune(1000, policy=CACHE, previous=first)
    assert second.kept_ids == ["m2", "m4"]
    assert {one.id: str(one.reason) for one in second.dropped} == {"m0": "cut", "m1": "unit", "m3": "unit"}
    assert blocks.prune(1000, policy=CACHE).kept_ids == ["m0", "m1", "m2", "m3", "m4"]


def test_a_new_copy_of_a_memory_falls_and_the_prefix_stays():
    memory = ContextBlock("old", "Prefers aisle seats.", 0.2, ContextType.MEMORY, timestamp=1)
    blocks = BlockSet([system(), memory, turn(2)])
    first = blocks.prune(300, policy=CACHE)
    blocks.append(replace(memory, id="new", relevance_score=1.0, timestamp=9))
    second = blocks.prune(300, policy=CACHE, previous=first)
    assert second.kept_ids == first.kept_ids
    assert [(one.id, str(one.reason), one.detail) for one in second.dropped] == [("new", "duplicate", "old")]


def test_pins_that_fill_more_than_the_low_mark_leave_half_of_the_rest_to_the_others():
    blocks = BlockSet([turn(n, 2) for n in range(40)])
    big = ContextBlock("big", "pinned " * 250, 0.5, ContextType.KNOWLEDGE, timestamp=0)
    blocks.append(big)
    selection = blocks.prune(320, policy=CACHE, pin=["big"])
    assert "big" in selection.kept_ids
    assert 260 < selection.tokens < 310
    with pytest.raises(BudgetExceededError):
        blocks.prune(200, policy=CACHE, pin=["big"])


def test_the_report_counts_prefix_and_costs_by_the_prices_of_the_policy():
    policy = Policy("mine", cache=Cache(read=0.5, write=2.0))
    blocks = BlockSet([system(), turn(0)])
    first = blocks.prune(500, policy=policy)
    assert first.cache is None
    blocks.append(turn(1))
    second = blocks.prune(500, policy=policy, previous=first)
    report = second.cache
    # What belongs to no block is not of the prefix.
    assert report.prefix_tokens == first.tokens - 3
    assert report.prefix_blocks == 2
    assert report.expected_cached_share == report.prefix_tokens / second.tokens
    assert report.cost == 0.5 * report.prefix_tokens + 2.0 * (second.tokens - report.prefix_tokens)
    assert (report.is_broken, report.repaid_after, report.warning) == (False, 0.0, None)
    assert (report.spent, report.breaks) == (report.cost, 0)
    assert len(report.prefix_hash) == 64
    again = BlockSet([system(), turn(0)]).prune(500, policy=policy)
    blocks.append(turn(2))
    third = blocks.prune(500, policy=policy, previous=again)
    assert third.cache.prefix_hash == report.prefix_hash, "the same two blocks"
    assert blocks.prune(500, policy=policy, previous=second).cache.prefix_hash != report.prefix_hash
    assert second.to_dict()["cache"]["prefix_blocks"] == 2


def test_every_policy_reports_what_it_shares_with_the_request_before(caplog):
    caplog.set_level(logging.WARNING, "pycontext.cache")
    sliding = list(sends(60, 300, "recent"))
    plain = [BlockSet([system(), *(turn(k) for k in range(n + 1))]).prune(300, policy="recent") for n in range(60)]
    assert any(one.cache.is_broken for one in sliding[1:])
    assert all(one.tokens <= 300 for one in sliding)
    assert [one.kept_ids for one in sliding] == [one.kept_ids for one in plain], "only a cache goes on from before"
    assert 2 <= len(caplog.records) <= 4, "after 4, 8, 16 and 32 cuts"
    assert "more than it has saved" in caplog.records[0].message


def test_a_cut_that_pays_warns_of_nothing(caplog):
    caplog.set_level(logging.WARNING, "pycontext.cache")
    policy = Policy("deep", cache=Cache(low_mark=0.3))
    assert any(one.cache and one.cache.is_broken for one in sends(200, 1000, policy))
    assert not caplog.records


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=40),
    kinds=st.lists(st.sampled_from(KINDS), min_size=40, max_size=40),
    budget=st.integers(90, 400),
    low=st.floats(0.0, 0.9),
)
def test_every_request_fits_and_changes_only_at_cuts(sizes, kinds, budget, low):
    policy = Policy("marks", cache=Cache(low_mark=low))
    blocks, previous = BlockSet(), None
    for n, size in enumerate(sizes):
        blocks.append(turn(n, size, kinds[n]))
        try:
            selection = blocks.prune(budget, policy=policy, previous=previous)
        except BudgetExceededError:
            continue
        assert selection.tokens <= budget
        assert selection.tokens == BlockSet(selection.kept).total_cost("openai")
        if previous is not None and not selection.cache.is_broken:
            assert selection.kept_ids[: len(previous.kept_ids)] == previous.kept_ids
        previous = selection


def test_a_manager_goes_on_by_itself_and_forgets_nothing():
    manager = ContextManager(600, policy="cache", relevance_threshold=0.0)
    session = manager.create_session("a")
    before, cuts = [], 0
    for n in range(150):
        block = turn(n)
        manager.add_context(session, block.content, block.type, block_id=block.id, timestamp=n)
        messages = manager.select(session).messages()
        cuts += messages[: len(before)] != before
        before = messages
    assert len(manager.sessions[session].blocks) == 150
    assert 1 <= cuts < 20
    assert manager.get_formatted_context(session)


def test_a_manager_with_a_cache_refuses_what_can_never_fit():
    manager = ContextManager(100, policy="cache", relevance_threshold=0.0)
    session = manager.create_session("a")
    manager.add_context(session, "Rules. " * 30, ContextType.SYSTEM)
    with pytest.raises(BudgetExceededError):
        manager.add_context(session, "word " * 90, ContextType.USER)
    assert len(manager.sessions[session].blocks) == 1


def test_a_session_under_a_cache_stays_bounded():
    manager = ContextManager(50, policy="cache", relevance_threshold=0.0)
    session = manager.create_session("a")
    for n in range(400):
        manager.add_context(session, f"Turn {n} says a few words.", ContextType.AGENT)
    assert manager.sessions[session].blocks.total_cost("text") <= 50 * 32


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"high_mark": 1.5}, "high_mark 1.5 is not a number from 0 to 1"),
        ({"low_mark": True}, "low_mark True is not a number from 0 to 1"),
        ({"low_mark": 1.0}, "low_mark 1.0 is not below high_mark 1.0"),
        ({"read": float("nan")}, "read nan is not a number from 0 to 100"),
        ({"write": -1}, "write -1 is not a number from 0 to 100"),
    ],
)
def test_marks_and_prices_have_limits(fields, message):
    with pytest.raises(ValidationError, match=message.replace(".", r"\.")):
        Cache(**fields)


def test_what_is_no_cache_and_no_selection_is_refused():
    with pytest.raises(ValidationError, match=r"cache 0\.5 is float, not Cache"):
        Policy("x", cache=0.5)
    with pytest.raises(ValidationError, match="previous 'x' is str, not a Selection"):
        prune([turn(0)], 100, previous="x")


def test_the_smallest_budget_that_would_do_does():
    blocks = [ContextBlock("rules", "Rule " * 90, 1.0, ContextType.SYSTEM, timestamp=0), turn(0)]
    with pytest.raises(BudgetExceededError) as caught:
        prune(blocks, Budget(120, reserve_output=30, overhead=40))
    error = caught.value
    assert error.smallest_budget == error.needed + 70
    assert f"the smallest max_tokens that would do is {error.smallest_budget}" in str(error)
    assert prune(blocks, Budget(error.smallest_budget, reserve_output=30, overhead=40)).kept_ids == ["rules", "t0"]
    with pytest.raises(BudgetExceededError) as caught:
        prune(blocks, 60)
    assert caught.value.smallest_budget == caught.value.needed
