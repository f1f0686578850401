"""`pycontext prune --query`: what is asked decides what stays."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def run(*args):
    command = [sys.executable, "-m", "pycontext", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def chat(question, words=("alpha", "beta", "gamma", "delta")):
    messages = [{"role": "user", "content": f"{word} is the name of line {n}0"} for n, word in enumerate(words, 1)]
    return [*messages, {"role": "user", "content": question}]


@pytest.fixture
def chats(tmp_path):
    lines = [
        {"id": "gamma", "messages": chat("What about gamma?")},
        {"id": "beta", "messages": chat("What about beta?")},
        {"id": "silent", "messages": [{"role": "assistant", "content": f"word{n} of many words"} for n in range(9)]},
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def kept(out):
    return {
        line["id"]: [message["content"] for message in line["messages"]] for line in map(json.loads, out.splitlines())
    }


def test_the_last_message_of_each_conversation_is_its_query(chats):
    code, out, _ = run("prune", chats, "--budget", 34, "--query", "last-user")
    assert code == 0
    found = kept(out)
    assert "gamma is the name of line 30" in found["gamma"]
    assert "beta is the name of line 20" in found["beta"]
    assert "beta is the name of line 20" not in found["gamma"]
    assert found["silent"], "where the user says nothing, nothing is asked"


def test_a_text_is_the_query_of_all(chats):
    code, out, _ = run("prune", chats, "--budget", 34, "--query", "alpha?")
    assert code == 0
    found = kept(out)
    assert all("alpha is the name of line 10" in found[id] for id in ("gamma", "beta"))


def test_without_a_query_the_newest_stay_and_a_named_policy_is_kept(chats):
    _, plain, _ = run("prune", chats, "--budget", 34)
    assert all("delta is the name of line 40" in texts for id, texts in kept(plain).items() if id != "silent")
    _, recent, _ = run("prune", chats, "--budget", 34, "--query", "alpha?", "--policy", "recent")
    assert kept(recent) == kept(plain)
    _, evidence, _ = run("prune", chats, "--budget", 34, "--policy", "evidence")
    _, last, _ = run("prune", chats, "--budget", 34, "--query", "last-user")
    assert kept(evidence) == kept(last)


def test_the_summary_says_what_was_asked(chats, tmp_path):
    for query, policy in (("alpha?", "evidence"), (None, "relevance")):
        options = [] if query is None else ["--query", query]
        code, out, _ = run("prune", chats, "--budget", 34, "--json", "-o", tmp_path / "out.jsonl", *options)
        summary = json.loads(out.splitlines()[-1])
        assert (code, summary["query"], summary["policy"]) == (0, query, policy)
