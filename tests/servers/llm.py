"""A server that speaks the APIs of Anthropic and OpenAI over HTTP, with the faults of real ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from servers.child import until
from servers.llm_rules import RefusedError, check_anthropic, check_openai

SECONDS = 15


@dataclass
class Reply:
    """What the server does with one request.

    Args:
        body: JSON, or bytes as they are.
        status: of the answer.
        headers: more of them.
        events: a stream instead of a body: `(name, JSON)` each, bytes as they are.
        delay: seconds before the answer begins.
        pause: seconds before each event.
        cut: after so many events, or before the body, the connection is reset; the client was promised more.
        ends: after so many events the stream ends as if it were whole.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    events: list[Any] | None = None
    delay: float = 0.0
    pause: float = 0.0
    cut: int | None = None
    ends: int | None = None


class LLMServer:
    """Answers on loopback, request by request, as `script` says; without a script it says "Hello."."""

    def __init__(self):
        # The body of each request, with the path and the headers.
        self.requests = []
        # Requests whose client went away before its answer was over.
        self.dropped = 0
        self.connections = 0
        self._replies = deque()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="llm", daemon=True)
        self._thread.start()
        self._links = set()
        self._server = self._do(asyncio.start_server(self._serve, sock=self._socket))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def script(self, *replies):
        self._replies.extend(replies)

    def wait_for_drop(self, times=1):
        until(lambda: self.dropped >= times, "the client closes its connection", seconds=SECONDS)

    def wait_for_request(self, times=1):
        until(lambda: len(self.requests) >= times, "a request", seconds=SECONDS)

    def close(self):
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    async def _close(self):
        self._server.close()
        for link in list(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        await asyncio.sleep(0)  # transports close their sockets one step later

    async def _serve(self, reader, writer):
        link = asyncio.current_task()
        self._links.add(link)
        self.connections += 1
        try:
            while request := await read_request(reader):
                await self._answer(reader, writer, *request)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went, or was cut off
        except asyncio.CancelledError:
            pass  # the server closes
        finally:
            self._links.discard(link)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, reader, writer, path, headers, body):
        self.requests.append({"path": path, "headers": headers, **body})
        is_anthropic = path == "/v1/messages"
        try:
            (check_anthropic if is_anthropic else check_openai)(body)
        except RefusedError as error:
            reply = Reply(error_of(path, "invalid_request_error", str(error)), status=400)
        else:
            reply = self._replies.popleft() if self._replies else said("Hello.", path, stream=body.get("stream"))
        going = asyncio.create_task(reader.read(1))
        sending = asyncio.create_task(send(writer, reply))
        try:
            await asyncio.wait({going, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
                return
            # The client speaks only when it has its answer: what comes is its end.
            self.dropped += 1
            raise ConnectionError
        finally:
            for task in (going, sending):
                task.cancel()
            await asyncio.gather(going, sending, return_exceptions=True)


async def read_request(reader):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
    body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}")
    return first.split()[1], headers, body


async def send(writer, reply):
    await asyncio.sleep(reply.delay)
    if reply.cut == 0 and reply.events is None:
        return reset(writer)
    if reply.events is not None:
        return await send_events(writer, reply)
    raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    kind = "text/html" if isinstance(reply.body, bytes) else "application/json"
    headers = {"content-type": kind, "content-length": str(len(raw)), **reply.headers}
    writer.write(head(reply.status, headers) + raw[: reply.cut])
    await writer.drain()
    return reset(writer) if reply.cut is not None else None


async def send_events(writer, reply):
    writer.write(head(reply.status, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
    for number, event in enumerate(reply.events[: reply.ends]):
        if number == reply.cut:
            await writer.drain()
            await asyncio.sleep(0.05)  # what was written arrives before the reset
            return reset(writer)
        await asyncio.sleep(reply.pause)
        raw = event if isinstance(event, bytes) else written(*event)
        writer.write(b"%x\r\n%b\r\n" % (len(raw), raw))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    return await writer.drain()


def written(name, data):
    raw = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {raw}\n\n".encode()


def head(status, headers):
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def reset(writer):
    writer.transport.abort()
    raise ConnectionError


def error_of(path, kind, message):
    """The body of an error, in the form of the API at this path."""
    if path == "/v1/messages":
        return {"type": "error", "error": {"type": kind, "message": message}}
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def said(text, path, *, stream=False):
    if path == "/v1/messages":
        return Reply(events=anthropic_events(text)) if stream else Reply(anthropic(text))
    return Reply(events=openai_events(text)) if stream else Reply(openai(text))


def anthropic(text="", *, calls=(), stop="end_turn", usage=None):
    """A message of Anthropic's API; calls are `(id, name, input)`."""
    content = [{"type": "text", "text": text}] if text else []
    content += [{"type": "tool_use", "id": id_, "name": name, "input": said} for id_, name, said in calls]
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": content,
        "stop_reason": stop, "stop_sequence": None, "usage": usage or {"input_tokens": 10, "output_tokens": 5},
    }  # fmt: skip


def anthropic_events(text="", *, calls=(), stop="end_turn"):
    """The same as a stream: texts by words, arguments by five characters."""
    whole = {**anthropic(stop=None), "usage": {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 90}}
    events = [("message_start", {"type": "message_start", "message": whole}), ("ping", {"type": "ping"})]
    parts = [({"type": "text", "text": ""}, "text_delta", "text", split(text))] if text else []
    for id_, name, arguments in calls:
        begun = {"type": "tool_use", "id": id_, "name": name, "input": {}}
        pieces = [arguments[at : at + 5] for at in range(0, len(arguments), 5)]
        parts.append((begun, "input_json_delta", "partial_json", pieces))
    for index, (begun, kind, key, pieces) in enumerate(parts):
        events.append(of("content_block_start", index=index, content_block=begun))
        events += [of("content_block_delta", index=index, delta={"type": kind, key: piece}) for piece in pieces]
        events.append(of("content_block_stop", index=index))
    ended = {"stop_reason": stop, "stop_sequence": None}
    return [*events, of("message_delta", delta=ended, usage={"output_tokens": 7}), of("message_stop")]


def of(kind, **fields):
    return kind, {"type": kind, **fields}


def split(text):
    return [word + " " for word in text.split(" ")[:-1]] + text.split(" ")[-1:]


def openai(text=None, *, calls=(), stop="stop", refusal=None, usage=None):
    """A chat completion of OpenAI's API; calls are `(id, name, arguments)`."""
    made = [{"id": id_, "type": "function", "function": {"name": name, "arguments": said}} for id_, name, said in calls]
    message = {"role": "assistant", "content": text, "refusal": refusal, **({"tool_calls": made} if made else {})}
    counted = usage or {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-x",
        "choices": [{"index": 0, "message": message, "finish_reason": stop}], "usage": counted,
    }  # fmt: skip


def openai_events(text="", *, calls=(), stop="stop"):
    """The same as a stream."""
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in (split(text) if text else ()))]
    for index, (id_, name, arguments) in enumerate(calls):
        begun = {"index": index, "id": id_, "type": "function", "function": {"name": name, "arguments": ""}}
        pieces = [arguments[at : at + 5] for at in range(0, len(arguments), 5)]
        more = [{"index": index, "function": {"arguments": piece}} for piece in pieces]
        deltas += [{"tool_calls": [piece]} for piece in (begun, *more)]
    events = [chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    events.append(chunk([{"index": 0, "delta": {}, "finish_reason": stop}]))
    details = {"cached_tokens": 90}
    counted = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107, "prompt_tokens_details": details}
    return [*events, chunk([], usage=counted), (None, "[DONE]")]


def chunk(choices, **fields):
    made = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x", "choices": choices}
    return None, {**made, **fields}
