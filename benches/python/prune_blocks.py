"""`prune` of a plain list of blocks and of a `BlockSet` against the three baselines, token counts given."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from benches.comparison import article, contract, minimal
from benches.frame import Row, compare, race
from pycontext import BlockSet, ContextBlock, ContextType, prune

SIZES = {20: 401, 1_000: 61, 10_000: 15}

KINDS = [ContextType.USER, ContextType.AGENT, ContextType.MEMORY, ContextType.KNOWLEDGE]


def blocks_of(size: int, seed: int) -> list[ContextBlock]:
    """A conversation with exchanges, memories, a few equal texts and scores of every height."""
    rng = random.Random(seed)
    blocks = [ContextBlock("s", "You help.", 1.0, ContextType.SYSTEM, timestamp=0, token_count=3)]
    while len(blocks) < size - 1:
        row = len(blocks)
        tokens, score = rng.randint(5, 200), rng.random()
        if rng.random() < 0.25 and row < size - 3:
            blocks.append(ContextBlock(f"b{row}", "calling", score, ContextType.AGENT, timestamp=row, token_count=2))
            blocks.append(
                ContextBlock(
                    f"b{row + 1}",
                    f"result {row}",
                    rng.random(),
                    ContextType.TOOL,
                    timestamp=row + 1,
                    token_count=tokens,
                    references=[f"b{row}"],
                )
            )
        else:
            text = f"text {row if rng.random() < 0.99 else 0}"
            kind = rng.choice(KINDS)
            blocks.append(ContextBlock(f"b{row}", text, score, kind, timestamp=row, token_count=tokens))
    blocks.append(ContextBlock("u", "and now?", 0.9, ContextType.USER, timestamp=size, token_count=3))
    return blocks


def run() -> tuple[list[Row], list[str]]:
    return [row for size, rounds in SIZES.items() for row in measure(size, rounds)], []


def measure(size: int, rounds: int) -> list[Row]:
    # Other blocks in every round and another budget in every call, so that nothing is found again.
    inputs = [blocks_of(size, seed) for seed in range(8)]
    budgets = [sum(block.token_count + 5 for block in blocks) // 2 for blocks in inputs]
    for blocks, budget in zip(inputs, budgets, strict=True):
        check(blocks, budget)
    repeat = max(1, 2_000 // size)
    sets = [BlockSet(blocks) for blocks in inputs]
    for blocks in sets:
        blocks.total_cost("openai")

    def runner(function: Callable[[Any, int], Any], given: Sequence[Any] = inputs) -> Callable[[int], None]:
        def run_all(number: int) -> None:
            blocks, budget = given[number % len(given)], budgets[number % len(given)]
            for step in range(repeat):
                function(blocks, budget - step)

        return run_all

    times = race(
        {
            "list": runner(lambda blocks, budget: prune(blocks, budget).indices),
            "BlockSet": runner(lambda blocks, budget: blocks.prune(budget).indices, sets),
            "same contract": runner(contract.prune),
            "minimal": runner(minimal.prune),
            "article": runner(article.prune),
        },
        rounds,
    )
    each = {name: [value / repeat for value in values] for name, values in times.items()}
    baselines = {name: values for name, values in each.items() if name not in ("list", "BlockSet")}
    return [
        *compare(f"prune a list of {size:,} blocks", {"ours": each["list"], **baselines}, ours="ours"),
        *compare(f"prune a BlockSet of {size:,} blocks", {"ours": each["BlockSet"], **baselines}, ours="ours"),
    ]


def check(blocks: list[ContextBlock], budget: int) -> None:
    """Both sides give the same result before either is timed."""
    kept, reasons, tokens = contract.prune(blocks, budget)
    selection = prune(blocks, budget)
    ours = [entry["reason"].partition(":")[0] for entry in selection.to_dict()["blocks"]]
    if (selection.indices.tolist(), ours, selection.tokens) != (kept, reasons, tokens):
        raise SystemExit("the plain-Python contract and the kernel differ")
