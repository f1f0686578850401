"""The kernel over many blocks, where it finds the border by a histogram, and while others want to work."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pycontext import BlockSet, BudgetExceededError, ContextBlock, ContextType, Policy, Tier, prune

SYSTEM, USER, AGENT, MEMORY, KNOWLEDGE, TOOL = ContextType

SCORES = {
    "of every height": lambda rng: rng.random(),
    "all the same": lambda _rng: 0.9,
    "of few heights": lambda rng: rng.choice([0.0, 0.2, 0.8, 0.9, 1.0]),
    "close together": lambda rng: 0.5 + rng.random() / 1e6,
}
TIMES = {
    "one after the other": lambda _rng, row: row,
    "all the same": lambda _rng, _row: 7,
    "of few minutes": lambda rng, _row: rng.randrange(3) * 60_000,
    "from the first to the last there are": lambda rng, _row: rng.choice([0, 1, 2**40, 2**63 - 1]),
}
TOKENS = {
    "alike": lambda rng: rng.randint(5, 200),
    "few or very many": lambda rng: rng.choice([0, 1, 2, 30_000]),
}


def conversation(rng, size, score, time, tokens):
    """Turns, facts, exchanges, a few equal texts, and results that come before or long after their calls."""
    blocks = [ContextBlock("s", "You help.", 0.0, SYSTEM, timestamp=0, token_count=3)]
    while len(blocks) < size:
        row = len(blocks)
        fields = {"timestamp": time(rng, row), "token_count": tokens(rng)}
        if rng.random() < 0.2:
            calls = [rng.choice([row - 1, row - 1, row + 1, rng.randrange(size)]) for _ in range(rng.choice([1, 1, 2]))]
            references = [f"b{call}" for call in calls]
            blocks.append(ContextBlock(f"b{row}", f"{row}", score(rng), TOOL, references=references, **fields))
        else:
            text = rng.choice([f"text {row}"] * 20 + ["the same"])
            kind = rng.choice([USER, AGENT, AGENT, MEMORY, KNOWLEDGE])
            metadata = rng.choice([{}] * 50 + [{"unit": "u"}])
            blocks.append(ContextBlock(f"b{row}", text, score(rng), kind, metadata, **fields))
    return [*blocks, ContextBlock("u", "and now?", 0.5, USER, timestamp=time(rng, size), token_count=3)]


def greedy(blocks, available, policy, costs):
    """Who stays, by taking unit after unit; whatever else the kernel decides is asked of the kernel with all room."""
    whole = prune(blocks, 2**50, policy=policy)
    fate = {entry["id"]: entry["reason"] for entry in whole.to_dict()["blocks"]}
    rows = {block.id: row for row, block in enumerate(blocks)}
    units = {}
    for row, head in enumerate(heads_of(blocks, rows)):
        units.setdefault(head, []).append(row)
    kept = {row for row, block in enumerate(blocks) if fate[block.id] == "pinned"}
    used = 3 + sum(costs[row] for row in kept)
    for tier in policy.tiers:
        waiting = [
            unit
            for head, unit in units.items()
            if fate[blocks[head].id] == "kept" and unit[0] not in kept and blocks[head].type in tier.types
        ]

        def key(unit, order=tier.order):
            newest = max(blocks[row].timestamp for row in unit)
            best = max(blocks[row].relevance_score for row in unit)
            return (best, newest, unit[-1]) if order == "score" else (newest, unit[-1])

        for unit in sorted(waiting, key=key, reverse=True):
            cost = sum(costs[row] for row in unit)
            if used + cost <= int(available * tier.share + 1e-6):
                used += cost
                kept |= set(unit)
    return sorted(kept), used


def heads_of(blocks, rows):
    head = list(range(len(blocks)))

    def root(row):
        while head[row] != row:
            row = head[row]
        return row

    named = {}
    for row, block in enumerate(blocks):
        tied = [rows[id] for id in block.references if id in rows and blocks[rows[id]].type is AGENT]
        tied += [named.setdefault(block.metadata["unit"], row)] if "unit" in block.metadata else []
        for other in tied:
            a, b = sorted((root(row), root(other)))
            head[b] = a
    return [root(row) for row in range(len(blocks))]


ALL = tuple(ContextType)
POLICIES = [
    Policy("score"),
    Policy("time", (Tier("all", order="time"),)),
    Policy.named("window"),
    Policy("again", (Tier("talk", (USER, AGENT), order="time", share=0.4), Tier("rest"), Tier("all", order="time"))),
]


@pytest.mark.parametrize("scores", SCORES)
@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("tokens", TOKENS)
def test_the_border_is_where_taking_one_by_one_ends(scores, times, tokens):
    rng = random.Random(f"{scores} {times} {tokens}")
    for size in (600, 1_500):
        blocks = conversation(rng, size, SCORES[scores], TIMES[times], TOKENS[tokens])
        columns = BlockSet(blocks)
        costs = [entry["tokens"] for entry in columns.prune(2**50).to_dict()["blocks"]]
        total = sum(costs)
        for policy in POLICIES:
            least = 3 + sum(
                cost
                for cost, reason in zip(costs, prune(blocks, 2**50, policy=policy).reasons, strict=True)
                if reason == "pinned"
            )
            for available in [least, least + 1, total, *(rng.randint(least, total) for _ in range(3))]:
                kept, used = greedy(blocks, available, policy, costs)
                selection = columns.prune(available, policy=policy)
                assert selection.indices.tolist() == kept
                assert selection.tokens == used <= available
                assert prune(blocks, available, policy=policy).to_dict() == selection.to_dict()


@pytest.mark.parametrize("policy", ["relevance", "recent", "window"])
def test_the_text_form_of_many_blocks_fits_and_leaves_no_room(policy):
    rng = random.Random(policy)
    endings = [".", "", "!\n", " x ", "\n\n", "数字。", "'"]
    blocks = [
        ContextBlock(f"b{i}", f"word {i} " * rng.randint(1, 9) + rng.choice(endings), rng.random(), MEMORY, timestamp=i)
        for i in range(900)
    ]
    columns = BlockSet(blocks)
    for _ in range(8):
        available = rng.randint(50, 9_000)
        selection = columns.prune(available, policy=policy, render="text")
        counted = columns.counter.count(selection.text())
        assert selection.tokens == counted <= available
        left = available - counted
        near = [dropped for dropped in selection.dropped if dropped.tokens <= left + 3]
        for dropped in near[:20]:
            if dropped.reason == "budget":
                with pytest.raises(BudgetExceededError):
                    columns.prune(available, render="text", pin=[*selection.kept_ids, dropped.id])


def many(size):
    rng = random.Random(size)
    return BlockSet.from_columns(
        [f"text {i}" for i in range(size)],
        [rng.choice([AGENT, MEMORY, KNOWLEDGE]) for _ in range(size)],
        [rng.random() for _ in range(size)],
        timestamp=range(size),
        token_count=[rng.randint(1, 200) for _ in range(size)],
    )


def test_the_event_loop_goes_on_while_the_kernel_works_on_a_million_blocks():
    blocks = many(1_000_000)
    blocks.total_cost("openai")

    async def work():
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            chosen = loop.run_in_executor(pool, blocks.prune, 10**7)
            ticks = 0
            while not chosen.done():
                await asyncio.sleep(0)
                ticks += 1
            return ticks, await chosen

    ticks, selection = asyncio.run(work())
    assert selection.tokens <= 10**7
    # A kernel that kept the interpreter would leave the loop the few turns before and after it.
    assert ticks > 100


def test_a_million_blocks_are_counted_and_chosen_as_few_are():
    blocks = many(1_000_000)
    assert len(blocks) == 1_000_000
    selection = blocks.prune(5_000_000)
    assert selection.tokens <= 5_000_000
    assert len(selection.indices) == len(selection.kept_ids) == 1_000_000 - len(selection.dropped_ids)
    lowest_kept = blocks.scores[selection.indices].min()
    assert selection.tokens > 5_000_000 - 200
    assert (blocks.scores > lowest_kept).sum() >= len(selection.indices) * 0.9


def test_all_threads_choose_the_same():
    blocks = many(20_000)
    expected = blocks.prune(10**6).to_dict()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: blocks.prune(10**6).to_dict(), range(16)))
    assert all(result == expected for result in results)


def test_no_add_is_lost_while_others_choose_and_ask():
    blocks = BlockSet()
    failures = []

    def add(thread):
        for i in range(750):
            blocks.append(ContextBlock(f"{thread}-{i}", f"word{i}", 0.5, MEMORY, timestamp=i))

    def choose(done):
        try:
            while not done.is_set():
                blocks.prune(10**6, query="word7 word8", policy="window")
                blocks.metrics(100)
                blocks.effective_scores(factor_per_minute=0.9)
        except BaseException as failure:
            failures.append(failure)
            raise

    done = threading.Event()
    choosers = [threading.Thread(target=choose, args=(done,)) for _ in range(2)]
    adders = [threading.Thread(target=add, args=(n,)) for n in range(4)]
    for thread in choosers + adders:
        thread.start()
    for thread in adders:
        thread.join()
    done.set()
    for thread in choosers:
        thread.join()
    assert not failures
    assert len(blocks) == 3_000
    assert {block.id for block in blocks} == {f"{thread}-{i}" for thread in range(4) for i in range(750)}
