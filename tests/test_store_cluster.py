"""A cluster, its slots on the move, and its nodes that go."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from pycontext import StoreUnavailableError, open_store
from pycontext.store.key import Key, inbox_name
from servers.child import until
from servers.cluster import slot_of
from stores import block, package

IDS = [f"s{number}" for number in range(24)]


def address(cluster):
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes)


def slot(session_id):
    return slot_of(Key.of("default", session_id).name)


def one_at(cluster, node):
    return next(id for id in IDS if cluster.owner(slot(id)) is node)


def filled(store):
    for id in IDS:
        store.save(package(block("first"), session_id=id))


def ids(store, session_id):
    return [one.id for one in store.load(session_id).blocks]


def others(cluster, node):
    return [one for one in cluster.nodes if one is not node]


# Slots.


def test_everything_works_wherever_a_session_is(redis_cluster, doors):
    assert {redis_cluster.owner(slot(id)) for id in IDS} == set(redis_cluster.nodes)
    store = doors.at(address(redis_cluster))
    filled(store)
    other = doors.at(address(redis_cluster))
    for id in IDS:
        other.load(id)
        store.append(id, [block("second"), block("third")])
        store.update_block(id, block("first", "other words"))
        store.remove_blocks(id, ["second"])
        assert other.refresh(id).added == ("third",)
        store.transfer(id, f"agent of {id}")
        (hint,) = other.inbox(f"agent of {id}")
        assert hint.session_id == id
        other.settle(f"agent of {id}", hint)
        assert store.remember(id, "import")
        assert not other.remember(id, "import")
        store.compact(id)
        found = other.load(id)
        assert [(one.id, one.content) for one in found.blocks] == [("first", "other words"), ("third", "word")]
        store.purge(id, "third")
        assert ids(other, id) == ["first"]
        assert other.inquire(id).version == store.load(id).version
    assert sorted(store.sessions()) == sorted(IDS)
    for id in IDS:
        other.load(id)
        assert other.delete(id)
    assert list(store.sessions()) == []


def test_a_batch_goes_to_all_nodes_and_keeps_the_order_of_each_session(redis_cluster, doors):
    store = doors.at(address(redis_cluster))
    filled(store)
    for turn in range(2):
        names = [f"b{turn}-{number}" for number in range(4)]
        versions = store.append_many([(id, [block(name)]) for name in names for id in IDS])
        assert [int(version) for version in versions] == [2 + 4 * turn + number for number in range(4) for _ in IDS]
        # The second time no node knows the scripts any more.
        for node in redis_cluster.nodes:
            node.command("SCRIPT", "FLUSH")
    other = doors.at(address(redis_cluster))
    for id in IDS:
        assert ids(other, id) == [
            "first",
            *(f"b{r}-{n}" for r in range(2) for n in range(4)),
        ]


def test_all_that_a_name_holds_is_in_the_slot_of_its_braces():
    for name in (Key.of("a{b}", "c:d@e").name, inbox_name("a{b}", "c}d{:")):
        assert name.count("{") == name.count("}") == 1
        assert slot_of(name) == slot_of(name[name.index("{") + 1 : -1])
    assert slot_of(Key.of("n", "s").name) != slot_of(inbox_name("n", "s"))


# A slot on the move.


def test_a_slot_that_moves_is_followed(redis_cluster, doors):
    id = IDS[0]
    owner = redis_cluster.owner(slot(id))
    target, third = others(redis_cluster, owner)
    store = doors.at(address(redis_cluster))
    store.save(package(block("a"), session_id=id))
    redis_cluster.open_slot(slot(id), target)
    store.append(id, [block("b")])
    redis_cluster.move_keys(slot(id), target)
    # Between: the old owner says ASK, the new one takes only who was told so.
    store.append(id, [block("c")])
    assert [int(version) for version in store.append_many([(id, [block("d")]), (id, [block("e")])])] == [4, 5]
    redis_cluster.settle_slot(slot(id), target)
    store.append(id, [block("f")])
    redis_cluster.move_slot(slot(id), third)
    assert [int(version) for version in store.append_many([(id, [block("g")]), (id, [block("h")])])] == [7, 8]
    assert ids(store, id) == list("abcdefgh")
    assert third.command("EXISTS", Key.of("default", id).name) == 1


def test_appends_while_a_slot_moves_are_neither_lost_nor_doubled(redis_cluster):
    id = IDS[1]
    written, failed, done = [], [], threading.Event()

    def write(name):
        with open_store(address(redis_cluster)) as store:
            for number in range(2_000):
                if done.is_set():
                    return
                try:
                    store.append(id, [block(f"{name}{number}")])
                except Exception as error:  # noqa: BLE001  # the test looks at all of them
                    failed.append(error)
                    return
                written.append(f"{name}{number}")

    with open_store(address(redis_cluster)) as store:
        store.save(package(block("first"), session_id=id))
        writers = [threading.Thread(target=write, args=(name,)) for name in "xy"]
        for writer in writers:
            writer.start()
        for _ in range(4):
            redis_cluster.open_slot(slot(id), target := others(redis_cluster, redis_cluster.owner(slot(id)))[0])
            time.sleep(0.05)
            redis_cluster.move_keys(slot(id), target)
            time.sleep(0.05)
            redis_cluster.settle_slot(slot(id), target)
            time.sleep(0.05)
        done.set()
        for writer in writers:
            writer.join(20)
            assert not writer.is_alive()
        assert failed == []
        found = ids(store, id)
    assert len(written) > 10
    assert found[0] == "first"
    assert sorted(found[1:]) == sorted(written)
    for name in "xy":
        of_one = [one for one in found[1:] if one.startswith(name)]
        assert of_one == sorted(of_one, key=lambda one: int(one[1:]))


# Nodes that go.


def test_a_node_that_is_gone_is_told_and_is_used_when_it_is_back(redis_cluster, doors):
    store = doors.at(address(redis_cluster))
    filled(store)
    lost = redis_cluster.nodes[2]
    there, gone = one_at(redis_cluster, redis_cluster.nodes[0]), one_at(redis_cluster, lost)
    lost.kill()
    begin = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"cannot be reached .*Error 111|The cluster is down"):
        store.append(gone, [block("b")])
    assert time.monotonic() - begin < 4
    redis_cluster.wait_until_down()
    time.sleep(1.1)  # the breaker
    begin = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"does not serve all slots|cannot be reached"):
        store.append(there, [block("b")])
    assert time.monotonic() - begin < 4
    lost.start()
    redis_cluster.wait_until_ready()
    store.append(there, [block("b")])
    assert ids(store, there) == ["first", "b"]
    # It keeps nothing on disk.
    store.save(package(block("again"), session_id=gone), expect=0)
    assert ids(doors.at(address(redis_cluster)), gone) == ["again"]


def test_a_node_that_hangs_is_told_after_one_timeout(redis_cluster, doors):
    store = doors.at(address(redis_cluster))
    filled(store)
    silent = redis_cluster.nodes[1]
    id = one_at(redis_cluster, silent)
    silent.pause()
    begin = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="in time"):
        store.append(id, [block("b")], operation_id="once")
    # One timeout is 2 s; redis-py on its own would wait for four of them.
    assert time.monotonic() - begin < 6
    silent.resume()
    redis_cluster.wait_until_ready()
    time.sleep(1.1)
    store.append(id, [block("b")], operation_id="once")
    assert ids(store, id) == ["first", "b"]


def test_a_cluster_that_was_away_as_a_whole_is_found_again(redis_cluster, doors):
    store = doors.at(address(redis_cluster))
    filled(store)
    for node in redis_cluster.nodes:
        node.kill()
    # Each try, of which there are four, may cost the client a node that it could ask for the others.
    for id in IDS[:2]:
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            store.load(id)
        time.sleep(1.05)
    redis_cluster.mend()
    store.save(package(block("a"), session_id="new"))
    assert ids(store, "new") == ["a"]


def test_a_store_that_is_closed_behind_a_failure_leaves_no_connection(redis_cluster, doors):
    def connections():
        # The nodes have connections of their own at another port.
        return sum(len(node.command("CLIENT", "LIST").splitlines()) for node in redis_cluster.nodes[:2])

    before = connections()
    store = doors.at(address(redis_cluster))
    filled(store)
    id = one_at(redis_cluster, redis_cluster.nodes[2])
    assert connections() > before
    redis_cluster.nodes[2].kill()
    with pytest.raises(StoreUnavailableError):
        store.append(id, [block("b")])
    store.close()
    until(lambda: connections() <= before, "the nodes are left alone", seconds=5)


def test_a_cluster_is_found_by_any_node_that_is_there(redis_cluster, doors):
    port = redis_cluster.nodes[1].port
    store = doors.at(f"redis+cluster://127.0.0.1:1,127.0.0.1:{port}")
    filled(store)
    assert sorted(store.sessions()) == sorted(IDS)


# A client that takes a node for a server.


def test_who_does_not_know_of_the_cluster_is_told(redis_cluster, doors, caplog):
    node = redis_cluster.nodes[0]
    elsewhere = one_at(redis_cluster, redis_cluster.nodes[1])
    with caplog.at_level(logging.WARNING, "pycontext.store"):
        store = doors.at(node.url)
        for act in (
            lambda: store.save(package(block("a"), session_id=elsewhere)),
            lambda: store.append(elsewhere, [block("a")]),
            lambda: store.append_many([(elsewhere, [block("a")])]),
            lambda: store.load(elsewhere),
        ):
            with pytest.raises(StoreUnavailableError, match=r"one of a cluster: use redis\+cluster://"):
                act()
    # Its list of sessions would be a part of them, and nothing fails.
    assert "sees the sessions of this node only: use redis+cluster://" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "pycontext.store"):
        filled(doors.at(address(redis_cluster)))
    assert "redis+cluster:// " not in caplog.text.replace(address(redis_cluster), "")
    assert "of this node only" not in caplog.text
