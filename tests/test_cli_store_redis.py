"""`pycontext store` over a real Redis: what differs from a file."""

from __future__ import annotations

import json
import secrets

import pytest

from pycontext import open_store
from pycontext.store.key import Key
from servers.server import RedisServer
from stores import block, package
from test_cli import DONE, FAILED, NOT_FOUND, PARTLY, lines_of
from test_cli_store import CONFLICT, UNAVAILABLE, findings, state, store

WARNING = "no persistence: a restart loses every session: set appendonly yes"


@pytest.fixture
def url(redis_server):
    with open_store(redis_server.url) as sessions:
        sessions.save(package(block("m0"), session_id="a"))
        for i in range(5):
            sessions.append("a", [block(f"m{i + 1}", secrets.token_hex(200))])
        sessions.save(package(block("m0"), session_id="b"), ttl=3_600)
    return redis_server.url


def test_warnings_of_the_library_are_said_as_all_else(url):
    code, out, err = store("ls", url, "--json")
    assert code == DONE
    assert [one["session"] for one in lines_of(out)] == ["a", "b"]
    assert lines_of(err) == [{"event": "warning", "message": f"{url.rpartition('@')[2]}: {WARNING}"}]
    code, out, err = store("ls", url)
    assert err == f"pycontext: {url}: {WARNING}\n"
    assert store("ls", url) == (code, out, err), "each time, and once"


def test_sessions_come_and_go_between_redis_and_a_file(url, tmp_path):
    file = f"sqlite:///{tmp_path}/x.db"
    before = state(url)
    assert store("copy", url, file)[0] == DONE
    assert store("purge", url, "a", "--yes")[0] == DONE
    assert store("show", url, "a")[0] == NOT_FOUND
    code, out, _ = store("copy", file, url, "--json")
    assert (code, json.loads(out)["copied"], json.loads(out)["there_already"]) == (CONFLICT, 1, 1)
    after = state(url)
    for session in (*before.values(), *after.values()):
        del session["operation_id"]
    assert after == before
    assert 3_000 < lines_of(store("ls", url, "--json")[1])[1]["ttl_seconds"] <= 3_600


def test_gc_compacts_and_trims(redis_server, url):
    before, size = state(url), len(redis_server.command("DUMP", Key.of("default", "a").name))
    code, out, _ = store("gc", url, "--changes", 4, "--dry-run", "--json")
    assert (json.loads(out)["compacted"], json.loads(out)["changes"]) == (1, 5)
    assert store("show", url, "a", "--at-version", 2)[0] == DONE
    code, out, _ = store("gc", url, "--changes", 4, "--json")
    done = json.loads(out)
    assert (code, done["compacted"], done["changes"], done["expired"]) == (DONE, 1, 5, 0)
    assert done["saved_bytes"] > 0
    assert len(redis_server.command("DUMP", Key.of("default", "a").name)) < size
    assert state(url) == before


def test_gc_removes_what_a_client_left_that_died_before_it_trimmed(redis_server, url):
    key = Key.of("default", "a").name
    changes = [f"d{version}" for version in range(2, 7)]
    kept = [word for field in changes for word in (field, redis_server.command("HGET", key, field))]
    with open_store(url) as sessions:
        sessions.compact("a")
    # As it was between the two: the snapshot is in place, and its changes are still there.
    redis_server.command("HSET", key, *kept, "l", 2, "g", 6)
    with open_store(url) as sessions:
        assert (sessions.inquire("a").changes, sessions.inquire("a").needless) == (0, 5)
    assert redis_server.command("HEXISTS", key, "d3") == 1
    code, out, _ = store("gc", url, "--json")
    assert (code, json.loads(out)["compacted"], json.loads(out)["changes"]) == (DONE, 1, 5)
    assert redis_server.command("HEXISTS", key, "d3") == 0
    with open_store(url) as sessions:
        assert sessions.inquire("a").needless == 0


def test_what_is_no_session_of_ours_is_named_and_the_rest_is_listed(redis_server, url):
    for kind, id in (("SET", "text"), ("HSET", "hash"), ("HSET", "later")):
        fields = {"text": ["x"], "hash": ["x", "y"], "later": ["f", "9"]}[id]
        redis_server.command(kind, Key.of("default", id).name, *fields)
    code, out, err = store("ls", url, "--json")
    assert code == PARTLY
    assert [one["session"] for one in lines_of(out)] == ["a", "b"]
    assert [one.get("session") for one in lines_of(err)] == [None, "hash", "later", "text"]
    assert store("show", url, "hash")[0] == FAILED
    assert store("purge", url, "text", "--yes")[0] == FAILED
    assert redis_server.command("GET", Key.of("default", "text").name) == b"x"


def test_doctor_warns_of_a_server_that_forgets_and_leaves_nothing_behind(redis_server, url):
    before = redis_server.command("DBSIZE")
    code, found = findings(url)
    assert code == FAILED
    assert found["persistence"]["text"] in WARNING
    assert {topic for topic, one in found.items() if one["state"] == "warning"} == {"persistence"}
    for topic in ("client", "memory", "eviction", "version", "replication", "latency", "clock", "write and read"):
        assert found[topic]["text"]
    assert redis_server.command("DBSIZE") == before


def test_doctor_is_content_with_a_server_that_keeps(tmp_path):
    with RedisServer(tmp_path / "server", appendonly="yes", maxmemory="100mb", requirepass="s3cr3t") as server:
        code, found = findings(server.url)
        assert (code, found["write and read"]["state"]) == (DONE, "good")
        code, out, err = store("doctor", server.url)
        assert (code, err) == (DONE, "")
        assert "s3cr3t" not in out


def test_doctor_says_that_a_user_may_not_write(tmp_path):
    rules = "on >s3cr3t ~pctx:* +@read +@scripting +ping +info +time +config|get"
    with RedisServer(tmp_path / "server", users={"reader": rules}) as server:
        code, found = findings(server.url_as("reader", "s3cr3t"))
        assert (code, found["write and read"]["value"]) == (FAILED, "refused")
        assert "the user may not do this" in found["write and read"]["text"]
        code, _, err = store("purge", server.url_as("reader", "wrong"), "x", "--yes")
        assert code == FAILED
        assert "the server knows no such user and password" in err
        assert "wrong" not in err.replace("WRONGPASS", "")


def test_a_server_that_is_full_is_unavailable_and_what_is_copied_is_said(tmp_path):
    file = f"sqlite:///{tmp_path}/x.db"
    with open_store(file) as sessions:
        for i in range(40):
            sessions.save(package(block("m0", secrets.token_hex(100_000)), session_id=f"s{i:02}"))
    with RedisServer(tmp_path / "server", maxmemory="4mb") as server:
        code, out, err = store("copy", file, server.url, "--json")
        assert code == UNAVAILABLE
        copied = json.loads(out)["copied"]
        assert 0 < copied < 40
        assert lines_of(err)[-1]["event"] == "error"
        assert "the server has no memory left" in lines_of(err)[-1]["message"]
        assert sorted(state(server.url)) == [f"s{i:02}" for i in range(copied)]
        assert findings(server.url)[1]["memory"]["state"] == "warning"


def test_a_server_that_was_stopped_is_unavailable(tmp_path):
    with RedisServer(tmp_path / "server") as server:
        server.stop()
        code, out, err = store("doctor", server.url)
        assert (code, out) == (UNAVAILABLE, "")
        assert "the server cannot be reached" in err
