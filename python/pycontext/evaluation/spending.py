"""What whole conversations cost in prompt tokens, request by request, with and without a provider's cache."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pycontext.block import ContextBlock, ContextType
from pycontext.blockset import BlockSet
from pycontext.cache import Cache
from pycontext.errors import BudgetExceededError
from pycontext.evaluation.tally import REPLY, Tally
from pycontext.messages.openai import from_blocks, to_blocks
from pycontext.policy import Policy
from pycontext.prices import Price
from pycontext.selection import Selection

__all__ = ["Spending", "joined", "run_spending"]

# Low marks that are compared.
_LOW: Final = (0.5, 0.6, 0.65, 0.7, 0.8)
# Calls by these names change nothing, so that nobody is hurt when a value in them is wrong.
_READS: Final = ("calculate", "check_", "find_", "get_", "list_", "search_", "think", "transfer_")
# What a tool's schema names, and what is too short to be found again.
_CHOICE: Final = re.compile(r"[a-z_ -]*|.{0,2}")


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
        calls: requests whose answer calls a tool that changes something, with values that were said before.
        held: of these, those that hold all of these values.
    """

    name: str
    requests: int = 0
    tokens: int = 0
    cached: int = 0
    same_bytes: int = 0
    total_bytes: int = 0
    refused: int = 0
    calls: int = 0
    held: int = 0

    @property
    def prefix(self) -> float:
        """The part of the requests that is byte by byte the beginning of the one before."""
        return self.same_bytes / self.total_bytes if self.total_bytes else 0.0

    @property
    def recall(self) -> float | None:
        """The part of the calls whose values were all in the request; None without such calls."""
        return self.held / self.calls if self.calls else None

    def cost(self, read: float, write: float) -> float:
        """Return what the prompts cost in fresh prompt tokens, a cached token at `read` and a new one at `write`."""
        return self.cached * read + (self.tokens - self.cached) * write

    def dollars(self, price: Price, *, cache: bool) -> float:
        """Return what the prompts cost; of what a provider asks for keeping a cache alive nothing is in it."""
        if not cache:
            return self.tokens * price.fresh / 1e6
        return (self.cached * price.read + (self.tokens - self.cached) * price.write) / 1e6


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
        Append only and a sliding window, then every built-in policy at every turn, then those with water marks.
    """
    sums: dict[str, Spending] = {}
    for messages in sessions:
        blocks = to_blocks(messages)
        costs = [tally.messages(from_blocks([block])) - REPLY for block in blocks]
        rules = sum(cost for cost, block in zip(costs, blocks, strict=True) if block.type is ContextType.SYSTEM)
        budget = REPLY + rules + int((sum(costs) - rules) * part)
        needs = list(_needs(messages))
        for name, choose in _ways(budget).items():
            sums[name] = _spent(sums.get(name, Spending(name)), blocks, needs, choose, tally)
        on_session(1)
    return list(sums.values())


Choose = Callable[[BlockSet], list[int] | None]


def _ways(budget: int) -> dict[str, Choose]:
    """New ones for every session: some remember what they have sent."""
    ways: dict[str, Choose] = {
        "append only": lambda blocks: list(range(len(blocks))),
        "sliding window": lambda blocks: _window(blocks, budget),
    }
    for name in ("recent", "window", "relevance", "evidence"):
        ways[f"{name}, every turn"] = _Sender(Policy.named(name), budget)
    newest = Policy("newest", Policy.named("recent").tiers, cache=Cache(low_mark=0.7))
    ways["recent, to 70% when full"] = _Sender(newest, budget)
    for low in _LOW:
        policy = replace(Policy.named("cache"), cache=Cache(low_mark=low))
        ways[f"cache, to {low:.0%} when full"] = _Sender(policy, budget)
    return ways


def _window(blocks: BlockSet, budget: int) -> list[int]:
    """The rows of SYSTEM blocks and of the last units, without a gap, that fit; at least the last one."""
    heads = blocks.units()
    costs = [tokens - REPLY for tokens in (BlockSet([block]).total_cost("openai") for block in blocks)]
    rows = [row for row, block in enumerate(blocks) if block.type is ContextType.SYSTEM]
    room = budget - REPLY - sum(costs[row] for row in rows)
    units: dict[int, list[int]] = {}
    for row in set(range(len(heads))).difference(rows):
        units.setdefault(heads[row], []).append(row)
    for at, unit in enumerate(sorted(units.values(), key=lambda unit: unit[-1], reverse=True)):
        room -= sum(costs[row] for row in unit)
        if room < 0 and at:
            break
        rows += unit
    return sorted(rows)


class _Sender:
    """Sends what a policy keeps, going on from what it sent before."""

    def __init__(self, policy: Policy, budget: int) -> None:
        self._policy: Final = policy
        self._budget: Final = budget
        self._previous: Selection | None = None

    def __call__(self, blocks: BlockSet) -> list[int] | None:
        """Return the rows that a request has; None where what must stay does not fit."""
        previous = self._previous if self._policy.cache is not None else None
        try:
            self._previous = blocks.prune(self._budget, policy=self._policy, previous=previous)
        except BudgetExceededError:
            return None
        rows: list[int] = self._previous.indices.tolist()
        return rows


def _needs(messages: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """For every message the values in its calls that change something, as far as they were said before.

    Words in lower case without a digit are choices that a tool's schema names.
    """
    said = ""
    for message in messages:
        calls = [call["function"] for call in message.get("tool_calls") or []]
        writes = [call for call in calls if not call["name"].startswith(_READS)]
        values = dict.fromkeys(value for call in writes for value in _strings(json.loads(call["arguments"])))
        yield [value for value in values if _CHOICE.fullmatch(value) is None and value in said]
        if message["role"] != "system":
            said += _said(message)


def _said(message: Mapping[str, Any]) -> str:
    calls = "\n".join(call["function"]["arguments"] for call in message.get("tool_calls") or [])
    return f"{message.get('content') or ''}\n{calls}\n"


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def _spent(
    sums: Spending, blocks: Sequence[ContextBlock], needs: Sequence[Sequence[str]], choose: Choose, tally: Tally
) -> Spending:
    before: list[dict[str, Any]] = []
    so_far = BlockSet()
    for block, values in zip(blocks, needs, strict=True):
        if block.type is ContextType.AGENT and len(so_far):
            rows = choose(so_far)
            refused = rows is None
            request = from_blocks([blocks[row] for row in (range(len(so_far)) if rows is None else rows)])
            sums = _added(sums, before, request, tally, refused=refused)
            if values:
                text = "".join(_said(message) for message in request if message["role"] != "system")
                is_held = all(value in text for value in values)
                sums = replace(sums, calls=sums.calls + 1, held=sums.held + is_held)
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
