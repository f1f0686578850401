"""Every row of data/bad_inputs.toml at every door it can come in by: refused in one line, and nothing changed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import pycontext.wire
from pycontext import BlockSet, ContextBlock, ContextManager, ContextPackage, ContextType

ROWS = tomllib.loads((Path(__file__).parent / "data" / "bad_inputs.toml").read_text(encoding="utf-8"))["row"]
# For the keys of `wire`.
SECRET = bytes(range(32))


def cases(kind):
    return [
        ({**row, "words": [*row["words"], *words]}, value)
        for row in ROWS
        if kind in row
        for value, *words in ([entry] if isinstance(entry, str) else entry for entry in row.get("values", ["None"]))
    ]


FIELDS, CALLS = cases("field"), cases("call")


def block(id, content="word", kind=ContextType.USER):
    return ContextBlock(id, content, 0.5, kind, timestamp=1)


def evaluate(expression, **names):
    return eval(expression, {**vars(pycontext), "block": block, "SECRET": SECRET, **names})


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


def by_dict(field, value):
    with pytest.raises(pycontext.ContextError, match=r"blocks\[1\]"):
        ContextPackage.from_dict(as_dict(field, value))
    ContextPackage.from_dict(as_dict(field, value))


def by_import(field, value):
    manager, session = manager_with_a_session()
    try:
        manager.import_session(as_dict(field, value))
    finally:
        assert list(manager.sessions) == [session]


DOORS = [by_class, by_write, by_list, by_add, by_dict, by_import]


def check(error, row):
    message = str(error)
    assert type(error).__name__ == row["error"]
    assert isinstance(error, pycontext.ContextError)
    assert "\n" not in message
    assert len(message) < 300
    for word in row["words"]:
        assert word in message, message


# An import counts again and reads no counts.
FIELDS_AT_DOORS = [
    (row, value, door)
    for row, value in FIELDS
    for door in DOORS
    if not (door is by_import and row["field"] == "token_count")
]


def name_of(value):
    return value if isinstance(value, str) else str(value["number"]) if isinstance(value, dict) else value.__name__


@pytest.mark.parametrize(("row", "value", "door"), FIELDS_AT_DOORS, ids=name_of)
def test_a_bad_field_is_refused_at_every_door(row, value, door):
    with pytest.raises(pycontext.ContextError) as caught:
        door(row["field"], evaluate(value))
    check(caught.value, row)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("row", "value"), CALLS, ids=name_of)
def test_a_bad_call_is_refused(row, value):
    manager, session = manager_with_a_session()
    before = manager.export_session(session)
    with pytest.raises(pycontext.ContextError) as caught:
        evaluate(row["call"], manager=manager, session=session, id=evaluate(value))
    check(caught.value, row)
    assert manager.export_session(session) == before
    assert list(manager.sessions) == [session]
    if row["number"] == 31:
        assert isinstance(caught.value, KeyError)
        assert isinstance(caught.value, ValueError)
    if row["number"] in (33, 34, 35):
        assert isinstance(caught.value, ValueError)
    if row["number"] == 38 and "ZeroDivision" in str(caught.value):
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_table_has_all_rows_of_these_parts():
    numbers = {row["number"] for row in ROWS}
    # The lines of 45 are tried by test_cli.py.
    assert {*range(1, 11), *range(15, 18), 26, 27, 30, 31, 33, 34, 35, 38, 45} <= numbers
