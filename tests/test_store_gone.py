"""Sessions that expire, are deleted, or begun anew: whoever had seen them is told."""

from __future__ import annotations

import time

import pytest

from pycontext import ConflictError, SessionGoneError, UnknownSessionError, ValidationError
from stores import block, package, texts

# Every call that names a session, but the one that says how it stands.
CALLS = {
    "load": lambda store: store.load("s"),
    "load of a version": lambda store: store.load("s", at_version=1),
    "refresh": lambda store: store.refresh("s"),
    "append": lambda store: store.append("s", [block("x")]),
    "update": lambda store: store.update_block("s", block("a", "new")),
    "remove": lambda store: store.remove_blocks("s", ["a"]),
    "transfer": lambda store: store.transfer("s", "bob"),
    "compact": lambda store: store.compact("s"),
    "purge of a block": lambda store: store.purge("s", "a"),
}
# Those that look first: whoever was told by one of them has been told.
LOOKS = ("load", "load of a version", "refresh", "compact", "purge of a block")


def ended(home, how):
    """End the session `s` as time or another program would."""
    if how == "expired":
        time.sleep(0.15)
    else:
        assert home.open().delete("s") is True


# To wait for the time to pass takes a while: what looks, and what writes.
WAYS = [(call, "deleted") for call in CALLS] + [("load", "expired"), ("append", "expired")]


@pytest.mark.parametrize(("call", "how"), WAYS)
def test_who_has_seen_a_session_is_told_that_it_is_gone(home, call, how):
    store = home.open(ttl=0.1 if how == "expired" else None)
    store.save(package(block("a")))
    ended(home, how)
    with pytest.raises(SessionGoneError, match="session 's' was at version 1, and is gone") as caught:
        CALLS[call](store)
    assert isinstance(caught.value, KeyError)
    with pytest.raises(UnknownSessionError):
        home.open().load("s")
    assert list(home.open().sessions()) == []
    # Whoever has been told by a load finds out no more than that there is none.
    if call in LOOKS:
        with pytest.raises(UnknownSessionError) as caught:
            store.load("s")
        assert not isinstance(caught.value, SessionGoneError)


@pytest.mark.parametrize("call", CALLS)
def test_who_has_seen_a_session_does_not_go_on_in_another_of_its_id(home, call):
    store, other = home.open(), home.open()
    store.save(package(block("a", "mine")))
    other.delete("s")
    other.save(package(block("a", "theirs"), version=7))
    before = other.load("s").to_dict()
    with pytest.raises(SessionGoneError, match="is another one now, at version 7"):
        CALLS[call](store)
    assert home.open().load("s").to_dict() == before
    # Said once: after a load it is a session as any other.
    if call not in LOOKS:
        with pytest.raises(SessionGoneError):
            store.load("s")
    assert texts(store.load("s")) == [("a", "theirs")]
    assert store.append("s", [block("b")]) == 8


@pytest.mark.parametrize("is_anew", [False, True])
def test_a_package_is_not_saved_over_a_session_that_is_gone(home, is_anew):
    store, other = home.open(), home.open()
    mine = package(block("a"))
    version = store.save(mine)
    other.delete("s")
    if is_anew:
        other.save(package(block("theirs")))
    for options in ({}, {"expect": version}):
        with pytest.raises(SessionGoneError):
            store.save(mine, **options)
    if is_anew:
        assert home.open().load("s").blocks.ids() == ["theirs"]
    else:
        with pytest.raises(UnknownSessionError):
            home.open().load("s")
        # To begin it anew has to be said.
        assert store.save(mine, expect=0) == 1


def test_of_many_the_ones_that_are_gone_are_named(home):
    store = home.open()
    for id in ("s", "t"):
        store.save(package(session_id=id))
    home.open().delete("s")
    gone, version = store.append_many([("s", [block("a")]), ("t", [block("a")])])
    assert isinstance(gone, SessionGoneError)
    assert version == 2


def test_a_session_lives_as_long_as_it_is_written_to(waiting_home):
    store, reader = waiting_home.open(ttl=0.4), waiting_home.open()
    store.save(package(session_id="left"))
    store.save(package())
    for number in range(4):
        time.sleep(0.2)
        store.append("s", [block(f"b{number}")])
        # To read it is not to use it.
        reader.load("s")
    assert reader.inquire("s").version == 5
    with pytest.raises(UnknownSessionError):
        reader.load("left")
    assert list(reader.sessions()) == ["s"]
    # A writer without a time to live leaves the one that there is.
    reader.append("s", [block("last")])
    assert 0 < reader.inquire("s").ttl_ms <= 400
    time.sleep(0.45)
    assert list(reader.sessions()) == []


def test_what_has_expired_may_begin_anew(home):
    store = home.open(ttl=0.05)
    first = store.save(package(block("a")))
    store.append("s", [block("b")])
    time.sleep(0.1)
    second = home.open().save(package(block("c")))
    assert second == 1
    assert second.incarnation != first.incarnation
    loaded = home.open().load("s")
    assert (texts(loaded), loaded.version) == ([("c", "word")], 1)
    assert home.open().inquire("s").ttl_ms is None


def test_delete_says_whether_there_was_one(home):
    store = home.open()
    store.save(package())
    assert store.delete("s") is True
    assert store.delete("s") is False
    # Whoever deletes it knows.
    with pytest.raises(UnknownSessionError) as caught:
        store.load("s")
    assert not isinstance(caught.value, SessionGoneError)
    assert store.save(package()) == 1


def test_a_session_begins_once(home):
    first, second = home.open(), home.open()
    first.save(package(block("a")), expect=0)
    with pytest.raises(ConflictError):
        second.save(package(block("b")), expect=0)
    assert texts(second.load("s")) == [("a", "word")]


@pytest.mark.parametrize("ttl", [0, -5, float("nan"), float("inf"), True, "60", 0.0])
def test_a_time_to_live_is_a_number_of_seconds(home, ttl):
    with pytest.raises(ValidationError, match=r"ttl .* is not a number of seconds above 0"):
        home.open(ttl=ttl)


def test_an_import_is_remembered_whatever_becomes_of_the_session(home):
    store, other = home.open(), home.open()
    assert store.remember("s", "o") is True
    assert other.remember("s", "o") is False
    # Names that would be one if marks were written as they are.
    assert [store.remember(*names) for names in (("s", "o:p"), ("s:o", "p"), ("t", "o"))] == [True] * 3
    assert home.open(namespace="other").remember("s", "o") is True
    store.save(package(session_id="s"))
    store.purge("s")
    assert other.remember("s", "o") is False
    other.forget("s", "o")
    assert store.remember("s", "o", seconds=0.1) is True
    time.sleep(0.15)
    assert other.remember("s", "o") is True
    assert list(store.sessions()) == []
    with pytest.raises(ValidationError, match="seconds"):
        store.remember("s", "p", seconds=0)


def test_what_a_store_knows_without_asking(home):
    store, other = home.open(), home.open()
    assert store.known("s") is None
    store.save(package(block("a")))
    other.load("s")
    store.append("s", [block("b")])
    assert [one.known("s").blocks.ids() for one in (store, other)] == [["a", "b"], ["a"]]
    other.known("s").blocks.clear()
    assert other.known("s").blocks.ids() == ["a"]
    store.delete("s")
    assert store.known("s") is None
