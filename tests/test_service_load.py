"""Many conversations at once over real HTTP and a store, and a stop in the middle of them."""

from __future__ import annotations

import asyncio

import httpx

from models import Echo
from pycontext import open_store
from pycontext.service.http.server import start_service
from with_service import coordinator_of

SESSIONS = 200
TURNS = 5
CLIENTS = 30


def said(session_id, turn):
    return f"{session_id} says number {turn}"


async def talk(client, session_id, answered):
    """Some turns one after the other; each reply that came is noted, and nothing else."""
    await client.post("/v1/sessions", json={"session_id": session_id})
    for turn in range(TURNS):
        message = {"message": said(session_id, turn), "message_id": f"m{turn}"}
        reply = await client.post(f"/v1/sessions/{session_id}/messages", json=message)
        if reply.status_code != 200:
            assert reply.json()["error"]["type"] in {"Stopping", "UnknownSessionError"}, reply.text
            return
        answered[session_id, turn] = reply.json()


async def client_of(url, first, answered):
    # One client each: the pool that httpx shares between many is slower than the service.
    async with httpx.AsyncClient(base_url=url, timeout=60, verify=False) as client:
        for number in range(first, SESSIONS, CLIENTS):
            try:
                await talk(client, f"s{number}", answered)
            except httpx.TransportError:
                # It has stopped.
                return


async def traffic(store, *, stop_after=None):
    """Let all sessions talk, or stop in the middle; return the replies that came."""
    answered = {}
    async with await start_service(coordinator_of(Echo(), store=store), port=0) as service:
        talks = [asyncio.create_task(client_of(service.url, first, answered)) for first in range(CLIENTS)]
        while stop_after is not None and len(answered) < stop_after:  # noqa: ASYNC110  # what it waits for is a number
            await asyncio.sleep(0.005)
        if stop_after is not None:
            await service.stop()
        await asyncio.gather(*talks)
    return answered


def kept(store):
    """What is in the store, opened anew: contents by session."""
    with open_store(store) as opened:
        return {
            session_id: [block.content for block in opened.load(session_id).blocks] for session_id in opened.sessions()
        }


def test_no_turn_is_lost_and_every_reply_is_of_its_session(tmp_path):
    store = f"sqlite:///{tmp_path}/a.db"
    answered = asyncio.run(traffic(store))
    assert len(answered) == SESSIONS * TURNS
    for (session_id, turn), reply in answered.items():
        assert (reply["session_id"], reply["message_id"]) == (session_id, f"m{turn}")
        assert reply["text"] == f"you said {said(session_id, turn)}"
    expected = {
        f"s{number}": [
            text for turn in range(TURNS) for text in (said(f"s{number}", turn), f"you said {said(f's{number}', turn)}")
        ]
        for number in range(SESSIONS)
    }
    assert kept(store) == expected


def test_a_stop_in_the_middle_loses_nothing_that_was_answered(tmp_path):
    store = f"sqlite:///{tmp_path}/a.db"
    answered = asyncio.run(traffic(store, stop_after=200))
    # In the middle it was.
    assert 200 <= len(answered) < SESSIONS * TURNS
    contents = kept(store)
    for (session_id, turn), reply in answered.items():
        at = contents[session_id].index(said(session_id, turn))
        assert contents[session_id][at + 1] == reply["text"]
