"""What the service refuses, how long it works, and what errors become."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from models import Echo, Scripted, Stuck
from pycontext import (
    AnswerError,
    HopLimitError,
    LLMRefusedError,
    LLMTimeoutError,
    LLMUnavailableError,
    StoreUnavailableError,
)
from with_service import JSON, KEY, OTHER_KEY, Gated, coordinator_of, error_of, raw, served

BAD_BODIES = [
    b'{"message": "a", "message": "b"}',
    b'{"message": NaN}',
    b'{"message": ' + b"9" * 5000 + b"}",
    b"[" * 500 + b"]" * 500,
    b'{"message": "a"',
    b'{"message": "\xff"}',
    b'["a"]',
    b"null",
    b'{"message": 7}',
    b'{"message": "a", "metadata": {"k": 7}}',
    b'{"message": "a", "extra": 1}',
    b'{"message": "a", "message_id": ""}',
    b'{"message": "a", "message_id": null}',
    b'{"message": "\\ud800"}',
    b"",
]


def test_a_bad_body_is_refused_and_nothing_is_added():
    async def send():
        async with served(max_body_bytes=6000) as (_, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            for content in BAD_BODIES:
                refused = await client.post("/v1/sessions/s/messages", content=content, headers=JSON)
                assert error_of(refused) == (400, "ValidationError"), content
                assert len(refused.text) < 400
            large = b'{"message": "' + b"a" * 6000 + b'"}'
            refused = await client.post("/v1/sessions/s/messages", content=large, headers=JSON)
            assert error_of(refused) == (413, "BodyTooLarge")
            assert (await client.get("/v1/sessions/s")).json()["blocks"] == 0

    asyncio.run(send())


HEAD = b"POST /v1/sessions/s/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_a_body_is_measured_while_it_comes():
    async def send():
        async with served(max_body_bytes=1000) as (service, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            chunk = b"100\r\n" + b" " * 256 + b"\r\n"
            chunked = await raw(service, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 5, pause=0.01)
            declared = await raw(service, HEAD + b"Content-Length: 1001\r\n\r\n")
            for status, headers, body in (chunked, declared):
                assert (status, body["error"]["type"]) == (413, "BodyTooLarge")
                assert headers["connection"] == "close"

    asyncio.run(send())


def test_a_body_that_ends_early_or_never_comes_breaks_nothing():
    async def send():
        async with served(most_seconds=0.3) as (service, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            host, _, port = service.url.removeprefix("http://").partition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(HEAD + b'Content-Length: 100\r\n\r\n{"message":')
            await writer.drain()
            writer.close()
            status, _, body = await raw(service, HEAD + b'Content-Length: 100\r\n\r\n{"message":')
            assert (status, body["error"]["type"]) == (408, "Timeout")
            assert (await client.get("/v1/sessions/s")).json()["blocks"] == 0

    asyncio.run(send())


def test_media_types_methods_paths_and_queries_are_checked():
    async def send():
        async with served() as (_, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            content = b'{"message": "hi"}'
            kinds = ["text/plain", "application/json; charset=latin-1", "application/jsonx", ""]
            for kind in kinds:
                refused = await client.post("/v1/sessions/s/messages", content=content, headers={"Content-Type": kind})
                assert error_of(refused) == (415, "UnsupportedMediaType")
            packed = await client.post(
                "/v1/sessions/s/messages", content=content, headers={**JSON, "Content-Encoding": "gzip"}
            )
            assert error_of(packed) == (415, "UnsupportedMediaType")
            wrong = await client.put("/v1/sessions/s")
            assert error_of(wrong) == (405, "MethodNotAllowed")
            assert wrong.headers["allow"] == "DELETE, GET"
            for path in ("/", "/v1/sessions/", "/v1/sessions/s/", "/v2/sessions", "/docs"):
                assert error_of(await client.get(path)) == (404, "NotFound")
            queries = ["budget=0", "budget=1&budget=2", "budget=x", "budget=1e3", "budget=%D9%A3", "nope=1"]
            queries += ["render=html", "policy=nope", "budget=" + "9" * 5000]
            for query in queries:
                refused = await client.get(f"/v1/sessions/s/prompt?{query}")
                assert error_of(refused) == (400, "ValidationError")
            assert error_of(await client.get("/v1/sessions/a%0Ab")) == (400, "ValidationError")
            assert (await client.head("/health")).status_code == 200

    asyncio.run(send())


ERRORS = [
    (LLMRefusedError("key sk-secret is wrong"), 502, None),
    (LLMUnavailableError("sk-secret", 7.2), 503, "8"),
    (LLMUnavailableError("sk-secret", float("inf")), 503, "1"),
    (LLMUnavailableError("sk-secret"), 503, "1"),
    (LLMTimeoutError("sk-secret"), 504, None),
    (AnswerError("sk-secret"), 502, None),
    (HopLimitError("sk-secret"), 502, None),
    (StoreUnavailableError("redis://sk-secret"), 503, "1"),
    (RuntimeError("sk-secret"), 500, None),
    (TimeoutError("sk-secret"), 500, None),
]


def test_errors_behind_the_service_have_a_status_and_keep_their_words():
    model = Scripted()

    async def send():
        async with served(coordinator_of(model)) as (_, client):
            for number, (error, status, retry_after) in enumerate(ERRORS):
                model.answers = [error, "after all"]
                path = f"/v1/sessions/s{number}"
                await client.post("/v1/sessions", json={"session_id": f"s{number}"})
                message = {"message": "hi", "message_id": "m"}
                failed = await client.post(f"{path}/messages", json=message)
                name = "InternalError" if status == 500 else type(error).__name__
                assert error_of(failed) == (status, name)
                assert failed.headers.get("retry-after") == retry_after
                assert "sk-secret" not in failed.text
                # The message was kept: sent again, the turn goes on.
                again = await client.post(f"{path}/messages", json=message)
                assert again.json()["text"] == "after all"
                assert (await client.get(path)).json()["blocks"] == 2

    asyncio.run(send())


def test_a_message_that_can_never_fit_is_refused_with_numbers():
    async def send():
        async with served(coordinator_of(max_tokens=50)) as (_, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            refused = await client.post("/v1/sessions/s/messages", json={"message": "word " * 100})
            assert error_of(refused) == (422, "BudgetExceededError")
            assert refused.json()["error"]["needed"] > refused.json()["error"]["available"]

    asyncio.run(send())


def test_a_turn_that_takes_too_long_is_cancelled_and_can_be_taken_up():
    async def send():
        model = Stuck()
        coordinator = coordinator_of(model)
        async with served(coordinator, most_seconds=0.2) as (_, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            late = await client.post("/v1/sessions/s/messages", json={"message": "hi", "message_id": "m"})
            assert error_of(late) == (504, "Timeout")
            assert model.given_up
            assert coordinator.concurrency.held == 0
            blocks = (await client.get("/v1/sessions/s/blocks")).json()["blocks"]
            assert [block["content"] for block in blocks] == ["hi"]

    asyncio.run(send())


def test_a_client_that_goes_leaves_the_turn_to_be_found():
    async def send():
        model = Gated()
        coordinator = coordinator_of(model)
        async with served(coordinator) as (_, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            message = {"message": "hi", "message_id": "m"}
            with pytest.raises(httpx.ReadTimeout):
                await client.post("/v1/sessions/s/messages", json=message, timeout=0.2)
            model.may.set()
            reply = await client.post("/v1/sessions/s/messages", json=message)
            assert reply.json()["text"] == "at last"
            # The first one went on alone: the model was asked once.
            assert model.times == 1

    asyncio.run(send())


def test_too_many_turns_of_one_namespace_keep_no_other_waiting():
    async def send():
        model = Gated()
        tenants = {"a": coordinator_of(model), "b": coordinator_of(Echo())}
        keys = {KEY: "a", OTHER_KEY: "b"}
        async with served(tenants, api_keys=keys, key=KEY, most_turns=2) as (_, client):
            for name in "xyz":
                await client.post("/v1/sessions", json={"session_id": name})
            turns = [
                asyncio.create_task(client.post(f"/v1/sessions/{name}/messages", json={"message": "hi"}))
                for name in "xy"
            ]
            for _ in turns:
                await model.asked.acquire()
            third = await client.post("/v1/sessions/z/messages", json={"message": "hi"})
            assert error_of(third) == (503, "Busy")
            assert third.headers["retry-after"] == "1"
            # Looking is no turn, and does not wait for one.
            assert (await client.get("/v1/sessions/x")).json()["blocks"] == 1
            other = {"Authorization": f"Bearer {OTHER_KEY}"}
            await client.post("/v1/sessions", json={"session_id": "x"}, headers=other)
            reply = await client.post("/v1/sessions/x/messages", json={"message": "hi"}, headers=other)
            assert reply.status_code == 200
            model.may.set()
            assert [turn.status_code for turn in await asyncio.gather(*turns)] == [200, 200]
            assert (await client.post("/v1/sessions/z/messages", json={"message": "hi"})).status_code == 200

    asyncio.run(send())


def test_a_block_waits_for_the_turn_that_is_underway():
    async def add():
        model = Gated()
        async with served(coordinator_of(model)) as (_, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            turn = asyncio.create_task(client.post("/v1/sessions/s/messages", json={"message": "hi"}))
            await model.asked.acquire()
            block = {"type": "MEMORY", "content": "later"}
            adding = asyncio.create_task(client.post("/v1/sessions/s/blocks", json=block))
            done, _ = await asyncio.wait([adding], timeout=0.2)
            assert not done
            model.may.set()
            assert [(await task).status_code for task in (turn, adding)] == [200, 201]
            blocks = (await client.get("/v1/sessions/s/blocks")).json()["blocks"]
            assert [one["content"] for one in blocks] == ["hi", "at last", "later"]

    asyncio.run(add())
