"""A server behind sentinels: failovers, and what they lose."""

from __future__ import annotations

import logging
import time

import pytest

from pycontext import ConflictError, StoreDeniedError, StoreUnavailableError
from servers.child import until
from servers.pair import SentinelSet
from stores import block, package


@pytest.fixture
def address(sentinel):
    return f"redis+sentinel://127.0.0.1:{sentinel.sentinel.port}/{sentinel.name}"


def ids(store):
    return [one.id for one in store.load("s").blocks]


def until_done(act):
    """Tries for as long as a failover and the breaker may take."""
    end = time.monotonic() + 15
    while True:
        try:
            return act()
        except StoreUnavailableError:
            assert time.monotonic() < end
            time.sleep(0.1)


@pytest.mark.parametrize("by", ["kill", "pause"])
def test_writes_go_on_behind_a_failover_and_none_is_doubled(sentinel, address, doors, by):
    store = doors.at(address)
    store.save(package(block("first")))
    for number in range(5):
        store.append("s", [block(f"b{number}")])
    sleeper = doors.at(address)
    sleeper.load("s")
    sentinel.pair.wait_until_in_step()
    sentinel.failover(by=by)
    for number in range(5, 10):
        id = f"b{number}"
        until_done(lambda id=id: store.append("s", [block(id)], operation_id=id))
    assert ids(store) == ["first", *(f"b{number}" for number in range(10))]
    assert ids(doors.at(address)) == ids(store)
    if by == "pause":
        # The old one comes back; who has slept meanwhile is still connected to it, and it takes no writes any more.
        sentinel.pair.replica.resume()
        sentinel.pair.follow()
        sleeper.append("s", [block("last")])
        assert ids(doors.at(address))[-2:] == ["b9", "last"]


def test_what_a_failover_lost_is_noticed(sentinel, address, doors, caplog):
    store = doors.at(address)
    store.save(package(block("kept")))
    sentinel.pair.wait_until_in_step()
    # What follows never reaches the replica, which cannot connect again: as if the network between them were gone.
    sentinel.pair.replica.pause()
    sentinel.pair.primary.command("CLIENT", "KILL", "TYPE", "REPLICA")
    version = store.append("s", [block("lost-1")])
    store.append("s", [block("lost-2")])
    assert ids(store) == ["kept", "lost-1", "lost-2"]
    sentinel.pair.primary.kill()
    sentinel.pair.replica.resume()
    sentinel.failover()
    other = doors.at(address)
    assert ids(other) == ["kept"]
    for name in ("new-1", "new-2"):
        other.append("s", [block(name)])
    for expect in (version, 3, None):
        with pytest.raises(ConflictError):
            until_done(lambda expect=expect: store.update_block("s", block("kept", "stale"), expect=expect))
    with caplog.at_level(logging.WARNING, "pycontext.store"):
        news = store.refresh("s")
    assert news.lost == ("lost-1", "lost-2")
    assert "lost-1, lost-2" in caplog.text
    assert ids(store) == ["kept", "new-1", "new-2"]
    store.append("s", [block("after")])
    assert ids(other) == ["kept", "new-1", "new-2", "after"]


# Addresses.


def test_a_service_that_nobody_knows_is_told(sentinel, address, doors):
    store = doors.at(address.replace(f"/{sentinel.name}", "/other"))
    begin = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"know no such service.*'other'"):
        store.load("s")
    assert time.monotonic() - begin < 4


@pytest.mark.parametrize("hosts", ["127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2"])
def test_sentinels_that_are_not_there_are_told(doors, hosts):
    store = doors.at(f"redis+sentinel://user:secret@{hosts}/main")
    begin = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="a sentinel cannot be reached") as error:
        store.load("s")
    assert time.monotonic() - begin < 4
    assert "secret" not in str(error.value)
    with pytest.raises(StoreUnavailableError, match="next try in"):
        store.load("s")


def test_one_sentinel_of_several_is_enough(address, doors):
    store = doors.at(address.replace("//", "//127.0.0.1:1,"))
    store.save(package(block("a")))
    assert ids(store) == ["a"]


def test_the_password_is_for_the_server_and_not_for_the_sentinel(tmp_path, doors):
    with SentinelSet(tmp_path / "set", lines=["user app on >secret ~pctx:* +@all"]) as guarded:
        store = doors.at(f"redis+sentinel://app:secret@127.0.0.1:{guarded.sentinel.port}/main")
        store.save(package(block("a")))
        assert ids(store) == ["a"]
        with pytest.raises(StoreDeniedError, match="no such user and password") as error:
            doors.at(f"redis+sentinel://app:wrong@127.0.0.1:{guarded.sentinel.port}/main").load("s")
        assert "wrong" not in str(error.value)


def test_closing_closes_the_connections_to_the_sentinels(sentinel, address, doors):
    def connected():
        listed = sentinel.sentinel.command("CLIENT", "LIST").decode().splitlines()
        return sum("cmd=sentinel|masters" in line or "cmd=sentinel " in line for line in listed)

    store = doors.at(address)
    store.save(package(block("a")))
    assert connected() == 1
    store.close()
    until(lambda: connected() == 0, "the sentinel is left alone", seconds=5)
