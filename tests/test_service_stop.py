"""How the service stops: nothing that was answered is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

import httpx
import pytest

from models import Scripted, Stuck
from pycontext.service.http.server import start_service
from with_service import Gated, coordinator_of, error_of, served


def test_a_stop_refuses_what_comes_and_ends_what_is_underway():
    async def stop():
        model = Gated()
        coordinator = coordinator_of(model)
        async with served(coordinator) as (service, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            turn = asyncio.create_task(client.post("/v1/sessions/s/messages", json={"message": "hi"}))
            await model.asked.acquire()
            stopping = asyncio.create_task(service.stop())
            await asyncio.sleep(0.05)
            refused = await client.get("/v1/sessions/s")
            assert error_of(refused) == (503, "Stopping")
            assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
            assert error_of(await client.get("/ready")) == (503, "NotReady")
            assert (await client.get("/health")).status_code == 200
            assert not stopping.done()
            model.may.set()
            assert (await turn).json()["text"] == "at last"
            await stopping
            await service.wait()
            with pytest.raises(httpx.ConnectError):
                await client.get("/health")
            # It is over for whoever asks again.
            await service.stop()

    asyncio.run(stop())


def test_not_ready_comes_before_refusing():
    async def stop():
        async with served(lead_seconds=0.5) as (service, client):
            stopping = asyncio.create_task(service.stop())
            await asyncio.sleep(0.05)
            assert error_of(await client.get("/ready")) == (503, "NotReady")
            assert (await client.post("/v1/sessions")).status_code == 201
            await stopping

    asyncio.run(stop())


def test_what_takes_longer_than_the_grace_is_cancelled_told_and_kept(tmp_path):
    async def stop():
        model = Stuck()
        url = f"sqlite:///{tmp_path}/a.db"
        async with served(coordinator_of(model, store=url), grace_seconds=0.2) as (service, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            message = {"message": "hi", "message_id": "m"}
            turn = asyncio.create_task(client.post("/v1/sessions/s/messages", json=message))
            await model.asked.wait()
            await service.stop()
            assert error_of(await turn) == (503, "Stopping")
            assert model.given_up
        # The next process goes on with it.
        async with served(coordinator_of(Scripted("after all"), store=url)) as (_, client):
            assert (await client.post("/v1/sessions/s/messages", json=message)).json()["text"] == "after all"
            assert (await client.get("/v1/sessions/s")).json()["blocks"] == 2

    asyncio.run(stop())


def test_who_is_cancelled_while_it_stops_does_not_stop_the_stop():
    async def stop():
        model = Gated()
        async with served(coordinator_of(model)) as (service, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            turn = asyncio.create_task(client.post("/v1/sessions/s/messages", json={"message": "hi"}))
            await model.asked.acquire()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(service.stop(), 0.05)
            model.may.set()
            assert (await turn).status_code == 200
            await asyncio.wait_for(service.wait(), 5)

    asyncio.run(stop())


def test_a_signal_stops_it_and_the_handlers_are_as_before():
    before = signal.getsignal(signal.SIGTERM)

    async def stop():
        async with served() as (service, client):
            until = asyncio.create_task(service.serve_until_signal())
            await asyncio.sleep(0.05)
            assert (await client.get("/health")).status_code == 200
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(until, 5)
            with pytest.raises(httpx.ConnectError):
                await client.get("/health")

    asyncio.run(stop())
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_port_that_is_taken_is_an_error_and_not_the_end_of_the_program():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        asyncio.run(start_service(coordinator_of(), port=taken.getsockname()[1]))


def test_what_listens_is_known_as_tcp(monkeypatch):
    """Asyncio sends small responses at once on such sockets only; on others each waits for the client's 40 ms."""
    listeners = []
    create_server = asyncio.base_events.BaseEventLoop.create_server

    def noted(*arguments, sock=None, **options):
        listeners.append(sock)
        return create_server(*arguments, sock=sock, **options)

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "create_server", noted)

    async def serve():
        async with served():
            assert [listener.proto for listener in listeners] == [socket.IPPROTO_TCP]

    asyncio.run(serve())


@pytest.mark.parametrize(("module", "library"), [("starlette.applications", "starlette"), ("uvicorn", "uvicorn")])
def test_without_the_extra_its_name_is_told_and_nothing_listens(monkeypatch, module, library):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"needs {library}: pip install 'pycontext-layer\[service\]'"):
        asyncio.run(start_service(coordinator_of(), port=0))


class Optimizer:
    """Works on sessions until it is told to stop."""

    def __init__(self):
        self.working = {}

    async def start_optimization_loop(self, session_id):
        self.working[session_id] = asyncio.Event()
        await self.working[session_id].wait()
        del self.working[session_id]

    def stop_optimization_loop(self, session_id=None):
        self.working[session_id].set()


def test_what_works_in_the_background_ends_with_its_session_and_with_the_service():
    optimizer = Optimizer()

    async def stop():
        async with served(coordinator_of(store="memory://", optimizer=optimizer)) as (service, client):
            for name in "st":
                await client.post("/v1/sessions", json={"session_id": name})
            assert set(optimizer.working) == {"s", "t"}
            assert (await client.delete("/v1/sessions/s")).status_code == 204
            await asyncio.sleep(0)
            assert set(optimizer.working) == {"t"}
            await service.stop()
            assert optimizer.working == {}

    asyncio.run(stop())
