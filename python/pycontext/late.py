"""Names of the package that are imported when they are first used: whoever only prunes needs no event loop."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

__all__ = ["late"]

_MODULES: Final = {
    "BenchmarkResult": "pycontext.benchmark",
    "ContextBenchmark": "pycontext.benchmark",
    "ContextConcurrencyManager": "pycontext.concurrency.manager",
    "ContextMemoryOptimizer": "pycontext.optimize.memory",
    "ContextWindowOptimizer": "pycontext.optimize.window",
    "ContextualRelevanceCalculator": "pycontext.relevance",
    "EmbeddingScorer": "pycontext.scorers.embedding",
    "HybridScorer": "pycontext.scorers.hybrid",
    "LLMClient": "pycontext.agents.client",
    "RealTimeContextOptimizer": "pycontext.optimize.realtime",
    "TfidfScorer": "pycontext.scorers.tfidf",
}


def late(name: str) -> Any:
    """Return what the package has under a name.

    Raises:
        AttributeError: it has nothing under it.
    """
    if name not in _MODULES:
        raise AttributeError(f"module 'pycontext' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
