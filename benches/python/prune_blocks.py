"""`prune` of a list and of a `BlockSet` against the baselines: token counts given, kept rows and all reasons read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benches.comparison import article, chat, contract, minimal, vectors
from benches.frame import Row, compare, race
from benches.synthetic import Conversation
from pycontext import BlockSet, ContextBlock, Selection, prune

# Rounds, and how many conversations take turns in them.
SIZES = {20: (301, 8), 1_000: (41, 8), 10_000: (11, 6), 100_000: (5, 2)}
# Here nothing is made of objects but what plain Python needs, and only those run that are done in seconds.
LARGEST = 1_000_000
LARGEST_ROUNDS = 5

# By number of blocks: how often as fast as the plain-Python contract it has to be.
LIST_NEEDS = {20: 1.0, 1_000: 2.0}
SET_NEEDS = {20: 8.0, 1_000: 15.0, 10_000: 20.0, 100_000: 20.0}
NUMPY_NEEDS = {100_000: 3.0}
MESSAGES_NEED = 5.0

Runner = Callable[[int], None]


def run() -> tuple[list[Row], list[str]]:
    rows = [row for size, (rounds, inputs) in SIZES.items() for row in measure(size, rounds, inputs)]
    return [*rows, *measure_largest()], []


def measure(size: int, rounds: int, inputs: int) -> list[Row]:
    # Other blocks in every round and another budget in every call, so that nothing is found again.
    conversations = [Conversation.of(size, seed) for seed in range(inputs)]
    budgets = [conversation.half() for conversation in conversations]
    lists = [conversation.blocks() for conversation in conversations]
    plain = [conversation.plain() for conversation in conversations]
    sets = [conversation.blockset() for conversation in conversations]
    arrays = [vectors.Arrays.of(conversation) for conversation in conversations]
    for given in zip(lists, sets, arrays, budgets, strict=True):
        check(*given)
    repeat = max(1, 2_000 // size)

    def runner(function: Callable[[Any, int], object], given: Sequence[Any]) -> Runner:
        def run_all(number: int) -> None:
            blocks, budget = given[number % len(given)], budgets[number % len(given)]
            for step in range(repeat):
                function(blocks, budget - step)

        return run_all

    times = race(
        {
            "list": runner(lambda blocks, budget: read(prune(blocks, budget)), lists),
            "BlockSet": runner(lambda blocks, budget: read(blocks.prune(budget)), sets),
            "same contract": runner(contract.prune, lists),
            "same contract, plain objects": runner(contract.prune, plain),
            "minimal": runner(minimal.prune, lists),
            "article": runner(article.prune, lists),
            "NumPy": runner(prune_arrays, arrays),
            "BlockSet, messages": runner(lambda blocks, budget: blocks.prune(budget).messages("openai"), sets),
            "same contract, messages": runner(plain_messages, lists),
        },
        rounds,
    )
    each = {name: [value / repeat for value in values] for name, values in times.items()}
    others = ("same contract", "same contract, plain objects", "minimal", "article", "NumPy")

    def against(job: str, ours: str, names: Sequence[str], at_least: Mapping[str, float | None]) -> list[Row]:
        needs = {name.partition(", messages")[0]: need for name, need in at_least.items() if need}
        given = {name.partition(", messages")[0]: each[name] for name in names}
        return compare(job, {"ours": each[ours], **given}, ours="ours", at_least=needs)

    of_list = {"same contract": LIST_NEEDS.get(size)}
    of_set = {"same contract": SET_NEEDS.get(size), "NumPy": NUMPY_NEEDS.get(size)}
    as_chat = "same contract, messages"
    return [
        *against(f"prune a list of {size:,} blocks", "list", others[:-1], of_list),
        *against(f"prune a BlockSet of {size:,} blocks", "BlockSet", others, of_set),
        *against(f"prune {size:,} blocks to messages", "BlockSet, messages", [as_chat], {as_chat: MESSAGES_NEED}),
    ]


def measure_largest() -> list[Row]:
    conversation = Conversation.of(LARGEST, 0)
    budget = conversation.half()
    plain, blocks, arrays = conversation.plain(), conversation.blockset(), vectors.Arrays.of(conversation)
    kept = contract.prune(plain, budget)
    same("the kernel", ours(blocks.prune(budget)), kept)
    same("NumPy", named(*vectors.prune(arrays, budget)), kept)
    del kept
    # One conversation only; the budget is another one in every round.
    times = race(
        {
            "ours": lambda number: read(blocks.prune(budget - number)),
            "same contract, plain objects": lambda number: contract.prune(plain, budget - number),
            "NumPy": lambda number: prune_arrays(arrays, budget - number),
        },
        LARGEST_ROUNDS,
    )
    return compare(f"prune a BlockSet of {LARGEST:,} blocks", times, ours="ours")


def read(selection: Selection) -> tuple[object, object]:
    """What the baselines return too: kept rows, and a reason for every row."""
    return selection.indices, selection.reasons


def prune_arrays(arrays: vectors.Arrays, budget: int) -> tuple[object, object]:
    kept, codes, _ = vectors.prune(arrays, budget)
    return kept, vectors.names(codes)


def plain_messages(blocks: Sequence[ContextBlock], budget: int) -> list[dict[str, str]]:
    return chat.messages(blocks, contract.prune(blocks, budget)[0])


Result = tuple[list[int], list[str], int]


def check(blocks: list[ContextBlock], columns: BlockSet, arrays: vectors.Arrays, budget: int) -> None:
    """All sides give the same result before any is timed."""
    wanted = contract.prune(blocks, budget)
    selection = columns.prune(budget)
    same("the kernel over a list", ours(prune(blocks, budget)), wanted)
    same("the kernel", ours(selection), wanted)
    same("NumPy", named(*vectors.prune(arrays, budget)), wanted)
    if selection.messages("openai") != plain_messages(blocks, budget):
        raise SystemExit("the messages of the plain-Python contract and ours differ")


def same(name: str, found: Result, wanted: Result) -> None:
    if found != wanted:
        raise SystemExit(f"the plain-Python contract and {name} differ")


def ours(selection: Selection) -> Result:
    return selection.indices.tolist(), [str(code) for code in selection.reasons], selection.tokens


def named(kept: vectors.Rows, codes: vectors.Codes, tokens: int) -> Result:
    return kept.tolist(), [vectors.REASONS[code] for code in codes.tolist()], tokens
