"""What goes wrong with files, done to real ones: held, full, read-only, killed in the middle, damaged."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

import pycontext.store.sqlite as module
from pycontext import (
    ConflictError,
    CorruptPayloadError,
    FencedError,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
    UnsupportedFormatError,
    ValidationError,
    open_store,
)
from stores import block, package


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sessions.db"


@pytest.fixture
def opened(path):
    """Opens one more store on the file; all are closed at the end."""
    stores = []

    def open_one(**options):
        stores.append(open_store(f"sqlite:///{path}", **options))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def begun(opened, changes=0):
    store = opened()
    store.save(package(block("a")))
    for number in range(changes):
        store.append("s", [block(f"b{number}", f"text {number}")])
    return store


def closed(opened, path, changes=0):
    """A file that nobody has open, with a session of so many changes."""
    begun(opened, changes).close()
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    return path


def execute(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(*statement) if isinstance(statement, tuple) else db.execute(statement)


def test_who_comes_while_another_holds_the_file_waits(opened, path, monkeypatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.3)
    store = begun(opened)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for one in (opened(), opened()):
            start = time.monotonic()
            with pytest.raises(StoreBusyError, match=r"sessions.db was held by others for 0.3 s"):
                one.append("s", [block("b")])
            assert time.monotonic() - start > 0.2
        # Whoever only reads is not kept waiting.
        assert opened().load("s").version == 1
        other.execute("ROLLBACK")
    assert store.append("s", [block("b")]) == 2
    assert store.load("s").blocks.ids() == ["a", "b"]


def test_who_waits_gets_his_turn(opened, path):
    store = begun(opened)
    program = (
        "import sqlite3, sys, time; db = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "db.execute('BEGIN IMMEDIATE'); print('held', flush=True); time.sleep(0.4); db.execute('ROLLBACK')"
    )
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "held\n"
        assert store.append("s", [block("b")]) == 2


def write_and_read(url, number, count, gate):
    with open_store(url) as store:
        gate.wait()
        for turn in range(count):
            store.append("s", [block(f"{number}-{turn}")])


def test_racing_writes_of_several_processes_never_fail(opened, path):
    store = begun(opened)
    spawn = multiprocessing.get_context("spawn")
    gate = spawn.Barrier(4)
    arguments = [(f"sqlite:///{path}", number, 500, gate) for number in range(4)]
    processes = [spawn.Process(target=write_and_read, args=one) for one in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert store.load("s").version == 2001
    assert len(store.load("s").blocks) == 2001


def test_a_write_that_is_cut_off_leaves_all_as_it_was(opened, path):
    store = begun(opened, 3)
    before = store.load("s").to_dict()
    store.close()
    program = (
        "import resource, signal, sys; from pycontext import *; from pathlib import Path; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "store = open_store(f'sqlite:///{sys.argv[1]}'); store.load('s'); "
        "size = 200_000; resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)); done = 0\n"
        "for n in range(500):\n"
        "    try:\n"
        "        store.append('s', [ContextBlock(f'c{n}', 'x y z ' * 500, 0.5, ContextType.USER, timestamp=1)])\n"
        "        done += 1\n"
        "    except StoreError as error:\n"
        "        print(type(error).__name__, done, store.load('s').version, error); break\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True, timeout=60
    )
    kind, done, version, *message = ended.stdout.split()
    # SQLite does not say of a limit of the process that it is one.
    assert kind in ("StoreFullError", "StoreUnavailableError"), ended.stdout
    assert "sessions.db" in " ".join(message)
    assert int(version) == 4 + int(done)
    reader = opened()
    assert reader.load("s", at_version=4).to_dict() == before
    assert reader.load("s").version == 4 + int(done)
    assert reader.append("s", [block("more")]) == 5 + int(done)


def test_a_full_file_leaves_all_as_it_was(opened):
    store = begun(opened, 3)
    # Of the store's own connection, and nobody else's.
    file = store._log._connection  # noqa: SLF001
    (count,) = file.execute("PRAGMA page_count").fetchone()
    file.execute(f"PRAGMA max_page_count = {count + 3}")
    before = store.load("s").to_dict()
    with pytest.raises(StoreFullError, match=r"sessions.db: database or disk is full"):
        store.append("s", [block("c", "".join(map(str, range(20_000))))])
    session = store.load("s")
    assert session.to_dict() == before
    session.blocks.append(block("c", "".join(map(str, range(20_000)))))
    with pytest.raises(StoreFullError):
        store.save(session)
    with pytest.raises(StoreFullError):
        store.append_many([("s", [block("d")]), ("s", [block("c", "".join(map(str, range(20_000))))])])
    assert store.load("s").to_dict() == opened().load("s").to_dict() == before
    file.execute("PRAGMA max_page_count = 100000")
    assert store.save(session) == 5


def as_nobody(work):
    """Does work as a user for whom read-only means that, and returns what it says."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            os.write(writer, work().encode())
        except BaseException as error:  # noqa: BLE001  # the parent is told
            os.write(writer, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def open_folder():
    """A folder that everybody can reach, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield folder


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_read_only_is_not_written(open_folder, what):
    path = f"{open_folder}/sessions.db"
    with open_store(f"sqlite:///{path}") as store:
        store.save(package(block("a")))
        before = store.load("s").to_dict()
    Path(path).chmod(0o444 if what == "file" else 0o666)
    Path(open_folder).chmod(0o777 if what == "file" else 0o555)

    def write():
        with open_store(f"sqlite:///{path}") as store:
            try:
                return str(store.append("s", [block("b")]))
            except StoreError as error:
                return f"{type(error).__name__} {error}"

    said = as_nobody(write)
    assert said.startswith(("StoreDeniedError", "StoreUnavailableError")), said
    assert path in said
    Path(open_folder).chmod(0o755)
    with open_store(f"sqlite:///{path}") as store:
        assert store.load("s").to_dict() == before


def test_a_folder_that_is_not_there(tmp_path):
    for name in ("/none/s.db", ""):
        with open_store(f"sqlite:///{tmp_path}{name}") as store, pytest.raises(StoreUnavailableError) as caught:
            store.load("s")
        assert f"{tmp_path}{name}: unable to open" in str(caught.value)


WRITER = """
import sys
from pycontext import *
store = open_store(f"sqlite:///{sys.argv[1]}", durability=sys.argv[2])
for n in range(10**6):
    block = ContextBlock(f"{sys.argv[3]}-{n}", f"text {n} " * 20, 0.5, ContextType.USER, timestamp=1)
    version = store.append("s", [block])
    if n % 50 == 49:
        store.compact("s")
    print(int(version), flush=True)
"""


@pytest.mark.parametrize("durability", ["normal", "fsync"])
def test_a_writer_who_is_killed_loses_nothing_that_was_confirmed(opened, path, durability):
    store = begun(opened)
    expected = 0
    for turn in range(3):
        command = [sys.executable, "-c", WRITER, path, durability, f"{turn}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            lines = [child.stdout.readline() for _ in range(70 + 13 * turn)]
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read()
        # A line that was cut was not confirmed.
        confirmed = [int(line) for line in ["".join(lines), rest] for line in line.split("\n")[:-1]]
        expected += len(confirmed)
        loaded = opened().load("s")
        assert loaded.version >= confirmed[-1]
        # At most the one write that was not confirmed is there as well, whole.
        assert len(loaded.blocks) - 1 - expected in (0, 1)
        expected = len(loaded.blocks) - 1
        mine = [one for one in loaded.blocks if one.id.startswith(f"{turn}-")]
        assert [one.id for one in mine] == [f"{turn}-{n}" for n in range(len(mine))]
        assert all(one.content == f"text {n} " * 20 for n, one in enumerate(mine))
        assert loaded.version == 1 + expected
        assert store.load("s").to_dict() == loaded.to_dict()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("content", [b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000, b"not a database"])
def test_what_is_no_database_is_left_as_it_is(opened, path, content):
    path.write_bytes(content)
    store = opened()
    for call in (lambda: store.load("s"), lambda: store.save(package())):
        with pytest.raises(StoreCorruptError, match=r"sessions.db"):
            call()
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_left_as_it_is(opened, path):
    execute(path, "CREATE TABLE sessions (id INTEGER)", "INSERT INTO sessions VALUES (7)")
    before = path.read_bytes()
    with pytest.raises(StoreCorruptError, match=r"sessions.db is a database of something else"):
        opened().save(package())
    assert path.read_bytes() == before


def test_a_file_of_a_later_release_is_left_as_it_is(opened, path):
    closed(opened, path)
    execute(path, "PRAGMA user_version = 2")
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(UnsupportedFormatError, match=r"sessions.db has format 2, and this release reads up to 1"):
            opened().load("s")
    assert path.read_bytes() == before


def test_an_empty_file_is_a_new_one(opened, path):
    path.touch()
    assert begun(opened).load("s").version == 1


def test_a_file_that_was_overwritten_in_the_middle_is_named(opened, path):
    closed(opened, path, 40)
    whole = path.read_bytes()
    page = 4096
    wrong = 0
    for start in range(page, len(whole), page):
        path.write_bytes(whole[:start] + bytes(range(256)) * 16 + whole[start + page :])
        store = opened()
        try:
            loaded = store.load("s")
        except StoreCorruptError as error:
            wrong += 1
            assert "sessions.db" in str(error) or "pctx:{default:s}" in str(error)
        else:
            # Nothing of the session was in that page.
            assert len(loaded.blocks) == 41
        store.close()
    assert wrong > 0


def flip(path, table, where="1"):
    """Yields with one bit after another of the first body changed, and puts it back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (whole,) = db.execute(f"SELECT body FROM {table} WHERE {where}").fetchone()
        for bit in range(0, len(whole) * 8, 37):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            db.execute(f"UPDATE {table} SET body = ? WHERE {where}", (bytes(damaged),))
            yield bit
        for end in (0, 1, len(whole) // 2, len(whole) - 1):
            db.execute(f"UPDATE {table} SET body = ? WHERE {where}", (whole[:end],))
            yield end
        db.execute(f"UPDATE {table} SET body = ? WHERE {where}", (whole,))


@pytest.mark.parametrize(("table", "field", "version"), [("snapshots", "snapshot", 1), ("changes", "change", 3)])
def test_every_flipped_bit_is_found_and_named(opened, path, table, field, version):
    writer = begun(opened, 4)
    where = "1" if table == "snapshots" else f"version = {version}"
    count = 0
    for _ in flip(path, table, where):
        count += 1
        with pytest.raises((CorruptPayloadError, UnsupportedFormatError)) as caught:
            opened().load("s")
        assert f"pctx:{{default:s}}: {field} of version {version}" in str(caught.value)
        if isinstance(caught.value, CorruptPayloadError):
            error = caught.value
            assert (error.key, error.field, error.version) == ("pctx:{default:s}", field, version)
    assert count > 20
    assert opened().load("s").to_dict() == writer.load("s").to_dict()


def test_recovery_drops_what_is_damaged_and_what_came_behind_it(opened, path):
    store = begun(opened, 6)
    good = store.load("s", at_version=4).to_dict()
    execute(path, "UPDATE changes SET body = zeroblob(40) WHERE version = 5")
    damaged = path.read_bytes()
    with pytest.raises(CorruptPayloadError):
        opened().load("s")
    # To look changes nothing.
    assert path.read_bytes() == damaged
    with pytest.raises(ValidationError, match="recover"):
        opened().load("s", recover="all")
    reader = opened()
    recovered = reader.load("s", recover="last-good")
    assert recovered.to_dict()["blocks"] == good["blocks"]
    # Above all versions that there were: whoever has seen those finds out.
    assert recovered.version == 8
    assert opened().load("s").to_dict() == recovered.to_dict()
    assert reader.append("s", [block("c")]) == 9
    news = store.refresh("s")
    assert news.removed == ("b3", "b4", "b5")
    assert store.load("s").blocks.ids() == ["a", "b0", "b1", "b2", "c"]


def test_recovery_of_what_is_whole_is_a_load(opened):
    store = begun(opened, 3)
    assert opened().load("s", recover="last-good").to_dict() == store.load("s").to_dict()
    assert store.inquire("s").version == 4


def test_recovery_keeps_an_epoch(opened, path):
    store = begun(opened, 2)
    store.transfer("s", "bob")
    execute(path, "UPDATE changes SET body = zeroblob(40) WHERE version = 3")
    recovered = opened().load("s", recover="last-good")
    # The transfer is dropped, but nobody of the epoch before it may write again.
    assert (recovered.epoch, recovered.blocks.ids()) == (1, ["a", "b0"])
    with pytest.raises(FencedError):
        opened().append("s", [block("c")], epoch=0)


def test_nothing_is_recovered_of_a_damaged_snapshot(opened, path):
    begun(opened, 2)
    execute(path, "UPDATE snapshots SET body = zeroblob(40)")
    with pytest.raises(CorruptPayloadError, match="snapshot of version 1"):
        opened().load("s", recover="last-good")
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM changes").fetchone() == (2,)


def test_a_change_that_is_missing_is_damage(opened, path):
    begun(opened, 4)
    execute(path, "DELETE FROM changes WHERE version = 3")
    with pytest.raises(CorruptPayloadError, match="change of version 3") as caught:
        opened().load("s")
    assert caught.value.version == 3
    assert opened().load("s", recover="last-good").blocks.ids() == ["a", "b0"]


@pytest.mark.parametrize("version", [4, 5])
def test_the_last_changes_missing_are_damage(opened, path, version):
    begun(opened, 4)
    execute(path, f"DELETE FROM changes WHERE version >= {version}")
    with pytest.raises(CorruptPayloadError, match=f"change of version {version}"):
        opened().load("s")


def test_a_snapshot_that_is_missing_is_damage(opened, path):
    begun(opened, 1)
    execute(path, "DELETE FROM snapshots")
    for call in (lambda: opened().load("s"), lambda: opened().load("s", recover="last-good")):
        with pytest.raises(StoreCorruptError):
            call()
    assert opened().inquire("s").version == 2


def test_without_its_journal_a_file_is_as_it_was_before(opened, path):
    closed(opened, path, 2)
    before = opened().load("s").to_dict()
    copy = path.with_name("copy.db")
    store = opened()
    store.append("s", [block("c")])
    # As a careless backup does it: the file alone, without what stands beside it.
    shutil.copy(path, copy)
    with open_store(f"sqlite:///{copy}") as other:
        assert other.load("s").to_dict() == before
        assert other.append("s", [block("d")]) == 4
    assert store.load("s").version == 4


def test_a_file_that_an_old_copy_took_the_place_of_is_noticed(opened, path):
    """As a failover that lost writes: whoever has seen them is told which blocks went, and is not let write over it."""
    closed(opened, path, 2)
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    seen = open_store(f"sqlite:///{path}")
    seen.append("s", [block("c")])
    version = seen.append("s", [block("d")])
    seen.load("s")
    with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
    other = opened()
    assert other.append("s", [block("e")]) == 4
    # The number is the same that it had then.
    assert other.append("s", [block("f")]) == version
    with pytest.raises(ConflictError, match="is at version 5"):
        seen.update_block("s", block("a", "new"))
    news = seen.refresh("s")
    assert (news.lost, news.added) == (("c", "d"), ("e", "f"))
    assert seen.update_block("s", block("a", "new")) == 6
    seen.close()


def test_a_clock_that_goes_back_makes_nothing_older(opened, monkeypatch):
    store = opened(ttl=3600)
    store.save(package(block("a")))
    now = time.time_ns()
    monkeypatch.setattr(module.time, "time_ns", lambda: now - 3600 * 10**9)
    assert store.append("s", [block("b")], operation_id="o") == 2
    assert store.append("s", [block("b")], operation_id="o") == 2
    listed = store.inquire("s")
    assert listed.age_ms == 0
    assert listed.ttl_ms > 0
    store.transfer("s", "bob")
    assert len(store.inbox("bob")) == 1
    monkeypatch.undo()
    assert store.inquire("s").age_ms < 60_000
    assert store.load("s").blocks.ids() == ["a", "b"]


def test_operations_are_forgotten_after_a_while(opened, path, monkeypatch):
    store = opened()
    store.save(package())
    start = time.time_ns()
    for number in range(300):
        monkeypatch.setattr(module.time, "time_ns", lambda at=number: start + at * 10**9)
        store.append("s", [block(f"b{number}")])
    with closing(sqlite3.connect(path)) as db:
        (count,) = db.execute("SELECT count(*) FROM operations").fetchone()
    # A minute, and what comes between two times of sweeping.
    assert 60 <= count <= 60 + 64 + 1


def test_a_file_may_have_any_name(tmp_path):
    folder = tmp_path / "a b%41é?#"
    folder.mkdir()
    with open_store(f"sqlite:///{quote(str(folder))}/s.db") as store:
        store.save(package())
    assert (folder / "s.db").exists()


@pytest.mark.parametrize("durability", ["", "none", None, True])
def test_a_durability_is_one_of_two(path, durability):
    with pytest.raises(ValidationError, match="durability"):
        open_store(f"sqlite:///{path}", durability=durability)
    assert not path.exists()
