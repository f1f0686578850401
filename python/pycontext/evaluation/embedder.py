"""The embedding model of the extra `embeddings`, where it is installed."""

from __future__ import annotations

from pycontext.scorer import Scorer

__all__ = ["load"]


def load() -> Scorer:
    """Return a scorer around the model.

    Raises:
        ImportError: the extra `embeddings` is not installed.
    """
    from pycontext.scorers.embedding import EmbeddingScorer  # noqa: PLC0415  # an extra
    from pycontext.scorers.minilm import MiniLM  # noqa: PLC0415

    return EmbeddingScorer(MiniLM())
