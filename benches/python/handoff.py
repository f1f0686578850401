"""A handoff of 500 recorded blocks, whole: project, encode, decode, verify, recount, import. Beside it the article's,
which writes a dict as JSON and reads it, and checks, counts and cuts nothing."""

from __future__ import annotations

import json
import statistics

from benches.comparison.article import as_dict
from benches.data import missing
from benches.frame import Row, compare, race
from benches.recorded import SOURCE, recorded
from pycontext import ContextManager, ContextPackage, handoff, wire

BLOCKS = 500
BUDGET = 8_000
ROUNDS = 101


KEY = wire.HmacKey("bench", bytes(range(32)))


def run() -> tuple[list[Row], list[str]]:
    if problem := missing(SOURCE):
        return [], [f"handoff was left out: {problem}"]
    # Nobody hands over SYSTEM.
    package = ContextPackage("session", "intent_agent", recorded(BLOCKS, first=1))
    blocks = list(package.blocks)

    def ours(budget: int | None) -> str:
        made = handoff(package, to="technical_agent", budget=budget)
        manager = ContextManager(max_tokens=1_000_000)
        return manager.import_session(wire.seal(made.package, sign=KEY), keys=wire.KeyRing([KEY]))

    def article(_number: int) -> object:
        return json.loads(json.dumps(as_dict(package.session_id, package.agent_id, blocks)))

    taken = race({"cut": lambda _: ours(BUDGET), "whole": lambda _: ours(None), "article": article}, ROUNDS)
    jobs = {"cut": f"hand over {BLOCKS} blocks, cut to {BUDGET:,} tokens", "whole": f"hand over {BLOCKS} blocks whole"}
    rows = [
        row
        for name, job in jobs.items()
        for row in compare(job, {"ours": taken[name], "article's dict as JSON": taken["article"]}, ours="ours")
    ]
    notes = [
        f"A handoff of {BLOCKS} blocks, {what}: p50 {at(taken[name], 50):.2f} ms, p95 {at(taken[name], 95):.2f} ms; "
        f"the article's dict through json: p50 {at(taken['article'], 50):.2f} ms, "
        f"p95 {at(taken['article'], 95):.2f} ms."
        for name, what in (("cut", f"cut to {BUDGET:,} tokens"), ("whole", "whole"))
    ]
    return rows, notes


def at(seconds: list[float], percent: int) -> float:
    """A percentile in milliseconds."""
    return statistics.quantiles(seconds, n=100)[percent - 1] * 1_000
