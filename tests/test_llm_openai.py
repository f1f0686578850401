"""What goes to OpenAI's chat completions API, and what is made of its answers."""

from __future__ import annotations

import asyncio
import builtins
import json
from importlib import resources

import pytest
from openai import AsyncOpenAI

from pycontext import prune
from pycontext.agents.client import LLMClient, ToolCall, Usage
from pycontext.agents.openai_client import OpenAIClient
from pycontext.errors import AnswerError, LLMRefusedError, LLMUnavailableError
from pycontext.messages.openai import to_blocks
from servers.llm import LLMServer, Reply, chunk, error_of, openai, openai_events
from servers.llm_rules import check_openai

TRACES = [
    json.loads(line)
    for line in (resources.files("pycontext") / "data/telecom_traces.jsonl").read_text("utf-8").splitlines()
]
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
CALLS = [("call_1", "look_up", '{"id": "ä1"}'), ("call_2", "ping", "{}")]


@pytest.fixture
def server():
    with LLMServer() as made:
        yield made


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request):
    return request.param


def ask(server, prompt="hi", options=None, **settings):
    async def asked():
        async with OpenAIClient("gpt-x", api_key="k", base_url=f"{server.url}/v1", **settings) as client:
            assert isinstance(client, LLMClient)
            return await client.generate(prompt, **(options or {}))

    return asyncio.run(asked())


def reply(text=None, *, stream=False, calls=(), stop="stop"):
    if stream:
        return Reply(events=openai_events(text or "", calls=calls, stop=stop))
    return Reply(openai(text, calls=calls, stop=stop))


def test_messages_go_as_they_are(server):
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
    ]
    ask(server, messages)
    ask(server, "Say\n hello ")
    assert server.requests[0]["messages"] == messages
    assert server.requests[1]["messages"] == [{"role": "user", "content": "Say\n hello "}]
    assert "max_completion_tokens" not in server.requests[1]


def test_options_of_a_call_go_before_those_of_the_client(server):
    ask(server, max_tokens=77)
    ask(server, options={"max_completion_tokens": 5, "model": "gpt-y", "temperature": 0.5}, max_tokens=77)
    limits = [request["max_completion_tokens"] for request in server.requests]
    assert limits == [77, 5]  # the older name, max_tokens, is refused by models that think
    assert (server.requests[1]["model"], server.requests[1]["temperature"]) == ("gpt-y", 0.5)
    with pytest.raises(LLMRefusedError, match="Unsupported parameter: 'max_tokens'"):
        ask(server, options={"max_tokens": 5}, max_tokens=77)


def test_only_a_stream_asks_for_its_usage(stream, server):
    ask(server, stream=stream)
    [request] = server.requests
    assert request.get("stream_options") == ({"include_usage": True} if stream else None)


def test_calls_come_back(stream, server):
    server.script(reply("Let me see.", stream=stream, calls=CALLS, stop="tool_calls"))
    answer = ask(server, options={"tools": [TOOL]}, stream=stream)
    assert answer == "Let me see."
    assert answer.tool_calls == tuple(ToolCall(*call) for call in CALLS)
    server.script(reply(None, stream=stream, calls=[("call_1", "look_up", "{nope")], stop="tool_calls"))
    answer = ask(server, stream=stream)
    assert answer == ""
    assert answer.tool_calls == (ToolCall("call_1", "look_up", "{nope"),)


def test_calls_of_custom_tools_come_back(stream, server):
    custom = {"id": "call_1", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    if stream:
        first = {**custom, "index": 0, "custom": {"name": "sql", "input": "select"}}
        more = {"index": 0, "custom": {"input": " 1"}}
        deltas = [{"role": "assistant", "content": None}, {"tool_calls": [first]}, {"tool_calls": [more]}]
        events = [chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        end = chunk([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}])
        server.script(Reply(events=[*events, end, (None, "[DONE]")]))
    else:
        body = openai(None, stop="tool_calls")
        body["choices"][0]["message"]["tool_calls"] = [custom]
        server.script(Reply(body))
    assert ask(server, stream=stream).tool_calls == (ToolCall("call_1", "sql", "select 1"),)


def test_usage_says_what_was_cached(server):
    counted = {
        "prompt_tokens": 100,
        "completion_tokens": 3,
        "total_tokens": 103,
        "prompt_tokens_details": {"cached_tokens": 64},
    }
    server.script(Reply(openai("x", usage=counted)), Reply({**openai("x"), "usage": None}))
    assert ask(server).usage == Usage(input_tokens=100, output_tokens=3, cached_tokens=64)
    assert ask(server).usage is None


@pytest.mark.parametrize(
    ("stop", "how"),
    [
        ("length", "was cut"),
        ("content_filter", "was refused"),
        ("function_call", "is not whole"),
        ("a_reason_of_tomorrow", "is not whole"),
    ],
)
def test_an_answer_that_is_not_whole_is_an_error(stream, server, stop, how):
    server.script(reply("Half of", stream=stream, stop=stop))
    with pytest.raises(AnswerError, match=f"the answer {how}: the provider says '{stop}'"):
        ask(server, stream=stream)


def test_a_refusal_is_an_error(stream, server):
    if stream:
        events = openai_events("")
        events[1:1] = [
            chunk([{"index": 0, "delta": {"refusal": said}, "finish_reason": None}]) for said in ("I ", "won't")
        ]
        server.script(Reply(events=events))
    else:
        server.script(Reply(openai(None, refusal="I won't")))
    with pytest.raises(AnswerError, match='the answer was refused: the model says "I won\'t"'):
        ask(server, stream=stream)


def test_a_server_that_does_not_say_how_a_whole_answer_ended(server):
    """Ollama does so. In a stream it would be the only sign of a cut, so there it is an error."""
    server.script(reply("All of it.", stop=None), reply("All of it.", stream=True, stop=None))
    assert ask(server) == "All of it."
    with pytest.raises(LLMUnavailableError, match="the stream ended before the answer did"):
        ask(server, stream=True)


def test_an_account_without_money_is_refused_for_good(server):
    """OpenAI says 429, as for a limit of the rate."""
    body = error_of("/v1/chat/completions", "insufficient_quota", "You exceeded your current quota")
    server.script(Reply(body, status=429), Reply(events=[*openai_events("x")[:2], (None, body)]))
    with pytest.raises(LLMRefusedError, match="429: 'You exceeded"):
        ask(server)
    with pytest.raises(LLMRefusedError, match="402: 'You exceeded"):
        ask(server, stream=True)


@pytest.mark.parametrize(
    ("code", "error"), [(400, LLMRefusedError), (503, LLMUnavailableError), (7, LLMUnavailableError)]
)
def test_other_servers_put_a_status_in_the_stream(server, code, error):
    broke = (None, {"error": {"message": "no", "type": "SomeError", "code": code}})
    server.script(Reply(events=[*openai_events("x")[:2], broke]))
    with pytest.raises(error, match="'no'"):
        ask(server, stream=True)


@pytest.mark.parametrize("choices", [None, 7, [], [7], [{}], [{"message": None}], [{"message": {"content": 7}}]])
def test_completions_that_are_none(server, choices):
    server.script(Reply({**openai("x"), "choices": choices}))
    with pytest.raises(LLMUnavailableError, match="the answer"):
        ask(server)


@pytest.mark.parametrize(
    "call",
    [
        7,
        {},
        {"id": "c", "function": None},
        {"id": "c", "function": {"name": "n"}},
        {"function": {"name": "n", "arguments": ""}},
    ],
)
def test_calls_that_are_none(server, call):
    body = openai("x", stop="tool_calls")
    body["choices"][0]["message"]["tool_calls"] = [call]
    server.script(Reply(body))
    with pytest.raises(LLMUnavailableError, match="the answer's "):
        ask(server)


@pytest.mark.parametrize(
    "delta", [7, {"content": 7}, {"tool_calls": 7}, {"tool_calls": [7]}, {"tool_calls": [{"function": {"name": "n"}}]}]
)
def test_chunks_that_are_none(server, delta):
    server.script(Reply(events=[chunk([{"index": 0, "delta": delta, "finish_reason": None}]), *openai_events("x")]))
    with pytest.raises(LLMUnavailableError, match="the answer's "):
        ask(server, stream=True)


def test_a_client_of_your_own_is_used_and_stays_open(server):
    async def asked():
        async with AsyncOpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=2) as own:
            async with OpenAIClient("gpt-x", client=own) as client:
                server.script(Reply({}, status=500, headers={"retry-after-ms": "1"}))
                assert await client.generate("hi") == "Hello."
            assert not own.is_closed()

    asyncio.run(asked())
    assert len(server.requests) == 2


def test_without_the_sdk_the_error_names_the_extra(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **settings):
        if name == "openai":
            raise ImportError(name)
        return real(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'pycontext-layer\[openai\]'"):
        OpenAIClient("gpt-x")


@pytest.mark.parametrize("trace", TRACES, ids=range(len(TRACES)))
@pytest.mark.parametrize("tokens", [600, 1_500, 100_000])
def test_what_is_kept_of_a_real_conversation_is_accepted(server, trace, tokens):
    """At every point at which a model would be asked: behind the user, or behind results."""
    messages = [{"role": "system", "content": "You mend phones."}, *trace["messages"]]
    asked = 0
    for end in range(2, len(messages) + 1):
        if messages[end - 1]["role"] != "assistant":
            kept = prune(to_blocks(messages[:end]), tokens, policy="recent").messages()
            check_openai({"model": "x", "messages": kept})
            asked += 1
    assert asked > 20
    kept = prune(to_blocks(messages), tokens, policy="recent").messages()
    assert ask(server, kept, {"tools": [TOOL]}) == "Hello."
    assert server.requests[0]["messages"] == kept
