"""Handoffs through bytes, a file of SQLite and a second process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from evidence import TALLY, dataset
from pycontext import ContextBlock, ContextPackage, ContextType, open_store
from pycontext.evaluation import RelayError, run_relay
from pycontext.evaluation.ours import Ours
from pycontext.evaluation.receiver import digest, seen
from pycontext.messages.openai import from_blocks

RECEIVER = "pycontext.evaluation.receiver"


def relay(budgets=(40, 200), **options):
    return run_relay(dataset(), Ours(), tally=TALLY, budgets=budgets, **options)


def test_what_arrives_is_what_was_sent():
    told = []
    small, large = relay(on_question=told.append)
    assert told == [1, 1, 1]
    assert (large.budget, large.questions, large.refused) == (200, 3, 0)
    assert (large.before, large.after, large.changed, large.rendered) == (3, 3, 0, 0)
    assert large.is_whole
    assert small.before < 3
    assert small.is_whole


def test_what_cannot_be_sent_is_said():
    (tiny,) = relay(budgets=(5,))
    assert (tiny.refused, tiny.before, tiny.after) == (1, 0, 0)


def test_the_receiver_reads_a_store_in_a_process_of_its_own(tmp_path):
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    package = ContextPackage("s1", "receiver", [ContextBlock("u", "Hi, 数字", 1.0, ContextType.USER, timestamp=1)])
    with open_store(url) as store:
        store.save(package)
    command = [sys.executable, "-m", RECEIVER, url]
    (line,) = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert json.loads(line) == {"session": "s1", **seen(package)}
    assert seen(package)["messages"] == digest([{"role": "user", "content": "Hi, 数字"}])
    assert seen(package)["messages"] == digest(from_blocks(list(package.blocks)))


@pytest.mark.parametrize("change", [{"content": "Hi."}, {"timestamp": 2}, {"metadata": {"a": "b"}}])
def test_a_block_that_is_another_one_is_noticed(change):
    fields = {"id": "u", "content": "Hi", "relevance_score": 1.0, "type": ContextType.USER, "timestamp": 1}
    one, other = (ContextPackage("s1", "receiver", [ContextBlock(**made)]) for made in (fields, {**fields, **change}))
    assert seen(one)["blocks"] != seen(other)["blocks"]


def altered(monkeypatch, program):
    """Have another program be the second process."""
    run = subprocess.run

    def run_other(command, **options):
        assert command[1:3] == ["-m", RECEIVER]
        return run([sys.executable, "-c", program, *command[3:]], **options)

    monkeypatch.setattr("pycontext.evaluation.relay.subprocess.run", run_other)


def test_a_receiver_that_loses_a_block_is_found_out(monkeypatch):
    altered(
        monkeypatch,
        f"import sys, json, {RECEIVER} as r\n"
        "seen = r.seen\n"
        "r.seen = lambda package: {**seen(package), 'ids': seen(package)['ids'][1:], 'blocks': []}\n"
        "r.main(sys.argv[1])",
    )
    (found,) = relay(budgets=(200,))
    assert found.after < found.before
    assert (found.changed, found.rendered) == (3, 0)
    assert not found.is_whole


def test_a_receiver_that_renders_otherwise_is_found_out(monkeypatch):
    altered(
        monkeypatch,
        f"import sys, {RECEIVER} as r\nr.from_blocks = lambda blocks: []\nr.main(sys.argv[1])",
    )
    (found,) = relay(budgets=(200,))
    assert (found.changed, found.rendered) == (0, 3)
    assert not found.is_whole


def test_a_session_that_does_not_arrive_is_lost(monkeypatch):
    altered(monkeypatch, "")
    (found,) = relay(budgets=(200,))
    assert (found.before, found.after, found.changed) == (3, 0, 3)


def test_a_receiver_that_fails_is_named(monkeypatch):
    altered(monkeypatch, "raise SystemExit('no such luck')")
    with pytest.raises(RelayError, match="the second process ended with 1: no such luck"):
        relay()
