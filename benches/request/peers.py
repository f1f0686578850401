"""The libraries, each as a way to cut a list of chat messages to a budget.

Each is given what favours it: its own objects ready-made, the call that its documentation shows for a chat, and, where
it lets its caller count, the rule of docs/framing.md by tiktoken, so that its budget and the one it is judged by are
the same. The 3 tokens of the reply's start are taken off the budget of those that know nothing of them.
"""
# ruff: noqa: PLC0415  # a peer is imported where it is measured

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benches.request.rule import (
    MODEL,
    REPLY,
    Message,
    count,
    encoding,
    message_tokens,
    text_of,
    tokens_of,
)


@dataclass(frozen=True)
class Request:
    """A conversation, the tokens it may have, and what comes next in it."""

    messages: list[Message]
    budget: int
    more: list[Message] = field(default_factory=list)


class Peer:
    """A library that is ready; only `fit` is measured against others, the time of the other two is told apart."""

    distribution = ""
    steps = 1
    """How many requests `fit` makes, each with one message more."""

    def __init__(self, name: str) -> None:
        self.name = name

    def prepare(self, request: Request) -> Any:
        """Return what the library is given."""
        return request.messages, request.budget

    def fit(self, given: Any) -> Any:
        """Return what the library makes of it."""
        raise NotImplementedError

    def read(self, result: Any) -> list[Message]:
        """Return that as chat messages."""
        return result

    def says(self, _result: Any) -> str:
        """Return how the library says that the budget is not kept."""
        return ""


def peers() -> Iterator[Peer | str]:
    """Those that can be used, and a message for each that cannot."""
    for make in (langchain, ctx_compact, cendor, ctxbudgeter, agent_framework):
        try:
            yield from make()
        except ImportError as error:
            yield f"{make.__name__} is left out: {error}"


def langchain() -> list[Peer]:
    from langchain_core.messages import (
        BaseMessage,
        convert_to_messages,
        convert_to_openai_messages,
        trim_messages,
    )

    class LangChain(Peer):
        """`trim_messages` as its documentation sets it up for a chat."""

        distribution = "langchain-core"

        def __init__(self, name: str, counter: Callable[[], Any]) -> None:
            super().__init__(name)
            self.counter = counter

        def prepare(self, request: Request) -> Any:
            return convert_to_messages(request.messages), request.budget - REPLY, self.counter()

        def fit(self, given: Any) -> Any:
            messages, budget, counter = given
            return trim_messages(
                messages,
                max_tokens=budget,
                token_counter=counter,
                strategy="last",
                start_on="human",
                include_system=True,
            )

        def read(self, result: Any) -> list[Message]:
            return convert_to_openai_messages(result)

    def tokens(message: BaseMessage) -> int:
        calls = getattr(message, "tool_calls", ())
        as_json = [
            (call["name"], json.dumps(call["args"], separators=(",", ":"), ensure_ascii=False)) for call in calls
        ]
        return tokens_of(str(message.content), as_json)

    def plain() -> Callable[[Sequence[BaseMessage]], int]:
        return lambda messages: sum(tokens(message) for message in messages)

    def remembering() -> Callable[[Sequence[BaseMessage]], int]:
        """It asks for the same messages again and again; they live as long as this counter."""
        known: dict[int, int] = {}

        def remembered(message: BaseMessage) -> int:
            if id(message) not in known:
                known[id(message)] = tokens(message)
            return known[id(message)]

        return lambda messages: sum(remembered(message) for message in messages)

    return [
        LangChain("LangChain trim_messages, tiktoken", plain),
        LangChain("LangChain trim_messages, tiktoken, counts remembered", remembering),
        LangChain("LangChain trim_messages, approximate", lambda: "approximate"),
    ]


def ctx_compact() -> list[Peer]:
    from ctx_compact import compact

    class CtxCompact(Peer):
        """`compact` with its defaults, on chat messages as they are."""

        distribution = "ctx-compact"

        def __init__(self, name: str, counter: Callable[[Message], int] | None) -> None:
            super().__init__(name)
            self.counter = counter

        def fit(self, given: Any) -> Any:
            messages, budget = given
            return compact(messages, max_tokens=budget - REPLY, count_tokens=self.counter)

        def read(self, result: Any) -> list[Message]:
            return result.messages

        def says(self, result: Any) -> str:
            return "" if result.fits else "fits=False"

    return [CtxCompact("ctx-compact, tiktoken", message_tokens), CtxCompact("ctx-compact, estimate", None)]


def cendor() -> list[Peer]:
    os.environ["CENDOR_TELEMETRY"] = "off"
    encoding()  # it asks tiktoken for a vocabulary that must be there by then
    from cendor.contextkit import Block, Context

    class Cendor(Peer):
        """System and request pinned, all between as the messages of one block, which loses the oldest.

        It counts contents by tiktoken, and no calls.
        """

        distribution = "cendor-contextkit"

        def prepare(self, request: Request) -> Any:
            context = Context(budget_tokens=request.budget, model=MODEL)
            messages = request.messages
            is_asked = messages[-1]["role"] == "user"
            turns = messages[:-1] if is_asked else messages
            for message in turns:
                if message["role"] == "system":
                    context.add(Block(message["content"], priority=10, pin=True, role="system"))
            context.add(Block(messages=[m for m in turns if m["role"] != "system"], priority=3, evict="drop_oldest"))
            if is_asked:
                context.add(Block(messages[-1]["content"], priority=9, pin=True, role="user"))
            return context

        def fit(self, given: Any) -> Any:
            return given.assemble()

    return [Cendor("cendor-contextkit")]


def ctxbudgeter() -> list[Peer]:
    encoding()  # likewise
    from ctxbudgeter import ContextItem, TokenCounter, compile_items

    kinds = {
        "system": "system",
        "user": "user_message",
        "assistant": "assistant_message",
        "tool": "tool_result",
    }

    class Counter(TokenCounter):
        """Tokens of the message that a text belongs to."""

        def __init__(self, messages: dict[str, Message]) -> None:
            super().__init__(MODEL)
            self.messages = messages

        def count(self, text: str) -> int:
            message = self.messages.get(text)
            return count(text) if message is None else message_tokens(message)

    class CtxBudgeter(Peer):
        """An item a message, newer ones fresher, system and the last user message required.

        What is kept is read by the items' names, so that messages keep their calls, which it has no place for.
        """

        distribution = "ctxbudgeter"

        def prepare(self, request: Request) -> Any:
            messages = request.messages
            last = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=-1)
            contents = [content_of(message) for message in messages]
            items = [
                ContextItem(
                    name=f"m{i}",
                    content=contents[i],
                    kind=kinds[message["role"]],
                    required=message["role"] == "system" or i == last,
                    freshness=i / len(messages),
                )
                for i, message in enumerate(messages)
            ]
            return messages, items, request.budget - REPLY, Counter(dict(zip(contents, messages, strict=True)))

        def fit(self, given: Any) -> Any:
            messages, items, budget, counter = given
            pack = compile_items(items, model=MODEL, token_budget=budget, reserved_output_tokens=0, counter=counter)
            return messages, pack

        def read(self, result: Any) -> list[Message]:
            messages, pack = result
            return [messages[i] for i in sorted(int(item.name[1:]) for item in pack.included_items)]

    def content_of(message: Message) -> str:
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        return text_of(message) + "".join(f"{call['name']}{call['arguments']}" for call in calls)

    return [CtxBudgeter("ctxbudgeter")]


def agent_framework() -> list[Peer]:
    from agent_framework import (
        Content,
        TokenBudgetComposedStrategy,
        ToolResultCompactionStrategy,
        TruncationStrategy,
        apply_compaction,
    )
    from agent_framework import (
        Message as Native,
    )

    class Tokenizer:
        """It is given a message as its own JSON, ids included."""

        def count_tokens(self, text: str) -> int:
            return count(text)

    class AgentFramework(Peer):
        """`apply_compaction` with a strategy for a budget."""

        distribution = "agent-framework-core"

        def __init__(self, name: str, strategy: Callable[[int, Tokenizer], Any]) -> None:
            super().__init__(name)
            self.strategy = strategy

        def prepare(self, request: Request) -> Any:
            own = [Native(message["role"], contents(message)) for message in request.messages]
            by_id = {id(native): message for native, message in zip(own, request.messages, strict=True)}
            return own, self.strategy(request.budget - REPLY, Tokenizer()), by_id

        def fit(self, given: Any) -> Any:
            own, strategy, by_id = given
            # All of them are held on to, else a summary could have the id of one that is gone.
            held = list(own)
            return asyncio.run(apply_compaction(own, strategy=strategy, tokenizer=strategy.tokenizer)), by_id, held

        def read(self, result: Any) -> list[Message]:
            kept, by_id, _ = result
            return [by_id.get(id(native)) or {"role": str(native.role), "content": native.text} for native in kept]

    def contents(message: Message) -> list[Content]:
        if message["role"] == "tool":
            return [Content.from_function_result(message["tool_call_id"], result=text_of(message))]
        calls = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
        texts = [Content.from_text(text_of(message))] if text_of(message) else []
        return [
            *texts,
            *(Content.from_function_call(id, call["name"], arguments=call["arguments"]) for id, call in calls),
        ]

    def truncation(budget: int, tokenizer: Tokenizer) -> Any:
        return TruncationStrategy(max_n=budget, compact_to=budget, tokenizer=tokenizer)

    def composed(budget: int, tokenizer: Tokenizer) -> Any:
        strategies = [ToolResultCompactionStrategy()]
        return TokenBudgetComposedStrategy(token_budget=budget, tokenizer=tokenizer, strategies=strategies)

    return [
        AgentFramework("agent-framework, truncation", truncation),
        AgentFramework("agent-framework, tool results composed", composed),
    ]
