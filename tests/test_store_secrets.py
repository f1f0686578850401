"""What must not be read: by other tenants, from the bytes of a store, or after it was purged."""

from __future__ import annotations

import sqlite3

import pytest
import redis

from pycontext import (
    ContextBlock,
    CorruptPayloadError,
    SignatureError,
    UnknownSessionError,
    ValidationError,
    open_async_store,
    open_store,
)
from pycontext.store.key import Key
from pycontext.wire import EncryptionKey, KeyRing
from stores import RedisHome, SqliteHome, block, package, texts

OLD, NEW = EncryptionKey("old", bytes(range(32))), EncryptionKey("new", bytes(range(1, 33)))
# A text that compresses, and one in it that is nowhere else.
SECRET = "the treasure is under the oak tree"
LONG = f"{'nothing to see here, ' * 20}{SECRET}"


def test_the_bytes_of_a_store_are_all_looked_at(home):
    """What the other tests rest on: what is there is found, compressed or not."""
    store = home.open()
    store.save(package(block("a", LONG + "1")))
    store.append("s", [block("b", LONG + "2"), block("c", SECRET + "3")])
    assert all(f"{SECRET}{number}".encode() in home.contents() for number in (1, 2, 3))


@pytest.mark.parametrize("encrypt", [None, NEW], ids=["plain", "encrypted"])
@pytest.mark.parametrize("how", ["saved", "appended", "updated", "removed", "taken", "compacted"])
def test_nothing_of_a_purged_block_is_left(home, how, encrypt):
    store, other = home.open(encrypt=encrypt), home.open(encrypt=encrypt)
    store.save(package(block("a"), *([block("x", LONG)] if how in ("saved", "compacted") else [])))
    if how == "appended":
        store.append("s", [block("x", LONG), block("b")])
    elif how == "taken":
        store.append("s", [block("x")])
        assert store.append("s", [block("x", LONG)]).renamed == {"x": "x~3"}
    elif how in ("updated", "removed"):
        store.append("s", [block("x", LONG)])
        store.update_block("s", block("x", "harmless"))
        if how == "removed":
            store.remove_blocks("s", ["x"])
    elif how == "compacted":
        store.append("s", [block("b")])
        store.compact("s")
    other.load("s")
    before = store.inquire("s").version
    assert SECRET.encode() in home.contents(NEW) or how == "compacted"
    version = store.purge("s", "x~3" if how == "taken" else "x")
    assert version == before + 1
    assert SECRET.encode() not in home.contents(NEW)
    for one in (store, other, home.open(encrypt=encrypt)):
        loaded = one.load("s")
        assert loaded.version == version
        assert not any(SECRET in content for _, content in texts(loaded))
        assert loaded.blocks.ids()[0] == "a"


@pytest.mark.parametrize("ending", ["purge", "delete"])
def test_nothing_of_a_purged_session_is_left(home, ending):
    store = home.open()
    store.save(package(block("a", LONG)))
    for number in range(70):
        store.append("s", [block(f"b{number}", f"{SECRET} {number}")])
    store.save(package(session_id="other"))
    if ending == "purge":
        assert store.purge("s") is None
        assert SECRET.encode() not in home.contents()
    else:
        assert store.delete("s") is True
    for one in (store, home.open()):
        with pytest.raises(UnknownSessionError):
            one.load("s")
    assert list(store.sessions()) == ["other"]
    if ending == "purge":
        with pytest.raises(UnknownSessionError, match="session 's' does not exist"):
            store.purge("s")


def test_a_block_is_purged_while_others_write(home):
    store, other = home.open(), home.open()
    store.save(package(block("a"), block("x", LONG)))
    # The one who purges has seen less than there is.
    other.append("s", [block("b")])
    other.transfer("s", "bob")
    assert store.purge("s", "x") == 4
    loaded = other.load("s")
    assert (loaded.blocks.ids(), loaded.agent_id, loaded.epoch) == (["a", "b"], "bob", 1)
    assert SECRET.encode() not in home.contents()


def test_namespaces_are_apart(home):
    # Names that would be one if marks were written as they are.
    places = [
        ("a:b", "c"),
        ("a", "b:c"),
        ("a", "c"),
        ("{a}", "c"),
        ("a:", "b:c"),
        ("*", "c"),
        ("a%3Ab", "c"),
        (" é~", "c"),
    ]
    stores = [home.open(namespace=namespace) for namespace, _ in places]
    for number, (store, (_, id)) in enumerate(zip(stores, places, strict=True)):
        store.save(package(block("a", f"text {number}"), session_id=id), expect=0)
    for number, (store, (namespace, id)) in enumerate(zip(stores, places, strict=True)):
        assert texts(home.open(namespace=namespace).load(id)) == [("a", f"text {number}")]
        expected = sorted(other for name, other in places if name == namespace)
        assert sorted(store.sessions()) == expected
    stores[0].delete("c")
    assert [len(list(store.sessions())) for store in stores] == [0, 2, 2, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("namespace", ["", "a\nb", "x" * 257, 7, None, "a\x00"])
def test_a_namespace_is_a_name(home, namespace):
    with pytest.raises(ValidationError, match="namespace"):
        home.open(namespace=namespace)


def test_ids_may_have_every_mark(home):
    ids = [
        "_.@:+=~-",
        "a~b",
        "a%2Fb".replace("%2F", "=2F"),
        "é",
        "Ж" * 128,
        "x" * 256,
        "0",
        "inbox:bob",
        "A",
        "a",
    ]
    store, other = home.open(), home.open()
    for id in ids:
        store.save(package(block(id, id), session_id=id), expect=0)
        store.append(id, [block("b")])
    for id in ids:
        assert texts(other.load(id)) == [(id, id), ("b", "word")]
        # No more than what is quoted needs.
        assert other.inquire(id).version == 2
    assert sorted(other.sessions()) == sorted(ids)


def test_what_is_encrypted_cannot_be_read_from_the_store(home):
    store = home.open(encrypt=NEW)
    store.save(package(block("a", LONG)))
    store.append("s", [block("b", SECRET)])
    store.update_block("s", block("a", f"{SECRET} still"))
    assert SECRET.encode() not in home.stored()
    assert SECRET.encode() in home.contents(NEW)
    assert texts(home.open(encrypt=NEW).load("s")) == [("a", f"{SECRET} still"), ("b", SECRET)]
    for options in ({"encrypt": OLD}, {"encrypt": EncryptionKey("new", bytes(32))}, {}):
        with pytest.raises(SignatureError) as caught:
            home.open(**options).load("s")
        assert SECRET not in str(caught.value)
    # What is plain is not taken for what was encrypted.
    home.open().save(package(session_id="plain"))
    with pytest.raises(SignatureError, match="is not encrypted"):
        home.open(encrypt=NEW).load("plain")


def test_an_encrypted_session_lives_like_any_other(home):
    store, other = home.open(encrypt=NEW), home.open(encrypt=NEW)
    store.save(package(block("a")))
    # A store that has never seen it has to ask whose it is.
    assert other.append("s", [block("b")]) == 2
    (version,) = store.append_many([("s", [block("a", "other")])])
    assert version == 3
    assert other.transfer("s", "bob").epoch == 1 if other.load("s") else None
    store.load("s")
    for number in range(70):
        store.append("s", [block(f"c{number}", "many words " * 9)])
    store.load("s")
    assert store.inquire("s").snapshot_version > 1
    assert home.open(encrypt=NEW).load("s").to_dict() == store.load("s").to_dict() == other.load("s").to_dict()
    with pytest.raises(ValidationError, match="load it first"):
        home.open(encrypt=NEW).append_many([("s", [block("d")])])


def test_keys_are_changed_while_sessions_live(home):
    home.open(encrypt=OLD).save(package(block("a", "old")))
    store = home.open(encrypt=NEW, keys=KeyRing([OLD, NEW]))
    assert texts(store.load("s")) == [("a", "old")]
    store.append("s", [block("b", "new")])
    assert texts(home.open(encrypt=OLD, keys=KeyRing([OLD, NEW])).load("s")) == [("a", "old"), ("b", "new")]
    with pytest.raises(SignatureError):
        home.open(encrypt=NEW).load("s")
    # A new snapshot is all in the new one.
    store.compact("s")
    assert texts(home.open(encrypt=NEW).load("s")) == [("a", "old"), ("b", "new")]


def test_keys_are_for_their_work(home):
    for options, words in (
        ({"encrypt": b"secret" * 6}, "encrypt is bytes"),
        ({"keys": KeyRing([OLD])}, "keys are given and encrypt is None"),
        ({"encrypt": OLD, "keys": [OLD]}, "keys is list"),
    ):
        with pytest.raises(ValidationError, match=words) as caught:
            home.open(**options)
        assert "secretsecret" not in str(caught.value)


def moved(home, source, target, field):
    """Copies bytes of one session to the same place of another, as whoever may write to the store can."""
    if isinstance(home, SqliteHome):
        with sqlite3.connect(home.path) as db:
            ids = [
                db.execute("SELECT id FROM sessions WHERE namespace = ? AND session_id = ?", place).fetchone()[0]
                for place in (source, target)
            ]
            table = {"snapshot": "snapshots", "change": "changes"}[field]
            db.execute(f"UPDATE {table} SET body = (SELECT body FROM {table} WHERE session = ?) WHERE session = ?", ids)
        db.close()
    elif isinstance(home, RedisHome):
        names = [f"pctx:{{{namespace}:{id}}}" for namespace, id in (source, target)]
        with redis.Redis.from_url(home.url) as client:
            name = {"snapshot": "S", "change": "d2"}[field]
            data, own = (client.hget(key, name) for key in names)
            if field == "change":
                data = own[: 1 + own[0]] + data[1 + data[0] :]
            client.hset(names[1], name, data)
    else:
        sessions = home.log._sessions  # noqa: SLF001  # there is no other way to forge memory
        first, second = sessions[Key(*source)], sessions[Key(*target)]
        if field == "snapshot":
            second.snapshot = first.snapshot
        else:
            second.changes[2] = second.changes[2][0], first.changes[2][1]


@pytest.mark.parametrize("encrypt", [None, NEW], ids=["plain", "encrypted"])
@pytest.mark.parametrize("field", ["snapshot", "change"])
@pytest.mark.parametrize("target", [("default", "t"), ("other", "s")])
def test_bytes_of_another_place_are_worth_nothing(home, target, field, encrypt):
    places = [("default", "s"), target]
    for namespace, id in places:
        store = home.open(namespace=namespace, encrypt=encrypt)
        # In the plain, another namespace may have the same session: only the operation tells.
        store.save(package(block("a", namespace + id), session_id=id))
        store.append(id, [block("b", namespace + id)])
    moved(home, *places, field)
    with pytest.raises(CorruptPayloadError if encrypt is None else SignatureError) as caught:
        home.open(namespace=target[0], encrypt=encrypt).load(target[1])
    assert f"pctx:{{{target[0]}:{target[1]}}}" in str(caught.value)
    assert home.open(encrypt=encrypt).load("s").blocks.ids() == ["a", "b"]


def test_what_is_redacted_is_never_written(home):
    seen = []

    def redact(one: ContextBlock) -> ContextBlock:
        seen.append(one.id)
        one.content = one.content.replace(SECRET, "(redacted)")
        return one

    store = home.open(redact=redact)
    mine = [block(id, SECRET) for id in "abcd"]
    session = package(mine[0])
    store.save(session)
    store.append("s", [mine[1]])
    store.append_many([("s", [mine[2]])])
    store.update_block("s", block("a", f"new {SECRET}"))
    assert seen == ["a", "b", "c", "a"]
    assert SECRET.encode() not in home.contents()
    expected = [("a", "new (redacted)"), ("b", "(redacted)"), ("c", "(redacted)")]
    assert texts(home.open().load("s")) == texts(store.load("s")) == expected
    # What the caller has is his.
    assert [one.content for one in mine] == [SECRET] * 4
    assert texts(session) == [("a", SECRET)]


@pytest.mark.parametrize("result", [None, "text", 7])
def test_what_redact_returns_is_a_block(home, result):
    store = home.open(redact=lambda _: result)
    with pytest.raises(ValidationError):
        store.save(package(block("a")))
    with pytest.raises(UnknownSessionError):
        home.open().load("s")


@pytest.mark.parametrize("open_any", [open_store, open_async_store])
@pytest.mark.parametrize(
    "url",
    [
        "redis://:{}@", "redis://user:{}@:0x/0", "redis://:{}@host:port", "http://u:{}@host", "redis://u:{}/x@host", "redis://:{}#x@host",
        "redis://:{}?x@host:1", "rediss://u:{}@/0", "redis+sentinel://u:{}@host", "redis+cluster://u:{}@host/1",
        "redis+cluster://u:{}@host?db=1", "sqlite://u:{}@host/x.db", "memory://u:{}@host", "redis://[{}@host", "ftp:{}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("password", ["f0c1a2b3d4", "4711"], ids=["letters", "digits"])
def test_an_address_that_is_none_is_refused_without_its_password(open_any, url, password):
    with pytest.raises(ValidationError, match="url") as caught:
        open_any(url.format(password))
    assert password not in str(caught.value)
    assert caught.value.__cause__ is None
