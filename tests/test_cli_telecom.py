"""`pycontext demo telecom`: recorded traces through two agents and a store."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pycontext import open_store
from pycontext.cli.demo.traces import NAMESPACE, recorded
from pycontext.messages.openai import from_blocks
from test_cli_store import called, lines_of

DONE, USAGE, UNAVAILABLE = 0, 2, 5


@pytest.fixture(params=["sqlite", "redis"])
def address(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/demo.db"
    return request.getfixturevalue("redis_server").url


def test_two_agents_replay_the_traces_through_a_store(address):
    code, out, err = called("demo", "telecom", "--store", address)
    assert code == DONE, err
    assert "7 sessions changed hands in the store" in out
    assert "over the budget or with half an exchange: 0" in " ".join(out.split())
    with open_store(address, namespace=NAMESPACE) as store:
        for number, trace in enumerate(recorded(), 1):
            package = store.load(f"telecom-{number}")
            assert (package.agent_id, package.epoch) == ("technical_agent", 1)
            said = [message["content"] for message in from_blocks(package.blocks) if message["role"] == "user"]
            written = [message["content"] for message in trace["messages"] if message["role"] == "user"]
            # What is left of what the customer said is what he said, in order, the last of it included.
            assert [text for text in written if text in said][-1] == said[-1] == written[-1]
    # A second run begins anew.
    assert called("demo", "telecom", "--store", address)[0] == DONE


def test_numbers_for_programs_are_those_of_the_traces():
    code, out, _ = called("demo", "telecom", "--json", "--budget", "5800")
    lines = lines_of(out)
    assert (code, len(lines)) == (DONE, 7)
    for line, trace in zip(lines, recorded(), strict=True):
        roles = [message["role"] for message in trace["messages"]]
        assert line["messages"] == roles.count("user")
        assert line["handoffs"] == 1
        assert line["agent"] == "technical"
        # One for the intent, one for every recorded answer, and one after each turn's last tool.
        turns = sum(pair == ("user", "assistant") for pair in pairwise(roles))
        assert line["requests"] == 1 + roles.count("assistant") + turns
        assert line["prompt_tokens"] <= 5800 * line["requests"]
        assert line["prompt_tokens"] < line["prompt_tokens_of_everything"]
        assert all(taken >= 0 for taken in line["layer_ms"])


def test_a_budget_that_holds_everything_saves_nothing():
    for line in lines_of(called("demo", "telecom", "--json", "--budget", "60000")[1]):
        assert line["prompt_tokens"] == line["prompt_tokens_of_everything"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["demo", "nowhere"], USAGE),
        (["demo", "telecom", "--price", "0"], USAGE),
        (["demo", "telecom", "--price", "nan"], USAGE),
        (["demo", "telecom", "--store", "redis://127.0.0.1:1"], UNAVAILABLE),
    ],
)
def test_what_cannot_be_done(arguments, code):
    assert called(*arguments)[0] == code


def test_a_budget_below_the_agents_own_prompt_is_said():
    code, _, err = called("demo", "telecom", "--budget", "5000")
    assert code != DONE
    assert "what stands around session 'telecom-" in err
    assert "of 5000 tokens" in err
