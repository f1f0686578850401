"""A service on loopback for tests, and what speaks to it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import httpx

from models import Echo
from pycontext import ContextManager
from pycontext.agents import ContextAwareAgent
from pycontext.agents.coordinator import AgentCoordinator
from pycontext.service.http.server import start_service

KEY = "a-key-of-the-first-tenant"
JSON = {"Content-Type": "application/json"}
OTHER_KEY = "a-key-of-the-other-tenant"


class Gated:
    """A model that answers when it may."""

    def __init__(self):
        self.times = 0
        self.asked = asyncio.Semaphore(0)
        self.may = asyncio.Event()

    async def generate(self, _prompt, **_options):
        self.times += 1
        self.asked.release()
        await self.may.wait()
        return "at last"


def coordinator_of(model=None, *, store=None, max_tokens=8192, **options):
    """Two agents, `first` and `second`; who has the turn keeps it."""
    manager = ContextManager(max_tokens, store=store)
    model = Echo() if model is None else model
    agents = {
        name: ContextAwareAgent(model, f"{name}_role", manager, prompt=f"You are {name}.")
        for name in ("first", "second")
    }
    return AgentCoordinator(agents, manager, routes=lambda _values: None, **options)


def error_of(response):
    """Status and type of an error, which has one shape."""
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    return response.status_code, response.json()["error"]["type"]


@asynccontextmanager
async def served(coordinator=None, collector=None, *, key=None, **options):
    """A service, and a client of it."""
    async with await start_service(
        coordinator_of() if coordinator is None else coordinator, collector, port=0, **options
    ) as service:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=20) as client:
            yield service, client


async def raw(service, *parts, pause=0.0):
    """Send bytes as they are, and return the status, headers and body of what comes back until it is closed."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        head = await reader.readuntil(b"\r\n\r\n")
        status, _, rest = head.decode().partition("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in rest.strip().split("\r\n"))
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return int(status.split()[1]), headers, json.loads(body) if body else None
    finally:
        writer.close()
