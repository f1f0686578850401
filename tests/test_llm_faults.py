"""What goes wrong between a client and its provider, with both SDKs over real HTTP."""

from __future__ import annotations

import asyncio
import time
import traceback
from email.utils import formatdate

import pytest

from pycontext.agents.anthropic_client import AnthropicClient
from pycontext.agents.fault import retry_after
from pycontext.agents.openai_client import OpenAIClient
from pycontext.errors import (
    AnswerError,
    LLMRefusedError,
    LLMTimeoutError,
    LLMUnavailableError,
    ValidationError,
)
from servers.llm import LLMServer, Reply, anthropic, anthropic_events, error_of, openai, openai_events, written
from servers.ports import free_port

KEY = "sk-very-secret-0123456789"
PATHS = {AnthropicClient: "/v1/messages", OpenAIClient: "/v1/chat/completions"}
LONG = "one two three four five six seven eight"


@pytest.fixture
def server():
    with LLMServer() as made:
        yield made


@pytest.fixture(params=[AnthropicClient, OpenAIClient])
def kind(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request):
    return request.param


def opened(kind, server, **settings):
    url = server.url if kind is AnthropicClient else f"{server.url}/v1"
    return kind("model-x", **{"api_key": KEY, "base_url": url, **settings})


def ask(kind, server, prompt="hi", options=None, **settings):
    async def asked():
        async with opened(kind, server, **settings) as client:
            return await client.generate(prompt, **(options or {}))

    return asyncio.run(asked())


def failed(error, kind, server, **settings):
    with pytest.raises(error) as caught:
        ask(kind, server, **settings)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return caught.value


def whole(kind, text):
    return anthropic(text) if kind is AnthropicClient else openai(text)


def events(kind, text=LONG, **fields):
    return (anthropic_events if kind is AnthropicClient else openai_events)(text, **fields)


def test_a_client_tries_once_and_says_what_it_is_asked_with(kind, stream, server):
    answer = ask(kind, server, stream=stream, options={"metadata": {"user_id": "u1"}})
    assert answer == "Hello."
    [request] = server.requests
    assert (request["path"], request["model"], request["metadata"]) == (PATHS[kind], "model-x", {"user_id": "u1"})
    assert request["headers"]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_unavailable(kind, stream, server, status):
    server.script(Reply(error_of(PATHS[kind], "some_error", "come\nback later"), status=status))
    error = failed(LLMUnavailableError, kind, server, stream=stream)
    assert str(status) in str(error)
    assert "come\\nback later" in str(error)
    assert error.retry_after_seconds is None
    assert error.__cause__ is not None
    assert len(server.requests) == 1  # the SDK's own retries are off


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_what_will_not_pass_is_refused(kind, stream, server, status):
    server.script(Reply(error_of(PATHS[kind], "some_error", "x" * 1000), status=status))
    error = failed(LLMRefusedError, kind, server, stream=stream)
    assert f"status {status}: 'xxx" in str(error)
    assert len(str(error)) < 300
    assert len(server.requests) == 1


def test_a_body_that_is_no_json_still_has_its_status(kind, server):
    server.script(Reply(b"<html>Bad Gateway</html>", status=502), Reply(b"", status=404))
    assert "status 502" in str(failed(LLMUnavailableError, kind, server))
    assert "status 404" in str(failed(LLMRefusedError, kind, server))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "in a while"}, None),
        ({"retry-after": "1e300"}, 31_536_000),
    ],
)
def test_a_provider_says_when_to_come_back(kind, server, headers, seconds):
    server.script(Reply(error_of(PATHS[kind], "rate_limit_error", "slow"), status=429, headers=headers))
    assert failed(LLMUnavailableError, kind, server).retry_after_seconds == seconds


def test_it_may_say_so_with_a_date():
    now = 1_800_000_000.0
    assert retry_after({"retry-after": formatdate(now + 90, usegmt=True)}, now) == 90
    assert retry_after({"retry-after": formatdate(now - 90, usegmt=True)}, now) == 0
    assert retry_after({"retry-after": "Tue, 99 Nov 2026 00:00:00 GMT"}, now) is None
    assert retry_after({}, now) is None


def test_a_provider_that_forbids_to_come_back_is_believed(kind, server):
    refused = error_of(PATHS[kind], "rate_limit_error", "no more today")
    server.script(Reply(refused, status=429, headers={"x-should-retry": "false"}))
    failed(LLMRefusedError, kind, server)
    server.script(Reply(refused, status=400, headers={"x-should-retry": "true"}))
    failed(LLMUnavailableError, kind, server)


def test_nobody_listens(kind, stream):
    class Nobody:
        url = f"http://127.0.0.1:{free_port()}"

    assert "ConnectError" in str(failed(LLMUnavailableError, kind, Nobody, stream=stream))


@pytest.mark.parametrize("cut", [0, 1, 60])
def test_a_connection_that_is_cut_before_the_answer_is_whole(kind, server, cut):
    server.script(Reply(whole(kind, "x" * 500), cut=cut))
    failed(LLMUnavailableError, kind, server)


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b"", b"null", b"[]", b'{"error": 1}', b'{"a'])
@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
def test_an_answer_that_is_none(kind, stream, server, body, content_type):
    server.script(Reply(body, headers={"content-type": content_type}))
    failed(LLMUnavailableError, kind, server, stream=stream)


def test_a_stream_returns_the_whole_answer_and_tells_its_pieces(kind, server):
    heard, awaited = [], []

    async def listen(text):
        await asyncio.sleep(0)
        awaited.append(text)

    server.script(Reply(events=events(kind)), Reply(events=events(kind)))
    answer = ask(kind, server, stream=True, on_text=heard.append)
    assert answer == "".join(heard) == LONG
    assert len(heard) == 8
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cached_tokens) == (100, 7, 90)
    assert ask(kind, server, stream=True, on_text=listen) == "".join(awaited) == LONG


def test_a_stream_that_breaks_anywhere_is_never_an_answer(kind, server):
    """Reset or ended as if it were whole: before the provider says how the answer ended, there is none."""
    made = events(kind)
    ends_at = next(at for at, (_, data) in enumerate(made) if '_reason": "' in str(written(None, data)))
    for number in range(ends_at + 1):
        server.script(Reply(events=made, cut=number), Reply(events=made, ends=number))
        failed(LLMUnavailableError, kind, server, stream=True)
        error = failed(LLMUnavailableError, kind, server, stream=True)
        assert str(error) == "the stream ended before the answer did"


@pytest.mark.parametrize("garbage", [b"data: {nope\n\n", b"event: x\ndata: \xff\xfe\n\n", b'data: "text"\n\n'])
def test_garbage_in_a_stream(kind, server, garbage):
    made = events(kind)
    named = garbage.replace(b"data: ", b"event: message_start\ndata: ", 1)
    server.script(Reply(events=[*made[:3], named, *made[3:5]]))
    failed(LLMUnavailableError, kind, server, stream=True)


def in_stream(kind, error_kind, message):
    body = error_of(PATHS[kind], error_kind, message)
    return Reply(events=[*events(kind)[:4], ("error", body)])


@pytest.mark.parametrize("name", ["overloaded_error", "server_error", "rate_limit_error", "a_new_error"])
def test_a_stream_that_says_why_it_breaks_off(kind, server, name):
    """The SDKs raise it with the status 200 of the answer that had begun."""
    server.script(in_stream(kind, name, "Over"))
    assert "'Over'" in str(failed(LLMUnavailableError, kind, server, stream=True))


@pytest.mark.parametrize("name", ["invalid_request_error", "authentication_error"])
def test_a_stream_that_says_that_it_is_refused(kind, server, name):
    server.script(in_stream(kind, name, "No"))
    assert "'No'" in str(failed(LLMRefusedError, kind, server, stream=True))


def test_an_answer_that_does_not_come(kind, stream, server):
    server.script(Reply(whole(kind, "late"), delay=30))
    error = failed(LLMTimeoutError, kind, server, stream=stream, timeout_seconds=0.2)
    assert isinstance(error, TimeoutError)
    server.wait_for_drop()


def test_a_stream_that_trickles_is_over_in_time(kind, server):
    server.script(Reply(events=events(kind, "word " * 200), pause=0.05))
    heard = []
    failed(LLMTimeoutError, kind, server, stream=True, timeout_seconds=0.6, on_text=heard.append)
    assert heard  # each wait by itself was short
    server.wait_for_drop()


def test_a_timeout_of_a_single_read(kind, server):
    """The SDK of Anthropic does not wrap it once a stream has begun."""
    server.script(Reply(events=events(kind), pause=20))
    failed_with = {"options": {"timeout": 0.2}, "stream": True, "timeout_seconds": 10}
    failed(LLMTimeoutError, kind, server, **failed_with)


def test_cancelled_means_cancelled_and_the_connection_closes(kind, stream, server):
    server.script(
        Reply(events=events(kind, "word " * 200), pause=0.05) if stream else Reply(whole(kind, "x"), delay=30)
    )

    async def cancelled():
        async with opened(kind, server, stream=stream) as client:
            task = asyncio.create_task(client.generate("hi"))
            await asyncio.to_thread(server.wait_for_request)
            await asyncio.sleep(0.2)
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < 5
            await asyncio.to_thread(server.wait_for_drop)
            # The client goes on as if nothing had been.
            assert await client.generate("hi") == "Hello."

    asyncio.run(cancelled())


def test_what_a_listener_raises_passes_and_ends_the_stream(kind, server):
    def fail(text):
        raise TimeoutError(text)

    async def asked():
        async with opened(kind, server, stream=True, on_text=fail) as client:
            with pytest.raises(TimeoutError, match="one") as caught:
                await client.generate("hi")
            assert type(caught.value) is TimeoutError
            # The error still holds the stream, and the client is open: the connection closes nevertheless.
            await asyncio.to_thread(server.wait_for_drop)

    server.script(Reply(events=events(kind, "one " * 200), pause=0.05))
    asyncio.run(asked())


def test_a_key_that_the_provider_repeats_is_not_repeated_by_us(kind, server):
    server.script(Reply(error_of(PATHS[kind], "authentication_error", f"bad key {KEY} or sk-ot***her"), status=401))
    error = failed(LLMRefusedError, kind, server)
    assert str(error).endswith("status 401: 'bad key <key> or <key>'")
    assert error.__cause__ is None  # the SDK's error has the whole body


@pytest.mark.parametrize("key", ["sk-secret-one\n", "sk-secret\none", "schlüssel-secret", "", 7])
def test_a_key_that_no_header_can_carry(kind, server, key):
    with pytest.raises(ValidationError, match="api_key is not of printable ASCII") as caught:
        ask(kind, server, api_key=key)
    assert "secret" not in str(caught.value)


def test_a_key_of_the_environment_that_no_header_can_carry(kind, server, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret-one\nsecond")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-one\nsecond")
    with pytest.raises(LLMRefusedError) as caught:
        ask(kind, server, api_key=None)
    assert "secret-one" not in "".join(traceback.format_exception(caught.value))
    assert not server.requests


def test_no_key_at_all(kind, server, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LLMRefusedError, match=r"cannot be asked: .*_API_KEY"):
        ask(kind, server, api_key=None)


def test_an_address_that_is_none(kind):
    class Nowhere:
        url = "gopher://127.0.0.1"

    failed(LLMRefusedError, kind, Nowhere)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"timeout_seconds": 0}, "timeout_seconds 0 is not a number"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds nan is not a number"),
        ({"timeout_seconds": True}, "timeout_seconds True is not a number"),
        ({"max_tokens": 0}, "max_tokens 0 is not a whole number from 1"),
        ({"stream": 1}, "stream 1 is neither True nor False"),
        ({"on_text": print}, "on_text .* stream is not True"),
        ({"on_text": 7, "stream": True}, "on_text 7 is no function"),
        ({"base_url": 7}, "base_url 7 is int"),
        ({"client": object()}, "there is one already"),
    ],
)
def test_settings_that_are_none(kind, server, settings, text):
    with pytest.raises(ValidationError, match=text):
        opened(kind, server, **settings)
    with pytest.raises(ValidationError, match="model ' ' is not"):
        kind(" ")


@pytest.mark.parametrize("prompt", [[], None, 7, {"role": "user"}])
def test_prompts_that_are_none(kind, server, prompt):
    with pytest.raises(ValidationError, match=r"prompt .* is neither text nor a list"):
        ask(kind, server, prompt)
    assert not server.requests


def test_options_that_nobody_knows(kind, server):
    with pytest.raises(TypeError, match="colour"):
        ask(kind, server, options={"colour": "red"})
    with pytest.raises(ValidationError, match="option stream is set by"):
        ask(kind, server, options={"stream": True})
    assert not server.requests
    # What the SDK lets through, the provider refuses.
    with pytest.raises(LLMRefusedError, match="colour"):
        ask(kind, server, options={"extra_body": {"colour": "red"}})


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_answer_is_an_error(kind, stream, server, text):
    server.script(Reply(events=events(kind, text)) if stream else Reply(whole(kind, text)))
    with pytest.raises(AnswerError, match="the answer is empty"):
        ask(kind, server, stream=stream)


def test_a_client_lives_in_one_loop_after_the_other(kind, server):
    client = opened(kind, server)

    async def asked():
        async with client:
            return await client.generate("hi")

    assert [asyncio.run(asked()), asyncio.run(asked())] == ["Hello.", "Hello."]


def test_many_requests_share_connections(kind, stream, server):
    async def asked():
        async with opened(kind, server, stream=stream) as client:
            return [await client.generate("hi") for _ in range(5)]

    assert asyncio.run(asked()) == ["Hello."] * 5
    assert server.connections == 1
