"""The article's three benchmarks on a manager as it comes: `python -m benches.production.context_benchmark`.

Writes docs/benchmark.svg, and a table with the machine and the commit to standard output.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import matplotlib as mpl

from benches.data import ROOT
from benches.page import machine, markdown, number
from pycontext import ContextManager
from pycontext.benchmark import BenchmarkResult, ContextBenchmark

PICTURE = ROOT / "docs" / "benchmark.svg"
HEADINGS = ["operation", "iterations", "mean, ms", "p95, ms", "tokens of an iteration", "tokens a second"]
WARM_UP = 20
ITERATIONS = 200
# Text as text, and no random ids: the same numbers give the same file.
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "pycontext", "font.size": 9}


async def measure(iterations: int, seed: int) -> ContextBenchmark:
    benchmark = ContextBenchmark(ContextManager(), seed=seed)
    await benchmark.run_add_context_benchmark(iterations)
    await benchmark.run_format_context_benchmark(iterations)
    await benchmark.run_prune_context_benchmark(iterations)
    return benchmark


def draw(benchmark: ContextBenchmark, target: Path) -> None:
    with mpl.rc_context(SETTINGS):
        benchmark.plot_results().savefig(target, format="svg", metadata={"Date": None})


def cells(result: BenchmarkResult) -> list[str]:
    counts = result.token_counts
    return [
        result.operation,
        str(len(result.times)),
        number(result.mean_time * 1e3),
        number(result.p95_time * 1e3),
        f"{sum(counts) / len(counts):,.0f}",
        f"{result.tokens_per_second:,.0f}",
    ]


def main() -> int:
    asyncio.run(measure(WARM_UP, 0))
    benchmark = asyncio.run(measure(ITERATIONS, 1))
    draw(benchmark, PICTURE)
    print("\n".join([*machine(["matplotlib", "numpy"]), ""]))
    print(markdown(HEADINGS, [cells(result) for result in benchmark.results.values()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
