"""What goes wrong with a Redis server, or on the way to it, and what a store makes of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from pycontext import (
    ConflictError,
    ContextBlock,
    ContextPackage,
    ContextType,
    CorruptPayloadError,
    FencedError,
    SessionGoneError,
    StoreBusyError,
    StoreCorruptError,
    StoreDeniedError,
    StoreFullError,
    StoreTimeoutError,
    StoreUnavailableError,
    UnknownSessionError,
    UnsupportedFormatError,
    open_async_store,
    open_store,
)
from servers.pair import Pair
from servers.proxy import Proxy
from servers.server import RedisServer

KEY = "pctx:{default:s}"
USER = ContextType.USER


def block(id, content="some words"):
    return ContextBlock(id, content, 0.5, USER, timestamp=1)


def package(*ids, content="some words"):
    return ContextPackage("s", "agent", [block(id, content) for id in ids])


def ids(store):
    return [one.id for one in store.load("s").blocks]


@pytest.fixture
def store(redis_server):
    with open_store(redis_server.url) as made:
        yield made


@pytest.fixture
def server(tmp_path):
    """A function that starts a server with settings of its own."""
    servers = []

    def start(**settings):
        servers.append(RedisServer(tmp_path / str(len(servers)), **settings))
        return servers[-1]

    yield start
    for one in servers:
        one.close()


# The server dies.


def written_until_killed(server, store):
    """Ids whose appends were confirmed before the server was killed."""
    confirmed = []
    for number in range(1_000):
        if number == 300:
            server.kill()
        try:
            store.append("s", [block(f"b{number}")])
        except StoreUnavailableError:
            assert number >= 300
            break
        confirmed.append(f"b{number}")
    return confirmed


def test_a_killed_server_that_writes_always_has_all_that_was_confirmed(server):
    made = server(appendonly="yes", appendfsync="always")
    with open_store(made.url) as store:
        store.save(package("first"))
        confirmed = written_until_killed(made, store)
        made.start()
        time.sleep(1.1)  # the breaker
        found = ids(store)
    assert found[: 1 + len(confirmed)] == ["first", *confirmed]
    assert set(found) - {"first", *confirmed} <= {f"b{len(confirmed)}"}


def test_a_killed_server_that_writes_every_second_has_a_session_that_is_whole(server):
    made = server(appendonly="yes", appendfsync="everysec")
    with open_store(made.url) as store:
        store.save(package("first"))
        # So long that it is on the disk whatever comes.
        time.sleep(2.2)
        confirmed = written_until_killed(made, store)
    made.start()
    with open_store(made.url) as fresh:
        found = ids(fresh)
        assert found == ["first", *confirmed][: len(found)] or found == ["first", *confirmed, f"b{len(confirmed)}"]
        fresh.append("s", [block("after")])
        assert ids(fresh) == [*found, "after"]


def test_a_write_of_which_nobody_heard_is_not_done_twice(server):
    made = server(appendonly="yes", appendfsync="always")
    with Proxy(made) as proxy, open_store(proxy.url) as store:
        store.save(package("first"))
        proxy.cut_reply(command="EVALSHA")
        store.append("s", [block("a")], operation_id="once")
        store.append("s", [block("b")], operation_id="once")
        made.kill()
        made.start()
        assert int(store.append("s", [block("c")], operation_id="once")) == 2
        assert ids(store) == ["first", "a"]


WRITER = """
import sys
from pycontext import ContextBlock, ContextPackage, ContextType, open_store

store = open_store(sys.argv[1])
for round in range(10_000):
    letter = "abcdefgh"[round % 8]
    blocks = [ContextBlock(f"{letter}{n}", letter * 2_000, 0.5, ContextType.USER) for n in range(300)]
    package = ContextPackage("s", f"agent-{letter}", blocks, version=round + 1)
    store.save(package, expect=store.load("s").version if round else 0)
    print(round, flush=True)
"""


def test_a_client_that_is_killed_in_a_save_leaves_one_state_or_the_other(redis_server):
    with open_store(redis_server.url) as store:
        for delay in (0.0, 0.003, 0.007, 0.011, 0.017):
            store.delete("s")
            writer = subprocess.Popen([sys.executable, "-c", WRITER, redis_server.url], stdout=subprocess.PIPE)
            for _ in range(3):
                writer.stdout.readline()
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
            writer.wait(10)
            writer.stdout.close()
            with open_store(redis_server.url) as fresh:
                found = fresh.load("s")
            letter = found.agent_id[-1]
            assert {one.content for one in found.blocks} == {letter * 2_000}
            assert [one.id for one in found.blocks] == [f"{letter}{n}" for n in range(300)]


# The network.


@pytest.mark.parametrize("act", ["append", "update", "remove", "save", "transfer"])
def test_a_reply_that_is_lost_is_asked_for_again(redis_server, act):
    with Proxy(redis_server) as proxy, open_store(proxy.url) as store:
        loaded = package("a", "b")
        store.save(loaded)
        before = loaded.version
        proxy.cut_reply(command="EVALSHA")
        if act == "append":
            store.append("s", [block("c")])
        elif act == "update":
            store.update_block("s", block("a", "other words"))
        elif act == "remove":
            store.remove_blocks("s", ["b"])
        elif act == "save":
            loaded.blocks.append(block("c"))
            store.save(loaded)
        else:
            store.transfer("s", "other")
        with open_store(redis_server.url) as fresh:
            found = fresh.load("s")
            assert found.version == before + 1
            assert [one.id for one in found.blocks] == {"append": ["a", "b", "c"], "save": ["a", "b", "c"]}.get(
                act, ["a"] if act == "remove" else ["a", "b"]
            )
            # What this store thinks is what there is.
            assert store.load("s").blocks == found.blocks
            store.append("s", [block("last")])
            assert ids(fresh)[-1] == "last"


def test_a_slow_network_that_loses_connections_loses_and_doubles_nothing(redis_server):
    with (
        Proxy(redis_server, latency_ms=20, reset_probability=0.03, seed=7) as proxy,
        open_store(proxy.url) as store,
    ):
        store.save(package("first"))
        written = []
        for number in range(80):
            store.append("s", [block(f"b{number}")])
            written.append(f"b{number}")
    with open_store(redis_server.url) as fresh:
        assert ids(fresh) == ["first", *written]


def test_a_network_of_200_ms_works(redis_server):
    with Proxy(redis_server, latency_ms=100) as proxy, open_store(proxy.url) as store:
        store.save(package("first"))
        store.append("s", [block("a")])
        assert ids(store) == ["first", "a"]


def test_a_server_that_is_down_is_told_soon_and_then_at_once(redis_server):
    with Proxy(redis_server) as proxy, open_store(proxy.url) as store:
        store.save(package("a"))
        proxy.refuse()
        start = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            store.append("s", [block("b")])
        assert time.monotonic() - start < 1.5
        start = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="next try in"):
            store.append("s", [block("b")])
        assert time.monotonic() - start < 0.1
        proxy.accept()
        time.sleep(1.1)
        store.append("s", [block("b")])
        assert ids(store) == ["a", "b"]


def test_a_server_that_never_answers_is_told_in_time(redis_server):
    with open_store(redis_server.url) as store:
        store.save(package("a"))
        redis_server.pause()
        start = time.monotonic()
        with pytest.raises(StoreTimeoutError, match="in time"):
            store.append("s", [block("b")], operation_id="once")
        assert time.monotonic() - start < 3
        redis_server.resume()
        time.sleep(1.1)
        # It may have been done when the server woke up: with the same id it is done once.
        store.append("s", [block("b")], operation_id="once")
        assert ids(store) == ["a", "b"]


def test_an_event_loop_goes_on_while_a_server_does_not(redis_server):
    async def run():
        async with open_async_store(redis_server.url) as store:
            await store.save(package("a"))
            redis_server.pause()
            beats = 0
            call = asyncio.create_task(store.append("s", [block("b")]))
            while not call.done():
                await asyncio.sleep(0.01)
                beats += 1
            redis_server.resume()
            with pytest.raises(StoreTimeoutError):
                await call
            return beats

    assert asyncio.run(run()) > 50


def test_nobody_reads_the_answer_to_a_task_that_was_cancelled(redis_server):
    async def run():
        with Proxy(redis_server, latency_ms=30) as proxy:
            async with open_async_store(proxy.url) as store:
                for name in ("s", "t"):
                    await store.save(ContextPackage(name, f"agent of {name}", [block(f"{name}0")]))
                answered = 0
                for number in range(8):
                    call = asyncio.create_task(store.load("s", at_version=1))
                    await asyncio.sleep(0.005 * number)
                    call.cancel()
                    # redis-py loses a cancellation now and then; then there is an answer, and the right one.
                    with contextlib.suppress(asyncio.CancelledError):
                        assert (await call).session_id == "s"
                        answered += 1
                    found = await store.load("t")
                    assert (found.session_id, found.agent_id) == ("t", "agent of t")
                assert answered < 4

    asyncio.run(run())


def test_a_process_that_was_forked_has_connections_of_its_own(redis_server):
    with open_store(redis_server.url) as store:
        store.save(package("first"))
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                for number in range(50):
                    store.append("s", [block(f"child{number}")])
                os.write(writer, b"done")
            finally:
                os._exit(0)
        for number in range(50):
            store.append("s", [block(f"parent{number}")])
        os.waitpid(child, 0)
        assert os.read(reader, 10) == b"done"
        os.close(reader)
        os.close(writer)
        found = ids(store)
        assert sorted(found) == sorted(["first", *(f"{who}{n}" for who in ("child", "parent") for n in range(50))])


# What the server lost.


def test_a_failover_that_lost_writes_refuses_the_stale_writer_and_says_what_is_lost(tmp_path, caplog):
    with Pair(tmp_path / "pair") as pair, Proxy(pair.primary) as proxy, open_store(proxy.url) as store:
        store.save(package("kept"))
        pair.wait_until_in_step()
        pair.cut()
        version = store.append("s", [block("lost-1")])
        store.append("s", [block("lost-2")])
        assert ids(store) == ["kept", "lost-1", "lost-2"]
        pair.primary.kill()
        pair.promote()
        proxy.target = pair.primary
        # Another writes what makes the versions look alike.
        with open_store(pair.primary.url) as other:
            other.append("s", [block("new-1")])
            other.append("s", [block("new-2")])
        for expect in (version, 3, None):
            with pytest.raises(ConflictError):
                store.update_block("s", block("kept", "changed by who knows nothing"), expect=expect)
        with caplog.at_level(logging.WARNING, "pycontext.store"):
            news = store.refresh("s")
        assert news.lost == ("lost-1", "lost-2")
        assert "lost-1, lost-2" in caplog.text
        assert ids(store) == ["kept", "new-1", "new-2"]
        assert store.load("s").blocks[0].content == "some words"
        # What does not need to know is taken, and found to be behind something else.
        store.append("s", [block("after")])
        assert ids(store) == ["kept", "new-1", "new-2", "after"]


def test_a_session_that_went_and_came_again_is_another(store, redis_server):
    store.save(package("a"))
    store.append("s", [block("b")])
    redis_server.command("DEL", KEY)
    for act in (lambda: store.append("s", [block("c")]), lambda: store.update_block("s", block("a", "x"))):
        with pytest.raises(SessionGoneError, match="was at version 2, and is gone"):
            act()
    with open_store(redis_server.url) as other:
        other.save(package("new"))
    for act in (lambda: store.append("s", [block("c")]), lambda: store.update_block("s", block("a", "x"))):
        with pytest.raises(SessionGoneError, match="another one now, at version 1"):
            act()
    with pytest.raises(SessionGoneError):
        store.load("s")
    assert ids(store) == ["new"]
    store.append("s", [block("c")])
    assert ids(store) == ["new", "c"]


def test_a_session_that_expired_is_gone_as_a_whole(redis_server):
    with open_store(redis_server.url, ttl=0.3) as store:
        loaded = package("a")
        store.save(loaded)
        store.append("s", [block("b")])
        assert redis_server.command("KEYS", "*") == [KEY.encode()]
        time.sleep(0.4)
        assert redis_server.command("KEYS", "*") == []
        with pytest.raises(SessionGoneError):
            store.append("s", [block("c")])
        loaded.blocks.append(block("d"))
        with pytest.raises(SessionGoneError):
            store.save(loaded)
        with pytest.raises(SessionGoneError):
            store.load("s")
        with pytest.raises(UnknownSessionError, match="does not exist"):
            store.load("s")
        store.save(loaded, expect=0)
        assert ids(store) == ["a", "d"]


def test_a_fenced_owner_cannot_write_into_a_session_that_was_begun_anew(store, redis_server):
    store.save(package("a"))
    with open_store(redis_server.url) as other:
        other.load("s")
        other.transfer("s", "second")
        with pytest.raises(FencedError):
            store.append("s", [block("late")])
        other.delete("s")
        other.save(package("new"))
        with pytest.raises(SessionGoneError):
            store.append("s", [block("late")])
        assert ids(other) == ["new"]


# Room.


def test_a_full_server_refuses_and_keeps_what_it_has(server):
    made = server(maxmemory="3mb", maxmemory_policy="noeviction")
    with open_store(made.url) as store:
        store.save(package("first"))
        kept = ["first"]
        noise = os.urandom(60_000).hex()
        with contextlib.suppress(StoreFullError):
            for number in range(100):
                store.append("s", [block(f"b{number}", noise)])
                kept.append(f"b{number}")
        with pytest.raises(StoreFullError, match="no memory left"):
            store.append("s", [block("more", noise)])
        assert len(kept) > 2
        with open_store(made.url) as fresh:
            assert ids(fresh) == kept
        loaded = store.load("s")
        loaded.blocks.append(block("more", noise * 8))
        with pytest.raises(StoreFullError):
            store.save(loaded)
        made.command("CONFIG", "SET", "maxmemory", "100mb")
        store.append("s", [block("after")])
        with open_store(made.url) as fresh:
            assert ids(fresh) == [*kept, "after"]


def test_a_server_that_evicts_takes_whole_sessions(server, caplog):
    made = server(maxmemory="4mb", maxmemory_policy="allkeys-lru")
    noise = os.urandom(30_000).hex()
    with caplog.at_level(logging.WARNING, "pycontext.store"), open_store(made.url) as store:
        for number in range(60):
            name = f"s{number}"
            store.save(ContextPackage(name, "agent", [block("a", noise)]))
            store.append(name, [block("b", noise)])
        assert "removes whole sessions" in caplog.text
        found, gone = 0, 0
        for number in range(60):
            try:
                assert [one.id for one in store.load(f"s{number}").blocks] == ["a", "b"]
                found += 1
            except SessionGoneError:
                gone += 1
        assert found > 3
        assert gone > 3


# What is there is not ours, or damaged.


@pytest.mark.parametrize(
    "command", [("SET", KEY, "x"), ("RPUSH", KEY, "x"), ("HSET", KEY, "field", "value"), ("SADD", KEY, "x")]
)
def test_what_somebody_else_keeps_at_our_key_is_left_alone(store, redis_server, command):
    redis_server.command(*command)
    before = redis_server.command("DUMP", KEY)
    loaded = package("a")
    for act in (
        lambda: store.load("s"),
        lambda: store.save(loaded),
        lambda: store.append("s", [block("b")]),
        lambda: store.delete("s"),
        lambda: store.inquire("s"),
        lambda: store.purge("s"),
    ):
        with pytest.raises(StoreCorruptError, match="pctx:"):
            act()
    assert redis_server.command("DUMP", KEY) == before


def flip(server, field, at, mask=1):
    raw = bytearray(server.command("HGET", KEY, field))
    raw[at] ^= mask
    server.command("HSET", KEY, field, bytes(raw))


def test_a_flipped_bit_is_found_and_named(store, redis_server):
    loaded = package("a", content="words that are long enough " * 20)
    store.save(loaded)
    for name in "bcd":
        store.append("s", [block(name)])
    for field, word, version, size in (("S", "snapshot", 1, 100), ("d3", "change", 3, 40)):
        for at in (-1, -size // 2, -size):
            flip(redis_server, field, at, 4)
            with open_store(redis_server.url) as fresh, pytest.raises(CorruptPayloadError, match="damaged") as error:
                fresh.load("s")
            assert (error.value.key, error.value.field, error.value.version) == (KEY, word, version)
            flip(redis_server, field, at, 4)
    with open_store(redis_server.url) as fresh:
        assert ids(fresh) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("keep", [0, 1, 20, 50])
def test_a_change_that_is_cut_off_costs_the_tail_and_no_more(store, redis_server, keep, caplog):
    store.save(package("a"))
    for name in "bcd":
        store.append("s", [block(name)])
    raw = redis_server.command("HGET", KEY, "d3")
    redis_server.command("HSET", KEY, "d3", raw[:keep])
    with open_store(redis_server.url) as fresh:
        with pytest.raises(CorruptPayloadError):
            fresh.load("s")
        with caplog.at_level(logging.WARNING, "pycontext.store"):
            found = fresh.load("s", recover="last-good")
        assert [one.id for one in found.blocks] == ["a", "b"]
        assert "2 changes are dropped" in caplog.text
        assert found.version == 5
        fresh.append("s", [block("e")])
        assert ids(fresh) == ["a", "b", "e"]
    # Whoever knew what is dropped is told.
    assert store.load("s").version == 6
    assert ids(store) == ["a", "b", "e"]


def test_a_change_that_is_missing_is_damage(store, redis_server):
    store.save(package("a"))
    for name in "bcd":
        store.append("s", [block(name)])
    redis_server.command("HDEL", KEY, "d3")
    with open_store(redis_server.url) as fresh:
        with pytest.raises(CorruptPayloadError):
            fresh.load("s")
        assert [one.id for one in fresh.load("s", recover="last-good").blocks] == ["a", "b"]


def test_a_damaged_snapshot_cannot_be_recovered(store, redis_server):
    store.save(package("a"))
    store.append("s", [block("b")])
    flip(redis_server, "S", -1)
    with open_store(redis_server.url) as fresh, pytest.raises(CorruptPayloadError, match="snapshot of version 1"):
        fresh.load("s", recover="last-good")


def test_a_later_format_is_refused_by_name(store, redis_server):
    store.save(package("a"))
    store.append("s", [block("b")])
    before = redis_server.command("DUMP", KEY)
    redis_server.command("HSET", KEY, "f", "2")
    with open_store(redis_server.url) as fresh:
        for act in (
            lambda: fresh.load("s"),
            lambda: fresh.append("s", [block("c")]),
            lambda: fresh.save(package("x")),
            lambda: fresh.delete("s"),
            lambda: fresh.inquire("s"),
        ):
            with pytest.raises(UnsupportedFormatError, match="has format 2"):
                act()
    redis_server.command("HSET", KEY, "f", "1")
    assert redis_server.command("DUMP", KEY) == before
    raw = bytearray(redis_server.command("HGET", KEY, "S"))
    raw[4] = 9
    redis_server.command("HSET", KEY, "S", bytes(raw))
    with open_store(redis_server.url) as fresh, pytest.raises(UnsupportedFormatError, match="format 9"):
        fresh.load("s")


# What the server says.


def test_scripts_that_the_server_forgot_are_sent_again(store, redis_server):
    store.save(package("a"))
    redis_server.command("SCRIPT", "FLUSH")
    store.append("s", [block("b")])
    redis_server.command("SCRIPT", "FLUSH")
    assert ids(store) == ["a", "b"]
    redis_server.command("SCRIPT", "FLUSH")
    versions = store.append_many([("s", [block("c")]), ("s", [block("d")])])
    assert [int(version) for version in versions] == [3, 4]
    assert ids(store) == ["a", "b", "c", "d"]


def test_a_password_is_asked_for_once(server):
    made = server(requirepass="right")
    wrong = made.url.replace("right", "wrong")
    for url in (made.url.replace(":right@", ""), wrong):
        commands = int(made.told("INFO", "stats")["total_connections_received"])
        with open_store(url) as store, pytest.raises(StoreDeniedError) as error:
            store.load("s")
        assert "wrong" not in str(error.value)
        # One for this question, and one for the store.
        assert int(made.told("INFO", "stats")["total_connections_received"]) - commands <= 3
    with open_store(made.url) as store:
        store.save(package("a"))
        assert "right" not in repr(store)


def test_a_user_without_rights_is_told_which(server):
    made = server(users={"app": "on >secret ~other:* +@all", "few": "on >secret ~pctx:* +@read +ping"})
    for user, words in (("app", "key"), ("few", "evalsha|eval")):
        with open_store(made.url_as(user, "secret")) as store, pytest.raises(StoreDeniedError, match=words) as error:
            store.save(package("a"))
        assert "secret" not in str(error.value)


def test_too_many_clients_are_refused_at_once(server):
    made = server(maxclients=2)
    others = [made.client() for _ in range(2)]
    for other in others:
        other.ping()
    with open_store(made.url) as store, pytest.raises(StoreDeniedError, match="has too many clients"):
        store.save(package("a"))


def test_a_replica_is_no_place_to_write(tmp_path):
    with Pair(tmp_path / "pair") as pair, open_store(pair.primary.url) as store:
        store.save(package("a"))
        pair.wait_until_in_step()
        with open_store(pair.replica.url) as replica:
            assert ids(replica) == ["a"]
            with pytest.raises(StoreUnavailableError, match="replica"):
                replica.append("s", [block("b")])


def test_a_server_that_cannot_persist_is_believed(server):
    made = server(save="1 1")
    with open_store(made.url) as store:
        store.save(package("a"))
        # Where the file is to be there is a folder.
        (made.folder / "dump.rdb").mkdir()
        made.command("BGSAVE")
        while made.told("INFO", "persistence")["rdb_last_bgsave_status"] == "ok":
            time.sleep(0.02)
        with pytest.raises(StoreUnavailableError, match="cannot persist"):
            store.append("s", [block("b")])
        assert ids(store)[0] == "a"


def test_somebody_elses_script_is_waited_for(server):
    made = server(**{"busy-reply-threshold": 50})
    with open_store(made.url) as store:
        store.save(package("a"))
        program = "local n = redis.call('TIME')[1] + ARGV[1]; while redis.call('TIME')[1] + 0 < n do end"
        with made.client() as client, made.client() as killer:
            client.connection_pool.connection_kwargs["socket_timeout"] = 0.1
            with pytest.raises(Exception, match=r"Timeout|timed out"):
                client.eval(program, 0, 20)
            with pytest.raises((StoreBusyError, StoreTimeoutError), match=r"script|in time"):
                store.append("s", [block("b")])
            killer.script_kill()
        time.sleep(1.1)
        store.append("s", [block("b")])
        assert ids(store) == ["a", "b"]


def test_a_server_that_loads_says_so(server):
    # So slowly that somebody sees it.
    made = server(**{"save": "3600 1", "key-load-delay": 10_000, "loading-process-events-interval-bytes": 1_024})
    with made.client() as client:
        client.mset({f"key{number}": "x" * 1_000 for number in range(400)})
    with open_store(made.url) as store:
        store.save(package("a"))
        made.stop()
        starting = threading.Thread(target=made.start)
        starting.start()
        said = set()
        while starting.is_alive():
            try:
                store.load("s")
            except StoreUnavailableError as error:
                said.add("is loading its data" in str(error))
            time.sleep(0.02)
        starting.join()
        assert True in said
        time.sleep(1.1)
        assert ids(store) == ["a"]


# Clocks.


def test_order_is_that_of_the_writes_whatever_clocks_say(store, redis_server):
    store.save(package("a"))
    hour = 3_600_000
    now = int(time.time() * 1000)
    for name, when in (("ahead", now + hour), ("behind", now - hour), ("now", now)):
        with open_store(redis_server.url) as other:
            other.append("s", [ContextBlock(name, "words", 0.5, USER, timestamp=when)])
    found = store.load("s")
    assert [one.id for one in found.blocks] == ["a", "ahead", "behind", "now"]
    # The one from the future is no older than now, and no better.
    scores = found.blocks.effective_scores(factor_per_minute=0.5, now=now)
    assert scores[1] == 0.5
    assert scores[2] < 0.5
    # The server's own clock: as if it had been an hour ahead at the last write.
    redis_server.command("HSET", KEY, "t", now + hour)
    version = store.append("s", [block("b")])
    assert int(redis_server.command("HGET", KEY, "t")) == now + hour
    assert store.inquire("s").age_ms == 0
    assert store.append("s", [block("b")], operation_id=version.operation_id) == version
