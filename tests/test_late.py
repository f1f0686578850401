"""Names that are imported when they are first used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pycontext


def test_whoever_only_prunes_imports_no_event_loop():
    program = "import sys, pycontext; pycontext.prune([], 9); sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    "name",
    [
        "BenchmarkResult",
        "ContextBenchmark",
        "ContextConcurrencyManager",
        "ContextMemoryOptimizer",
        "ContextWindowOptimizer",
        "LLMClient",
        "RealTimeContextOptimizer",
    ],
)
def test_they_are_what_they_are_called(name):
    assert getattr(pycontext, name).__name__ == name
    assert name in pycontext.__all__


def test_what_there_is_not_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'pycontext' has no attribute 'nothing'"):
        pycontext.nothing  # noqa: B018  # to ask for it is the test


@pytest.mark.parametrize(
    "first", ["pycontext.agents", "pycontext.service", "pycontext.optimize", "pycontext.concurrency"]
)
def test_each_part_can_be_imported_first_and_needs_no_extra(first):
    extras = (
        "anthropic",
        "openai",
        "prometheus_client",
        "opentelemetry",
        "datadog",
        "starlette",
        "uvicorn",
        "matplotlib",
    )
    program = f"import sys; sys.modules.update(dict.fromkeys({extras!r})); import {first}"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
