"""Scorers besides the built-in one: TF-IDF, embeddings, and several made one."""

from __future__ import annotations

from pycontext.scorers.embedding import EmbeddingScorer
from pycontext.scorers.hybrid import HybridScorer
from pycontext.scorers.minilm import MiniLM
from pycontext.scorers.tfidf import TfidfScorer

__all__ = ["EmbeddingScorer", "HybridScorer", "MiniLM", "TfidfScorer"]
