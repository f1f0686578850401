"""Changes of a session: appends, which commute, and all else, which is compared with what the writer has seen."""

from __future__ import annotations

import pytest

from pycontext import (
    BlockSet,
    ConflictError,
    ContextError,
    FencedError,
    SessionGoneError,
    UnknownBlockError,
    UnknownSessionError,
    ValidationError,
    Version,
)
from stores import block, package, texts


def begun(home, *ids):
    """Two stores that have both loaded a session of these blocks."""
    first, second = home.open(), home.open()
    first.save(package(*(block(id, f"text of {id}") for id in ids)))
    second.load("s")
    return first, second


def ids(store):
    return [id for id, _ in texts(store.load("s"))]


def test_appends_of_several_come_one_behind_the_other(home):
    first, second = begun(home, "a")
    versions = [store.append("s", [block(id)]) for store, id in ((first, "b"), (second, "c"), (first, "d"))]
    assert versions == [2, 3, 4]
    assert [version.previous for version in versions[1:]] == [version.operation_id for version in versions[:-1]]
    assert {version.incarnation for version in versions} == {versions[0].incarnation}
    assert ids(first) == ids(second) == ids(home.open()) == ["a", "b", "c", "d"]
    loaded = home.open().load("s")
    assert (loaded.version, loaded.operation_id) == (4, versions[-1].operation_id)


def test_an_append_needs_no_load(home):
    begun(home, "a")
    blind = home.open()
    assert blind.append("s", [block("b")]) == 2
    assert blind.append("s", (block(id) for id in "cd")) == 3
    assert ids(blind) == ["a", "b", "c", "d"]


def test_an_append_keeps_all_of_a_block(home):
    first, second = begun(home, "a")
    new = block("b", "text", metadata={"k": "v"}, references=["a"], relevance_score=1 / 3, timestamp=77, origin="peer")
    first.append("s", BlockSet([new]))
    (_, came) = second.load("s").blocks
    assert came == new
    assert (came.origin, came.token_count) == ("peer", new.token_count)


def test_nothing_is_appended_to_what_is_not_there(home):
    for call in (
        lambda store: store.append("s", [block("a")]),
        lambda store: store.update_block("s", block("a")),
        lambda store: store.remove_blocks("s", ["a"]),
        lambda store: store.transfer("s", "bob"),
    ):
        with pytest.raises(UnknownSessionError) as caught:
            call(home.open())
        assert not isinstance(caught.value, SessionGoneError)
    assert list(home.open().sessions()) == []


def test_an_append_may_be_compared_as_well(home):
    first, second = begun(home, "a")
    seen = first.append("s", [block("b")])
    with pytest.raises(ConflictError) as caught:
        second.append("s", [block("c")], expect=1)
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert second.append("s", [block("c")], expect=seen) == 3
    with pytest.raises(ConflictError, match="load it first"):
        first.append("s", [block("d")], expect=3)
    with pytest.raises(ValidationError, match="expect 0 is for `save`"):
        first.append("s", [block("d")], expect=0)
    assert ids(first) == ["a", "b", "c"]
    assert first.append("s", [block("d")], expect=3) == 4


def test_a_block_that_is_there_is_left_out(home):
    first, second = begun(home, "a")
    version = second.append("s", [block("a", "text of a"), block("b")])
    assert version.renamed == {}
    assert ids(first) == ids(home.open()) == ["a", "b"]
    # Where it is the only one, the write counts all the same.
    assert second.append("s", [block("b")]) == 3
    assert ids(first) == ["a", "b"]


def test_a_block_whose_id_is_taken_is_kept_under_another(home):
    first, second = begun(home, "a")
    version = second.append("s", [block("a", "other"), block("b", references=["a", "s"])])
    assert version.renamed == {"a": "a~2"}
    for store in (first, second, home.open()):
        loaded = store.load("s")
        assert texts(loaded) == [("a", "text of a"), ("a~2", "other"), ("b", "word")]
        # Who was appended with it means that one.
        assert loaded.blocks[2].references == ["a~2", "s"]


def test_a_new_name_is_said_later_where_the_session_is_not_known(home):
    first, _ = begun(home, "a")
    blind = home.open()
    assert blind.append("s", [block("a", "other")]).renamed == {}
    assert blind.refresh("s").renamed == {"a": "a~2"}
    assert first.refresh("s").renamed == {"a": "a~2"}
    assert first.refresh("s").renamed == {}


def test_a_new_name_is_said_at_once_of_ones_own_blocks(home):
    store, _ = begun(home)
    store.append("s", [block("a", "one")])
    # Nobody has loaded it since.
    assert store.append("s", [block("a", "two")]).renamed == {"a": "a~3"}
    assert store.append("s", [block("a", "one")]).renamed == {}
    (version,) = store.append_many([("s", [block("a", "three")])])
    assert version.renamed == {"a": "a~5"}
    assert texts(store.load("s")) == [("a", "one"), ("a~3", "two"), ("a~5", "three")]


def test_a_new_name_is_said_where_another_wrote_between(home):
    first, second = begun(home, "a")
    second.append("s", [block("b")])
    version = first.append("s", [block("a", "other")])
    assert {**version.renamed, **first.refresh("s").renamed} == {"a": "a~3"}


def test_new_names_are_free_and_short_enough(home):
    first, second = begun(home)
    long = ["x" * 254 + mark for mark in "ab"]
    taken = [*long, "c", "c~3"]
    first.append("s", [block(id, "old") for id in taken])
    version = first.append("s", [block(id, "new") for id in [*long, "c"]])
    assert len(set(version.renamed.values())) == 3
    assert all(len(name.encode()) <= 256 for name in version.renamed.values())
    assert texts(first.load("s")) == texts(second.load("s"))
    assert sorted(text for _, text in texts(second.load("s"))) == ["new"] * 3 + ["old"] * 4


def test_an_update_stands_where_the_block_stood(home):
    first, second = begun(home, "a", "b", "c")
    assert first.update_block("s", block("b", "new", metadata={"k": "v"})) == 2
    for store in (first, second, home.open()):
        loaded = store.load("s")
        assert texts(loaded) == [("a", "text of a"), ("b", "new"), ("c", "text of c")]
        assert loaded.blocks[1].metadata == {"k": "v"}


def test_an_update_of_what_somebody_changed_is_refused(home):
    first, second = begun(home, "a", "b")
    first.update_block("s", block("a", "by first"))
    for _ in range(2):
        with pytest.raises(ConflictError) as caught:
            second.update_block("s", block("a", "by second"))
        assert (caught.value.expected, caught.value.actual) == (1, 2)
        with pytest.raises(ConflictError):
            second.remove_blocks("s", ["b"])
        with pytest.raises(ConflictError):
            second.transfer("s", "bob")
    assert texts(second.load("s")) == [("a", "by first"), ("b", "text of b")]
    assert second.update_block("s", block("a", "by second")) == 3
    assert texts(first.load("s")) == [("a", "by second"), ("b", "text of b")]


def test_an_update_is_compared_with_what_is_expected(home):
    first, second = begun(home, "a")
    seen = first.refresh("s").version
    version = second.append("s", [block("b")])
    with pytest.raises(ConflictError):
        second.update_block("s", block("a", "new"), expect=seen)
    assert second.update_block("s", block("a", "new"), expect=version) == 3
    assert first.load("s").version == 3


def test_an_update_behind_appends_of_ones_own_goes_through(home):
    first, second = begun(home, "a")
    for number in range(3):
        first.append("s", [block(f"b{number}")])
    first.update_block("s", block("b1", "new"))
    assert first.remove_blocks("s", ["a", "b0"]) == 6
    assert texts(second.load("s")) == texts(first.load("s")) == [("b1", "new"), ("b2", "word")]


def test_only_what_is_there_is_updated_or_removed(home):
    store, _ = begun(home, "a")
    with pytest.raises(UnknownBlockError, match="session 's' has no block 'x'"):
        store.update_block("s", block("x"))
    with pytest.raises(UnknownBlockError, match="session 's' has no block 'x'"):
        store.remove_blocks("s", ["a", "x"])
    assert texts(store.load("s")) == [("a", "text of a")]
    assert store.inquire("s").version == 1


def test_removed_blocks_are_gone_for_all(home):
    first, second = begun(home, "a", "b", "c")
    assert first.remove_blocks("s", ["c", "a"]) == 2
    assert ids(first) == ids(second) == ids(home.open()) == ["b"]
    assert first.remove_blocks("s", "b") == 3
    assert ids(second) == []
    assert first.append("s", [block("a", "again")]) == 4
    assert texts(second.load("s")) == [("a", "again")]


def test_one_operation_is_done_once(home):
    first, second = begun(home, "a", "b", "c")
    writes = [
        lambda store, **options: store.append("s", [block("d")], **options),
        lambda store, **options: store.update_block("s", block("b", "new"), **options),
        lambda store, **options: store.remove_blocks("s", ["a"], **options),
        lambda store, **options: store.transfer("s", "bob", **options),
    ]
    for number, write in enumerate(writes):
        second.load("s")
        version = write(first, operation_id=f"operation {number}")
        before = home.open().load("s").to_dict()
        # Again: by the writer, by another who did not know, and by one who does.
        for store in (first, second, second, home.open()):
            again = write(store, operation_id=f"operation {number}")
            assert again.is_at(version), number
            assert again.epoch == version.epoch
            second.load("s")
        assert home.open().load("s").to_dict() == before


def test_one_operation_that_others_have_written_behind_is_done_once(home):
    first, second = begun(home, "a")
    version = first.append("s", [block("b")], operation_id="mine")
    for number in range(3):
        second.append("s", [block(f"c{number}")])
    again = first.append("s", [block("b")], operation_id="mine")
    assert (again, again.operation_id) == (version, "mine")
    assert ids(first) == ids(second) == ["a", "b", "c0", "c1", "c2"]


def test_one_save_is_done_once(home):
    store = home.open()
    session = package(block("a"))
    version = store.save(session, operation_id="first")
    assert home.open().save(package(block("a")), expect=0, operation_id="first").is_at(version)
    session.blocks.append(block("b"))
    second = store.save(session, operation_id="second")
    assert store.save(session, operation_id="second").is_at(second)
    assert store.inquire("s").version == 2
    assert store.save(session) == 3


def test_an_operation_that_was_refused_may_be_tried_again(home):
    first, second = begun(home, "a")
    first.append("s", [block("b")])
    with pytest.raises(ConflictError):
        second.update_block("s", block("a", "new"), operation_id="mine")
    second.load("s")
    assert second.update_block("s", block("a", "new"), operation_id="mine") == 3
    assert texts(first.load("s"))[0] == ("a", "new")


@pytest.mark.parametrize("operation_id", ["", "x" * 129, "a\nb", 7, "é" * 65])
def test_an_operation_has_an_id(home, operation_id):
    store, _ = begun(home, "a")
    session = store.load("s")
    for call in (
        lambda: store.save(session, operation_id=operation_id),
        lambda: store.append("s", [block("b")], operation_id=operation_id),
        lambda: store.update_block("s", block("a", "new"), operation_id=operation_id),
        lambda: store.remove_blocks("s", ["a"], operation_id=operation_id),
        lambda: store.transfer("s", "bob", operation_id=operation_id),
    ):
        with pytest.raises(ValidationError, match="operation_id"):
            call()
    assert store.inquire("s").version == 1


def test_an_operation_may_have_any_id(home):
    store, other = begun(home, "a")
    for operation_id in ("é" * 64, "~ {}:%\\'\" 1", "0", "-"):
        version = store.append("s", [block(operation_id)], operation_id=operation_id)
        assert version.operation_id == other.refresh("s").version.operation_id == operation_id
        assert store.append("s", [block(operation_id)], operation_id=operation_id) == version


def test_a_transfer_begins_an_epoch(home):
    first, second = begun(home, "a")
    before = first.load("s")
    version = first.transfer("s", "bob")
    assert (version, version.epoch) == (2, 1)
    loaded = second.load("s")
    assert (loaded.agent_id, loaded.epoch, loaded.version, loaded.sender) == ("bob", 1, 2, "ann")
    assert loaded.parents == (before.as_parent,)
    assert (texts(loaded), loaded.trace_id) == (texts(before), before.trace_id)
    assert second.transfer("s", "eve").epoch == 2
    assert first.inquire("s").epoch == 2


def test_writes_of_an_earlier_epoch_are_refused(home):
    first, second = begun(home, "a")
    second.append("s", [block("b")])
    first.load("s")
    first.transfer("s", "bob")
    # What it does not say, a store says for it: the epoch that it has seen.
    for call in (
        lambda **options: second.append("s", [block("c")], **options),
        lambda **options: second.update_block("s", block("a", "new"), **options),
        lambda **options: second.remove_blocks("s", ["a"], **options),
        lambda **options: second.transfer("s", "eve", **options),
        lambda **options: second.delete("s", **options),
    ):
        for options in ({}, {"epoch": 0}):
            with pytest.raises(FencedError) as caught:
                call(**options)
            assert caught.value.actual == 3
    (refused,) = second.append_many([("s", [block("c")])])
    assert isinstance(refused, FencedError)
    assert ids(first) == ["a", "b"]
    # Whoever has seen the new one goes on in it.
    second.load("s")
    assert second.append("s", [block("c")]).epoch == 1
    with pytest.raises(FencedError):
        second.append("s", [block("d")], epoch=0)


def test_an_epoch_that_nobody_has_begun_is_refused(home):
    store, _ = begun(home, "a")
    with pytest.raises(ConflictError) as caught:
        store.append("s", [block("b")], epoch=1)
    assert not isinstance(caught.value, FencedError)
    assert ids(store) == ["a"]


def test_of_several_who_take_a_session_one_wins(home):
    first, second = begun(home, "a")
    seen = [store.refresh("s").version for store in (first, second)]
    assert first.transfer("s", "bob", expect=seen[0]).epoch == 1
    with pytest.raises(ConflictError):
        second.transfer("s", "eve", expect=seen[1])
    assert home.open().load("s").agent_id == "bob"


@pytest.mark.parametrize("epoch", [-1, True, 1.5, "0", 2**32])
def test_an_epoch_is_a_number(home, epoch):
    store, _ = begun(home, "a")
    for call in (
        lambda: store.append("s", [block("b")], epoch=epoch),
        lambda: store.update_block("s", block("a", "new"), epoch=epoch),
        lambda: store.remove_blocks("s", ["a"], epoch=epoch),
        lambda: store.transfer("s", "bob", epoch=epoch),
        lambda: store.delete("s", epoch=epoch),
    ):
        with pytest.raises(ValidationError, match="epoch"):
            call()
    assert store.inquire("s").version == 1


def test_many_sessions_are_appended_to_at_once(home):
    store = home.open()
    for id in "xyz":
        store.save(package(session_id=id))
    gone = home.open()
    gone.load("y")
    store.transfer("y", "bob")
    replies = gone.append_many(
        [("x", [block("a")]), ("none", [block("a")]), ("y", [block("a")]), ("z", [block("a")]), ("x", [block("b")])]
    )
    assert [type(reply) for reply in replies] == [Version, UnknownSessionError, FencedError, Version, Version]
    assert [int(reply) for reply in replies if isinstance(reply, Version)] == [2, 2, 3]
    assert [[id for id, _ in texts(store.load(session))] for session in "xyz"] == [["a", "b"], [], ["a"]]
    assert gone.append_many([]) == []


def test_of_many_with_a_bad_one_none_is_written(home):
    store, _ = begun(home, "a")
    with pytest.raises(ContextError):
        store.append_many([("s", [block("b")]), ("s", [block("c"), block("c")])])
    assert store.inquire("s").version == 1


@pytest.mark.parametrize("blocks", [block("b"), [7], [block("b"), block("b")], "b", [{"id": "b"}]])
def test_only_blocks_are_appended(home, blocks):
    store, _ = begun(home, "a")
    with pytest.raises(ValidationError):
        store.append("s", blocks)
    with pytest.raises(ValidationError):
        store.update_block("s", [blocks])
    assert store.inquire("s").version == 1


def test_a_bad_block_is_refused_and_nothing_is_written(home):
    store, _ = begun(home, "a")
    bad = block("b")
    bad.relevance_score = float("nan")
    with pytest.raises(ValidationError, match="relevance_score"):
        store.append("s", [block("c"), bad])
    with pytest.raises(ValidationError, match="block_ids"):
        store.remove_blocks("s", ["a", "b\n"])
    assert store.inquire("s").version == 1
    assert ids(store) == ["a"]
