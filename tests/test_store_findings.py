"""What stores say of themselves, asked of real servers, and of answers that no server here gives."""

from __future__ import annotations

import asyncio
import re
import time
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontext import StoreDeniedError, open_async_store, open_store
from pycontext.store.advice import advice_of, client_advice, clock_advice, latency_advice, questions
from pycontext.store.finding import size_of
from servers.pair import Pair
from servers.server import RedisServer
from stores import block, package


def found(url):
    with open_store(url) as store:
        return {finding.topic: finding for finding in store.findings()}


# real servers


@pytest.mark.parametrize(
    ("settings", "topic", "state", "value", "text"),
    [
        ({}, "persistence", "warning", "none", "a restart loses every session"),
        ({"save": "60 1"}, "persistence", "warning", "snapshots, save 60 1", "since the last snapshot"),
        ({"appendonly": "yes"}, "persistence", "good", "append-only file, fsync everysec", "a second"),
        ({"appendonly": "yes", "appendfsync": "always"}, "persistence", "good", "fsync always", "survives a crash"),
        ({"appendonly": "yes", "appendfsync": "no"}, "persistence", "warning", "fsync no", "half a minute"),
        ({}, "memory", "info", "no limit", "maxmemory is not set"),
        ({"maxmemory": "100mb"}, "memory", "good", "% of 100.0 MiB", "there is room"),
        ({"maxmemory": "1mb"}, "memory", "warning", "% of 1.0 MiB", "nearly full"),
        ({"maxmemory": "100mb"}, "eviction", "good", "noeviction", "loses nothing"),
        ({"maxmemory": "100mb", "maxmemory_policy": "allkeys-lru"}, "eviction", "warning", "allkeys-lru", "in use"),
        ({"maxmemory_policy": "allkeys-lru"}, "eviction", "info", "allkeys-lru", "in use"),
        ({"maxmemory": "100mb", "maxmemory_policy": "volatile-ttl"}, "eviction", "warning", "volatile-ttl", "live"),
        ({}, "replication", "info", "no replica", "when this machine is down"),
        ({}, "version", "good", "redis ", "has what we need"),
        ({}, "client", "good", "redis-py ", "knows"),
        ({}, "clock", "good", " s ", "by the server's clock"),
        ({}, "latency", "good", " of 200", "round trip"),
    ],
)
def test_a_server_is_examined(tmp_path, settings, topic, state, value, text):
    with RedisServer(tmp_path / "server", **settings) as server:
        finding = found(server.url)[topic]
    assert (finding.state, finding.is_warning) == (state, state == "warning")
    assert value in finding.value
    assert text in finding.text


def test_a_pair_is_examined(tmp_path):
    with closing(Pair(tmp_path / "pair")) as pair:
        finding = found(pair.replica.url)["replication"]
        assert (finding.state, finding.value) == ("warning", "a replica, role slave")
        finding = found(pair.primary.url)["replication"]
        assert finding.state == "info"
        assert re.fullmatch(r"1 replica, \d+ s behind at most", finding.value)


def test_every_master_of_a_cluster_is_examined(redis_cluster):
    url = f"redis+cluster://127.0.0.1:{redis_cluster.nodes[0].port}"
    with open_store(url) as store:
        findings = store.findings()
    for topic in ("persistence", "memory", "latency", "clock"):
        nodes = {finding.value.rpartition(" at ")[2] for finding in findings if finding.topic == topic}
        assert nodes == {f"127.0.0.1:{node.port}" for node in redis_cluster.nodes}


def test_those_who_await_a_cluster_may_write_at_once(redis_cluster, caplog):
    async def saved():
        store = open_async_store(f"redis+cluster://127.0.0.1:{redis_cluster.nodes[0].port}")
        version = await store.save(package(block("a")))
        await store.close()
        return version

    assert asyncio.run(saved()) == 1
    assert "a restart loses every session" in caplog.text, "the settings were asked for"


def test_what_may_not_be_asked_is_said(tmp_path):
    rules = "on >secret ~pctx:* +@read +@write +@scripting +ping +time"
    with RedisServer(tmp_path / "server", users={"app": rules}) as server:
        findings = found(server.url_as("app", "secret"))
    assert findings["settings"].value == "not told: persistence, memory, server, replication, save, appendfsync"
    assert not {"persistence", "memory", "version"} & set(findings)
    assert findings["latency"].state == "good"


def test_who_may_nothing_is_told_so(tmp_path):
    with (
        RedisServer(tmp_path / "server", users={"app": "on >secret ~pctx:* +get"}) as server,
        open_store(server.url_as("app", "secret")) as store,
        pytest.raises(StoreDeniedError),
    ):
        store.findings()


# answers of other servers


def test_managed_servers_hide_their_settings():
    persistence = {"persistence": {"aof_enabled": 0}}
    (finding, hidden) = advice_of(persistence)
    assert (finding.state, finding.value) == ("info", "not told")
    assert hidden.topic == "settings"
    (finding, _) = advice_of({"persistence": {"aof_enabled": 1}})
    assert (finding.state, finding.value) == ("info", "append-only file, fsync not told")


@pytest.mark.parametrize(
    ("info", "state", "value"),
    [
        ({"redis_version": "6.0.16"}, "warning", "redis 6.0.16"),
        ({"redis_version": "6.2.0"}, "good", "redis 6.2.0"),
        ({"redis_version": b"10.1"}, "good", "redis 10.1"),
        (
            {"redis_version": "7.2.4", "valkey_version": "8.1.0"},
            "good",
            "valkey 8.1.0, which speaks as redis 7.2.4 does",
        ),
    ],
)
def test_versions_are_compared_as_numbers(info, state, value):
    (finding, _) = advice_of({"server": info})
    assert (finding.state, finding.value) == (state, value)


def test_a_disk_that_failed_and_a_replica_that_is_late_are_warnings():
    findings = advice_of(
        {
            "persistence": {"aof_enabled": 1, "aof_last_write_status": "err", "rdb_last_bgsave_status": b"ok"},
            "appendfsync": [b"appendfsync", b"always"],
            "replication": {"role": "master", "connected_slaves": 2, "slave0": {"lag": 1}, "slave1": {"lag": 60}},
        }
    )
    assert [(finding.topic, finding.state) for finding in findings][:3] == [
        ("persistence", "good"),
        ("persistence", "warning"),
        ("replication", "warning"),
    ]
    assert findings[2].value == "2 replicas, 60 s behind at most"


@pytest.mark.parametrize(
    ("ahead", "state"), [(0.0, "good"), (2.0, "good"), (-2.0, "good"), (2.1, "warning"), (-3600.0, "warning")]
)
def test_clocks_that_differ_are_a_warning(ahead, state):
    finding = clock_advice(ahead)
    assert finding.state == state
    assert ("behind" in finding.value) == (ahead < 0)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=300))
def test_latency_is_told_by_its_quantiles(milliseconds):
    finding = latency_advice(milliseconds)
    middle, late = map(float, re.findall(r"p\d+ (\d+\.\d+) ms", finding.value))
    # At least half, and at least 99 of a hundred, were no slower than that.
    assert sum(one <= middle + 0.001 for one in milliseconds) >= len(milliseconds) / 2
    assert sum(one <= late + 0.001 for one in milliseconds) >= 0.99 * len(milliseconds)
    assert min(milliseconds) - 0.001 <= middle <= late <= max(milliseconds) + 0.001
    if abs(late - 100) > 0.001:
        assert finding.is_warning == (late > 100)


def test_the_clients_that_are_known_are_those_that_the_extra_asks_for():
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    (asked,) = project["project"]["optional-dependencies"]["redis"]
    oldest, newest = re.fullmatch(r"redis>=([\d.]+),<(\d+)", asked).groups()
    assert client_advice(oldest).state == "good"
    assert client_advice(f"{int(newest) - 1}.99.0").state == "good"
    assert client_advice(f"{newest}.0.0").state == "warning"
    assert client_advice("6.3.9").state == "warning"
    assert f"from {oldest} up to below {newest}" in client_advice("1.0").text


def test_every_answer_is_read():
    assert advice_of({name: None for name, _ in questions()}) == []


def test_sizes_are_for_people():
    assert [size_of(n) for n in (0, 1_023, 1_024, 2**20 - 1, 2**20, 5 * 2**30)] == [
        "0 B",
        "1,023 B",
        "1.0 KiB",
        "1,024.0 KiB",
        "1.0 MiB",
        "5.0 GiB",
    ]


# sweeping


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_what_has_expired_is_swept_and_nothing_else(kind, tmp_path):
    url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/a.db"
    with open_store(url) as store:
        store.save(package(block("a"), session_id="stays"))
        store.save(package(block("a"), session_id="later"), ttl=3_600)
        store.save(package(block("a"), session_id="gone"), ttl=0.001)
        time.sleep(0.01)
        foreseen = store.sweep(is_dry=True)
        assert foreseen.expired == 1
        assert foreseen.freed_bytes > 0
        assert store.sweep(is_dry=True) == foreseen
        assert store.sweep().expired == 1
        assert store.sweep() == (0, 0)
        assert sorted(store.sessions()) == ["later", "stays"]


def test_redis_sweeps_by_itself(redis_server):
    with open_store(redis_server.url) as store:
        store.save(package(block("a")), ttl=0.001)
        assert store.sweep() == (0, 0)
