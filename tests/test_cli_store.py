"""`pycontext store` over files."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings

from pycontext import ContextType, open_store
from pycontext.cli.main import main
from pycontext.wire import EncryptionKey
from stores import block, package, texts
from strategies import packages
from test_cli import DONE, FAILED, NOT_FOUND, PARTLY, USAGE, lines_of, on_a_terminal, run

CONFLICT, UNAVAILABLE = 4, 5
# Nobody listens there.
CLOSED = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def _signals():
    """What the program does about signals is not for the tests."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def called(*args, env=None):
    """What comes of a call in this very process, which is faster; an error that is not caught fails the test."""
    out, err = StringIO(), StringIO()
    surroundings = {"NO_COLOR": "1", "COLUMNS": "100", "PYCONTEXT_STORE": "", **(env or {})}
    with patch.dict(os.environ, surroundings), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()


def store(*args, **options):
    return called("store", *args, **options)


@pytest.fixture
def url(tmp_path):
    """Three sessions: one new, one with changes, one that ends."""
    address = f"sqlite:///{tmp_path}/a.db"
    with open_store(address) as sessions:
        sessions.save(package(block("m0", "My line is dead."), session_id="new", agent_id="intent_agent"))
        sessions.save(package(block("m0"), session_id="old"))
        for i in range(1, 5):
            sessions.append("old", [block(f"m{i}", f"note {i}", origin="partner")])
        sessions.save(package(block("m0"), session_id="short"), ttl=3_600)
    return address


def state(url, namespace="default"):
    """All that a store holds, as far as people see it."""
    with open_store(url, namespace=namespace) as sessions:
        return {id: sessions.load(id).to_dict() for id in sessions.sessions()}


def path_of(url):
    return Path(url.removeprefix("sqlite:///"))


def kept_bytes(url):
    path = path_of(url)
    return b"".join(one.read_bytes() for one in sorted(path.parent.glob(f"{path.name}*")))


# ls, show


def test_ls_says_how_sessions_stand(url):
    code, out, err = store("ls", url, "--json")
    assert (code, err) == (DONE, "")
    new, old, short = lines_of(out)
    assert (new["session"], new["version"], new["changes"], new["ttl_seconds"]) == ("new", 1, 0, None)
    assert (old["session"], old["version"], old["changes"], old["snapshot_version"]) == ("old", 5, 4, 1)
    assert 3_500 < short["ttl_seconds"] <= 3_600
    assert all(0 <= one["age_seconds"] < 60 for one in (new, old, short))
    with open_store(url) as sessions:
        assert old["stored_bytes"] == sessions.inquire("old").stored_bytes > old["snapshot_bytes"] > 0
        sessions.transfer("old", "other_agent")
    assert lines_of(store("ls", url, "--json")[1])[1]["epoch"] == 1
    code, out, err = store("ls", url)
    assert (code, err) == (DONE, "")
    assert "3 sessions" in out
    assert re.search(r"short .* 60 min", out)
    assert re.search(r"new .* for ever", out)
    assert "\x1b" not in out
    code, out, _ = store("ls", url, "--namespace", "other")
    assert code == DONE
    assert "0 sessions" in out


def test_show_shows_a_session(url):
    code, out, err = store("show", url, "old", "--json")
    assert (code, err) == (DONE, "")
    assert json.loads(out) == state(url)["old"]
    code, out, err = store("show", url, "old")
    assert (code, err) == (DONE, "")
    for words in ("ann", "of version 1", "4 changes since", "partner", "note 4", "o200k_base"):
        assert words in out
    code, out, _ = store("show", url, "old", "--at-version", 3)
    assert code == DONE
    assert "note 2" in out
    assert "note 3" not in out
    assert "it is at 5" in out
    earlier = json.loads(store("show", url, "old", "--at-version", 3, "--json")[1])
    assert [one["id"] for one in earlier["blocks"]] == ["m0", "m1", "m2"]


def test_what_a_session_says_is_text_and_no_markup(url):
    calls = {"openai.tool_calls": '[{"function": {"name": "look", "arguments": "{}"}}]'}
    with open_store(url) as sessions:
        odd = [
            block("[red]id[/red]", "[/foo] one\ntwo \x1b[2J" + "word " * 200, origin="[b]x"),
            block("call", "", type=ContextType.AGENT, metadata=calls),
            block("no call", "", type=ContextType.AGENT, metadata={"openai.tool_calls": '{"function": 1}'}),
        ]
        sessions.save(package(*odd, session_id="odd", agent_id="[/b]"))
    for width in ("60", "120", "200"):
        code, out, _ = store("show", url, "odd", env={"COLUMNS": width})
        assert code == DONE
        assert "\x1b" not in out
    for words in ("[red]id[/red]", "[/foo] one two", "[b]x", "[/b]", "look({})", "no call"):
        assert words in out


def test_what_is_not_there_is_not_found_and_not_made(url, tmp_path):
    for command, args in (("show", ["x"]), ("purge", ["x", "--yes"]), ("purge", ["new", "--block", "x", "--yes"])):
        code, out, err = store(command, url, *args)
        assert (code, out) == (NOT_FOUND, "")
        assert "'x'" in err
    code, _, err = store("show", url, "old", "--at-version", 9)
    assert code == NOT_FOUND
    assert "version 9 is not kept, 1 to 5 are" in err
    missing = f"sqlite:///{tmp_path}/missing.db"
    for command, args in (
        ("ls", [missing]),
        ("show", [missing, "x"]),
        ("gc", [missing]),
        ("purge", [missing, "x", "--yes"]),
        ("copy", [missing, url]),
        ("doctor", [missing]),
    ):
        code, out, err = store(command, *args)
        assert (code, out) == (NOT_FOUND, "")
        assert "missing.db: No such file" in err
    assert not list(tmp_path.glob("missing*"))


def test_the_environment_may_name_the_store(url):
    named = {"PYCONTEXT_STORE": url}
    assert [one["session"] for one in lines_of(store("ls", "--json", env=named)[1])] == ["new", "old", "short"]
    assert store("show", "old", "--json", env=named) == store("show", url, "old", "--json")
    code, _, err = store("show", url, "new", env={"PYCONTEXT_STORE": "sqlite:///nowhere.db"})
    assert (code, err) == (DONE, "")
    code, _, err = store("ls", env={"PYCONTEXT_STORE": ""})
    assert code == USAGE
    assert "no store is named: give its address, or set PYCONTEXT_STORE" in err


def test_options_may_stand_anywhere(url):
    expected = store("show", url, "old", "--json", "--at-version", 2)
    assert expected[0] == DONE
    assert store("show", "--json", url, "--at-version", 2, "old") == expected
    assert store("show", url, "--json", "old", "--at-version", 2) == expected
    assert store("show", "--at-version=2", "old", "--json", env={"PYCONTEXT_STORE": url}) == expected


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["ls", "nonsense"], "url has scheme '', not one of memory, sqlite"),
        (["ls", "sqlite://host/file"], "three slashes"),
        (["ls", "URL", "more"], "unrecognized arguments: more"),
        (["ls", "URL", "--namespace", ""], "namespace"),
        (["show", "URL"], "SESSION is an address"),
        (["show", "URL", "a b"], "session_id 'a b'"),
        (["show", "URL", "new", "--at-version", "0"], "'0' is not a whole number from 1"),
        (["gc", "URL", "--changes", "x"], "'x' is not a whole number from 0"),
        (["copy", "URL"], "no store is named"),
        (["copy", "URL", "URL", "--session", "URL"], "--session is an address"),
        (["purge", "URL", "new"], "nobody can be asked here: --yes is needed"),
        ([], "COMMAND"),
        (["list"], "invalid choice: 'list'"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(url, args, words):
    before = state(url)
    code, out, err = store(*[url if arg == "URL" else arg for arg in args])
    assert (code, out) == (USAGE, "")
    assert words in err
    assert state(url) == before


# purge


def test_purge_removes_a_session_or_a_block_to_the_last_byte(url):
    # Compressed, nothing could be found in the file.
    secret, other = os.urandom(64).hex(), os.urandom(64).hex()
    with open_store(url) as sessions:
        sessions.append("new", [block("m1", secret)])
        sessions.append("new", [block("m2", other)])
        sessions.remove_blocks("new", ["m2"])
    held = kept_bytes(url)
    assert secret.encode() in held
    assert other.encode() in held
    code, out, _ = store("purge", url, "new", "--block", "m1", "--yes", "--json")
    assert code == DONE
    assert json.loads(out) == {"event": "purged", "session": "new", "block": "m1", "version": 5}
    held = kept_bytes(url)
    assert secret.encode() not in held
    assert other.encode() not in held, "the new snapshot takes the place of every earlier version"
    assert state(url)["new"]["blocks"][0]["id"] == "m0"
    code, out, _ = store("purge", url, "new", "--yes")
    assert (code, out) == (DONE, "session 'new' is removed\n")
    assert "new" not in state(url)


def test_a_block_of_an_earlier_version_goes_though_it_is_not_found(url):
    other = os.urandom(64).hex()
    with open_store(url) as sessions:
        sessions.append("new", [block("m1", other)])
        sessions.remove_blocks("new", ["m1"])
    assert other.encode() in kept_bytes(url)
    code, out, err = store("purge", url, "new", "--block", "m1", "--yes")
    assert (code, out) == (NOT_FOUND, "")
    assert "there is no block 'm1' of session 'new'; earlier versions, which may have had it, are removed" in err
    assert other.encode() not in kept_bytes(url)
    code, _, err = store("purge", url, "new", "--block", "m1", "--yes")
    assert code == NOT_FOUND
    assert "earlier versions" not in err


@pytest.mark.parametrize(("answer", "code"), [("y", DONE), ("yes", DONE), ("n", FAILED), ("", FAILED)])
def test_people_are_asked(url, answer, code):
    leader, follower = pty.openpty()
    program = [sys.executable, "-m", "pycontext", "store", "purge", url, "new"]
    with subprocess.Popen(program, stdin=follower, stdout=subprocess.PIPE, stderr=follower) as process:
        os.close(follower)
        os.write(leader, f"{answer}\n".encode())
        assert process.stdout.read().decode() == ("session 'new' is removed\n" if code == DONE else "")
        assert process.wait() == code
    said = os.read(leader, 65536).decode()
    os.close(leader)
    assert "Remove session 'new' of sqlite:///" in said
    assert ("nothing was removed" in said) == (code == FAILED)
    assert ("new" in state(url)) == (code == FAILED)


# gc


def test_gc_removes_what_has_expired_and_gives_room_back(url):
    content = os.urandom(20_000).hex()
    for namespace in ("default", "other"):
        with open_store(url, namespace=namespace, ttl=0.001) as sessions:
            sessions.save(package(block("m0", f"{namespace} {content}"), session_id="gone"))
    time.sleep(0.01)
    with sqlite3.connect(path_of(url)) as db:
        rows = db.execute(
            "SELECT substr(body, 20, 200) FROM snapshots JOIN sessions ON id = session WHERE session_id = 'gone'"
        )
        bodies = [body for (body,) in rows]
    db.close()
    before, held = state(url), kept_bytes(url)
    assert all(body in held for body in bodies)
    code, out, _ = store("gc", url, "--dry-run", "--json")
    assert code == DONE
    foreseen = json.loads(out)
    assert (foreseen["expired"], foreseen["compacted"], foreseen["dry_run"]) == (1, 0, True)
    assert foreseen["freed_bytes"] > 20_000
    assert kept_bytes(url) == held
    code, out, _ = store("gc", url, "--json")
    assert code == DONE
    done = json.loads(out)
    assert (done["sessions"], done["expired"], done["compacted"]) == (3, 1, 0)
    assert done["freed_bytes"] >= len(held) - len(kept_bytes(url)) > 20_000
    assert [body in kept_bytes(url) for body in bodies] == [False, True], "of one namespace only"
    assert state(url) == before
    assert store("gc", url) == (
        DONE,
        "0 of 3 sessions are compacted; 0 changes are removed; 0 expired sessions are removed\n",
        "",
    )


def test_gc_compacts_sessions_with_many_changes(url):
    before = state(url)
    assert json.loads(store("gc", url, "--changes", 4, "--json")[1])["compacted"] == 0
    assert json.loads(store("gc", url, "--changes", 3, "--json", "--dry-run")[1])["compacted"] == 1
    assert store("show", url, "old", "--at-version", 3)[0] == DONE
    code, out, _ = store("gc", url, "--changes", 3, "--json")
    assert code == DONE
    done = json.loads(out)
    assert (done["sessions"], done["compacted"], done["changes"], done["failed"]) == (3, 1, 4, 0)
    assert state(url) == before
    assert store("show", url, "old", "--at-version", 3)[0] == NOT_FOUND
    assert "1 of 3 sessions would be" not in store("gc", url, "--changes", 3, "--dry-run")[1]


# copy


def test_copy_copies_sessions_as_they_are(url, tmp_path):
    to = f"sqlite:///{tmp_path}/b.db"
    with open_store(url) as sessions:
        sessions.transfer("old", "other_agent")
    code, out, err = store("copy", url, to, "--json")
    assert (code, err) == (DONE, "")
    assert json.loads(out) == {"event": "summary", "copied": 3, "blocks": 7, "there_already": 0, "failed": 0}
    copied, original = state(to), state(url)
    for session in (*copied.values(), *original.values()):
        del session["operation_id"]
    assert copied == original
    with open_store(to) as sessions:
        assert sessions.load("old").epoch == 1
        assert [one.origin for one in sessions.load("old").blocks] == [None, *["partner"] * 4]
        assert sessions.inquire("old").ttl_ms is None
        assert 3_000_000 < sessions.inquire("short").ttl_ms <= 3_600_000


def test_copy_copies_some_and_into_another_namespace(url, tmp_path):
    to = f"sqlite:///{tmp_path}/b.db"
    code, out, _ = store("copy", url, to, "--session", "new", "--session", "short", "--to-namespace", "tenant")
    assert code == DONE
    assert out.startswith("2 sessions with 2 blocks copied from sqlite:///")
    assert list(state(to, "tenant")) == ["new", "short"]
    assert state(to) == {}
    code, _, err = store("copy", url, to, "--session", "old", "--session", "nobody")
    assert code == NOT_FOUND
    assert "'nobody'" in err
    assert state(to) == {}, "none is copied where one is not there"
    # Within one file.
    assert store("copy", url, url, "--to-namespace", "tenant")[0] == DONE
    assert list(state(url, "tenant")) == ["new", "old", "short"]


def test_what_is_there_already_is_left_unless_said(url, tmp_path):
    to = f"sqlite:///{tmp_path}/b.db"
    with open_store(to) as sessions:
        sessions.save(package(block("mine", "of the other store"), session_id="old", epoch=7, version=40))
    there = state(to)["old"]
    code, out, err = store("copy", url, to, "--json")
    assert code == CONFLICT
    assert [(one["event"], one["session"]) for one in lines_of(err)] == [("there_already", "old")]
    assert (json.loads(out)["copied"], json.loads(out)["there_already"]) == (2, 1)
    assert state(to)["old"] == there
    assert sorted(state(to)) == ["new", "old", "short"]
    code, out, err = store("copy", url, to, "--overwrite")
    assert (code, err) == (DONE, "")
    assert state(to)["old"]["blocks"] == state(url)["old"]["blocks"]
    assert state(to)["old"]["version"] == 5


def test_a_store_is_not_copied_over_itself(url, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "a.db")
    before = state(url)
    for other in (url, f"sqlite:///{link}"):
        code, out, err = store("copy", url, other, "--overwrite")
        assert code == CONFLICT
        assert "session 'old' is the very one that is to be copied" in err
        assert out.startswith("0 sessions")
        assert state(url) == before


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(url, tmp_path):
    with open_store(url, encrypt=EncryptionKey.generate("k")) as sessions:
        sessions.save(package(block("m0"), session_id="hidden"))
        for i in range(3):
            sessions.append("hidden", [block(f"m{i + 1}")])
    with sqlite3.connect(path_of(url)) as db:
        (row, body) = db.execute(
            "SELECT session, body FROM snapshots JOIN sessions ON id = session WHERE session_id = 'new'"
        ).fetchone()
        db.execute("UPDATE snapshots SET body = ? WHERE session = ?", (bytes([*body[:-1], body[-1] ^ 1]), row))
    db.close()
    code, out, err = store("copy", url, f"sqlite:///{tmp_path}/b.db")
    assert code == PARTLY
    assert "2 sessions with 6 blocks copied" in out
    assert out.endswith(", 2 failed\n")
    assert "pctx:{default:new}: snapshot of version 1 is damaged" in err
    assert "pctx:{default:hidden}: snapshot of version 1 is encrypted, and this store has no key" in err
    assert sorted(state(f"sqlite:///{tmp_path}/b.db")) == ["old", "short"]
    code, out, err = store("gc", url, "--changes", 0, "--json")
    assert code == PARTLY
    assert (json.loads(out)["compacted"], json.loads(out)["failed"]) == (1, 1)
    assert [one["session"] for one in lines_of(err)] == ["hidden"]
    assert store("ls", url)[0] == DONE
    assert store("show", url, "new")[0] == FAILED


@settings(max_examples=30)
@given(made=packages())
def test_a_copy_is_what_was_copied(made, tmp_path_factory):
    if made.counter == "words":
        return  # a plug-in, which the program does not have
    folder = tmp_path_factory.mktemp("copy")
    urls = [f"sqlite:///{folder}/{name}.db" for name in "ab"]
    with open_store(urls[0]) as sessions:
        sessions.save(made)
    assert store("copy", *urls)[0] == DONE
    loaded = []
    for url in urls:
        with open_store(url) as sessions:
            loaded.append(sessions.load(made.session_id))
    assert [one.origin for one in loaded[1].blocks] == [one.origin for one in loaded[0].blocks]
    before, after = ({**one.to_dict(), "operation_id": ""} for one in loaded)
    assert after == before


def test_people_see_how_far_a_copy_is(url, tmp_path):
    with open_store(url) as sessions:
        for i in range(300):
            sessions.save(package(block("m0"), session_id=f"s{i}"))
    assert "copying" in on_a_terminal(["store", "copy", url, f"sqlite:///{tmp_path}/b.db"])
    assert on_a_terminal(["store", "copy", url, f"sqlite:///{tmp_path}/c.db", "--json"]) == ""


# doctor


def findings(*args, **options):
    code, out, err = store("doctor", *args, "--json", **options)
    assert err == ""
    return code, {one["topic"]: one for one in lines_of(out)}


def test_doctor_examines_a_file_and_leaves_nothing_behind(url):
    before = state(url)
    code, found = findings(url)
    assert code == DONE
    assert list(found) == [
        "integrity",
        "journal mode",
        "durability",
        "size",
        "disk",
        "permissions",
        "expired sessions",
        "write and read",
    ]
    assert (found["integrity"]["value"], found["journal mode"]["value"]) == ("ok", "wal")
    assert found["write and read"]["state"] == "good"
    assert state(url) == before
    code, out, err = store("doctor", url)
    assert (code, err) == (DONE, "")
    assert "0 warnings" in out


def test_doctor_warns_of_what_others_may_do(url):
    path = path_of(url)
    path.chmod(0o600)
    assert findings(url)[1]["permissions"]["state"] == "good"
    path.chmod(0o644)
    assert findings(url)[1]["permissions"]["state"] == "info"
    path.chmod(0o666)
    code, found = findings(url)
    assert (code, found["permissions"]["state"]) == (FAILED, "warning")
    assert "chmod o-w" in found["permissions"]["text"]
    code, out, _ = store("doctor", url)
    assert code == FAILED
    assert "1 warning" in out


def test_doctor_knows_of_sessions_that_have_expired(url):
    with open_store(url, namespace="tenant", ttl=0.001) as sessions:
        sessions.save(package(block("m0"), session_id="gone"))
    time.sleep(0.01)
    code, found = findings(url)
    assert (code, found["expired sessions"]["state"]) == (DONE, "info")
    assert found["expired sessions"]["value"] == "1, in namespace tenant"
    with sqlite3.connect(path_of(url)) as db:
        db.execute("UPDATE sessions SET ends_ms = ends_ms - 2 * 86400000 WHERE ends_ms IS NOT NULL")
    db.close()
    code, found = findings(url)
    assert (code, found["expired sessions"]["state"]) == (FAILED, "warning")
    assert found["expired sessions"]["value"] == "2, in namespace default, tenant"


def test_doctor_says_that_an_index_is_damaged(url):
    with sqlite3.connect(path_of(url)) as db:
        # A row that its index does not have.
        db.execute("PRAGMA writable_schema = ON")
        db.execute("DELETE FROM sqlite_schema WHERE name = 'hints_of_inbox'")
    db.close()
    code, found = findings(url)
    assert (code, found["integrity"]["state"]) == (FAILED, "warning")


def test_doctor_says_that_nothing_can_be_written(url):
    path = path_of(url)
    with sqlite3.connect(path) as db:
        db.execute("CREATE TRIGGER no BEFORE INSERT ON sessions BEGIN SELECT raise(ABORT, 'not today'); END")
    db.close()
    code, found = findings(url)
    assert (code, found["write and read"]["state"], found["write and read"]["value"]) == (FAILED, "warning", "refused")
    assert "not today" in found["write and read"]["text"]


def test_doctor_says_that_memory_is_of_one_process():
    code, found = findings("memory://")
    assert code == DONE
    assert "of this process alone" in found["persistence"]["text"]


# errors


def test_a_file_that_others_hold_is_unavailable(url):
    holder = sqlite3.connect(path_of(url), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    code, out, err = store("purge", url, "new", "--yes", "--json")
    holder.close()
    assert (code, out) == (UNAVAILABLE, "")
    (event,) = lines_of(err)
    assert event["event"] == "error"
    assert "was held by others for 5 s" in event["message"]
    assert "new" in state(url)


def test_what_is_no_store_is_a_failure(tmp_path):
    path = tmp_path / "x.db"
    path.write_bytes(b"no database at all, " * 100)
    for command in ("ls", "gc", "doctor"):
        code, _, err = store(command, f"sqlite:///{path}")
        assert code == FAILED
        assert f"pycontext: {path}: file is not a database" in err


def test_a_server_that_is_not_there_is_unavailable():
    for command in (["ls"], ["show", "s"], ["gc"], ["purge", "s", "--yes"], ["doctor"]):
        code, out, err = store(command[0], f"redis://{CLOSED}", *command[1:])
        assert (code, out, err.count("\n")) == (UNAVAILABLE, "", 1)
        assert re.match(rf"pycontext: redis://{CLOSED}.*: the server cannot be reached", err)


def test_an_extra_that_is_missing_is_named(tmp_path):
    (tmp_path / "redis.py").write_text("raise ImportError", encoding="utf-8")
    code, out, err = run("store", "ls", f"redis://{CLOSED}", env={"PYTHONPATH": str(tmp_path)})
    assert (code, out) == (FAILED, "")
    assert err == "pycontext: stores in Redis need redis-py: pip install 'pycontext-layer[redis]'\n"


SECRET = "s3cr3t-p%40ss"
ADDRESSES = [
    f"redis://user:{SECRET}@{CLOSED}/0",
    f"redis://{CLOSED}/?password={SECRET}",
    f"redis+cluster://user:{SECRET}@{CLOSED}",
    f"redis+sentinel://user:{SECRET}@{CLOSED}/name",
    f"redis://user:{SECRET}@{CLOSED}/?nonsense=1",
    f"redis://user:{SECRET}/x@{CLOSED}",
    f"nonsense://user:{SECRET}@{CLOSED}",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_password_is_in_no_output(address, url):
    def said(*args, **options):
        code, out, err = called(*args, **options)
        assert "s3cr3t" not in out + err, args
        return code

    calls = [
        ["ls", address],
        ["ls", address, address],
        ["ls", address, "--nonsense", address],
        ["show", address],
        ["show", address, "s"],
        ["show", url, address],
        ["gc", address, "--json"],
        ["purge", address, "s"],
        ["purge", url, "new", "--block", address, "--yes"],
        ["doctor", address],
        ["copy", address, url],
        ["copy", url, address],
        ["copy", url, address, "--session", address],
        ["ls", url, "--namespace", address],
        [address],
        [address, "ls"],
    ]
    for call in calls:
        assert said("store", *call) != DONE, call
    assert said("demo", "--store", address) != DONE
    assert said("inspect", address) == NOT_FOUND
    assert said("count", address, "--json") == NOT_FOUND
    assert said(address) == USAGE
    for call in (["ls"], ["show", "s"], ["copy", url]):
        assert said("store", *call, env={"PYCONTEXT_STORE": address}) in (USAGE, UNAVAILABLE)


def test_the_demo_stores_what_it_prunes(tmp_path):
    code, out, _ = run("demo")
    assert code == DONE, "as a program of its own"
    assert re.search(r"\b7 . +266 .* equal", out)
    to = f"sqlite:///{tmp_path}/demo.db"
    for _ in range(2):
        assert called("demo", "--store", to, "--json")[0] == DONE
    assert len(state(to, "pycontext-demo")) == 7
    with open_store(to, namespace="pycontext-demo") as sessions:
        assert len(texts(sessions.load("trace-1"))) == 30
        stored = sessions.inquire("trace-1").stored_bytes
    lines = lines_of(called("demo", "--json")[1])
    assert lines[0]["stored_bytes"] == pytest.approx(stored, rel=0.01), "ids of traces are random"
    assert all(line["save_ms"] > 0 and line["load_ms"] > 0 for line in lines)
