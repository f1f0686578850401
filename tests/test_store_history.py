"""Earlier versions of a session, what is new in it, and snapshots in the place of changes."""

from __future__ import annotations

import random

import pytest
import redis

from pycontext import ContextError, CorruptPayloadError, UnknownSessionError, ValidationError, VersionGoneError
from stores import KINDS, block, package, texts


def begun(home, *ids):
    store = home.open()
    store.save(package(*map(block, ids)))
    return store


def test_every_version_since_the_snapshot_can_be_had(home):
    store, other = begun(home, "a"), home.open()
    history = {1: store.load("s").to_dict()}
    writes = [
        lambda: store.append("s", [block("b"), block("c")]),
        lambda: store.update_block("s", block("a", "new")),
        lambda: store.append("s", [block("a", "other")]),
        lambda: store.remove_blocks("s", ["c"]),
        lambda: store.transfer("s", "bob"),
        lambda: store.append("s", [block("d")]),
    ]
    for write in writes:
        version = write()
        history[version] = other.load("s").to_dict()
    assert list(history) == list(range(1, 8))
    for reader in (store, other, home.open()):
        for version, expected in history.items():
            assert reader.load("s", at_version=version).to_dict() == expected
        # What was looked at is not what is.
        assert reader.load("s").to_dict() == history[7]


@pytest.mark.parametrize("number", [8, 2**32 - 1])
def test_a_version_that_is_not_there_yet_is_not_kept(home, number):
    store = begun(home, "a")
    store.append("s", [block("b")])
    with pytest.raises(VersionGoneError, match="1 to 2 are") as caught:
        store.load("s", at_version=number)
    assert (caught.value.version, caught.value.oldest) == (number, 1)


def test_versions_before_a_snapshot_are_not_kept(home):
    store = begun(home, "a")
    for number in range(4):
        store.append("s", [block(f"b{number}")])
    before = store.load("s").to_dict()
    assert store.compact("s") == 5
    assert store.append("s", [block("c")]) == 6
    for reader in (store, home.open()):
        for version in range(1, 5):
            with pytest.raises(VersionGoneError, match=f"version {version} is not kept, 5 to 6 are") as caught:
                reader.load("s", at_version=version)
            assert (caught.value.version, caught.value.oldest) == (version, 5)
            assert isinstance(caught.value, LookupError)
        assert reader.load("s", at_version=5).to_dict() == before
    store.save(store.load("s"))
    with pytest.raises(VersionGoneError):
        store.load("s", at_version=6)
    with pytest.raises(UnknownSessionError):
        store.load("none", at_version=1)


@pytest.mark.parametrize("number", [0, -1, True, 1.0, "1", 2**32])
def test_a_version_is_a_number(home, number):
    store = begun(home, "a")
    with pytest.raises(ValidationError, match="at_version"):
        store.load("s", at_version=number)


def test_what_is_new_is_said_once(home):
    store, other = begun(home, "a", "b"), home.open()
    first = other.refresh("s")
    assert (first.added, first.removed, first.renamed, first.lost, first.version) == (("a", "b"), (), {}, (), 1)
    store.append("s", [block("c"), block("b", "other")])
    store.remove_blocks("s", ["a"])
    store.append("s", [block("a", "again")])
    version = store.append("s", [block("e")])
    news = other.refresh("s")
    assert (news.added, news.removed, news.renamed, news.lost) == (("c", "b~2", "e"), (), {"b": "b~2"}, ())
    assert news.version.is_at(version)
    nothing = other.refresh("s")
    assert (nothing.added, nothing.removed, nothing.renamed) == ((), (), {})
    assert nothing.version.is_at(version)
    store.remove_blocks("s", ["a", "c"])
    assert other.refresh("s").removed == ("c", "a")
    assert [id for id, _ in texts(other.load("s"))] == ["b", "b~2", "e"]


def test_ones_own_writes_are_not_new_ones(home):
    store = begun(home, "a")
    store.append("s", [block("b")])
    store.update_block("s", block("b", "new"))
    assert store.refresh("s").added == ()
    store.remove_blocks("s", ["b"])
    assert store.refresh("s").removed == ()


def test_a_snapshot_changes_nothing_but_the_history(home):
    store, other = begun(home, "a", "b"), home.open()
    other.load("s")
    store.append("s", [block("c", "three"), block("a", "other")])
    version = store.transfer("s", "bob")
    before = home.open().load("s").to_dict()
    assert store.compact("s").is_at(version)
    assert store.compact("s").is_at(version)
    listed = store.inquire("s")
    assert (listed.version, listed.epoch, listed.snapshot_version, listed.changes) == (3, 1, 3, 0)
    for reader in (store, other, home.open()):
        assert reader.load("s").to_dict() == before
    assert [reader.append("s", [block("d")]).epoch for reader in (store, other, home.open())] == [1, 1, 1]
    # What they had seen before is still good to compare with.
    other.load("s")
    assert other.update_block("s", block("b", "new")) == 7


def test_what_was_seen_before_a_snapshot_is_caught_up_with(home):
    store, other = begun(home, "a"), home.open()
    other.load("s")
    store.append("s", [block("b")])
    store.append("s", [block("c")])
    store.compact("s")
    news = other.refresh("s")
    assert (news.added, news.lost) == (("b", "c"), ())
    store.append("s", [block("d")])
    store.save(store.load("s"))
    assert other.refresh("s").added == ("d",)


def test_how_a_session_stands(home):
    store = home.open(ttl=60)
    store.save(package(block("a"), version=5, epoch=2))
    version = store.append("s", [block("b")])
    listed = home.open().inquire("s")
    assert (listed.version, listed.epoch, listed.incarnation) == (6, 2, version.incarnation)
    assert (listed.snapshot_version, listed.changes) == (5, 1)
    assert listed.snapshot_bytes > 0
    assert listed.stored_bytes > listed.snapshot_bytes
    assert 0 <= listed.age_ms < 30_000
    assert 30_000 < listed.ttl_ms <= 60_000
    store.save(package(session_id="other"))
    home.open().save(package(session_id="for ever".replace(" ", "-")))
    assert store.inquire("for-ever").ttl_ms is None


def changed(store, number, random):
    """Do one of the changes that there are."""
    ids = [id for id, _ in texts(store.load("s"))]
    kind = random.choice(["append", "append", "update", "remove", "taken"])
    if kind == "update" and ids:
        store.update_block("s", block(random.choice(ids), f"update {number} " * 8))
    elif kind == "remove" and len(ids) > 3:
        store.remove_blocks("s", [random.choice(ids)])
    else:
        id = random.choice(ids) if kind == "taken" and ids else f"b{number}"
        store.append("s", [block(id, f"text {number} " * 8)])


def test_snapshots_are_made_behind_many_changes(home):
    store, other = begun(home, "a"), home.open()
    dice = random.Random(7)
    snapshots = set()
    for number in range(150):
        changed(store, number, dice)
        snapshots.add(store.inquire("s").snapshot_version)
        if number % 20 == 0:
            assert other.load("s").to_dict() == store.load("s").to_dict()
    listed = store.inquire("s")
    assert listed.version == 151
    assert len(snapshots) > 1
    assert listed.changes <= 64 + 1
    assert home.open().load("s").to_dict() == store.load("s").to_dict() == other.load("s").to_dict()


def test_a_large_snapshot_is_not_made_again_for_small_changes(waiting_home):
    store = waiting_home.open()
    noise = random.Random(1)
    store.save(package(*(block(f"a{n}", noise.randbytes(600).hex()) for n in range(100))))
    for number in range(100):
        store.append("s", [block(f"b{number}")])
    store.load("s")
    assert store.inquire("s").snapshot_version == 1


def test_who_never_loads_makes_snapshots_too(waiting_home):
    """Steady appends of a client that never reads: the changes since the last snapshot never grow without end."""
    waiting_home.open().save(package())
    writer = waiting_home.open()
    most = 0
    for start in range(0, 3000, 60):
        for number in range(start, start + 60):
            version = writer.append("s", [block(f"b{number}", f"text {number}")])
        most = max(most, writer.inquire("s").changes)
    assert version == 3001
    assert most <= 1024 + 60
    listed = writer.inquire("s")
    assert listed.snapshot_version > 1024
    expected = [(f"b{number}", f"text {number}") for number in range(3000)]
    assert texts(waiting_home.open().load("s")) == texts(writer.load("s")) == expected


def test_a_long_history_is_read_in_pieces(waiting_home):
    """More changes than one answer has, which nobody made a snapshot of: the writers are all new."""
    store = waiting_home.open()
    store.save(package())
    for start in range(0, 2400, 800):
        batch = [("s", [block(f"b{number}")]) for number in range(start, start + 800)]
        assert not any(isinstance(reply, ContextError) for reply in waiting_home.open().append_many(batch))
    assert store.inquire("s").changes == 2400
    assert waiting_home.open().load("s", at_version=1201).blocks.ids() == [f"b{number}" for number in range(1200)]
    news = store.refresh("s")
    assert news.added == tuple(f"b{number}" for number in range(2400))
    assert store.inquire("s").changes == 0


def test_a_store_that_remembers_one_session_only(home):
    store = home.open(sessions=1)
    for id in "xyz":
        store.save(package(block("a"), session_id=id))
    kept = {id: store.load(id) for id in "xyz"}
    for id in "xyzx":
        kept[id].blocks.append(block("b" + str(len(kept[id].blocks))))
        store.save(kept[id])
        store.append(id, [block("c" + str(len(kept[id].blocks)))])
        kept[id] = store.load(id)
    assert kept["x"].blocks.ids() == ["a", "b1", "c2", "b3", "c4"]
    assert kept["z"].blocks.ids() == ["a", "b1", "c2"]


@pytest.mark.parametrize("sessions", [0, -1, True, 1.5, "8"])
def test_a_store_remembers_some_sessions(home, sessions):
    with pytest.raises(ValidationError, match="sessions"):
        home.open(sessions=sessions)


@pytest.mark.parametrize("home", [kind for kind in KINDS if kind.startswith("redis")], indirect=True)
@pytest.mark.parametrize(("field", "name"), [("S", "snapshot of version 1"), ("d2", "change of version 2")])
def test_what_the_server_has_lost_is_damage(home, field, name):
    store = begun(home, "a")
    store.append("s", [block("b")])
    store.append("s", [block("c")])
    with redis.Redis.from_url(home.url) as client:
        client.hdel("pctx:{default:s}", field)
    with pytest.raises(CorruptPayloadError, match=name):
        home.open().load("s")
    # Whoever knows it needs nothing of that.
    assert store.load("s").blocks.ids() == ["a", "b", "c"]
