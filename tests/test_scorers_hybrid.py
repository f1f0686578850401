"""Several scorers made one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontext import (
    BlockSet,
    ContextBlock,
    ContextType,
    HybridScorer,
    LexicalScorer,
    PluginError,
    TfidfScorer,
    ValidationError,
    prune,
)


class Fixed:
    def __init__(self, scores):
        self.scores = scores

    def score(self, _query, _blocks):
        return self.scores


class Told(Fixed):
    def score_turns(self, turns, _blocks):
        self.turns = list(turns)
        return self.scores


def blocks(count=4):
    return BlockSet(ContextBlock(f"b{n}", f"text {n}", 1.0, ContextType.MEMORY) for n in range(count))


def test_ranks_are_fused():
    hybrid = HybridScorer([Fixed([0.9, 0.5, 0.5, 0.1]), Fixed([0.0, 1.0, 0.0, 0.5])], method="rrf")
    # Equal scores have equal ranks: 1, 2, 2, 4 and 3, 1, 3, 2.
    raw = np.array([1 / 61 + 1 / 63, 1 / 62 + 1 / 61, 1 / 62 + 1 / 63, 1 / 64 + 1 / 62])
    expected = (raw - raw.min()) / (raw.max() - raw.min())
    assert np.allclose(hybrid.score("q", blocks()), expected)


def test_deviations_are_fused_with_their_weights():
    first, second = np.array([0.1, 0.2, 0.3, 0.9]), np.array([1.0, 0.0, 0.0, 0.0])
    raw = (first - first.mean()) / first.std() + 0.5 * (second - second.mean()) / second.std()
    expected = (raw - raw.min()) / (raw.max() - raw.min())
    hybrid = HybridScorer([Fixed(first), Fixed(second)], weights=[1.0, 0.5])
    assert np.allclose(hybrid.score("q", blocks()), expected)


@given(
    scores=st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=3),
    method=st.sampled_from(["zscore", "rrf"]),
)
def test_what_comes_is_from_0_to_1_and_the_best_of_all_is_best(scores, method):
    found = HybridScorer([Fixed(row) for row in scores], method=method).score("q", blocks())
    assert ((found >= 0) & (found <= 1)).all()
    columns = np.array(scores)
    leader = int(columns[0].argmax())
    others = [n for n in range(4) if n != leader]
    if all((row[leader] > row[others] + 1e-6).all() for row in columns):
        assert found.argmax() == leader
        assert found[leader] == 1.0


def test_where_all_are_alike_nothing_is_relevant():
    for method in ("zscore", "rrf"):
        assert HybridScorer([Fixed([0.5] * 4)], method=method).score("q", blocks()).tolist() == [0.0] * 4
        assert HybridScorer([Fixed([])], method=method).score("q", BlockSet()).tolist() == []


def test_scorers_that_contradict_each_other_exactly_say_nothing():
    scores = np.array([0.1, 0.2, 0.35, 0.9])
    hybrid = HybridScorer([Fixed(scores), Fixed(1.0 - scores)])
    assert hybrid.score("q", blocks()).tolist() == [0.0] * 4


def test_only_the_proportion_of_weights_counts():
    pair = [Fixed([0.1, 0.2, 0.3, 0.9]), Fixed([1.0, 0.0, 0.5, 0.0])]
    expected = HybridScorer(pair, weights=[2, 1]).score("q", blocks())
    for weights in ([1.6e308, 0.8e308], [2e-300, 1e-300]):
        assert np.allclose(HybridScorer(pair, weights=weights).score("q", blocks()), expected)


@pytest.mark.parametrize("turns", [[], [7], 7, ["red", "\ud800"]])
def test_turns_that_are_none_are_refused_and_no_scorer_is_blamed(turns):
    with pytest.raises(ValidationError, match=r"query .* (is neither a str nor a list|holds a lone surrogate)"):
        HybridScorer([TfidfScorer()]).score_turns(turns, blocks())


def test_a_scorer_inside_is_told_all_turns():
    told = Told([0.1, 0.2, 0.3, 0.4])
    HybridScorer([told, LexicalScorer()]).score_turns(["before", "now"], blocks())
    assert told.turns == ["before", "now"]
    selection = prune(list(blocks()), 30, query=["before", "now"], scorer=HybridScorer([told, TfidfScorer()]))
    assert told.turns == ["before", "now"]
    assert selection.evidence["scorer"]


@pytest.mark.parametrize(
    ("scorers", "options", "words"),
    [
        ([], {}, "scorers .* are not one Scorer at least"),
        (None, {}, "scorers None are not one Scorer at least"),
        (LexicalScorer(), {}, "scorers .* are not one Scorer at least"),
        ([Fixed([])], {"weights": 3}, "weights 3 are not 1 numbers above 0, one a scorer"),
        ([Fixed([])], {"weights": [10**400]}, "weights .* are not 1 numbers above 0, one a scorer"),
        ([Fixed([])], {"weights": [float("inf")]}, "weights .* are not 1 numbers above 0, one a scorer"),
        ([7], {}, "scorers .* are not one Scorer at least"),
        ([Fixed([])], {"weights": []}, "weights .* are not 1 numbers above 0, one a scorer"),
        ([Fixed([])], {"weights": [0]}, "weights .* are not 1 numbers above 0, one a scorer"),
        ([Fixed([])], {"weights": [float("nan")]}, "weights .* are not 1 numbers above 0, one a scorer"),
        ([Fixed([])], {"weights": [True]}, "weights .* are not 1 numbers above 0, one a scorer"),
        ([Fixed([])], {"method": "max"}, "method 'max' is not one of zscore, rrf"),
        ([Fixed([])], {"method": ["rrf"]}, "method .* is not one of zscore, rrf"),
        ([Fixed([])], {"method": 7}, "method 7 is not one of zscore, rrf"),
    ],
)
def test_bad_arguments_are_refused(scorers, options, words):
    with pytest.raises(ValidationError, match=words):
        HybridScorer(scorers, **options)


def test_a_scorer_inside_that_fails_is_named():
    with pytest.raises(PluginError, match="scorer Fixed returned shape"):
        HybridScorer([Fixed([0.1])]).score("q", blocks())
