"""Stores over one version of redis-py; test_redis_py.py runs this file under every version that is allowed."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

import pytest
import redis

from pycontext import StoreUnavailableError
from servers.cluster import slot_of
from stores import block, package

IDS = [f"s{number}" for number in range(12)]


@pytest.fixture(autouse=True)
def _nothing_is_left_open(doors):
    """What is left open is closed by the collector, which warns of it, and warnings are errors."""
    yield
    doors.close()
    gc.collect()


def test_this_is_the_version_that_was_asked_for():
    wanted = os.environ["PYCONTEXT_REDIS_PY"]
    assert redis.__version__ == wanted
    assert Path(redis.__file__).parents[1].name == f"redis-py-{wanted}"


def ids(store, session_id="s"):
    return [one.id for one in store.load(session_id).blocks]


def used(store):
    """All that reaches the server, in sessions that lie anywhere."""
    for id in IDS:
        store.save(package(block("a"), session_id=id))
        store.append(id, [block("b")])
        store.update_block(id, block("a", "other words"))
        store.transfer(id, "other")
    hints = store.inbox("other")
    assert sorted(hint.session_id for hint in hints) == sorted(IDS)
    for hint in hints:
        store.settle("other", hint)
    assert store.remember(IDS[0], "import")
    assert not store.remember(IDS[0], "import")
    store.forget(IDS[0], "import")
    versions = store.append_many([(id, [block(name)]) for name in "cd" for id in IDS])
    assert [int(version) for version in versions] == [5] * len(IDS) + [6] * len(IDS)
    assert [ids(store, id) for id in IDS] == [list("abcd")] * len(IDS)
    assert sorted(store.sessions()) == sorted(IDS)
    assert store.inquire(IDS[0]).version == 6
    assert store.compact(IDS[0]) == 6
    store.purge(IDS[0], "b")
    assert store.delete(IDS[1])


# One server.


def test_one_server(redis_server, doors):
    used(doors.at(redis_server.url))


def test_a_server_with_a_password(redis_server, doors):
    redis_server.command("ACL", "SETUSER", "app", "on", ">se/cret", "~pctx:*", "+@all")
    used(doors.at(redis_server.url_as("app", "se/cret")))


def test_a_reply_that_is_cut_is_asked_for_again(proxy, doors):
    store = doors.at(proxy.url)
    store.save(package(block("a")))
    proxy.cut_reply(command="EVALSHA")
    store.append("s", [block("b")])
    proxy.cut_reply(2, command="EVALSHA")
    store.append_many([("s", [block("c")]), ("s", [block("d")]), ("s", [block("e")])])
    assert ids(store) == list("abcde")


def test_scripts_that_the_server_forgot_are_sent_again(redis_server, doors):
    store = doors.at(redis_server.url)
    store.save(package(block("a")))
    redis_server.command("SCRIPT", "FLUSH")
    store.append("s", [block("b")])
    redis_server.command("SCRIPT", "FLUSH")
    store.append_many([("s", [block("c")]), ("s", [block("d")])])
    assert ids(store) == list("abcd")


def test_a_server_that_is_down(proxy, doors):
    store = doors.at(proxy.url)
    store.save(package(block("a")))
    proxy.refuse()
    for words in ("cannot be reached", "next try in"):
        begin = time.monotonic()
        with pytest.raises(StoreUnavailableError, match=words):
            store.append("s", [block("b")])
        # The library's own retries would take seconds.
        assert time.monotonic() - begin < 2
    proxy.accept()
    time.sleep(1.1)
    store.append("s", [block("b")])
    assert ids(store) == ["a", "b"]


# Many.


def address_of(cluster):
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes)


def test_a_cluster(redis_cluster, doors):
    used(doors.at(address_of(redis_cluster)))


def test_a_slot_of_a_cluster_that_moves(redis_cluster, doors):
    store = doors.at(address_of(redis_cluster))
    store.save(package(block("a")))
    slot = slot_of("pctx:{default:s}")
    owner = redis_cluster.owner(slot)
    target = next(node for node in redis_cluster.nodes if node is not owner)
    redis_cluster.open_slot(slot, target)
    redis_cluster.move_keys(slot, target)
    store.append("s", [block("b")])
    store.append_many([("s", [block("c")]), ("s", [block("d")])])
    redis_cluster.settle_slot(slot, target)
    store.append_many([("s", [block("e")]), ("s", [block("f")])])
    assert ids(store) == list("abcdef")


def test_a_node_of_a_cluster_that_is_down(redis_cluster, doors):
    store = doors.at(address_of(redis_cluster))
    store.save(package(block("a")))
    owner = redis_cluster.owner(slot_of("pctx:{default:s}"))
    owner.kill()
    begin = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"cannot be reached|does not serve all slots"):
        store.append("s", [block("b")])
    assert time.monotonic() - begin < 4
    owner.start()
    redis_cluster.wait_until_ready()
    time.sleep(1.1)
    store.save(package(block("again")), expect=0)
    assert ids(store) == ["again"]
    # A store that is closed when it has failed closes its connections too.
    owner.kill()
    with pytest.raises(StoreUnavailableError):
        store.append("s", [block("b")])


def test_sentinels(sentinel, doors):
    address = f"redis+sentinel://127.0.0.1:{sentinel.sentinel.port}"
    store = doors.at(f"{address}/{sentinel.name}")
    used(store)
    with pytest.raises(StoreUnavailableError, match="know no such service"):
        doors.at(f"{address}/other").load("s")
    with pytest.raises(StoreUnavailableError, match="a sentinel cannot be reached"):
        doors.at("redis+sentinel://127.0.0.1:1/main").load("s")
    store.save(package(block("a")))
    sentinel.pair.wait_until_in_step()
    sentinel.failover()
    store.append("s", [block("b")])
    assert ids(store) == ["a", "b"]
