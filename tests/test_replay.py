"""The model that says what was recorded."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import files

import pytest

from pycontext import LLMRefusedError, ValidationError
from pycontext.agents import Answer, ContextAwareAgent, ReplayClient, ToolCall, Turn

TALK = [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "hello"},
    {"role": "user", "content": "yes"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c", "name": "look", "content": "one"},
    {
        "role": "assistant",
        "content": "and",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c", "name": "look", "content": "two"},
    {"role": "assistant", "content": "seen"},
    {"role": "user", "content": "yes"},
    {"role": "assistant", "content": "again"},
    {"role": "user", "content": "bye"},
]


def ask(client, *messages, message_id=None):
    turn = Turn("s", "a", message_id)
    with turn.underway():
        return asyncio.run(client.generate(list(messages)))


def test_it_goes_on_where_the_prompt_ends():
    client = ReplayClient(TALK)
    assert ask(client, TALK[1]) == "hello"
    answer = ask(client, *TALK[1:4])
    assert answer == ""
    assert answer.tool_calls == (ToolCall("c", "look", "{}"),)
    # Recorded ids that come twice are two, and so are the results.
    second = ask(client, *TALK[1:6])
    assert second == "and"
    assert second.tool_calls[0].id != "c"
    calls = [asyncio.run(client.call(call)) for call in (*answer.tool_calls, *second.tool_calls)]
    assert calls == ["one", "two"]
    # What was pruned before does not matter, nor what was never recorded.
    assert ask(client, TALK[8], TALK[9], {"role": "user", "content": "what now?"}) == "again"
    # Where somebody else goes on, the model says nothing.
    assert ask(client, TALK[11]) == Answer("")


def test_what_was_said_twice_is_told_apart():
    client = ReplayClient(TALK)
    with pytest.raises(LLMRefusedError, match="the prompt fits 2 places"):
        ask(client, TALK[3])
    assert ask(client, TALK[8], TALK[3]) == "again"
    assert ask(client, TALK[3], message_id="m9") == "again"
    assert ask(client, TALK[3], message_id="m3").tool_calls
    with pytest.raises(LLMRefusedError, match="nothing of the prompt was recorded"):
        ask(client, {"role": "user", "content": "who are you?"})
    with pytest.raises(LLMRefusedError, match="render is not openai"):
        asyncio.run(client.generate("text"))
    with pytest.raises(ValidationError, match="no result of call 'x'"):
        asyncio.run(client.call(ToolCall("x", "look", "{}")))
    with pytest.raises(ValidationError, match=r"messages\[0\]"):
        ReplayClient([{"role": "nobody", "content": ""}])


def test_conversations_by_session():
    other = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "salut"}]
    client = ReplayClient({"s": TALK, "t": other})
    assert ask(client, TALK[1]) == "hello"
    with Turn("t", "a").underway():
        assert asyncio.run(client.generate([TALK[1]])) == "salut"
    with pytest.raises(LLMRefusedError, match="nothing was recorded for session None"):
        asyncio.run(client.generate([TALK[1]]))


def test_every_recorded_trace_is_replayed_by_an_agent_message_by_message():
    lines = files("pycontext").joinpath("data/telecom_traces.jsonl").read_text(encoding="utf-8").splitlines()
    for line in lines:
        messages = json.loads(line)["messages"]
        client = ReplayClient(messages)
        agent = ContextAwareAgent(client, "technical", prompt="p", tools=client)

        async def run(messages, agent):
            await agent.initialize_session()
            for number, message in enumerate(messages):
                if message["role"] == "user":
                    await agent.add_user_context(message["content"], block_id=f"m{number}")
                    with Turn("s", "technical", f"m{number}").underway():
                        await agent.process_with_llm()
            return agent.context_manager.everything(agent.session_id).messages()

        assert asyncio.run(run(messages, agent)) == messages
