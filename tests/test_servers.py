"""The servers, and the network between, that the tests of the stores stand on."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import AskError, ClusterDownError, MovedError

from servers.certificates import Certificates
from servers.child import until
from servers.cluster import slot_of
from servers.pair import Pair
from servers.proxy import Proxy, end_of_command, name_of
from servers.server import RedisServer

ROOT = Path(__file__).parent.parent


@pytest.fixture
def server(tmp_path):
    """Starts servers with any settings, each in a folder of its own."""
    with contextlib.ExitStack() as started:
        yield lambda *arguments, **settings: started.enter_context(
            RedisServer(tmp_path / f"{len(list(tmp_path.iterdir()))}", *arguments, **settings)
        )


def once(at, url=None, **options):
    """A client that tries once."""
    return at.client(url, retry=None, **options)


# One server.


def test_a_write_that_is_always_kept_outlives_a_kill(server):
    kept, lost = server(appendonly="yes", appendfsync="always"), server()
    for one in (kept, lost):
        one.command("SET", "key", "value")
        port, pid = one.port, one.pid
        one.kill()
        assert not one.is_running
        assert one.said_to(b"PING\r\n") is None
        one.restart()
        assert one.port == port
        assert one.pid != pid
    assert kept.command("GET", "key") == b"value"
    assert lost.command("GET", "key") is None


def test_a_server_that_is_stopped_writes_what_it_was_told_to(server):
    one = server(save="3600 1")
    one.command("SET", "key", "value")
    one.stop()
    assert not one.is_running
    one.start()
    assert one.command("GET", "key") == b"value"


def test_a_paused_server_answers_after_it(server):
    one = server()
    client = once(one, socket_timeout=0.2)
    client.set("key", "value")
    one.pause()
    with pytest.raises(redis.TimeoutError):
        client.get("key")
    one.resume()
    assert client.get("key") == b"value"
    one.pause()
    one.restart()
    assert one.command("PING") == b"PONG"


def test_settings_are_the_servers(server):
    one = server(requirepass="se:cret/", maxmemory="3mb", maxmemory_policy="noeviction")
    with pytest.raises(redis.AuthenticationError):
        once(one, re.sub("//.*@", "//", one.url)).ping()
    with pytest.raises(redis.OutOfMemoryError):
        one.client().set("key", b"x" * 4_000_000)


def test_a_server_that_is_full_says_so(server):
    one = server()
    client = one.client()
    # At its start those that asked whether it answers may still be counted.
    client.config_set("maxclients", 1)
    with pytest.raises(redis.ConnectionError, match="max number of clients"):
        once(one).ping()
    assert client.ping()


def test_users_may_do_what_their_rules_say(server):
    one = server(users={"app": "on >secret ~pctx:* +@all", "default": "off"})
    client = once(one, one.url_as("app", "secret"))
    assert client.set("pctx:key", 1)
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.set("key", 1)
    with pytest.raises(redis.AuthenticationError):
        once(one).ping()


def test_a_socket_in_the_folder(server):
    one = server(unix=True)
    assert one.client(f"unix://{one.unix}").ping()


def test_a_server_that_does_not_start_says_why(server):
    with pytest.raises(RuntimeError, match=r"(?s)ended at its start.*maxmemory .?much"):
        server(maxmemory="much")


def test_tls_refuses_whom_nobody_vouches_for(server, tmp_path):
    certificates, others = Certificates(tmp_path / "ours"), Certificates(tmp_path / "others")
    one = server(tls=certificates)
    assert one.url.startswith("rediss://")
    assert one.client().ping()
    for options in ({"ssl_ca_certs": None}, {"ssl_ca_certs": str(others.authority)}):
        with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            once(one, **options).ping()
    strict = server(tls=certificates, tls_auth_clients="yes")
    with pytest.raises(redis.ConnectionError):
        once(strict).ping()
    for signed, is_welcome in ((others, False), (certificates, True)):
        files = {"ssl_certfile": str(signed.client.certificate), "ssl_keyfile": str(signed.client.key)}
        refused = contextlib.nullcontext() if is_welcome else pytest.raises(redis.ConnectionError)
        with refused:
            assert once(strict, **files).ping()


def test_no_server_outlives_the_tests(tmp_path, redis_server):
    assert redis_server.is_running
    run = """
import sys, pathlib, threading
sys.path.insert(0, sys.argv[1])
from servers.server import RedisServer
made = []
start = threading.Thread(target=lambda: made.append(RedisServer(pathlib.Path(sys.argv[2]))))
start.start()
start.join()
print(made[0].pid, made[0].command("PING"), flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", run, str(ROOT / "tests"), str(tmp_path / "server")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tests:
        pid, answer = tests.stdout.readline().split()
        # The thread that started it is no more.
        assert answer == "b'PONG'"
        tests.send_signal(signal.SIGKILL)
    until(lambda: not is_alive(int(pid)), "the server is gone", seconds=5)


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# The network.


def test_a_cut_reply_leaves_its_write_behind(redis_server, proxy):
    client = once(redis_server, proxy.url)
    client.ping()
    proxy.cut_reply(2, command="INCR")
    assert client.execute_command("INCR", "count") == 1
    client.ping()
    with pytest.raises(redis.ConnectionError):
        client.execute_command("INCR", "count")
    assert redis_server.command("GET", "count") == b"2"
    assert client.execute_command("INCR", "count") == 3
    proxy.cut_reply()
    with pytest.raises(redis.ConnectionError):
        client.set("other", "value")
    assert redis_server.command("GET", "other") == b"value"
    assert [name for name in proxy.passed if name == "INCR"] == ["INCR"] * 3


def test_of_a_pipeline_nothing_goes_on_behind_the_cut(redis_server, proxy):
    client = once(redis_server, proxy.url)
    client.ping()
    proxy.cut_reply(2, command="RPUSH")
    with client.pipeline(transaction=False) as pipe:
        for number in range(4):
            pipe.rpush("list", number)
        with pytest.raises(redis.ConnectionError):
            pipe.execute()
    assert redis_server.command("LRANGE", "list", 0, -1) == [b"0", b"1"]
    assert proxy.passed.count("RPUSH") == 2


def test_a_tenth_of_all_commands_is_lost_before_or_after_the_server(redis_server):
    outcomes = []
    for seed in (1, 1, 2):
        redis_server.command("DEL", "list")
        with Proxy(redis_server, reset_probability=0.1, seed=seed) as proxy:
            seen = [is_answered(proxy, number) for number in range(200)]
        kept = {int(number) for number in redis_server.command("LRANGE", "list", 0, -1)}
        before = {number for number in range(200) if number not in kept}
        after = {number for number in kept if not seen[number]}
        assert not any(seen[number] for number in before)
        assert 3 < len(before) < 20
        assert 3 < len(after) < 20
        outcomes.append((before, after))
    assert outcomes[0] == outcomes[1] != outcomes[2]


def is_answered(proxy, number):
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as link:
        link.sendall(b"RPUSH list %d\r\n" % number)
        try:
            answer = link.recv(100)
        except ConnectionResetError:
            return False
    assert answer.startswith(b":")
    return True


def test_latency_is_taken_each_way_and_keeps_the_order(redis_server, proxy):
    client = once(redis_server, proxy.url)
    value = os.urandom(3_000_000)
    client.ping()
    proxy.latency_ms = 50
    begin = time.monotonic()
    client.ping()
    assert time.monotonic() - begin >= 0.1
    # Many pieces, all of them on the way at the same time.
    client.set("key", value)
    assert client.get("key") == value


def test_refused_stalled_and_reset(redis_server, proxy):
    client = once(redis_server, proxy.url, socket_timeout=0.2)
    client.ping()
    proxy.refuse()
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            client.ping()
    proxy.accept()
    assert client.ping()
    proxy.stall()
    with pytest.raises(redis.TimeoutError):
        client.set("key", "value")
    assert redis_server.command("GET", "key") is None
    proxy.flow()
    assert client.ping()
    proxy.reset()
    link = socket.create_connection(("127.0.0.1", proxy.port), 5)
    with link:
        link.sendall(b"PING\r\n")
        assert link.recv(100) == b"+PONG\r\n"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            link.recv(100)
    redis_server.pause()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    redis_server.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()


def test_another_target(redis_server, proxy, server):
    proxy.target = server()
    proxy.target.command("SET", "key", "there")
    assert once(redis_server, proxy.url).get("key") == b"there"


@given(
    commands=st.lists(st.lists(st.binary(max_size=20), min_size=1, max_size=4), min_size=1, max_size=4),
    cut=st.integers(min_value=0),
)
def test_commands_are_told_apart(commands, cut):
    packed = [
        b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)])
        for words in commands
    ]
    data = b"".join(packed)
    for command, words in zip(packed, commands, strict=True):
        end = end_of_command(data)
        assert data[:end] == command
        assert end_of_command(command[: cut % len(command)]) is None
        if words[0].isalnum():
            assert name_of(command) == words[0].decode().upper()
        data = data[end:]
    assert end_of_command(data) is None


# Many servers.


def test_a_failover_can_lose_writes(tmp_path):
    with Pair(tmp_path / "pair") as pair:
        old = pair.primary
        old.command("SET", "key", "kept")
        pair.wait_until_in_step()
        with pytest.raises(redis.exceptions.ReadOnlyError):
            pair.replica.command("SET", "key", "refused")
        pair.cut()
        old.command("SET", "key", "lost")
        old.kill()
        pair.promote()
        assert pair.replica is old
        assert pair.primary.command("GET", "key") == b"kept"
        pair.primary.command("SET", "other", "new")
        old.start()
        assert old.command("GET", "key") is None  # it keeps nothing on disk
        pair.follow()
        assert old.command("GET", "other") == b"new"


@pytest.mark.parametrize("by", ["kill", "pause"])
def test_a_sentinel_promotes_the_replica(sentinel, by):
    watch = redis.sentinel.Sentinel(sentinel.addresses, socket_timeout=2)
    with contextlib.ExitStack() as clients:
        for one in watch.sentinels:
            clients.enter_context(one)
        client = clients.enter_context(watch.master_for(sentinel.name, socket_timeout=0.5))
        client.set("key", "value")
        old = sentinel.pair.primary
        sentinel.pair.wait_until_in_step()
        sentinel.failover(by=by)
        assert sentinel.pair.replica is old
        assert watch.discover_master(sentinel.name) == ("127.0.0.1", sentinel.pair.primary.port)
        # It would wait for one that is paused.
        client.connection_pool.disconnect()
        assert client.get("key") == b"value"
        assert client.set("key", "other")


def test_a_cluster_says_where_a_key_is(redis_cluster):
    slot = slot_of("key")
    owner = redis_cluster.owner(slot)
    target, third = [node for node in redis_cluster.nodes if node is not owner]
    owner.command("SET", "key", "value")
    for node in (target, third):
        with pytest.raises(MovedError) as moved:
            node.command("GET", "key")
        assert (moved.value.slot_id, moved.value.port) == (slot, owner.port)
    redis_cluster.open_slot(slot, target)
    assert owner.command("GET", "key") == b"value"
    with pytest.raises(AskError) as ask:
        owner.command("GET", "{key}other")
    assert ask.value.port == target.port
    redis_cluster.move_keys(slot, target)
    with pytest.raises(AskError):
        owner.command("GET", "key")
    redis_cluster.settle_slot(slot, target)
    assert target.command("GET", "key") == b"value"
    with pytest.raises(MovedError) as moved:
        owner.command("GET", "key")
    assert moved.value.port == target.port
    assert redis_cluster.owner(slot) is target
    redis_cluster.open_slot(slot, third)
    redis_cluster.mend()
    assert target.command("GET", "key") is None


def test_a_cluster_without_a_node_is_down_until_it_is_back(redis_cluster):
    with redis_cluster.client() as client:
        client.set("key", "value")
    *others, lost = redis_cluster.nodes
    lost.kill()
    redis_cluster.wait_until_down()
    for node in others:
        with pytest.raises(ClusterDownError):
            node.command("GET", "key")
    redis_cluster.mend()
    with redis_cluster.client() as client:
        assert client.get("key") is None
        assert client.set("key", "value")


def test_a_slot_goes_with_its_keys(redis_cluster):
    with redis_cluster.client() as client:
        keys = [f"{{tag}}{number}" for number in range(250)]
        for key in keys:
            client.set(key, key)
        slot = slot_of("{tag}")
        owner = redis_cluster.owner(slot)
        redis_cluster.move_slot(slot, next(node for node in redis_cluster.nodes if node is not owner))
        assert [client.get(key).decode() for key in keys] == keys
