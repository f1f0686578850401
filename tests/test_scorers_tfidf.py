"""TF-IDF against scikit-learn's formula."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontext import BlockSet, ContextBlock, ContextType, Scorer, TfidfScorer, ValidationError

# Without endings to lose, none a stop word.
WORDS = st.sampled_from(["red", "green", "blue", "x1", "42", "Red"])
TEXTS = st.lists(WORDS, max_size=8).map(" ".join)


def block_set(texts):
    return BlockSet(ContextBlock(f"b{n}", text, 1.0, ContextType.MEMORY) for n, text in enumerate(texts))


def cosines(texts, query):
    """Counts times ln((1 + n) / (1 + df)) + 1, of unit length; the query is one of the n texts."""
    counts = [Counter(re.findall(r"\w+", text.lower())) for text in [*texts, query]]
    idf = {
        word: math.log((1 + len(counts)) / (1 + sum(word in count for count in counts))) + 1
        for word in set().union(*counts)
    }
    vectors = [{word: n * idf[word] for word, n in count.items()} for count in counts]
    lengths = [math.sqrt(sum(weight**2 for weight in vector.values())) for vector in vectors]
    asked = vectors[-1]
    return [
        sum(weight * asked.get(word, 0) for word, weight in vector.items()) / (length * lengths[-1] or 1)
        for vector, length in zip(vectors[:-1], lengths, strict=False)
    ]


@given(texts=st.lists(TEXTS, max_size=6), query=TEXTS | st.sampled_from(["", "absent", "red absent red"]))
def test_scores_are_those_of_the_formula(texts, query):
    blocks = block_set(texts)
    found = TfidfScorer().score(query, blocks)
    assert found.dtype == np.float64
    assert np.allclose(found, cosines(texts, query), rtol=0, atol=1e-12)
    assert blocks.matches(query, "tfidf").tolist() == found.tolist()


def test_scores_are_those_of_scikit_learn():
    # TfidfVectorizer(stop_words="english") of scikit-learn 1.9.1, fitted on the query and these, and cosine_similarity.
    texts = ["red green blue", "the red red van", "blue", "of it"]
    found = TfidfScorer().score("is the red blue", block_set(texts))
    assert np.allclose(found, [0.687647791718, 0.566611512902, 0.707106781187, 0.0], atol=1e-9)


def test_it_is_a_scorer_and_stems():
    assert isinstance(TfidfScorer(), Scorer)
    assert TfidfScorer().score("refunding", block_set(["refunds", "other"])).tolist() == [1.0, 0.0]


def test_what_is_no_query_and_no_kind_is_refused():
    blocks = block_set(["red"])
    with pytest.raises(ValidationError, match="query 7 is int, not str"):
        TfidfScorer().score(7, blocks)
    for kind in ("cosine", 7, "BM25"):
        with pytest.raises(ValidationError, match=r"kind .* is not one of bm25, tfidf"):
            blocks.matches("red", kind)
