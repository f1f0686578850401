"""The embedding model of the extra `embeddings`, where it is installed."""

from __future__ import annotations

from importlib import import_module

from pycontext.scorer import Scorer

__all__ = ["MODEL", "load"]

MODEL = "MiniLM"
"""What tables call it."""


def load() -> Scorer:
    """Return a scorer around the model.

    Raises:
        ImportError: the extra `embeddings` is not installed.
    """
    model = import_module("pycontext.scorers.minilm").MiniLM()
    scorer: Scorer = import_module("pycontext.scorers.embedding").EmbeddingScorer(model)
    return scorer
