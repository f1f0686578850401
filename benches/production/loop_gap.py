"""How long an event loop stands still while a session is optimized: `python -m benches.production.loop_gap [--json]`.

A ticker sleeps a millisecond again and again; the gap is the longest time between two ticks. The session is new in
every round, about half of it falls, and the two sides take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from rich.console import Console
from rich.table import Table

from benches.comparison.optimizer import PlainOptimizer
from benches.synthetic import Conversation
from pycontext import ContextManager
from pycontext.optimize import RealTimeContextOptimizer

BLOCKS = 200_000
ROUNDS = 7
REQUIRED_SECONDS = 0.020


async def measured(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Seconds of the longest gap, what is let go afterwards included, and of the work."""
    gap, is_done = 0.0, False

    async def tick() -> None:
        nonlocal gap
        last = time.perf_counter()
        while not is_done:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            gap, last = max(gap, now - last), now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0.02)
    gap = 0.0
    began = time.perf_counter()
    await work()
    took = time.perf_counter() - began
    await asyncio.sleep(0.02)
    is_done = True
    await ticker
    return gap, took


def ours(conversation: Conversation, budget: int) -> tuple[float, float]:
    manager = ContextManager(max_tokens=2**31, relevance_threshold=0.0)
    manager.create_session("agent", session_id="s")
    manager.sessions["s"].blocks.join(conversation.blockset())
    optimizer = RealTimeContextOptimizer(manager, budget)
    found = asyncio.run(measured(lambda: optimizer.optimize_session("s")))
    blocks = manager.sessions["s"].blocks
    left = blocks.total_cost("text")
    if left > budget or not 0.4 * BLOCKS < len(blocks) < 0.6 * BLOCKS:
        raise SystemExit(f"ours kept {len(blocks)} blocks of {left} tokens, the budget is {budget}")
    return found


def sketch(conversation: Conversation, budget: int) -> tuple[float, float]:
    optimizer = PlainOptimizer(conversation.plain(), budget)
    now = int(time.time() * 1000)
    return asyncio.run(measured(lambda: optimizer.optimize(now)))


def run() -> dict[str, list[tuple[float, float]]]:
    conversation = Conversation.of(BLOCKS, seed=11)
    whole = conversation.blockset().total_cost("text")
    sides = {"ours": (ours, whole // 2), "sketch": (sketch, sum(conversation.token_count) // 2)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    names = list(sides)
    gc.collect()
    # The collector would look through the columns of the conversation again and again.
    gc.freeze()
    for number in range(-1, ROUNDS):  # the first round warms up and is not counted
        start = number % len(names)
        for name in names[start:] + names[:start]:
            gc.collect()
            side, budget = sides[name]
            one = side(conversation, budget)
            if number >= 0:
                found[name].append(one)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = run()
    said = {
        name: {
            "gap_median_seconds": statistics.median(gap for gap, _ in values),
            "gap_worst_seconds": max(gap for gap, _ in values),
            "work_median_seconds": statistics.median(took for _, took in values),
        }
        for name, values in found.items()
    }
    if options.json:
        sys.stdout.write(json.dumps({"blocks": BLOCKS, "rounds": ROUNDS, **said}) + "\n")
    else:
        table = Table(title=f"optimizing {BLOCKS:,} blocks, {ROUNDS} rounds", title_justify="left")
        for heading in ("", "median gap", "worst gap", "median time"):
            table.add_column(heading, justify="right" if heading else "left")
        for name, numbers in said.items():
            table.add_row(name, *(f"{value * 1e3:.1f} ms" for value in numbers.values()))
        Console().print(table)
    return 0 if said["ours"]["gap_median_seconds"] < REQUIRED_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
