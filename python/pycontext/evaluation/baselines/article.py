"""What the article does: fixed scores by type, and TF-IDF that learns its words anew for every query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from pycontext.block import ContextType
from pycontext.evaluation.baselines.ranked import Ranked
from pycontext.evaluation.history import Case

__all__ = ["static", "tfidf"]

# What the article's agents give a block when it is added; what they say nothing of has the default of `add_context`.
_SCORES: Final = {ContextType.USER: 0.9, ContextType.AGENT: 0.9, ContextType.TOOL: 0.8}
_DEFAULT: Final = 1.0

_NEEDS: Final = "sklearn"


def static() -> Ranked:
    """Return the baseline that knows nothing but types; of equal scores the oldest falls first, as there."""
    return Ranked("article, static", _by_type)


def tfidf() -> Ranked | None:
    """Return the article's TF-IDF as scikit-learn has it; None where that is not installed."""
    return Ranked("article, TF-IDF", _by_words) if find_spec(_NEEDS) else None


def _by_type(case: Case) -> list[float]:
    history = case.history
    kinds = ([history.blocks[row].type for row in unit] for unit in history.units)
    return [max(_SCORES.get(kind, _DEFAULT) for kind in unit) for unit in kinds]


def _by_words(case: Case) -> Sequence[float]:
    vectorizer, similarity = _sklearn()
    texts = [text if text.strip() else "empty" for text in (case.query, *case.history.texts)]
    try:
        found = vectorizer(stop_words="english").fit_transform(texts)
    except ValueError:
        # Nothing but stop words: the article gives every block the same.
        return [0.5] * len(case.history.texts)
    scores: list[float] = similarity(found[0:1], found[1:]).ravel().tolist()
    return scores


def _sklearn() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What learns the words, and what compares; of the benchmarks only, and without types."""
    text, pairwise = (import_module(f"{_NEEDS}.{name}") for name in ("feature_extraction.text", "metrics.pairwise"))
    return text.TfidfVectorizer, pairwise.cosine_similarity
