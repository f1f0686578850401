"""1,000 sessions at once, 50 turns each, through coordinator, optimizer and a store in a file."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import tempfile
import time
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from benches.data import DATA
from benches.evaluation.pruned import framed_count
from pycontext import ContextManager, RealTimeContextOptimizer, count_tokens, open_store
from pycontext.agents import (
    AgentCoordinator,
    ContextAwareAgent,
    ContextAwareIntentAgent,
    ReplayClient,
    TurnReport,
)

BUDGET = 6_000
# Of the prompts that are counted once more with tiktoken.
SAMPLED = 0.02

Messages = list[dict[str, Any]]


@dataclass(slots=True)
class Seen:
    """What was seen of the run."""

    turns: int = 0
    # Packed, so that what the benchmark itself remembers is not the memory that it measures.
    layer: array[float] = field(default_factory=lambda: array("d"))
    gaps: array[float] = field(default_factory=lambda: array("d"))
    resident: list[tuple[int, int]] = field(default_factory=list)
    """Turns that were done, and resident bytes then."""
    prompts: int = 0
    counted: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    expected: int = 0

    def turn_ended(self, report: TurnReport) -> None:
        self.turns += report.outcome == "done"
        self.layer.append(report.layer_seconds)


class Checked:
    """The recorded model, and a look at every prompt: whole exchanges, within the budget."""

    def __init__(self, client: ReplayClient, seen: Seen, seconds: float) -> None:
        self._client, self._seen, self._seconds = client, seen, seconds
        self._random = random.Random(6)

    async def generate(self, prompt: Messages, **_options: Any) -> str:
        self._seen.prompts += 1
        open_calls: set[str] = set()
        for message in prompt:
            if message["role"] == "tool":
                if message["tool_call_id"] not in open_calls:
                    self._seen.faults.append(f"an orphan {message['tool_call_id']}")
                open_calls.discard(message["tool_call_id"])
            elif open_calls:
                self._seen.faults.append(f"{len(open_calls)} calls without results")
                open_calls = set()
            open_calls |= {call["id"] for call in message.get("tool_calls") or ()}
        if self._random.random() < SAMPLED:
            self._seen.counted += 1
            if (tokens := framed_count(prompt)) > BUDGET:
                self._seen.faults.append(f"a prompt of {tokens} tokens")
        await asyncio.sleep(self._seconds)
        return await self._client.generate(prompt)


class Router:
    """Sends everybody to the second agent."""

    async def generate(self, _prompt: Any, **_options: Any) -> str:
        return json.dumps(
            {"primary_intent": "support", "secondary_intents": [], "required_information": [], "confidence": 1}
        )


def joined(turns: int) -> list[Messages]:
    """Conversations of so many turns, each made of recorded ones that follow one another."""
    lines = (DATA / "conversations/airline.jsonl").read_text(encoding="utf-8").splitlines()
    recorded = [[m for m in json.loads(line)["messages"] if m["role"] != "system"] for line in lines]
    return [
        list(_until(turns, (m for talk in recorded[at:] + recorded[:at] for m in talk))) for at in range(len(lines))
    ]


def _until(turns: int, messages: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for message in messages:
        if message["role"] == "user":
            if turns == 0:
                return
            turns -= 1
        yield message


def policy() -> str:
    """The prompt of the recorded agent."""
    with (DATA / "conversations/airline.jsonl").open(encoding="utf-8") as lines:
        return json.loads(next(islice(lines, 1)))["messages"][0]["content"]


async def run(sessions: int, turns: int, at_once: int, llm_seconds: float = 0.0) -> Seen:
    """Let so many sessions have so many turns each, and look at everything."""
    seen = Seen(expected=sessions * turns)
    # Vocabularies are loaded before anything is timed.
    framed_count([{"role": "user", "content": str(count_tokens("x"))}])
    recordings = joined(turns)
    talks = {f"s{n}": recordings[n % len(recordings)] for n in range(sessions)}
    client = ReplayClient(talks)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/load.db"
        manager = ContextManager(BUDGET, store=open_store(url), originals_bytes=1 << 16)
        optimizer = RealTimeContextOptimizer(manager, token_budget=BUDGET, optimization_interval=1.0)
        agents = {
            "intent": ContextAwareIntentAgent(Router(), context_manager=manager),
            "support": ContextAwareAgent(
                Checked(client, seen, llm_seconds), "support_agent", manager, prompt=policy(), tools=client
            ),
        }
        coordinator = AgentCoordinator(agents, manager, observers=[seen], optimizer=optimizer)
        ticker = asyncio.create_task(_tick(seen))
        began = time.perf_counter()
        async with coordinator:
            gate = asyncio.Semaphore(at_once)
            # Customers do not all come at the same moment.
            starts = random.Random(7)
            waits = [starts.uniform(0, llm_seconds) for _ in talks]
            work = zip(talks.items(), waits, strict=True)
            await asyncio.gather(*(_talk(coordinator, *talk, seen, gate, wait) for talk, wait in work))
            seen.seconds = time.perf_counter() - began
            ticker.cancel()
            here = {name: manager.sessions[name].to_dict() for name in talks}
        with open_store(url) as again:
            for name, package in here.items():
                there = again.load(name).to_dict()
                if there["blocks"] != package["blocks"]:
                    seen.faults.append(f"session {name} is another one in the store")
    return seen


async def _talk(
    coordinator: AgentCoordinator, name: str, messages: Messages, seen: Seen, gate: asyncio.Semaphore, wait: float
) -> None:
    await asyncio.sleep(wait)
    async with gate:
        await coordinator.open_session(name)
        for place, message in enumerate(messages):
            if message["role"] != "user":
                continue
            reply = await coordinator.handle(name, message["content"], message_id=f"m{place}")
            if reply.text != _recorded(messages, place):
                seen.faults.append(f"session {name}, message {place}: another answer than the recorded one")


def _recorded(messages: Messages, place: int) -> str:
    """What was answered to a message in the end."""
    for message in messages[place + 1 :]:
        if message["role"] == "user":
            break
        if message["role"] == "assistant" and not message.get("tool_calls"):
            return message["content"] or ""
    return ""


async def _tick(seen: Seen) -> None:
    last = time.perf_counter()
    while True:
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        seen.gaps.append(now - last - 0.005)
        last = now
        if len(seen.gaps) % 50 == 0:
            seen.resident.append((seen.turns, _resident()))


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize()
