"""What goes to Anthropic's API, and what is made of its answers."""

from __future__ import annotations

import asyncio
import builtins
import json
from importlib import resources

import pytest
from anthropic import AsyncAnthropic

from pycontext import prune
from pycontext.agents.anthropic_client import AnthropicClient
from pycontext.agents.anthropic_request import messages_of
from pycontext.agents.client import LLMClient, ToolCall, Usage
from pycontext.errors import AnswerError, LLMUnavailableError, ValidationError
from pycontext.messages.openai import to_blocks
from servers.llm import LLMServer, Reply, anthropic, anthropic_events, of
from servers.llm_rules import check_anthropic

TRACES = [
    json.loads(line)
    for line in (resources.files("pycontext") / "data/telecom_traces.jsonl").read_text("utf-8").splitlines()
]
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks it up.",
        "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
    },
}
CALLS = [("toolu_1", "look_up", {"id": "ä1"}), ("toolu_2", "ping", {})]


@pytest.fixture
def server():
    with LLMServer() as made:
        yield made


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request):
    return request.param


def ask(server, prompt="hi", options=None, **settings):
    async def asked():
        async with AnthropicClient("claude-x", api_key="k", base_url=server.url, **settings) as client:
            assert isinstance(client, LLMClient)
            return await client.generate(prompt, **(options or {}))

    return asyncio.run(asked())


def reply(text="", *, stream=False, calls=(), stop="end_turn"):
    if not stream:
        return Reply(anthropic(text, calls=calls, stop=stop))
    written = [(id_, name, json.dumps(said, ensure_ascii=False) if said else "") for id_, name, said in calls]
    return Reply(events=anthropic_events(text, calls=written, stop=stop))


def test_text_becomes_a_message_of_the_user(server):
    ask(server, "Say\n hello ", max_tokens=77)
    [request] = server.requests
    assert request["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Say\n hello "}]}]
    assert request["max_tokens"] == 77
    assert "system" not in request


def test_options_of_a_call_go_before_those_of_the_client(server):
    ask(server, options={"max_tokens": 5, "model": "claude-y", "stop_sequences": ["x"]})
    [request] = server.requests
    assert (request["max_tokens"], request["model"], request["stop_sequences"]) == (5, "claude-y", ["x"])


def test_a_conversation_with_calls_is_translated(server):
    called = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"id": "7"}'}}
    ask(
        server,
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is 7?"},
            {"role": "user", "content": "Please."},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "c1", "content": "seven"},
            {"role": "user", "content": "And?"},
        ],
    )
    [request] = server.requests
    assert request["system"] == "Be brief."
    assert request["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "What is 7?"}, {"type": "text", "text": "Please."}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "look_up", "input": {"id": "7"}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "seven"},
                {"type": "text", "text": "And?"},
            ],
        },
    ]


def test_texts_of_blanks_stay_out(server):
    called = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    ask(
        server,
        [
            {"role": "system", "content": " "},
            {"role": "user", "content": "Go."},
            {"role": "assistant", "content": "\n", "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "c1", "content": ""},
            {"role": "assistant", "content": " "},
            {"role": "user", "content": "And?"},
        ],
    )
    [request] = server.requests
    assert [[part["type"] for part in message["content"]] for message in request["messages"]] == [
        ["text"], ["tool_use"], ["tool_result", "text"],
    ]  # fmt: skip
    assert "system" not in request


def test_tools_are_translated_and_those_of_anthropic_stay(server):
    own = {"name": "own", "input_schema": {"type": "object"}}
    bare = {"type": "function", "function": {"name": "bare"}}
    ask(server, options={"tools": [TOOL, own, bare], "tool_choice": "required"})
    ask(server, options={"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look_up"}}})
    ask(server, options={"tools": [TOOL], "tool_choice": {"type": "any"}})
    schema = TOOL["function"]["parameters"]
    translated = {"name": "look_up", "description": "Looks it up.", "input_schema": schema}
    assert server.requests[0]["tools"] == [translated, own, {"name": "bare", "input_schema": {"type": "object"}}]
    choices = [request["tool_choice"] for request in server.requests]
    assert choices == [{"type": "any"}, {"type": "tool", "name": "look_up"}, {"type": "any"}]


@pytest.mark.parametrize("tools", [7, "look_up", [{"type": "function"}], [{"type": "function", "function": {}}]])
def test_tools_that_are_none(server, tools):
    with pytest.raises(ValidationError, match="tools"):
        ask(server, options={"tools": tools})
    assert not server.requests


def test_calls_come_back(stream, server):
    server.script(reply("Let me see.", stream=stream, calls=CALLS, stop="tool_use"))
    answer = ask(server, stream=stream)
    assert answer == "Let me see."
    assert [(call.id, call.name, json.loads(call.arguments)) for call in answer.tool_calls] == CALLS
    server.script(reply(stream=stream, calls=CALLS[:1], stop="tool_use"))
    answer = ask(server, stream=stream)
    assert answer == ""
    assert answer.tool_calls == (ToolCall("toolu_1", "look_up", '{"id": "ä1"}'),)


def test_arguments_of_a_stream_are_as_the_model_wrote_them(server):
    """They may be no JSON, where the provider sends them as they come."""
    server.script(Reply(events=anthropic_events(calls=[("toolu_1", "look_up", '{"id": 1,}')], stop="tool_use")))
    [call] = ask(server, stream=True).tool_calls
    assert call.arguments == '{"id": 1,}'


def test_thinking_stays_behind(stream, server):
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    if stream:
        text = anthropic_events("Yes.")
        at = next(number for number, (name, _) in enumerate(text) if name == "content_block_start")
        thinking = [
            of("content_block_start", index=7, content_block={**thought, "thinking": ""}),
            of("content_block_delta", index=7, delta={"type": "thinking_delta", "thinking": "Hm."}),
            of("content_block_stop", index=7),
            of("an_event_of_tomorrow", index=7),
        ]
        server.script(Reply(events=[*text[:at], *thinking, *text[at:]]))
    else:
        body = anthropic("Yes.")
        body["content"].insert(0, thought)
        body["content"].append({"type": "a_part_of_tomorrow"})
        server.script(Reply(body))
    assert ask(server, stream=stream) == "Yes."


def test_the_cache_is_a_part_of_the_input(server):
    counted = {
        "input_tokens": 10,
        "cache_read_input_tokens": 90,
        "cache_creation_input_tokens": 20,
        "output_tokens": 3,
    }
    server.script(Reply(anthropic("x", usage=counted)), Reply({**anthropic("x"), "usage": None}))
    assert ask(server).usage == Usage(input_tokens=120, output_tokens=3, cached_tokens=90)
    assert ask(server).usage is None


@pytest.mark.parametrize(
    ("stop", "how"),
    [
        ("max_tokens", "was cut"),
        ("model_context_window_exceeded", "was cut"),
        ("refusal", "was refused"),
        ("pause_turn", "is not whole"),
        ("a_reason_of_tomorrow", "is not whole"),
    ],
)
def test_an_answer_that_is_not_whole_is_an_error(stream, server, stop, how):
    server.script(reply("Half of", stream=stream, stop=stop))
    with pytest.raises(AnswerError, match=f"the answer {how}: the provider says '{stop}'"):
        ask(server, stream=stream)


@pytest.mark.parametrize("stop", ["end_turn", "stop_sequence", "tool_use"])
def test_an_answer_that_is_whole(stream, server, stop):
    server.script(reply("All of it.", stream=stream, stop=stop))
    assert ask(server, stream=stream) == "All of it."


@pytest.mark.parametrize("key", ["content", "stop_reason"])
@pytest.mark.parametrize("value", [None, 7, {}])
def test_messages_that_are_none(server, key, value):
    server.script(Reply({**anthropic("x"), key: value}))
    with pytest.raises(LLMUnavailableError, match=f"the answer's {key} "):
        ask(server)


@pytest.mark.parametrize("part", [7, {"type": "text"}, {"type": "tool_use", "id": "c"}, {"text": "x"}])
def test_parts_that_are_none(server, part):
    server.script(Reply({**anthropic("x"), "content": [part]}))
    with pytest.raises(LLMUnavailableError, match="the answer's "):
        ask(server)


def test_a_client_of_your_own_is_used_and_stays_open(server):
    async def asked():
        async with AsyncAnthropic(api_key="k", base_url=server.url, max_retries=2) as own:
            async with AnthropicClient("claude-x", client=own) as client:
                server.script(Reply({}, status=500, headers={"retry-after-ms": "1"}))
                assert await client.generate("hi") == "Hello."
            assert not own.is_closed()
            # A long answer is fine: the time-out is ours, so the SDK does not ask for a stream.
            assert await AnthropicClient("claude-x", client=own, max_tokens=64_000).generate("hi") == "Hello."

    asyncio.run(asked())
    assert len(server.requests) == 3


def test_without_the_sdk_the_error_names_the_extra(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **settings):
        if name == "anthropic":
            raise ImportError(name)
        return real(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'pycontext-layer\[anthropic\]'"):
        AnthropicClient("claude-x")


@pytest.mark.parametrize("trace", TRACES, ids=range(len(TRACES)))
@pytest.mark.parametrize("tokens", [600, 1_500, 100_000])
def test_what_is_kept_of_a_real_conversation_is_accepted(server, trace, tokens):
    """At every point at which a model would be asked: behind the user, or behind results."""
    messages = [{"role": "system", "content": "You mend phones."}, *trace["messages"]]
    asked = 0
    for end in range(2, len(messages) + 1):
        if messages[end - 1]["role"] != "assistant":
            kept = prune(to_blocks(messages[:end]), tokens, policy="recent").messages()
            check_anthropic({"model": "x", "max_tokens": 1, **messages_of(kept)})
            asked += 1
    assert asked > 20
    kept = prune(to_blocks(messages), tokens, policy="recent").messages()
    assert ask(server, kept, {"tools": [TOOL]}) == "Hello."
    [request] = server.requests
    calls = [part for said in request["messages"] for part in said["content"] if part["type"] == "tool_use"]
    assert len(calls) == sum(len(message.get("tool_calls") or ()) for message in kept)
