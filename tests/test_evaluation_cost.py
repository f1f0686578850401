"""Cost and latency: requests, prefixes and dollars against numbers that were made by hand."""

from __future__ import annotations

import json

import pytest

from evidence import TALLY
from pycontext import ContextBlock, ContextType
from pycontext.evaluation.latency import run_latency
from pycontext.evaluation.spending import Spending, joined, run_spending
from pycontext.evaluation.tally import REPLY
from pycontext.prices import PRICES, Price

LISTED = next(iter(PRICES.values()))


def chat(turns, *, words=12):
    found = [{"role": "system", "content": "You help."}]
    for n in range(turns):
        found += [
            {"role": "user", "content": f"Question {n} " + "word " * words},
            {"role": "assistant", "content": f"Answer {n} " + "word " * words},
        ]
    return found


def by_name(sessions, **options):
    return {one.name: one for one in run_spending(sessions, tally=TALLY, **options)}


def test_append_only_sends_all_and_caches_all_of_the_request_before():
    session = chat(3)
    found = by_name([session])["append only"]
    prompts = [TALLY.messages(session[:end]) for end in (2, 4, 6)]
    assert (found.requests, found.tokens, found.refused) == (3, sum(prompts), 0)
    assert found.cached == sum(prompts[:-1]) - 2 * REPLY
    sizes = [sum(len(json.dumps(message)) + 1 for message in session[:end]) for end in (2, 4, 6)]
    assert (found.same_bytes, found.total_bytes) == (sum(sizes[:-1]), sum(sizes))
    assert found.prefix == pytest.approx(sum(sizes[:-1]) / sum(sizes))


def test_two_sessions_cost_the_sum_and_share_no_prefix():
    one, two = chat(3), chat(4)
    both, first, second = (by_name(sessions) for sessions in ([one, two], [one], [two]))
    for name in both:
        for field in ("requests", "tokens", "cached", "same_bytes", "total_bytes"):
            assert getattr(both[name], field) == getattr(first[name], field) + getattr(second[name], field)


def test_every_other_way_keeps_the_budget_and_the_water_mark_cuts_seldom():
    sessions = [chat(30), chat(24)]
    found = by_name(sessions, part=0.4)
    everything = found.pop("append only")
    recent, ours, mark = (
        found[name] for name in ("recent, every turn", "evidence, every turn", "cache, to 60% when full")
    )
    assert all(one.tokens < everything.tokens for one in found.values())
    assert all(one.refused == 0 and one.requests == everything.requests for one in found.values())
    assert mark.prefix > recent.prefix
    assert mark.tokens < 0.95 * ours.tokens, "after a cut there is room, which a choice at every turn has not"
    assert mark.dollars(LISTED, cache=True) < recent.dollars(LISTED, cache=True)


def test_a_request_whose_pins_do_not_fit_is_sent_whole():
    found = by_name([chat(2)], part=0.01)
    assert found["append only"].refused == 0
    window = found.pop("sliding window")
    assert window.refused == 0, "it sends its last unit whatever that needs"
    assert {one.refused for name, one in found.items() if name != "append only"} == {2}
    assert len({one.tokens for one in found.values()}) == 1


def test_bytes_of_a_message_that_begins_alike_are_the_same_beginning():
    # After the rules the first request has a question, each later one an answer and a question: two fit.
    found = by_name([chat(4, words=3)], part=0.3)["recent, every turn"]
    rules = len(json.dumps({"role": "system", "content": "You help."})) + 1
    role, answer = len('{"role": "'), len('{"role": "assistant", "content": "Answer ')
    assert (found.requests, found.refused) == (4, 0)
    assert found.same_bytes == 3 * rules + role + 2 * answer


def test_dollars():
    price = Price("m", fresh=2.0, read=0.5, write=2.5)
    spending = Spending("way", requests=1, tokens=1_000_000, cached=400_000)
    assert spending.dollars(price, cache=False) == 2.0
    assert spending.dollars(price, cache=True) == pytest.approx(0.4 * 0.5 + 0.6 * 2.5)
    assert spending.prefix == 0.0


def test_sessions_are_joined_under_the_first_rules():
    one, two, three = ([{"role": "system", "content": name}, {"role": "user", "content": name}] for name in "abc")
    assert joined([one, two, three], 2) == [[*one, two[1]], three]


def test_latency_is_timed_for_every_size_and_state():
    told = []

    def make(size):
        return [ContextBlock(f"b{n}", f"word {n}", 1.0, ContextType.MEMORY, timestamp=n) for n in range(size)]

    found = run_latency("notes", make, ["word", "other"], sizes=(3, 100), on_size=told.append)
    assert [(one.kind, one.blocks, one.state, one.rounds) for one in found] == [
        ("notes", 3, "indexed", 100),
        ("notes", 3, "from a list", 5),
        ("notes", 100, "indexed", 100),
        ("notes", 100, "from a list", 40),
    ]
    assert all(0 < one.p50_ms <= one.p95_ms for one in found)
    assert told == [1, 1]


def call(name, **arguments):
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]}


def test_values_of_calls_that_change_something_are_held_or_not():
    result = {"role": "tool", "tool_call_id": "c", "content": "done"}
    session = [
        {"role": "system", "content": "Codes such as ABC123."},
        {"role": "user", "content": "Cancel XYZ789."},
        *chat(6)[1:],
        call("get_reservation", id="that one"),
        result,
        {"role": "user", "content": "Yes, for Ann."},
        call("cancel_reservation", id="XYZ789", code="ABC123", other="NEW456", note="no"),
        result,
    ]
    found = by_name([session], part=0.3)
    assert {one.calls for one in found.values()} == {1}, "one call changes something"
    assert found["append only"].recall == 1.0, "what was never said, or by the system alone, is not asked for"
    assert found["recent, every turn"].recall == 0.0
    assert by_name([chat(3)])["append only"].recall is None
