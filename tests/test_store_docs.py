"""What docs/stores.md claims of rights and sizes, tried."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest

from pycontext import StoreError, open_async_store, open_store
from servers.cluster import Cluster
from servers.server import RedisServer
from stores import block, package
from test_cli_store import called

PAGE = (Path(__file__).parent.parent / "docs" / "stores.md").read_text(encoding="utf-8")
(RULES,) = re.findall(r"^user pctx on >password ~pctx:\* (.*)$", PAGE, re.MULTILINE)
RIGHTS = RULES.split()
FOR_CLUSTERS = re.search(r"a cluster `([^`]*)`", PAGE)[1].split()
# Without these a store works, and says less.
FOR_DOCTOR = RIGHTS[-3:]
# Without this one a store does as well, and leaves something behind.
TIDY = "+xack"


def all_is_done(url):
    """Everything that a store can do, as somebody of the tenant acme."""
    with open_store(url, namespace="acme", ttl=60) as store, open_store(url, namespace="acme") as other:
        store.save(package(block("a"), session_id="x"))
        for i in range(70):
            store.append("x", [block(f"b{i}", "word " * 20)])
        version = other.load("x").version
        other.load("x", at_version=version)
        store.update_block("x", block("a", "new"))
        store.remove_blocks("x", ["b1"])
        store.append_many([("x", [block("late")])])
        other.refresh("x")
        store.save(store.load("x"))
        store.compact("x")
        store.transfer("x", "bob")
        # Leased, and again when the lease is over.
        assert len(store.inbox("bob", lease_seconds=0.001)) == 1
        time.sleep(0.01)
        (hint,) = store.inbox("bob")
        store.settle("bob", hint)
        assert store.inbox("bob") == []
        assert store.remember("x", "op")
        assert not store.remember("x", "op")
        store.forget("x", "op")
        assert list(store.sessions()) == ["x"]
        store.purge("x", "b2")
        standing, findings = store.inquire("x"), store.findings()
        store.delete("x")
        assert standing.stored_bytes > 0
        assert "settings" not in {finding.topic for finding in findings}


@pytest.fixture(scope="module")
def granting(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("rights") / "server") as server:

        def granted(rights, keys="~pctx:*"):
            server.command("FLUSHALL")
            server.command("SCRIPT", "FLUSH")
            server.command("ACL", "SETUSER", "pctx", "reset", "on", ">password", keys, *rights)
            return server.url_as("pctx", "password")

        granted.server = server
        yield granted


def test_the_rights_of_the_page_are_enough(granting):
    all_is_done(granting(RIGHTS))

    async def awaited():
        store = open_async_store(granting(RIGHTS))
        await store.save(package(block("a")))
        await store.close()

    asyncio.run(awaited())


@pytest.mark.parametrize("right", [right for right in RIGHTS if right != TIDY])
def test_none_of_the_rights_is_needless(granting, right):
    url = granting([one for one in RIGHTS if one != right])
    with pytest.raises(AssertionError if right in FOR_DOCTOR else (StoreError, AssertionError)):
        all_is_done(url)


def test_without_one_right_a_hint_that_was_settled_is_pending(granting):
    def pending(rights):
        with open_store(granting(rights)) as store:
            store.save(package(block("a")))
            store.transfer("s", "bob")
            (hint,) = store.inbox("bob")
            store.settle("bob", hint)
        return granting.server.command("XPENDING", "pctx:{default:inbox:bob}", "pctx")[0]

    assert pending(RIGHTS) == 0
    assert pending([right for right in RIGHTS if right != TIDY]) == 1


def test_a_user_of_one_tenant_reaches_no_other(granting):
    url = granting(RIGHTS, keys="~pctx:{acme:*")
    all_is_done(url)
    for namespace in ("acm", "acmee", "default", "acme:inbox", "acme}"):
        with open_store(url, namespace=namespace) as store, pytest.raises(StoreError, match="may not do this"):
            store.save(package(block("a")))


def test_another_database_needs_one_right_more(granting):
    url = f"{granting(RIGHTS).removesuffix('/0')}/3"
    with pytest.raises(StoreError, match="select"):
        all_is_done(url)
    granting([*RIGHTS, "+select"])
    all_is_done(url)


def test_a_cluster_needs_some_rights_more(tmp_path):
    with Cluster(tmp_path / "nodes") as cluster:
        url = f"redis+cluster://pctx:password@127.0.0.1:{cluster.nodes[0].port}"

        def granted(rights):
            for node in cluster.nodes:
                node.command("ACL", "SETUSER", "pctx", "reset", "on", ">password", "~pctx:*", *rights)

        granted([*RIGHTS, *FOR_CLUSTERS])
        all_is_done(url)
        for right in FOR_CLUSTERS:
            granted([*RIGHTS, *(one for one in FOR_CLUSTERS if one != right)])
            with pytest.raises(StoreError):
                all_is_done(url)


def test_the_rights_that_the_page_warns_of_are_that_wide(granting):
    url = granting(["+@write", "+ping"])
    granting.server.command("SET", "of somebody else", "x")
    with granting.server.client(url) as client:
        client.flushall()
    assert granting.server.command("DBSIZE") == 0


def test_sizes_are_as_the_page_says(redis_server):
    of_file, of_memory = map(
        int, re.search(r"take (\d+) bytes a message in SQLite .* and (\d+) bytes of", PAGE).groups()
    )
    for args, expected in (([], of_file), (["--store", redis_server.url], of_memory)):
        code, out, _ = called("demo", "--json", *args)
        assert code == 0
        traces = [json.loads(line) for line in out.splitlines()]
        messages = sum(trace["messages"] for trace in traces)
        assert sum(trace["stored_bytes"] for trace in traces) / messages == pytest.approx(expected, rel=0.05)
