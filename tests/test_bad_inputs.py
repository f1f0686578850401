"""Every row of data/bad_inputs.toml at every door it can come in by: refused in one line, and nothing changed."""

from __future__ import annotations

import asyncio
import json
import tomllib
from pathlib import Path

import pytest

import pycontext.wire
import raw
from pycontext import BlockSet, ContextBlock, ContextManager, ContextPackage, ContextType
from pycontext.agents import ContextAwareAgent
from pycontext.service.pilot import start_pilot
from raw import CannotSay

ROWS = tomllib.loads((Path(__file__).parent / "data" / "bad_inputs.toml").read_text(encoding="utf-8"))["row"]


# For the keys of `wire`.
SECRET = bytes(range(32))


def each(key):
    """Every row that has the key, with one of its values, and with the words that are for that one."""
    return [
        ({**row, "words": [*row["words"], *words]}, value)
        for row in ROWS
        if key in row
        for value, *words in ([one] if isinstance(one, str) else one for one in row[key])
    ]


FIELDS = [(row, value) for row, value in each("values") if "field" in row]
CALLS = [(row, value) for row, value in each("values") if "call" in row]
CALLS += [(row, "None") for row in ROWS if "call" in row and "values" not in row]
# Whole inputs, by what they are.
WHOLE = [(row, value, kind) for kind in ("message", "envelope", "text") for row, value in each(kind)]


def block(id, content="word", kind=ContextType.USER):
    return ContextBlock(id, content, 0.5, kind, timestamp=1)


class Scored:
    """A scorer that does what it is made of."""

    def __init__(self, score):
        self._score = score

    def score(self, query, blocks):  # noqa: ARG002
        return self._score(blocks)


def in_two_loops(store):
    asyncio.run(store.inbox("agent"))
    asyncio.run(store.load("s"))


def when_closed(store):
    async def use():
        await store.close()
        await store.load("s")

    asyncio.run(use())


class Silent:
    """A model that says nothing."""

    async def generate(self, prompt):  # noqa: ARG002
        return ""


def pilot_of(traffic_ratio):
    agent = ContextAwareAgent(Silent(), "agent", prompt="You help.")
    asyncio.run(start_pilot(agent, "memory://", traffic_ratio))


def open_closed(store):
    store.close()
    return store


def evaluate(expression, **names):
    known = {"in_two_loops": in_two_loops, "when_closed": when_closed, "open_closed": open_closed}
    known["pilot_of"] = pilot_of
    known |= {"block": block, "Scored": Scored, "raw": raw, "wire": pycontext.wire, "SECRET": SECRET, "json": json}
    return eval(expression, {**vars(pycontext), **known, **names})


def manager_with_a_session():
    manager = ContextManager(max_tokens=500)
    session = manager.create_session("agent", session_id="s")
    manager.add_context(session, "hello", ContextType.USER, block_id="here", timestamp=1)
    return manager, session


def good():
    return {
        "id": "a",
        "content": "word",
        "relevance_score": 0.5,
        "type": ContextType.USER,
        "metadata": {},
        "timestamp": 1,
        "token_count": None,
        "references": [],
    }


def by_class(field, value):
    ContextBlock(**{**good(), field: value})


def by_write(field, value):
    blocks = BlockSet([block("a"), block("b")])
    before = blocks.to_fields()
    written = blocks[1]
    try:
        setattr(written, field, value)
        blocks.prune(100)
    finally:
        # Said once; the bad value counts for nothing, and everything goes on.
        assert blocks.to_fields() == before
        assert len(blocks.prune(100).kept) == 2


def by_list(field, value):
    blocks = [block("a"), block("b")]
    setattr(blocks[1], field, value)
    with pytest.raises(pycontext.ContextError, match=r"blocks\[1\]"):
        pycontext.prune(blocks, 100)
    pycontext.prune(blocks, 100)


def by_add(field, value):
    manager, session = manager_with_a_session()
    before = manager.export_session(session)
    renamed = {"id": "block_id", "type": "context_type"}
    arguments = {renamed.get(name, name): v for name, v in {**good(), field: value}.items()}
    try:
        manager.add_context(session, **arguments)
    finally:
        assert manager.export_session(session) == before


def as_dict(field, value):
    """An exported session whose second block is bad."""
    item = {**good(), "type": "USER"}
    return {"session_id": "other", "agent_id": "a", "blocks": [{**item, "id": "fine"}, {**item, field: value}]}


def as_json(field, value):
    """The same as text; what does not come back from JSON as it was is nothing that JSON can say."""
    made = as_dict(field, value)
    try:
        text = json.dumps(made, allow_nan=False)
    except (TypeError, ValueError):
        raise CannotSay from None
    if json.loads(text) != made:
        raise CannotSay
    return text


def as_columns(field, value):
    """The same as columns, of which there is none for metadata."""
    names = {"relevance_score": "score", **{name: name for name in ("id", "content", "type", "timestamp")}}
    names |= {"token_count": "token_count", "references": "references"}
    if field not in names:
        raise CannotSay
    columns = {"id": ["fine", "a"], "content": ["word"] * 2, "type": [ContextType.USER] * 2, "score": [0.5] * 2}
    first = columns.get(names[field], [1 if field != "references" else []])[0]
    return {**columns, names[field]: [first, value]}


def as_message(field, value):
    """The same as protobuf, where None is a field that nobody wrote, bytes may be text and numbers may be types."""
    if (
        value is None
        or isinstance(value, bytes)
        or (field == "type" and type(value) is int and value in range(len(ContextType)))
    ):
        raise CannotSay
    return raw.package(raw.block(id="fine"), raw.block(**{field: value}))


def as_envelope(field, value):
    return raw.sealed(as_message(field, value))


def counted(make):
    """An import of JSON counts again and reads no counts."""

    def made(field, value):
        if field == "token_count":
            raise CannotSay
        return make(field, value)

    return made


def refused_in_the_second_block(read, data):
    with pytest.raises(pycontext.ContextError, match=r"blocks\[1\]"):
        read(data)
    read(data)


def imported(data):
    manager, session = manager_with_a_session()
    before = manager.export_session(session)
    try:
        manager.import_session(data)
    finally:
        assert list(manager.sessions) == [session]
        assert manager.export_session(session) == before


# What a door takes is made of a field and its value first; what cannot be said there raises CannotSay and is left out.
DOORS = {
    "class": (None, by_class),
    "write": (None, by_write),
    "list": (None, by_list),
    "add": (None, by_add),
    "columns": (as_columns, lambda columns: refused_in_the_second_block(lambda c: BlockSet.from_columns(**c), columns)),
    "dict": (as_dict, lambda data: refused_in_the_second_block(ContextPackage.from_dict, data)),
    "json": (as_json, lambda data: refused_in_the_second_block(ContextPackage.from_json, data)),
    "protobuf": (as_message, lambda data: refused_in_the_second_block(ContextPackage.from_protobuf, data)),
    "envelope": (as_envelope, lambda data: refused_in_the_second_block(ContextPackage.from_bytes, data)),
    "import of a dict": (counted(as_dict), imported),
    "import of JSON": (counted(as_json), imported),
    "import of bytes": (as_envelope, imported),
}


def can_say(door, field, value):
    make, _ = DOORS[door]
    try:
        if make is not None:
            make(field, evaluate(value))
    except CannotSay:
        return False
    return True


def check(error, row):
    message = str(error)
    assert type(error).__name__ == row["error"]
    assert isinstance(error, pycontext.ContextError)
    assert len(message.splitlines()) == 1
    assert len(message) <= 300
    for word in row["words"]:
        assert word in message, message


FIELDS_AT_DOORS = [(row, value, door) for row, value in FIELDS for door in DOORS if can_say(door, row["field"], value)]


def name_of(value):
    return str(value["number"]) if isinstance(value, dict) else value


@pytest.mark.parametrize(("row", "value", "door"), FIELDS_AT_DOORS, ids=name_of)
def test_a_bad_field_is_refused_at_every_door(row, value, door):
    make, give = DOORS[door]
    made = (row["field"], evaluate(value)) if make is None else (make(row["field"], evaluate(value)),)
    with pytest.raises(pycontext.ContextError) as caught:
        give(*made)
    check(caught.value, row)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("door", ["json", "protobuf", "envelope", "import of bytes"])
def test_every_field_has_bad_values_that_bytes_can_say(door):
    assert {row["field"] for row, _, at in FIELDS_AT_DOORS if at == door} == good().keys()


WHOLE_DOORS = {
    "message": [
        ContextPackage.from_protobuf,
        lambda data: ContextPackage.from_bytes(raw.sealed(data)),
        lambda data: ContextPackage.from_bytes(raw.sealed(raw.stored(data), flags=1, size=len(data))),
        lambda data: BlockSet.from_bytes(raw.sealed(data)),
        lambda data: imported(raw.sealed(data)),
    ],
    "envelope": [ContextPackage.from_bytes, BlockSet.from_bytes, imported],
    "text": [ContextPackage.from_json, lambda text: ContextPackage.from_json(text.encode()), imported],
}


@pytest.mark.parametrize(("row", "value", "kind"), WHOLE, ids=name_of)
def test_a_bad_whole_is_refused_at_every_door(row, value, kind):
    data = evaluate(value)
    for give in WHOLE_DOORS[kind]:
        with pytest.raises(pycontext.ContextError) as caught:
            give(data)
        check(caught.value, row)
        assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("row", "value"), CALLS, ids=name_of)
def test_a_bad_call_is_refused(row, value):
    manager, session = manager_with_a_session()
    before = manager.export_session(session)
    with pytest.raises(pycontext.ContextError) as caught:
        evaluate(row["call"], manager=manager, session=session, id=evaluate(value, manager=manager))
    check(caught.value, row)
    assert manager.export_session(session) == before
    assert list(manager.sessions) == [session]
    if row["number"] == 31:
        assert isinstance(caught.value, KeyError)
        assert isinstance(caught.value, ValueError)
    assert "hunter2" not in str(caught.value)
    if row["number"] not in (32, 38, 39, 44):
        assert isinstance(caught.value, ValueError)
    if row["number"] in (38, 39) and "ZeroDivision" in str(caught.value):
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_cert_reqs=optional", "ssl_check_hostname=False"])
@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster", "rediss+sentinel"])
@pytest.mark.parametrize("kind", ["open_store", "open_async_store"])
def test_a_server_that_is_not_verified_is_warned_of(kind, scheme, option, caplog):
    url = f"{scheme}://u:hunter2@127.0.0.1:1{'/service' if 'sentinel' in scheme else ''}"
    make = getattr(pycontext, kind)
    make(f"{url}?ssl_ca_certs={__file__}")  # read when it connects
    assert not caplog.records
    make(f"{url}?{option}")
    (warning,) = caplog.records
    assert warning.levelname == "WARNING"
    assert "the server's certificate is not verified" in warning.getMessage()
    assert "hunter2" not in warning.getMessage()


def test_the_table_has_all_45_rows():
    here = {row["number"] for row in ROWS}
    # Escaped and counted, no error: test_forged_header.py. The lines of 45 are tried by test_cli.py.
    # A warning: below.
    no_error = {13, 42}
    # Embeddings: their door is not there yet.
    later = {43}
    assert here | no_error | later == set(range(1, 46))
    assert here.isdisjoint(no_error | later)
