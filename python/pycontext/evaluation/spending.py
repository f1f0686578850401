"""What whole conversations cost in prompt tokens, request by request, with and without a provider's cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pycontext.block import ContextBlock, ContextType
from pycontext.blockset import BlockSet
from pycontext.errors import BudgetExceededError
from pycontext.evaluation.ours import POLICY
from pycontext.evaluation.tally import REPLY, Tally
from pycontext.messages.openai import from_blocks, to_blocks
from pycontext.prices import Price

__all__ = ["Spending", "joined", "run_spending"]

_LOW: Final = 0.6


@dataclass(frozen=True, slots=True)
class Spending:
    """What one way to make requests costs over many sessions.

    Attributes:
        name: of the way.
        requests: how many.
        tokens: of all prompts.
        cached: of these, in whole messages that begin the request before as well.
        same_bytes: of all requests as JSON, the beginning that is that of the request before.
        total_bytes: of all requests as JSON.
        refused: requests where what must stay did not fit, which are sent whole.
    """

    name: str
    requests: int = 0
    tokens: int = 0
    cached: int = 0
    same_bytes: int = 0
    total_bytes: int = 0
    refused: int = 0

    @property
    def prefix(self) -> float:
        """The part of the requests that is byte by byte the beginning of the one before."""
        return self.same_bytes / self.total_bytes if self.total_bytes else 0.0

    def dollars(self, price: Price, *, cache: bool) -> float:
        """Return what the prompts cost; of what a provider asks for keeping a cache alive nothing is in it."""
        if not cache:
            return self.tokens * price.fresh / 1e6
        return (self.cached * price.read + (self.tokens - self.cached) * price.write) / 1e6


Choose = Callable[[BlockSet, int], list[int] | None]


def joined(conversations: Sequence[Sequence[Mapping[str, Any]]], size: int) -> list[list[dict[str, Any]]]:
    """Return sessions of so many conversations, one after the other, with the system messages of the first alone."""
    sessions = []
    for start in range(0, len(conversations), size):
        first, *others = conversations[start : start + size]
        rest = [message for one in others for message in one if message["role"] != "system"]
        sessions.append([dict(message) for message in (*first, *rest)])
    return sessions


def run_spending(
    sessions: Sequence[Sequence[dict[str, Any]]],
    *,
    tally: Tally,
    part: float = 0.25,
    on_session: Callable[[int], object] = lambda _: None,
) -> list[Spending]:
    """Make a request before every message of the assistant, in each of the ways.

    Args:
        sessions: OpenAI chat messages of each.
        tally: counts messages.
        part: of what a session has in the end beside its system messages, what a request may have of it.
        on_session: is told 1 after every session.

    Returns:
        Append only, newest first at every turn, ours at every turn, and ours chosen anew from everything down to 60 %
        only when the budget is full.
    """
    sums: dict[str, Spending] = {}
    for messages in sessions:
        blocks = to_blocks(messages)
        costs = [tally.messages(from_blocks([block])) - REPLY for block in blocks]
        rules = sum(cost for cost, block in zip(costs, blocks, strict=True) if block.type is ContextType.SYSTEM)
        budget = REPLY + rules + int((sum(costs) - rules) * part)
        low = budget - int((budget - rules) * (1 - _LOW))
        for name, choose in _ways(low).items():
            sums[name] = _spent(sums.get(name, Spending(name)), blocks, budget, choose, tally)
        on_session(1)
    return list(sums.values())


def _ways(low: int) -> dict[str, Choose]:
    """New ones for every session: the last remembers what it has kept."""
    return {
        "append only": lambda blocks, _: list(range(len(blocks))),
        "newest first, every turn": lambda blocks, budget: _pruned(blocks, budget, "recent"),
        f"pycontext, {POLICY}, every turn": lambda blocks, budget: _pruned(blocks, budget, POLICY),
        f"pycontext, {POLICY}, to {_LOW:.0%} when full": _Watermark(low).choose,
    }


def _pruned(blocks: BlockSet, budget: int, policy: str) -> list[int] | None:
    users = [block.content for block in blocks if block.type is ContextType.USER]
    try:
        # The words of the user are known before the answer is.
        selection = blocks.prune(budget, policy=policy, query=users[-3:] if users and policy == POLICY else None)
    except BudgetExceededError:
        return None
    kept: list[int] = selection.indices.tolist()
    return kept


class _Watermark:
    """Adds to what it sent until the budget is full, then chooses anew from everything, leaving room."""

    def __init__(self, low: int) -> None:
        self._low: Final = low
        self._kept: list[int] = []
        self._seen = 0

    def choose(self, blocks: BlockSet, budget: int) -> list[int] | None:
        """Return the rows that a request has."""
        self._kept += range(self._seen, len(blocks))
        self._seen = len(blocks)
        if BlockSet([blocks[row] for row in self._kept]).total_cost("openai") > budget:
            # Where the low mark is too low for what must stay, the budget may not be.
            found = _pruned(blocks, self._low, POLICY) or _pruned(blocks, budget, POLICY)
            if found is None:
                return None
            self._kept = found
        return list(self._kept)


def _spent(sums: Spending, blocks: Sequence[ContextBlock], budget: int, choose: Choose, tally: Tally) -> Spending:
    before: list[dict[str, Any]] = []
    so_far = BlockSet()
    for block in blocks:
        if block.type is ContextType.AGENT and len(so_far):
            rows = choose(so_far, budget)
            refused = rows is None
            request = from_blocks([blocks[row] for row in (range(len(so_far)) if rows is None else rows)])
            sums = _added(sums, before, request, tally, refused=refused)
            before = request
        so_far.append(block)
    return sums


def _added(
    sums: Spending, before: list[dict[str, Any]], request: list[dict[str, Any]], tally: Tally, *, refused: bool
) -> Spending:
    same = list(_beginning(before, request))
    shared, total = sum(map(_size, same)), sum(map(_size, request))
    if len(same) < min(len(before), len(request)):
        shared += _same_bytes(before[len(same)], request[len(same)])
    return replace(
        sums,
        requests=sums.requests + 1,
        tokens=sums.tokens + tally.messages(request),
        cached=sums.cached + tally.messages(same) - (REPLY if same else 0),
        same_bytes=sums.same_bytes + shared,
        total_bytes=sums.total_bytes + total,
        refused=sums.refused + refused,
    )


def _json(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode() + b","


def _size(message: dict[str, Any]) -> int:
    return len(_json(message))


def _same_bytes(old: dict[str, Any], new: dict[str, Any]) -> int:
    """Bytes at the beginning of the first message that is another one."""
    pairs = enumerate(zip(_json(old), _json(new), strict=False))
    return next(at for at, (one, other) in pairs if one != other)


def _beginning(before: list[dict[str, Any]], request: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for old, new in zip(before, request, strict=False):
        if old != new:
            return
        yield new
