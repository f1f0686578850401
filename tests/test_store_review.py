"""What a review of stores and managers found: each test failed once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
import redis

from pycontext import (
    ContextBlock,
    ContextManager,
    ContextPackage,
    ContextType,
    DistributedContextStore,
    FencedError,
    SessionGoneError,
    StoreBusyError,
    StoreUnavailableError,
    UnknownBlockError,
    UnknownSessionError,
    ValidationError,
    open_store,
)
from pycontext.store.request import Append, Replace
from stores import WAITING, block, home_of, package, texts

USER, MEMORY = ContextType.USER, ContextType.MEMORY


@pytest.fixture
def store(request, tmp_path):
    """A place of a kind, in which several stores can be opened."""
    home = home_of(request.param, tmp_path, lambda: request.getfixturevalue("redis_server").url)
    yield home
    home.close()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/sessions.db"


def two(store):
    """Two managers over one store, or one address, that have opened one session."""
    one, other = ContextManager(store=store), ContextManager(store=store)
    one.create_session("agent", session_id="s")
    other.refresh("s")
    return one, other


@pytest.mark.parametrize("is_shared", [True, False])
def test_an_id_that_is_taken_is_told_by_a_store_that_knew_it(url, is_shared):
    store = open_store(url)
    one, other = two(store if is_shared else url)
    one.add_context("s", "of one", USER, block_id="x")
    id = other.add_context("s", "of the other", USER, block_id="x")
    assert id != "x"
    assert other.get_block("s", id).content == "of the other"
    assert other.get_block("s", "x").content == "of one"
    store.close()


def test_an_owner_that_was_fenced_off_purges_nothing(url):
    one, other = two(url)
    one.add_context("s", "content", USER, block_id="x")
    one.transfer("s", "bob")
    other.refresh("s")
    with pytest.raises(FencedError):
        one.purge_block("s", "x")
    assert [block.id for block in other.refresh("s").blocks] == ["x"]


@pytest.mark.parametrize("block_id", [None, "x"])
def test_a_purge_of_an_earlier_epoch_is_refused(url, block_id):
    store = open_store(url)
    store.save(package(block("x")))
    store.transfer("s", "bob")
    with pytest.raises(FencedError):
        store.purge("s", block_id, epoch=0)
    assert texts(store.load("s")) == [("x", "word")]
    store.purge("s", block_id, epoch=1)
    store.close()


def test_a_session_that_is_purged_is_not_in_the_files_of_sqlite(url, tmp_path):
    store = open_store(url)
    store.save(package(block("x", "Qk7-first-secret")))
    store.append("s", [block("y", "Qk7-later-secret")])
    store.purge("s")
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"Qk7-" not in left
    store.close()


def test_a_purge_that_others_who_read_keep_from_the_files_says_so(url, tmp_path, monkeypatch):
    monkeypatch.setattr("pycontext.store.sqlite.BUSY_SECONDS", 0.05)
    store = open_store(url)
    store.save(package(block("x", "Qk7-secret"), block("y")))
    with closing(sqlite3.connect(tmp_path / "sessions.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM sessions").fetchall()
        with pytest.raises(StoreBusyError, match="as long as others read"):
            store.purge("s", "x")
    store.purge("s", "x")
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"Qk7-" not in left
    assert texts(store.load("s")) == [("y", "word")]
    store.close()


def test_what_is_changed_while_a_package_is_saved_is_not_said_to_be_saved():
    mine = package(block("x"))

    def redact(came):
        # In the middle of the save, as another thread would.
        if len(mine.blocks) == 1:
            mine.blocks.append(block("y"))
        return replace(came)

    store = open_store("memory://", redact=redact)
    version = store.save(mine)
    assert texts(store.load("s")) == [("x", "word")]
    assert mine.version > version
    assert mine.operation_id != version.operation_id
    store.save(mine)
    assert texts(store.load("s")) == texts(mine) == [("x", "word"), ("y", "word")]


@pytest.mark.parametrize("store", [None, "memory://"])
def test_what_falls_when_a_session_is_imported_can_be_fetched(store):
    manager = ContextManager(100, store=store)
    came = package(*(block(f"b{number}", "word " * 20, timestamp=number) for number in range(20)))
    manager.import_session(came.to_dict(), trust="self")
    kept = {block.id for block in manager.sessions["s"].blocks}
    assert 0 < len(kept) < 20
    for number in range(20):
        assert manager.get_block("s", f"b{number}").content == "word " * 20


def test_a_session_that_somebody_else_recovered_first_is_loaded(url, tmp_path):
    with open_store(url) as store:
        store.save(package(block("x")))
        store.append("s", [block("y")])
    with closing(sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)) as database:
        database.execute("UPDATE changes SET body = x'00'")
        store, other = open_store(url), open_store(url)
        log = store._log  # noqa: SLF001  # what it answers is held back
        call = log.call

        def late(key, request):
            reply = call(key, request)
            log.call = call
            other.load("s", recover="last-good")
            return reply

        log.call = late
        assert texts(store.load("s", recover="last-good")) == [("x", "word")]
    store.close()
    other.close()


class Failing:
    """The log of a store, which fails at the writes that are asked for behind a number of others."""

    def __init__(self, store, after):
        log = store._log  # noqa: SLF001  # where others are faster
        self._call, self.left = log.call, after
        log.call = self.call

    def call(self, key, request):
        if isinstance(request, Append | Replace):
            if not self.left:
                raise StoreUnavailableError("the server is down")
            self.left -= 1
        return self._call(key, request)


@pytest.mark.parametrize("duplicates", ["keep", "drop"])
def test_a_block_that_was_written_is_added_though_what_fell_cannot_be_written(duplicates):
    store = open_store("memory://")
    manager = ContextManager(200, store=store, duplicates=duplicates)
    manager.create_session("agent", session_id="s")
    log = Failing(store, 1)
    number = 0
    while len(manager.sessions["s"].blocks) == number:
        log.left = 1
        assert manager.add_context("s", "word " * 20, MEMORY, block_id=f"b{number}", timestamp=number) == f"b{number}"
        number += 1
    log.left = 100
    manager.add_context("s", "hi", USER, block_id="hi")
    assert texts(store.load("s")) == texts(manager.sessions["s"])
    assert manager.get_block("s", "b0").content == "word " * 20


@pytest.mark.parametrize("store", WAITING, indirect=True)
def test_whoever_held_a_session_that_was_begun_anew_does_not_remove_the_new_one(store):
    one, other = store.open(), store.open()
    one.save(package(block("x")))
    other.delete("s")
    other.save(package(block("y"), agent_id="bob"))
    for remove in (one.delete, one.purge):
        with pytest.raises(SessionGoneError):
            remove("s")
    assert texts(other.load("s")) == [("y", "word")]
    assert other.delete("s")
    assert not other.delete("s")


def test_operations_of_who_only_saves_are_forgotten_after_a_minute(redis_server):
    store, client = open_store(redis_server.url), redis.Redis.from_url(redis_server.url)
    mine, name = package(block("x")), "pctx:{default:s}"
    for number in range(40):
        store.save(mine, operation_id=f"o{number}")
        # The clock of a server cannot be moved: what is remembered is made older instead.
        client.hset(name, "t", 1)
        for field, said in client.hgetall(name).items():
            if field.startswith(b"p"):
                client.hset(name, field, b" ".join((said.split()[0], b"1", said.split()[2])))
    fields = [field for field in client.hkeys(name) if field.startswith(b"p")]
    assert len(fields) <= 2
    # What was just done is remembered, among them the write before the last.
    assert store.save(mine, operation_id="o40") == 41
    assert store.append("s", [block("y")], operation_id="o41") == 42
    assert store.append("s", [block("y")], operation_id="o40") == 41
    assert client.hget(name, "k") in (b"o39", b"o40")
    client.close()
    store.close()


@pytest.mark.parametrize("store", WAITING, indirect=True)
def test_blocks_that_others_have_added_are_found(store):
    one, other = store.open(), store.open()
    one.save(package(block("x")))
    other.append("s", [block("y"), block("z")])
    one.update_block("s", block("y", "put"))
    version = other.append("s", [block("w")])
    one.remove_blocks("s", ["w"], expect=version)
    assert texts(other.load("s")) == [("x", "word"), ("y", "put"), ("z", "word")]
    with pytest.raises(UnknownBlockError):
        one.update_block("s", block("w"))


@pytest.mark.parametrize("store", WAITING, indirect=True)
def test_a_transfer_of_a_version_that_others_made_names_it_as_the_parent(store):
    one, other = store.open(), store.open()
    one.save(package(block("x")))
    version = other.append("s", [block("y")])
    parent = other.load("s").as_parent
    one.transfer("s", "bob", expect=version)
    assert other.load("s").parents == (parent,)


def test_the_articles_update_finds_what_another_program_added(url):
    one, other = DistributedContextStore(url), DistributedContextStore(url)
    one.store_session(package(block("x")))
    other.retrieve_session("s")
    one.update_block("s", block("y", "of one"))
    other.update_block("s", block("y", "of the other"))
    assert texts(one.retrieve_session("s")) == [("x", "word"), ("y", "of the other")]
    one.store.close()
    other.store.close()


@pytest.mark.parametrize("change", ["remove", "prune"])
def test_what_is_written_to_a_block_while_a_manager_waits_for_the_store_is_kept(change):
    store = open_store("memory://")
    manager = ContextManager(store=store)
    manager.create_session("agent", session_id="s")
    for number in range(3):
        manager.add_context("s", "word " * 20, USER, block_id=f"b{number}", timestamp=number)
    held = manager.sessions["s"].blocks[2]
    log = store._log  # noqa: SLF001  # where others are faster
    call = log.call

    def late(key, request):
        held.content = "by hand"
        return call(key, request)

    log.call = late
    if change == "remove":
        manager.remove_block("s", "b0")
    else:
        manager.prune("s", 70, render="text")
    log.call = call
    manager.refresh("s")
    assert held.content == "by hand"
    assert [block.content for block in store.load("s").blocks][-1] == "by hand"


def test_a_session_that_another_program_began_by_the_same_operation_is_read_as_it_is(url):
    one, other = open_store(url), open_store(url)
    one.save(package(block("x", "of one")), operation_id="import 7")
    other.save(package(block("x", "of the other")), operation_id="import 7")
    assert texts(other.load("s")) == texts(one.load("s")) == [("x", "of one")]
    one.close()
    other.close()


def test_a_session_that_was_begun_anew_through_the_same_store_object_is_no_managers_old_one(url):
    store = open_store(url)
    one, other = (ContextManager(store=store) for _ in range(2))
    one.create_session("agent", session_id="s")
    one.add_context("s", "old", ContextType.USER)
    other.refresh("s")
    other.delete_session("s")
    other.create_session("agent", session_id="s")
    other.add_context("s", "new", ContextType.USER)
    with pytest.raises(SessionGoneError):
        one.add_context("s", "late", ContextType.USER)
    assert [block.content for block in one.sessions["s"].blocks] == ["old"]
    assert [block.content for block in one.refresh("s").blocks] == ["new"]
    one.add_context("s", "after", ContextType.USER)
    assert [block.content for block in other.refresh("s").blocks] == ["new", "after"]


def test_a_store_that_lets_go_of_blocks_keeps_the_fence(url):
    old, new = open_store(url, sessions=1), open_store(url)
    for name in ("s", "t"):
        old.save(ContextPackage(name, "agent", [ContextBlock("a", "words", 0.5, ContextType.USER)]))
    new.transfer("s", "second")
    old.load("t")
    with pytest.raises(FencedError):
        old.append("s", [ContextBlock("b", "late", 0.5, ContextType.USER)])
    assert [block.id for block in new.load("s").blocks] == ["a"]


def test_a_version_that_could_hardly_rise_is_not_saved(url):
    store = open_store(url)
    with pytest.raises(ValidationError, match="version"):
        store.save(ContextPackage("s", "agent", version=2**32 - 1))
    with pytest.raises(UnknownSessionError):
        store.load("s")
    assert store.save(ContextPackage("s", "agent", version=2**31 - 1)) == 2**31 - 1
    assert store.append("s", [ContextBlock("b", "late", 0.5, ContextType.USER)]) == 2**31
