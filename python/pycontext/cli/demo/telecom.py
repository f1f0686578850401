"""The telecom scenario: two agents, a coordinator and a store, against sending everything."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pycontext.agents.base import ContextAwareAgent
from pycontext.agents.client import Prompt
from pycontext.agents.coordinator import AgentCoordinator
from pycontext.agents.replay import ReplayClient
from pycontext.agents.telecom import ContextAwareIntentAgent, ContextAwareTechnicalAgent
from pycontext.agents.turn import TurnReport
from pycontext.block import ContextType
from pycontext.blockset import BlockSet
from pycontext.cli.console import Report
from pycontext.cli.demo.traces import NAMESPACE, SECONDS, recorded
from pycontext.cli.exits import Exit
from pycontext.cli.store.address import opened, warnings_told
from pycontext.counter import count_tokens
from pycontext.errors import ContextError, UnknownSessionError
from pycontext.manager import ContextManager
from pycontext.messages.openai import to_blocks
from pycontext.store.base import ContextStore

__all__ = ["run"]

# The tasks of the traces are named in their ids: telecom-[mms_issue]airplane_mode_on|...
_TASK: Final = re.compile(r"\[(\w+)\]")
_USER_SCORE: Final = 0.9


@dataclass(slots=True)
class _Talk:
    """A conversation while it goes on."""

    name: str
    messages: list[Mapping[str, Any]]
    agent: str = ""
    said: int = 0
    hops: int = 0
    requests: int = 0
    tokens: int = 0
    """Of all requests."""
    layer: list[float] = field(default_factory=list)
    """Seconds of the layer, by turn."""

    @property
    def of_user(self) -> int:
        return sum(message["role"] == "user" for message in self.messages)


@dataclass(slots=True)
class _Watched:
    """A model, and what it was asked."""

    client: ReplayClient | _Labelled
    prompts: list[list[dict[str, Any]]] = field(default_factory=list)

    async def generate(self, prompt: Prompt, **options: Any) -> str:
        """Note the request, to be looked at when all is over."""
        if isinstance(prompt, list):
            self.prompts.append(prompt)
        return await self.client.generate(prompt, **options)

    def own_tokens(self) -> int:
        """Tokens of the agent's own prompt, in all requests."""
        return sum(BlockSet(to_blocks(messages[:1])).total_cost("openai") for messages in self.prompts)

    def faults(self, budget: int | None) -> Iterator[str]:
        """What no request may be: over the budget, or with half an exchange."""
        for messages in self.prompts:
            calls: set[str] = set()
            for message in messages:
                if message["role"] == "tool" and message["tool_call_id"] not in calls:
                    yield f"a result without its call: {message['tool_call_id']}"
                calls |= {call["id"] for call in message.get("tool_calls") or ()}
            tokens = BlockSet(to_blocks(messages)).total_cost("openai")
            if budget is not None and tokens > budget:
                yield f"a request of {tokens} tokens"


@dataclass(frozen=True, slots=True)
class _Labelled:
    """Says of what customers want what the trace is labelled with: no model read them."""

    intent: str

    async def generate(self, _prompt: Prompt, **_options: Any) -> str:
        """Return the label, in the form of an analysis."""
        values = {"primary_intent": self.intent, "secondary_intents": [], "required_information": [], "confidence": 1}
        return json.dumps(values)


class _Run:
    """All conversations under one manager."""

    def __init__(self, traces: list[dict[str, Any]], manager: ContextManager) -> None:
        self.manager: Final = manager
        self.talks: Final = {f"telecom-{n}": _Talk(f"telecom-{n}", one["messages"]) for n, one in enumerate(traces, 1)}
        client = ReplayClient({name: talk.messages for name, talk in self.talks.items()})
        tasks = {found[1] for one in traces if (found := _TASK.search(one["id"]))}
        labels = _Labelled(" ".join(sorted(tasks)))
        self.models: Final = [_Watched(model) for model in (labels, client)]
        policy = traces[0]["messages"][0]["content"]
        agents: dict[str, ContextAwareAgent] = {
            "intent": ContextAwareIntentAgent(self.models[0], context_manager=manager),
            "technical": ContextAwareTechnicalAgent(self.models[1], None, manager, prompt=policy, tools=client),
        }
        self.coordinator: Final = AgentCoordinator(agents, manager, routes=dict.fromkeys(tasks, "technical"))
        self.coordinator.add_observer(self)

    def turn_ended(self, report: TurnReport) -> None:
        """Note what a turn took."""
        talk = self.talks[report.session_id]
        talk.agent = report.agent
        talk.hops += report.hops
        talk.requests += report.llm_calls
        talk.tokens += report.prompt_tokens
        talk.layer.append(report.layer_seconds)

    async def go(self) -> None:
        """Have all conversations at once."""
        async with self.coordinator:
            await asyncio.gather(*(self._have(talk) for talk in self.talks.values()))

    async def _have(self, talk: _Talk) -> None:
        await self.coordinator.open_session(talk.name)
        for place, message in enumerate(talk.messages):
            if message["role"] != "user":
                continue
            talk.said += 1
            message_id = f"m{place}"
            following = talk.messages[place + 1 : place + 2]
            if following and following[0]["role"] == "assistant":
                await self.coordinator.handle(talk.name, message["content"], message_id=message_id)
            else:
                # What customers do on their phones one after the other; the recorded agent answered to none of it.
                await self.coordinator.add_context(
                    talk.name, message["content"], ContextType.USER, _USER_SCORE, block_id=message_id
                )
            await asyncio.sleep(0)


def run(args: argparse.Namespace) -> Exit:
    """Have the conversations, once managed and once with everything in every request."""
    traces = recorded()
    # The vocabulary is loaded once, and in neither of the two.
    count_tokens("")
    console = Console()
    with warnings_told(Report(as_json=args.json)), tempfile.TemporaryDirectory() as folder:
        url = args.store or f"sqlite:///{quote(folder)}/telecom.db"
        with opened(url, NAMESPACE, ttl=SECONDS, may_make=True) as store:
            managed = _Run(traces, ContextManager(args.budget, store=store))
            for name in managed.talks:
                # Of the last time.
                store.delete(name)
            with _shown(managed, console, is_live=not args.json and console.is_terminal):
                asyncio.run(managed.go())
            handed_on = _handed_on(store, managed)
        everything = _Run(traces, ContextManager(args.budget, shadow=True, store=f"sqlite:///{quote(folder)}/all.db"))
        asyncio.run(everything.go())
    faults = [fault for model in managed.models for fault in model.faults(args.budget)]
    faults += [fault for model in everything.models for fault in model.faults(None)]
    if args.json:
        for talk in managed.talks.values():
            sys.stdout.write(json.dumps(_values(talk, everything.talks[talk.name])) + "\n")
    else:
        if not console.is_terminal:
            console.print(_table(managed))
        console.print(_comparison(managed, everything, args, args.store is not None))
        console.print(
            f"{handed_on} sessions changed hands in the store; requests over the budget or with half an exchange: "
            f"{len(faults)}",
            highlight=False,
        )
    if faults or handed_on != len(managed.talks):
        raise ContextError(f"the demo broke a promise: {(faults or ['a session did not change hands'])[0]}")
    return Exit.DONE


def _handed_on(store: ContextStore, managed: _Run) -> int:
    """Of how many sessions the store says that the technical agent has them, an epoch later."""
    count = 0
    for name in managed.talks:
        try:
            package = store.load(name)
        except UnknownSessionError:
            continue
        count += package.agent_id == "technical_agent" and package.epoch == 1
    return count


@contextmanager
def _shown(managed: _Run, console: Console, *, is_live: bool) -> Iterator[None]:
    """Show the table while it is filled, where somebody looks."""
    if not is_live:
        yield
        return
    with Live(console=console, get_renderable=lambda: _table(managed), refresh_per_second=12):
        yield


def _table(managed: _Run) -> Table:
    table = Table(title=f"{len(managed.talks)} customers at once, two agents", title_justify="left")
    for heading in ("", "agent", "messages", "handoffs", "requests", "prompt tokens"):
        table.add_column(heading, justify="left" if heading in ("", "agent") else "right", no_wrap=True)
    for talk in managed.talks.values():
        table.add_row(
            talk.name,
            talk.agent or "-",
            f"{talk.said} of {talk.of_user}",
            f"{talk.hops}",
            f"{talk.requests}",
            f"{talk.tokens:,}",
        )
    return table


def _comparison(managed: _Run, everything: _Run, args: argparse.Namespace, is_named: bool) -> Table:
    table = Table(title=f"Within {args.budget:,} tokens a request, against sending everything", title_justify="left")
    for heading in ("", "managed", "everything", "saved"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    ours, theirs = _sums(managed), _sums(everything)
    table.add_row("requests", f"{ours['requests']:,}", f"{theirs['requests']:,}", "")
    saved = 1 - ours["tokens"] / theirs["tokens"]
    table.add_row("prompt tokens", f"{ours['tokens']:,}", f"{theirs['tokens']:,}", f"{saved:.1%}")
    rest = [sums["tokens"] - sums["own"] for sums in (ours, theirs)]
    table.add_row("but the agents' own prompts", f"{rest[0]:,}", f"{rest[1]:,}", f"{1 - rest[0] / rest[1]:.1%}")
    cost = [sums["tokens"] * args.price / 1e6 for sums in (ours, theirs)]
    table.add_row("cost of these", f"${cost[0]:.4f}", f"${cost[1]:.4f}", f"{saved:.1%}")
    for name in ("p50", "p95"):
        table.add_row(
            f"the layer's time a turn, all at once, {name}", f"{ours[name]:.2f} ms", f"{theirs[name]:.2f} ms", ""
        )
    kept = f"the managed ones in {NAMESPACE} of the store that was named" if is_named else "in files of SQLite"
    table.caption = (
        f"at ${args.price:.2f} a million prompt tokens (--price), without a provider's cache\n"
        f"no model took part: its time is not in here; sessions were kept {kept}"
    )
    return table


def _sums(one: _Run) -> dict[str, Any]:
    layer = sorted(seconds * 1e3 for talk in one.talks.values() for seconds in talk.layer)
    return {
        "requests": sum(talk.requests for talk in one.talks.values()),
        "tokens": sum(talk.tokens for talk in one.talks.values()),
        "own": sum(model.own_tokens() for model in one.models),
        "p50": statistics.median(layer),
        "p95": layer[int(len(layer) * 0.95)],
    }


def _values(talk: _Talk, everything: _Talk) -> dict[str, Any]:
    return {
        "session": talk.name,
        "agent": talk.agent,
        "messages": talk.said,
        "handoffs": talk.hops,
        "requests": talk.requests,
        "prompt_tokens": talk.tokens,
        "prompt_tokens_of_everything": everything.tokens,
        "layer_ms": [round(seconds * 1e3, 3) for seconds in talk.layer],
    }
