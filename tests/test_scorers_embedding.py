"""Embeddings as a scorer: what is embedded, how often, and what comes of it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from pycontext import (
    BlockSet,
    ContextBlock,
    ContextType,
    ConversationScorer,
    EmbeddingScorer,
    PluginError,
    Scorer,
    ValidationError,
    prune,
)

# Two axes: the one is about red things, the other about blue ones.
VECTORS = {"red": (1.0, 0.0), "blue": (0.0, 1.0), "both": (1.0, 1.0), "against": (-1.0, 0.0)}


class Encode:
    """Counts what it is asked, and answers from a table."""

    def __init__(self):
        self.asked = []
        self.lock = threading.Lock()

    def __call__(self, texts):
        with self.lock:
            self.asked.append(list(texts))
        return np.array([VECTORS.get(text, (0.6, 0.8)) for text in texts])


def block_set(*texts, kind=ContextType.MEMORY):
    return BlockSet(ContextBlock(f"b{n}", text, 1.0, kind, timestamp=n) for n, text in enumerate(texts))


def test_it_is_a_scorer_that_wants_all_turns():
    scorer = EmbeddingScorer(Encode())
    assert isinstance(scorer, Scorer)
    assert isinstance(scorer, ConversationScorer)


def test_scores_are_cosines_with_the_query_moved_towards_its_best_matches():
    scores = EmbeddingScorer(Encode()).score("red", block_set("red", "blue", "both", "against", ""))
    # The three best besides the query itself are both and, of what has nothing to do with it, the first two.
    diagonal = np.array([1.0, 1.0]) / np.sqrt(2)
    query = np.array([1.0, 0.0]) + 0.4 * (diagonal + np.array([0.0, 1.0]) + np.zeros(2)) / 3
    query /= np.linalg.norm(query)
    expected = [query[0], query[1], query @ diagonal, 0.0, 0.0]
    assert np.allclose(scores, expected, atol=1e-6)
    assert scores.dtype == np.float64


def test_earlier_turns_count_a_fifth():
    blocks = block_set("blue", "against", kind=ContextType.SYSTEM)
    alone = EmbeddingScorer(Encode()).score("red", blocks)
    assert np.allclose(alone, [0.0, 0.0]), "no feedback from SYSTEM blocks"
    told = EmbeddingScorer(Encode()).score_turns(["blue", "red"], blocks)
    assert np.allclose(told, [0.2 / np.hypot(1, 0.2), 0.0], atol=1e-6)


def test_earlier_turns_are_embedded_as_one_text_of_lines():
    encode = Encode()
    EmbeddingScorer(encode).score_turns(["first", "second", "red"], block_set("blue"))
    assert sorted(encode.asked[0]) == ["blue", "first\nsecond", "red"]


def test_a_text_without_a_direction_has_nothing_to_do_with_any():
    scorer = EmbeddingScorer(lambda texts: [[0.0, 0.0] if text == "blue" else [1.0, 1.0] for text in texts])
    assert np.allclose(scorer.score("red", block_set("blue", "green")), [0.0, 1.0])


def test_no_score_is_above_1_by_rounding():
    numbers = np.random.default_rng(7)
    for size in range(2, 60):
        same = numbers.normal(size=size)
        scorer = EmbeddingScorer(lambda texts, same=same: np.tile(same, (len(texts), 1)))
        assert (scorer.score("red", block_set("blue", kind=ContextType.SYSTEM)) <= 1.0).all()


def test_the_query_itself_gives_no_feedback():
    said = block_set("red")
    assert np.allclose(EmbeddingScorer(Encode()).score("red", said), [1.0])
    beside = EmbeddingScorer(Encode()).score("red", block_set("red", "blue"))
    query = np.array([1.0, 0.4]) / np.hypot(1.0, 0.4)
    assert np.allclose(beside, query, atol=1e-6)


def test_a_text_is_embedded_once_whichever_set_holds_it():
    encode = Encode()
    scorer = EmbeddingScorer(encode)
    scorer.score("red", block_set("one", "two", "one", "", "  "))
    assert sorted(encode.asked[0]) == ["one", "red", "two"]
    scorer.score("red", block_set("two", "one"))
    assert len(encode.asked) == 1
    scorer.score("blue", block_set("two", "three"))
    assert [sorted(texts) for texts in encode.asked[1:]] == [["blue", "three"]]
    other = Encode()
    EmbeddingScorer(other).score("red", block_set("one"))
    assert sorted(other.asked[0]) == ["one", "red"], "two models share nothing"


def test_no_more_is_kept_than_was_asked_for():
    encode = Encode()
    scorer = EmbeddingScorer(encode, most_cached=3)
    for number in range(20):
        scorer.score("red", block_set(f"text {number}"))
        assert len(scorer._cached) <= 3  # noqa: SLF001  # memory has no other face
    encode.asked.clear()
    scorer.score("red", block_set("text 19"))
    assert encode.asked == [], "what was used last is there"
    assert scorer.score("red", block_set(*(f"many {n}" for n in range(9)))).shape == (9,)


def test_a_text_that_is_kept_does_not_keep_those_beside_it():
    scorer = EmbeddingScorer(lambda texts: np.ones((len(texts), 4)), most_cached=1)
    scorer.score("red", block_set(*(f"text {n}" for n in range(100))))
    (kept,) = scorer._cached.values()  # noqa: SLF001  # memory has no other face
    assert (kept if kept.base is None else kept.base).size == 4


@pytest.mark.parametrize("scale", [1e300, 1e-300, 5e-324, 1, -1])
def test_the_scale_of_an_embedding_does_not_count(scale):
    scorer = EmbeddingScorer(lambda texts: [[scale, 0.0] if text == "blue" else [scale, scale] for text in texts])
    found = scorer.score("red", block_set("blue", kind=ContextType.SYSTEM))
    assert np.allclose(found, [1 / np.sqrt(2)])


@pytest.mark.parametrize("turns", [[], [7, "red"], [7], 7, None, ["red", "\ud800"]])
def test_turns_that_are_none_are_refused_before_anything_is_embedded(turns):
    encode = Encode()
    for blocks in (block_set("blue"), BlockSet()):
        with pytest.raises(ValidationError, match=r"query .* (is neither a str nor a list|holds a lone surrogate)"):
            EmbeddingScorer(encode).score_turns(turns, blocks)
    assert encode.asked == []


def test_nothing_to_embed_is_no_error():
    encode = Encode()
    assert EmbeddingScorer(encode).score("red", BlockSet()).shape == (0,)
    assert EmbeddingScorer(encode).score("", block_set("", " ")).tolist() == [0.0, 0.0]
    assert encode.asked == []


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda texts: np.ones((len(texts) + 1, 2)), r"returned shape \(3, 2\) for 2 texts"),
        (lambda _texts: np.ones(2), r"returned shape \(2,\) for 2 texts"),
        (lambda texts: np.ones((len(texts), 0)), r"returned shape \(2, 0\) for 2 texts"),
        (lambda texts: [["a"] for _ in texts], "returned <U1, not real numbers"),
        (lambda _texts: None, "returned object, not real numbers"),
        (lambda _texts: [[1.0, 2.0], [float("nan"), 1.0]], r"returned what is not finite for texts\[1\]"),
        (lambda _texts: [[1.0, 2.0], [1.0]], "raised ValueError"),
    ],
)
def test_an_encode_that_fails_is_named(returned, words):
    with pytest.raises(PluginError, match=f"encode <lambda> {words}"):
        EmbeddingScorer(returned).score("red", block_set("blue"))


def test_an_encode_that_raises_is_named_with_its_cause():
    def broken(_texts):
        raise RuntimeError("down")

    with pytest.raises(PluginError, match="encode broken raised RuntimeError") as caught:
        EmbeddingScorer(broken).score("red", block_set("blue"))
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(PluginError, match="scorer EmbeddingScorer raised PluginError"):
        prune(list(block_set("blue")), 100, query="red", scorer=EmbeddingScorer(broken))


def test_rows_of_another_length_later_are_refused_and_nothing_of_them_is_kept():
    width = [2]
    scorer = EmbeddingScorer(lambda texts: np.ones((len(texts), width[0])))
    scorer.score("red", block_set("blue"))
    width[0] = 3
    with pytest.raises(PluginError, match="rows of other lengths than before"):
        scorer.score("red", block_set("green"))
    width[0] = 2
    assert np.allclose(scorer.score("red", block_set("green")), [1.0])


@pytest.mark.parametrize("options", [{"most_cached": 0}, {"most_cached": True}, {"most_cached": 1.5}])
def test_options_outside_their_limits_are_refused(options):
    with pytest.raises(ValidationError, match=r"most_cached .* is not a whole number from 1 up"):
        EmbeddingScorer(Encode(), **options)
    with pytest.raises(ValidationError, match="encode 'no' is str, not a function"):
        EmbeddingScorer("no")


def test_several_threads_get_what_one_gets():
    scorer = EmbeddingScorer(Encode(), most_cached=5)
    sets = [block_set(*(["red", "blue", "both"][n % 3] for n in range(k, k + 5))) for k in range(3)]
    expected = [scorer.score("red", blocks).tolist() for blocks in sets]
    found = []

    def ask():
        found.extend([scorer.score("red", blocks).tolist() for blocks in sets] == expected for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 200


def test_meaning_and_words_are_fused_under_evidence():
    blocks = [ContextBlock(f"b{n}", text, 1.0, ContextType.KNOWLEDGE) for n, text in enumerate(("red", "blue", "both"))]
    room = prune(blocks, 1000).tokens - 1
    selection = prune(blocks, room, query="unheard of", scorer=EmbeddingScorer(Encode()))
    assert selection.evidence["scorer"] is True
    assert selection.policy == "evidence"
    like_red = prune(blocks, room, query="red", scorer=EmbeddingScorer(Encode()))
    assert like_red.kept_ids == ["b0", "b2"], "the word and the meaning"
