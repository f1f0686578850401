"""Scorers: what they return is used, or refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from pycontext import ContextBlock, ContextType, PluginError, Scorer, prune


class Fixed:
    def __init__(self, result):
        self.result = result

    def score(self, query, blocks):  # noqa: ARG002
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def blocks():
    return [ContextBlock(f"b{i}", f"{i} " + "word " * 10, 0.8, ContextType.MEMORY, timestamp=i) for i in range(4)]


def test_relevance_weighs_the_blocks_own_score():
    assert isinstance(Fixed([]), Scorer)
    two = (prune(blocks(), 1000).tokens - 3) // 2 + 3
    selection = prune(blocks(), two, query="q", scorer=Fixed(np.array([0.1, 0.9, 0.2, 0.3])))
    assert selection.kept_ids == ["b1", "b3"]
    assert "score of 0.296" in selection.explain("b0"), "0.8 * (0.3 + 0.7 * 0.1)"
    assert [block.relevance_score for block in selection.kept] == [0.8, 0.8]
    with_list = prune(blocks(), two, query="q", scorer=Fixed([0.1, 0.9, 0.2, 0.3]))
    assert with_list.to_dict() == selection.to_dict()


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ([0.1, 0.2], r"returned shape \(2,\) for 4 blocks"),
        ([[0.1, 0.2, 0.3, 0.4]], r"returned shape \(1, 4\) for 4 blocks"),
        ([0.1, 0.2, float("nan"), 0.4], r"returned nan for blocks\[2\], not 0 to 1"),
        ([0.1, 0.2, 0.3, 1.5], r"returned 1.5 for blocks\[3\], not 0 to 1"),
        (["a", "b", "c", "d"], "returned <U1, not real numbers"),
        (RuntimeError("down"), "raised RuntimeError"),
    ],
)
def test_a_scorer_that_fails_is_named(result, words):
    with pytest.raises(PluginError, match=f"scorer Fixed {words}") as caught:
        prune(blocks(), 100, query="q", scorer=Fixed(result))
    if isinstance(result, Exception):
        assert caught.value.__cause__ is result
