"""Many conversations with the service over real HTTP: requests a second, and how long one takes.

The service is a process of its own, the clients are tasks of this one, on the same machine: its cores are shared. The
model answers at once, so that all time is the layer's, the store's and HTTP's. When it is done the store is opened
anew, and must hold every turn that was answered, in its session.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benches.page import machine
from pycontext import ContextManager, open_store
from pycontext.agents import ContextAwareAgent
from pycontext.agents.coordinator import AgentCoordinator
from pycontext.service.http.server import start_service


@dataclass(frozen=True)
class Load:
    """What was done, and how long it took.

    Attributes:
        sessions: conversations.
        turns: of each.
        clients: conversations at once.
        seconds: for all.
        turns_per_second: over all.
        p50_ms: of one turn, as its client sees it.
        p95_ms: of one turn, as its client sees it.
        lost: turns that were answered and are not in the store.
        machine: and the commit.
    """

    sessions: int
    turns: int
    clients: int
    seconds: float
    turns_per_second: float
    p50_ms: float
    p95_ms: float
    lost: int
    machine: str


class Echo:
    """Answers at once with what the last message said."""

    async def generate(self, prompt: Any, **_options: Any) -> str:
        await asyncio.sleep(0)
        return f"you said {prompt[-1]['content']}"


def serve(store: str, pipe: Connection) -> None:
    """Serve until the other end says something."""
    asyncio.run(serving(store, pipe))


async def serving(store: str, pipe: Connection) -> None:
    manager = ContextManager(store=store)
    agent = ContextAwareAgent(Echo(), "echo", manager, prompt="You repeat what was said.")
    async with await start_service(AgentCoordinator({"echo": agent}, manager), port=0) as service:
        pipe.send(service.url)
        await asyncio.to_thread(pipe.recv)


async def talk(client: httpx.AsyncClient, session_id: str, turns: int) -> list[float]:
    """Seconds of each turn of a conversation."""
    (await client.post("/v1/sessions", json={"session_id": session_id})).raise_for_status()
    times = []
    for turn in range(turns):
        message = {"message": f"{session_id} says {turn}", "message_id": f"m{turn}"}
        began = time.perf_counter()
        reply = await client.post(f"/v1/sessions/{session_id}/messages", json=message)
        times.append(time.perf_counter() - began)
        if reply.raise_for_status().json()["text"] != f"you said {message['message']}":
            raise SystemExit(f"session {session_id}: the reply to turn {turn} is that of another")
    return times


async def loaded(url: str, sessions: int, turns: int, clients: int) -> tuple[float, list[float]]:
    """Seconds of all, and of each turn."""

    async def one(first: int) -> list[float]:
        # A connection of its own: the pool that httpx shares between fifty is slower than the service.
        async with httpx.AsyncClient(base_url=url, timeout=120, verify=False) as client:
            times = [await talk(client, f"s{number}", turns) for number in range(first, sessions, clients)]
        return [each for own in times for each in own]

    began = time.perf_counter()
    times = await asyncio.gather(*(one(first) for first in range(clients)))
    return time.perf_counter() - began, [each for own in times for each in own]


def lost(store: str, sessions: int, turns: int) -> int:
    """Turns that are not in the store, or not in their place."""
    missing = 0
    with open_store(store) as opened:
        for number in range(sessions):
            texts = [block.content for block in opened.load(f"s{number}").blocks]
            missing += sum(
                texts[2 * turn : 2 * turn + 2] != [f"s{number} says {turn}", f"you said s{number} says {turn}"]
                for turn in range(turns)
            )
    return missing


def measure(sessions: int, turns: int, clients: int) -> Load:
    """Run it over SQLite."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{Path(folder) / 'sessions.db'}"
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(store, theirs))
        process.start()
        # So that a service which ends is an end of file here.
        theirs.close()
        try:
            seconds, times = asyncio.run(loaded(ours.recv(), sessions, turns, clients))
            ours.send("done")
            process.join()
        finally:
            process.terminate()
            process.join()
        cuts = statistics.quantiles(times, n=20)
        return Load(
            sessions,
            turns,
            clients,
            seconds,
            len(times) / seconds,
            statistics.median(times) * 1000,
            cuts[18] * 1000,
            lost(store, sessions, turns),
            " ".join(line.removeprefix("- ") for line in machine(["starlette", "uvicorn", "httpx"])),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.production.service_load", description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="print values only")
    options = parser.parse_args(arguments)
    load = measure(options.sessions, options.turns, options.clients)
    if options.json:
        print(json.dumps(asdict(load)))
    else:
        table = Table(title="The service over SQLite, real HTTP on loopback", caption=load.machine)
        for name in ("conversations", "turns of each", "at once", "turns/s", "p50 of a turn", "p95 of a turn", "lost"):
            table.add_column(name, justify="right")
        table.add_row(
            f"{load.sessions:,}",
            str(load.turns),
            str(load.clients),
            f"{load.turns_per_second:,.0f}",
            f"{load.p50_ms:.1f} ms",
            f"{load.p95_ms:.1f} ms",
            str(load.lost),
        )
        Console().print(table)
    return 1 if load.lost else 0


if __name__ == "__main__":
    sys.exit(main())
