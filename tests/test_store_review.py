"""What a review of stores and managers found: each test failed once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from pycontext import ContextManager, ContextType, FencedError, StoreBusyError, open_store
from stores import block, package, texts

USER = ContextType.USER


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
