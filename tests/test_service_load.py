"""Many conversations at once over real HTTP and a store, and a stop in the middle of them."""

from __future__ import annotations

import asyncio

import httpx

from models import Echo
from pycontext import open_store
from pycontext.service.server import start_service
from with_service import coordinator_of

SESSIONS = 60
TURNS = 5
CLIENTS = 30


def said(session_id, turn):
    return f"{session_id} says number {turn}"


async def talk(client, session_id, answered, places, begun=None):
    """Five turns one after the other; each reply that came is noted, and nothing else."""
    async with places:
        try:
            await client.post("/v1/sessions", json={"session_id": session_id})
            for turn in range(TURNS):
                message = {"message": said(session_id, turn), "message_id": f"m{turn}"}
                reply = await client.post(f"/v1/sessions/{session_id}/messages", json=message)
                if reply.status_code == 200:
                    answered[session_id, turn] = reply.json()
                    if begun is not None and len(answered) >= begun[0]:
                        begun[1].set()
                else:
                    assert reply.json()["error"]["type"] in ("Stopping", "UnknownSessionError"), reply.text
                    return
        except httpx.TransportError:
            # It has stopped.
            return


async def traffic(url, store, *, stop_after=None):
    """Let all sessions talk, or stop in the middle; return the replies that came."""
    answered = {}
    coordinator = coordinator_of(Echo(), store=store)
    service = await start_service(coordinator, port=0)
    begun = None if stop_after is None else (stop_after, asyncio.Event())
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=service.url, timeout=60, limits=limits) as client:
        places = asyncio.Semaphore(CLIENTS)
        talks = [
            asyncio.create_task(talk(client, f"{url}{number}", answered, places, begun)) for number in range(SESSIONS)
        ]
        if begun is not None:
            await begun[1].wait()
            await service.stop()
        await asyncio.gather(*talks)
    await service.stop()
    return answered


def kept(store):
    """What is in the store, opened anew: contents by session."""
    with open_store(store) as opened:
        return {
            session_id: [block.content for block in opened.load(session_id).blocks] for session_id in opened.sessions()
        }


def test_no_turn_is_lost_and_every_reply_is_of_its_session(tmp_path):
    store = f"sqlite:///{tmp_path}/a.db"
    answered = asyncio.run(traffic("s", store))
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
    answered = asyncio.run(traffic("s", store, stop_after=100))
    # In the middle it was.
    assert 100 <= len(answered) < SESSIONS * TURNS
    contents = kept(store)
    for (session_id, turn), reply in answered.items():
        at = contents[session_id].index(said(session_id, turn))
        assert contents[session_id][at + 1] == reply["text"]
