"""`BlockSet.metrics` of many blocks against few, and against the article's pass over all of them."""

from __future__ import annotations

from collections.abc import Callable

from benches.comparison import article
from benches.frame import Row, compare, longer, race
from benches.synthetic import Conversation
from pycontext import BlockSet, ContextType

SIZES = (1_000, 100_000)
# Few calls a round, each round after an add: a sum that was only remembered would be made again, and would show.
CALLS = 20
ROUNDS = 201
ARTICLE_ROUNDS = 31
LIMIT = 1.5
MAX_TOKENS = 8_192


def run() -> tuple[list[Row], list[str]]:
    few, many = (Conversation.of(size, 3) for size in SIZES)
    sets = {name: conversation.blockset() for name, conversation in (("few", few), ("many", many))}
    check(few, sets["few"])

    def add(name: str, number: int) -> None:
        if blocks := sets.get(name):
            blocks.add(f"new {number} {len(blocks)}", "new", 0.5, ContextType.USER, {}, number + 1, 1)

    def runner(name: str) -> Callable[[int], None]:
        blocks = sets[name]

        def run_all(number: int) -> None:
            for step in range(CALLS):
                blocks.metrics(MAX_TOKENS + number + step)

        return run_all

    times = race({name: runner(name) for name in sets}, ROUNDS, prepare=add)
    each = {name: [value / CALLS for value in values] for name, values in times.items()}
    names = (f"metrics of {SIZES[1]:,} blocks", f"of {SIZES[0]:,} blocks")
    scaling = longer(*names, each["many"], each["few"], at_most=LIMIT)
    plain = few.plain()
    passes = race(
        {
            "ours": runner("few"),
            "article": lambda number: [article.metrics(plain, MAX_TOKENS + number + step) for step in range(CALLS)],
        },
        ARTICLE_ROUNDS,
        prepare=lambda name, number: add({"ours": "few"}.get(name, name), number),
    )
    of_one = {name: [value / CALLS for value in values] for name, values in passes.items()}
    return [scaling, *compare(f"metrics of {SIZES[0]:,} blocks", of_one, ours="ours")], []


def check(conversation: Conversation, blocks: BlockSet) -> None:
    """Both sides say the same before either is timed; a type that is not there may be left out."""
    ours, theirs = blocks.metrics(MAX_TOKENS), article.metrics(conversation.plain(), MAX_TOKENS)
    shares = {name: share for name, share in ours.type_distribution.items() if share}
    differ = any(abs(shares.get(name, 0.0) - share) > 1e-12 for name, share in theirs.type_distribution.items())
    if (
        differ
        or len(shares) != len(theirs.type_distribution)
        or (ours.total_tokens, ours.context_saturation) != (theirs.total_tokens, theirs.context_saturation)
    ):
        raise SystemExit("the article's metrics and ours differ")
