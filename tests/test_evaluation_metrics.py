"""Recall, useful tokens, gates, headroom and verdicts, against numbers that were made by hand."""

from __future__ import annotations

import os
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import tiktoken_count
from evidence import TALLY, cases, dataset
from pycontext import ValidationError
from pycontext.evaluation import Choice, Role, duels, leads, run_trial
from pycontext.evaluation.baselines.oracle import Oracle
from pycontext.evaluation.baselines.recency import recent
from pycontext.evaluation.bootstrap import Interval, Resampling, clusters_of, interval
from pycontext.evaluation.contender import choice_of
from pycontext.evaluation.judgement import Gate, Judgement, judge
from pycontext.evaluation.ours import Ours
from pycontext.evaluation.tally import Tally
from pycontext.evaluation.trial import Trial
from pycontext.evaluation.verdict import headroom, mean_headroom
from pycontext.messages.openai import from_blocks
from reference import count_messages
from strategies import messages

# The tally


@given(messages())
def test_the_tally_counts_by_the_framing_table(chat):
    assert TALLY.messages(chat) == count_messages(chat)


@pytest.mark.parametrize("calls", range(1, 9))
def test_parallel_calls_are_counted_by_the_framing_table(calls):
    made = [{"id": f"c{n}", "function": {"name": "find", "arguments": '{"a": 1}'}} for n in range(calls)]
    chat = [{"role": "assistant", "content": None, "tool_calls": made}]
    assert TALLY.messages(chat) == count_messages(chat)


def test_the_tally_says_who_counted(monkeypatch):
    assert TALLY.is_independent
    assert TALLY.counter.startswith("tiktoken ")
    assert TALLY.text("A word, 数字.") == tiktoken_count("A word, 数字.")
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    own = Tally()
    assert (own.counter, own.is_independent) == ("pycontext", False)
    assert own.text("A word, 数字.") == TALLY.text("A word, 数字.")


def test_the_tally_leaves_the_environment_as_it_was(monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "elsewhere")
    Tally()
    assert os.environ["TIKTOKEN_CACHE_DIR"] == "elsewhere"
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    Tally()
    assert "TIKTOKEN_CACHE_DIR" not in os.environ


# Judgements


def keep(case, *ids, messages=None, said=None):
    rows = tuple([block.id for block in case.history.blocks].index(id) for id in ids)
    if messages is None:
        messages = from_blocks([case.history.blocks[row] for row in rows])
    return Choice(rows, messages, said)


def judged(case, *choices, budget=500):
    return judge(case, choices, budget, TALLY)


@pytest.mark.parametrize(
    ("ids", "recall"),
    [(("f4",), 1.0), (("f1",), 0.0), (("f1", "f4"), 1.0), ((), 0.0), (("f0", "f2", "f3"), 0.0)],
)
def test_every_clause_needs_one_of_its_blocks(ids, recall):
    case = cases()["basel"]
    assert judged(case, keep(case, *ids)).recall == recall


def test_useful_tokens_are_those_of_texts_that_a_clause_names():
    case = cases()["bees"]
    found = judged(case, keep(case, "f0", "f3"))
    useful, other = (tiktoken_count(case.history.blocks[row].content) for row in (0, 3))
    assert (found.gold_tokens, found.kept_tokens) == (useful, useful + other)
    header = sum(tiktoken_count(f"[MEMORY]\n{case.history.blocks[row].content}") for row in (0, 3))
    assert found.tokens == 3 + 2 * 4 + header


def test_of_several_draws_the_mean_counts():
    case = cases()["bees"]
    found = judged(case, keep(case, "f0"), keep(case, "f1"), keep(case, "f2"), keep(case, "f0", "f1"))
    assert found.recall == 0.5
    assert judged(case).recall == 0.0
    assert judged(case).refused == 1


def test_every_gate_can_fail():
    case = cases()["pay"]
    whole = keep(case, "u0", "a0", "r0", "a1", "u1")
    tokens = TALLY.messages(whole.messages)
    assert judged(case, keep(case, "u0", "a0", "r0", "a1", "u1", said=tokens), budget=tokens).broken == Counter()
    assert judged(case, whole, budget=tokens - 1).broken == {Gate.BUDGET: 1}
    assert judged(case, keep(case, "a0", "u1")).broken == {Gate.ORPHAN: 1}
    assert judged(case, keep(case, "r0", "u1")).broken == {Gate.ORPHAN: 1}
    assert judged(case, keep(case, "u0")).broken == {Gate.LAST_USER: 1}
    assert judged(case, keep(case, "a1", "u0", "u1")).broken == {Gate.ORDER: 1}
    assert judged(case, keep(case, "u1", said=3)).broken == {Gate.COUNT: 1}


def test_a_result_without_its_call_is_an_orphan_by_itself():
    fields = {
        "contexts": [
            {
                "cid": "c",
                "blocks": [
                    {"id": "r", "type": "TOOL", "text": "x", "t": 0, "references": ["gone"]},
                    {"id": "u", "type": "USER", "text": "y", "t": 1},
                ],
            }
        ],
        "queries": [{"qid": "q", "cid": "c", "query": "y", "gold": [["u"]]}],
    }
    case = cases(fields)["q"]
    assert judged(case, choice_of(case.history, {0, 1})).broken == {Gate.ORPHAN: 1}
    assert judged(case, *Ours().choices(case, 500)).broken == Counter()


# Trials


def test_a_trial_asks_everybody_everything():
    told = []
    trial = run_trial(
        dataset(),
        [recent(), Ours(), Oracle()],
        tally=TALLY,
        budgets=[60, 23, 60],
        resamples=50,
        on_question=told.append,
    )
    assert told == [1, 1, 1]
    assert (trial.budgets, trial.questions, trial.cluster, trial.clusters) == ((23, 60), 3, "questions", 3)
    assert trial.of_role(Role.CEILING) == ["oracle"]
    # 23 tokens hold one fact, and not the chat's pins with the call.
    assert trial.recall("oracle", 23).tolist() == [1, 1, 0]
    assert trial.recall("recent", 23).tolist() == [0, 1, 0]
    assert not trial.broken()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"budgets": []}, "budgets are empty"),
        ({"budgets": [0]}, "budgets 0 is not a whole number from 1"),
        ({"resamples": 0}, "resamples 0 is not a whole number from 1"),
    ],
)
def test_options_of_a_trial_are_checked(options, says):
    with pytest.raises(ValidationError, match=says):
        run_trial(dataset(), [recent()], tally=TALLY, **options)
    with pytest.raises(ValidationError, match="have a name twice"):
        run_trial(dataset(), [recent(), recent()], tally=TALLY)


# Headroom and verdicts


def trial_of(recalls, *, name="set", roles=None, resamples=400):
    """A trial of recalls under one budget."""
    roles = {"recent": Role.SINGLE, "BM25": Role.SINGLE, "ours": Role.OURS, "oracle": Role.CEILING} | (roles or {})
    questions = len(next(iter(recalls.values())))
    resampling = Resampling([str(n) for n in range(questions)], resamples, 0)
    judgements = {(who, 100): [Judgement(float(one), 1, 2, 50) for one in found] for who, found in recalls.items()}
    roles = {who: role for who, role in roles.items() if who in recalls}
    return Trial(name, "0" * 64, questions, "questions", questions, (100,), roles, judgements, resampling)


def test_headroom_is_what_is_closed_between_the_newest_first_and_the_oracle():
    trial = trial_of({"recent": [1] * 2 + [0] * 8, "ours": [1] * 5 + [0] * 5, "oracle": [1] * 8 + [0] * 2})
    found = headroom(trial, "ours", 100)
    assert found.value == pytest.approx(0.5)
    assert found.low < 0.5 < found.high
    assert headroom(trial, "recent", 100) == Interval(0.0, 0.0, 0.0)
    assert headroom(trial, "oracle", 100) == Interval(1.0, 1.0, 1.0)


def test_where_there_is_nothing_to_gain_there_is_no_headroom():
    none = trial_of({"recent": [1] * 97 + [0] * 3, "ours": [1] * 100, "oracle": [1] * 100})
    some = trial_of({"recent": [0] * 10, "ours": [1] * 4 + [0] * 6, "oracle": [1] * 10})
    assert headroom(none, "ours", 100) is None
    assert mean_headroom([none], "ours") is None
    assert leads([none]) == []
    assert mean_headroom([none, some], "ours").value == pytest.approx(0.4)
    alone = trial_of({"recent": [0, 0], "ours": [1, 1]})
    assert headroom(alone, "ours", 100) is None


def test_a_duel_is_with_the_best_single_scorer_and_allows_two_points():
    recalls = {"recent": [0] * 50, "BM25": [1] * 40 + [0] * 10, "ours": [1] * 39 + [0] * 11, "oracle": [1] * 50}
    (duel,) = duels([trial_of(recalls)])
    assert (duel.rival, duel.recall) == ("BM25", (0.78, 0.8))
    assert duel.difference.value == pytest.approx(-0.02)
    assert duel.is_met
    recalls["ours"][0] = 0
    (worse,) = duels([trial_of(recalls)])
    assert not worse.is_met
    assert worse.difference.high <= 0 < -worse.difference.low


def test_a_model_is_a_rival_of_ours_with_that_model_alone():
    recalls = {"recent": [0] * 4, "model": [1] * 4, "ours": [1, 1, 0, 0], "both": [1, 1, 1, 0], "oracle": [1] * 4}
    trial = trial_of(recalls, roles={"model": Role.MODEL, "both": Role.OURS_WITH_MODEL})
    assert {(duel.ours, duel.rival) for duel in duels([trial])} == {("ours", "recent"), ("both", "model")}
    assert {(lead.ours, lead.rival) for lead in leads([trial])} == {
        ("ours", "recent"), ("both", "recent"), ("both", "model"),
    }  # fmt: skip


def test_a_lead_is_one_where_the_interval_excludes_zero():
    clear = {"recent": [0] * 60, "BM25": [1] * 20 + [0] * 40, "ours": [1] * 50 + [0] * 10, "oracle": [1] * 60}
    found = {lead.rival: lead for lead in leads([trial_of(clear), trial_of(clear, name="again")])}
    assert found["BM25"].headroom == pytest.approx((50 / 60, 20 / 60))
    assert found["BM25"].cells == 2
    assert found["BM25"].is_met
    thin = clear | {"ours": [1] * 21 + [0] * 39}
    (unclear,) = (lead for lead in leads([trial_of(thin)]) if lead.rival == "BM25")
    assert unclear.difference.value > 0
    assert not unclear.is_met


# The bootstrap


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30), st.integers(0, 99))
def test_clusters_are_drawn_whole(clusters, seed):
    weights = Resampling(clusters, 20, seed).weights
    assert weights.shape == (20, len(clusters))
    assert np.allclose(weights.sum(axis=1), 1)
    for row in weights:
        # Within a resample a question weighs a whole number of times what it weighs when drawn once.
        times = {cluster: {row[n] for n, one in enumerate(clusters) if one == cluster} for cluster in clusters}
        assert all(len(same) == 1 for same in times.values())


def test_resamples_are_the_same_for_the_same_seed():
    first, again, other = (Resampling(["a", "b", "c"], 50, seed).weights for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_interval_is_that_of_the_mean_and_wider_for_whole_clusters():
    values = np.array([0.0, 1.0] * 200)
    apart = Resampling([str(n) for n in range(400)], 4000, 0).mean(values)
    # The standard error of a share of a half among 400 is 2.5 points.
    assert apart.value == 0.5
    assert apart.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.006)
    assert apart.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.006)
    together = Resampling([str(n % 2 + 2 * (n // 40)) for n in range(400)], 4000, 0).mean(values)
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert Resampling(["a", "b"], 10, 0).mean(np.array([1.0, 1.0])) == Interval(1.0, 1.0, 1.0)


def test_what_is_drawn_again():
    many, few = [f"c{n}" for n in range(10)], ["c"] * 5 + ["d"] * 5
    questions = [f"q{n}" for n in range(10)]
    assert clusters_of(many, questions) == ("contexts", many)
    assert clusters_of(few, questions) == ("questions", questions)


def test_undefined_resamples_are_left_out():
    assert interval(1.0, np.array([1.0, np.nan, 1.0])) == Interval(1.0, 1.0, 1.0)
    assert np.isnan(interval(1.0, np.array([np.nan])).low)
    assert Interval(0.5, 0.1, 0.9).excludes(0.0)
    assert not Interval(0.5, -0.1, 0.9).excludes(0.0)


class Lengths:
    """Finds long texts relevant."""

    def score(self, query, blocks):
        del query
        longest = max(len(block.content) for block in blocks)
        return np.array([len(block.content) / longest for block in blocks])


def test_ours_takes_a_scorer():
    case = cases()["basel"]
    made = Ours(scorer=Lengths(), role=Role.OURS_WITH_MODEL, name="ours, lengths")
    (choice,) = made.choices(case, 40)
    selection = case.history.set.prune(40, query=["What about Basel?"], scorer=Lengths())
    assert list(choice.rows) == selection.indices.tolist()
    assert judged(case, choice, budget=40).broken == Counter()
    assert (made.name, made.role.rivals) == ("ours, lengths", (Role.SINGLE, Role.MODEL))


def test_ours_is_prune_itself():
    case = cases()["pay"]
    (choice,) = Ours().choices(case, 90)
    selection = case.history.set.prune(90, query="Yes, go ahead.")
    assert list(choice.rows) == selection.indices.tolist()
    assert (choice.said, choice.messages) == (selection.tokens, selection.messages())
    assert Ours().name == "pycontext, evidence"
    assert Ours().choices(case, 5) == []
