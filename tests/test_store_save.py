"""Whole packages: saved over what they were read from and nothing else, and read as they were."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from pycontext import ConflictError, ContextStore, FencedError, UnknownSessionError, ValidationError, handoff, transfer
from stores import block, package, texts
from strategies import counter_of, packages


def test_what_is_saved_is_what_another_store_loads(home):
    session = package(block("a", "one", metadata={"unit": "u"}), block("b", "two", references=["a"]), epoch=3, hops=2)
    version = home.open().save(session)
    loaded = home.open().load("s")
    assert loaded.to_dict() == session.to_dict()
    assert loaded.content_hash == session.content_hash
    assert (version, version.epoch, version.operation_id) == (loaded.version, 3, loaded.operation_id)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(session=packages())
def test_whatever_a_package_may_be_comes_back(waiting_home, session):
    options = {"namespace": session.trace_id, "counter": counter_of(session)}
    store = waiting_home.open(**options)
    store.save(session)
    assert waiting_home.open(**options).load(session.session_id).to_dict() == session.to_dict()
    store.delete(session.session_id)


def test_a_store_is_what_the_protocol_says(waiting_home):
    assert isinstance(waiting_home.open(), ContextStore)


def test_there_is_no_session_before_it_is_saved(home):
    store = home.open()
    for call in (store.load, store.refresh, store.compact, store.inquire, store.purge):
        with pytest.raises(UnknownSessionError, match="session 's' does not exist"):
            call("s")
    assert store.delete("s") is False
    assert list(store.sessions()) == []


def test_a_package_is_saved_over_what_it_was_loaded_as(home):
    first, second = home.open(), home.open()
    first.save(package(block("a")))
    mine, theirs = first.load("s"), second.load("s")
    mine.blocks.append(block("b"))
    version = first.save(mine)
    assert (version, mine.version, mine.operation_id) == (2, 2, version.operation_id)
    theirs.blocks.append(block("c"))
    before = theirs.to_dict()
    with pytest.raises(ConflictError) as caught:
        second.save(theirs)
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    # Nothing is half done: neither the package nor the store has changed.
    assert theirs.to_dict() == before
    assert texts(first.load("s")) == texts(second.load("s")) == [("a", "word"), ("b", "word")]
    # The very same package goes on being saved over itself.
    mine.blocks.append(block("d"))
    assert first.save(mine) == 3
    assert [id for id, _ in texts(second.load("s"))] == ["a", "b", "d"]


def test_a_saved_package_shares_nothing_with_the_store(home):
    store = home.open()
    mine = package(block("a"))
    store.save(mine)
    mine.blocks.append(block("b"))
    mine.blocks[0].content = "changed"
    loaded = store.load("s")
    assert texts(loaded) == [("a", "word")]
    loaded.blocks.clear()
    assert texts(store.load("s")) == [("a", "word")]


def test_a_version_never_falls(home):
    store = home.open()
    assert store.save(package(version=7)) == 7
    loaded = store.load("s")
    for number in range(5):
        loaded.blocks.append(block(f"b{number}"))
    assert loaded.version == 12
    assert store.save(loaded) == 12
    assert store.save(loaded) == 13
    assert store.save(package(version=3), expect=store.refresh("s").version) == 14


def test_a_new_package_takes_no_place(home):
    store = home.open()
    store.save(package(block("a")))
    for expect in (None, 0):
        for other in (store, home.open()):
            with pytest.raises(ConflictError, match="session 's' is there, at version 1") as caught:
                other.save(package(block("b")), expect=expect)
            assert (caught.value.expected, caught.value.actual) == (0, 1)
    assert texts(store.load("s")) == [("a", "word")]


def test_what_is_expected(home):
    store, other = home.open(), home.open()
    first = store.save(package(block("a")), expect=0)
    second = store.append("s", [block("b")])
    # A version says it all; a number is that of the version that this store has seen.
    with pytest.raises(ConflictError) as caught:
        store.save(package(block("c")), expect=first)
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    with pytest.raises(ConflictError, match="load it first"):
        other.save(package(block("c")), expect=2)
    other.load("s")
    third = other.save(package(block("c")), expect=2)
    assert third == 3
    with pytest.raises(ConflictError):
        store.save(package(block("d")), expect=second)
    with pytest.raises(ConflictError):
        store.save(package(block("d")), expect=2)
    assert store.save(package(block("d")), expect=third) == 4
    assert texts(other.load("s")) == [("d", "word")]


def test_the_same_number_of_another_operation_is_another_version(home):
    store = home.open()
    version = store.save(package(block("a")))
    store.delete("s")
    again = home.open().save(package(block("b")))
    assert version == again
    assert not version.is_at(again)
    with pytest.raises(UnknownSessionError):
        store.save(package(block("c")), expect=version)
    assert texts(home.open().load("s")) == [("b", "word")]


@pytest.mark.parametrize("expect", [-1, True, 1.0, "1", 2**32])
def test_an_expectation_is_a_number(home, expect):
    store = home.open()
    version = store.save(package(block("a")))
    for call in (
        lambda: store.save(package(), expect=expect),
        lambda: store.append("s", [block("b")], expect=expect),
        lambda: store.update_block("s", block("a", "new"), expect=expect),
        lambda: store.remove_blocks("s", ["a"], expect=expect),
        lambda: store.transfer("s", "bob", expect=expect),
    ):
        with pytest.raises(ValidationError, match="expect"):
            call()
    assert store.inquire("s").version == version


def test_a_package_that_changed_hands_is_saved_over_its_parent(home):
    store, other = home.open(), home.open()
    mine = package(block("a"))
    store.save(mine)
    theirs = transfer(mine, to="bob")
    # Another program saves it, which has never seen the session.
    version = other.save(theirs)
    assert (version, version.epoch) == (2, 1)
    loaded = store.load("s")
    assert (loaded.agent_id, loaded.epoch, loaded.sender, loaded.version) == ("bob", 1, "ann", 2)
    # What the old owner kept is fenced off.
    with pytest.raises(FencedError):
        store.append("s", [block("b")], epoch=0)


def test_whoever_handed_a_package_over_still_answers_for_it_when_it_was_saved(home):
    store = home.open()
    given = handoff(package(block("a")), to="bob").package
    for _ in range(2):
        store.save(given)
        loaded = home.open().load(given.session_id)
        assert (given.author, loaded.author, loaded.sender, loaded.agent_id) == ("ann", "ann", "ann", "bob")
    store.append(given.session_id, [block("b")])
    assert home.open().load(given.session_id).author == "bob"


def test_a_package_that_changed_hands_is_not_saved_over_what_its_parent_became(home):
    store = home.open()
    mine = package(block("a"))
    store.save(mine)
    theirs = transfer(mine, to="bob")
    store.append("s", [block("b")])
    with pytest.raises(ConflictError):
        home.open().save(theirs)
    assert [id for id, _ in texts(store.load("s"))] == ["a", "b"]


def test_an_owner_who_is_over_saves_nothing(home):
    store, other = home.open(), home.open()
    store.save(package(block("a")))
    mine = store.load("s")
    other.transfer("s", "bob")
    mine.blocks.append(block("b"))
    with pytest.raises(FencedError) as caught:
        store.save(mine)
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert texts(other.load("s")) == [("a", "word")]


def test_an_epoch_rises_by_one(home):
    store = home.open()
    version = store.save(package(block("a")))
    for epoch in (2, 7):
        with pytest.raises(ConflictError):
            store.save(package(epoch=epoch), expect=version)
    assert store.save(package(epoch=1), expect=version).epoch == 1


@pytest.mark.parametrize("value", [None, "s", {"session_id": "s"}, block("a")])
def test_only_packages_are_saved(home, value):
    with pytest.raises(ValidationError, match="package"):
        home.open().save(value)


@pytest.mark.parametrize("id", ["", "a b", "a}b", "*", "../x", "a\nb", "x" * 257, None, 7, "-a"])
def test_only_ids_of_sessions_are_asked_for(home, id):
    store = home.open()
    for call in (store.load, store.refresh, store.delete, store.purge, store.compact, store.inquire):
        with pytest.raises(ValidationError, match="session_id"):
            call(id)
    for call in (
        lambda: store.append(id, [block("a")]),
        lambda: store.append_many([(id, [block("a")])]),
        lambda: store.update_block(id, block("a")),
        lambda: store.remove_blocks(id, ["a"]),
        lambda: store.transfer(id, "bob"),
    ):
        with pytest.raises(ValidationError, match="session_id"):
            call()
