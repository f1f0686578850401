"""Who may ask the service what: keys, namespaces, probes."""

from __future__ import annotations

import asyncio
import logging
import threading

import httpx
import pytest

from pycontext import (
    StoreUnavailableError,
    ValidationError,
    open_store,
)
from pycontext.service.http.app import make_app
from pycontext.service.http.server import start_service
from with_service import KEY, OTHER_KEY, coordinator_of, error_of, served


def test_a_namespace_sees_nothing_of_another():
    async def spy():
        tenants = {"a": coordinator_of(), "b": coordinator_of()}
        async with served(tenants, api_keys={KEY: "a", OTHER_KEY: "b"}, key=KEY) as (_, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            await client.post("/v1/sessions/s/messages", json={"message": "mine", "message_id": "m"})
            client.headers["Authorization"] = f"Bearer {OTHER_KEY}"
            paths = [("GET", ""), ("DELETE", ""), ("GET", "/blocks"), ("GET", "/blocks/m"), ("GET", "/prompt")]
            for method, path in paths:
                theirs = await client.request(method, f"/v1/sessions/s{path}")
                nobodys = await client.request(method, f"/v1/sessions/t{path}")
                # Word for word what is said of a session that nobody has.
                assert theirs.text.replace("'s'", "'t'") == nobodys.text
                assert error_of(theirs) == (404, "UnknownSessionError")
            # The same id is another session there.
            assert (await client.post("/v1/sessions", json={"session_id": "s"})).json()["blocks"] == 0
            client.headers["Authorization"] = f"Bearer {KEY}"
            assert (await client.get("/v1/sessions/s")).json()["blocks"] == 2

    asyncio.run(spy())


def test_without_a_known_key_there_is_nothing():
    wrong = [
        [],
        [("Authorization", f"Bearer {KEY}x")],
        [("Authorization", f"Bearer {KEY[:-1]}")],
        [("Authorization", f"Basic {KEY}")],
        [("Authorization", "Bearer")],
        [("Authorization", KEY)],
        [("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}")],
        [("X-Api-Key", KEY)],
    ]

    async def ask():
        async with served(api_keys={KEY: "default"}) as (_, client):
            for headers in wrong:
                refused = await client.get("/v1/sessions/s", headers=headers)
                assert error_of(refused) == (401, "Unauthorized")
                assert refused.headers["www-authenticate"].startswith("Bearer")
            known = await client.get("/v1/sessions/s", headers={"Authorization": f"bearer {KEY}"})
            assert error_of(known) == (404, "UnknownSessionError")
            assert (await client.get("/health")).json() == {"status": "alive"}

    asyncio.run(ask())


def test_keys_are_in_no_log_and_no_error(caplog):
    class Broken:
        async def generate(self, _prompt, **_options):
            raise RuntimeError("unforeseen")

    async def ask():
        async with served(coordinator_of(Broken()), api_keys={KEY: "default"}, key=KEY) as (_, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            failed = await client.post("/v1/sessions/s/messages", json={"message": "hi"})
            await client.get("/v1/sessions/s", headers={"Authorization": "Bearer a-wrong-key-of-nobody"})
            return failed

    with caplog.at_level(logging.DEBUG, "pycontext"), caplog.at_level(logging.DEBUG, "uvicorn"):
        failed = asyncio.run(ask())
    assert error_of(failed) == (500, "InternalError")
    assert "unforeseen" not in failed.text
    assert "unforeseen" in caplog.text
    assert KEY not in caplog.text
    assert "a-wrong-key-of-nobody" not in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org", "10.0.0.1"])
def test_others_are_served_with_keys_only(host):
    with pytest.raises(ValidationError, match="for others to reach: give api_keys"):
        asyncio.run(start_service(coordinator_of(), host=host, port=0))


def test_without_keys_a_page_of_another_site_is_refused():
    # Its name may have been made to mean this machine: the browser thinks that it asks its own site.
    async def ask():
        async with served() as (_, client):
            refused = await client.post("/v1/sessions", headers={"Host": "evil.example"})
            assert error_of(refused) == (403, "Forbidden")
            assert (await client.post("/v1/sessions", headers={"Host": "localhost:1"})).status_code == 201
            # What a page may send without asking first is no JSON.
            form = await client.post(
                "/v1/sessions", content='{"session_id": "s"}', headers={"Content-Type": "text/plain"}
            )
            assert error_of(form) == (415, "UnsupportedMediaType")

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_keys": {}}, "api_keys is no mapping"),
        ({"api_keys": {"short": "default"}}, "a key has 5 characters, not 16 to 512"),
        ({"api_keys": {"with space" * 3: "default"}}, "no str of visible ASCII"),
        ({"api_keys": [KEY]}, "api_keys is no mapping"),
        ({"api_keys": {KEY: ["default"]}}, r"api_keys has the namespace \['default'\], which is no str"),
        ({"host": None}, "host None is NoneType, not str"),
        ({"api_keys": {KEY: "nobody"}}, "namespace 'nobody' has no coordinator"),
        ({"api_keys": {KEY: "default"}, "metrics_key": KEY}, "metrics_key is one of api_keys"),
        ({"port": 65_536}, "port 65536"),
        ({"max_body_bytes": 0}, "max_body_bytes 0"),
        ({"most_seconds": float("nan")}, "most_seconds nan"),
        ({"grace_seconds": -1}, "grace_seconds -1"),
        ({"most_turns": 0}, "most_turns 0"),
    ],
)
def test_options_outside_their_limits_are_refused_and_no_key_is_repeated(options, message):
    with pytest.raises(ValidationError, match=message) as caught:
        asyncio.run(start_service(coordinator_of(), **{"port": 0, **options}))
    assert KEY not in str(caught.value)


def test_namespaces_share_neither_manager_nor_store():
    one = coordinator_of()
    with pytest.raises(ValidationError, match="share a ContextManager"):
        make_app({"a": one, "b": one}, api_keys={KEY: "a"})
    store = open_store("memory://")
    with pytest.raises(ValidationError, match="share a Store"):
        make_app({"a": coordinator_of(store=store), "b": coordinator_of(store=store)}, api_keys={KEY: "a"})


class Collector:
    def __init__(self):
        self.reports = []

    def turn_ended(self, report):
        self.reports.append(report)

    def render(self):
        return f"pycontext_turns_total {len(self.reports)}\n".encode(), "text/plain; version=0.0.4"


def test_metrics_are_those_of_the_collector():
    async def scrape():
        async with served(None, Collector()) as (_, client):
            await client.post("/v1/sessions", json={"session_id": "s"})
            await client.post("/v1/sessions/s/messages", json={"message": "hi"})
            scraped = await client.get("/metrics")
            assert (scraped.text, scraped.headers["content-type"]) == (
                "pycontext_turns_total 1\n",
                "text/plain; version=0.0.4",
            )
            assert error_of(await client.get("/metrics", headers={"Host": "evil.example"})) == (403, "Forbidden")
            # Where a header says that it comes from is nothing that we believe.
            told = await client.get("/metrics", headers={"X-Forwarded-For": "10.0.0.9"})
            assert told.status_code == 200
        async with served() as (_, client):
            assert error_of(await client.get("/metrics")) == (404, "NotFound")

    asyncio.run(scrape())


def test_the_key_of_the_metrics_opens_nothing_else():
    async def scrape():
        keys = {"api_keys": {KEY: "default"}, "metrics_key": OTHER_KEY}
        async with served(None, Collector(), **keys) as (_, client):
            for key, metrics, sessions in ((KEY, 401, 404), (OTHER_KEY, 200, 401)):
                headers = {"Authorization": f"Bearer {key}"}
                assert (await client.get("/metrics", headers=headers)).status_code == metrics
                assert (await client.get("/v1/sessions/s", headers=headers)).status_code == sessions
            assert error_of(await client.get("/metrics")) == (401, "Unauthorized")

    asyncio.run(scrape())


def test_who_asks_for_metrics_from_another_machine_needs_a_key():
    async def scrape():
        app = make_app(coordinator_of(), Collector(), api_keys={KEY: "default"})
        for client, status in ((("10.0.0.9", 1), 403), (("127.0.0.1", 1), 200)):
            transport = httpx.ASGITransport(app, client=client)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asking:
                assert (await asking.get("/metrics")).status_code == status

    asyncio.run(scrape())


def test_not_ready_while_the_store_does_not_answer(monkeypatch):
    async def probe():
        coordinator = coordinator_of(store="memory://")
        store, asked, may = coordinator.context_manager.store, [], threading.Event()
        async with served(coordinator, ready_seconds=0.2) as (_, client):
            assert (await client.get("/ready")).json() == {"status": "ready"}

            def hangs(session_id):
                asked.append(session_id)
                may.wait()
                raise StoreUnavailableError("redis://sk-secret does not answer")

            monkeypatch.setattr(store, "inquire", hangs)
            probes = await asyncio.gather(*(client.get("/ready") for _ in range(20)))
            assert {error_of(probe) for probe in probes} == {(503, "NotReady")}
            assert {probe.json()["error"]["message"] for probe in probes} == {"not ready"}
            # However many ask, one thread waits.
            assert len(asked) == 1
            may.set()
            assert error_of(await client.get("/ready")) == (503, "NotReady")
            assert (await client.get("/health")).status_code == 200
            monkeypatch.undo()
            assert (await client.get("/ready")).status_code == 200

    asyncio.run(probe())
