"""Python's own protobuf beside ours; test_protobuf.py runs this file under every version that is allowed."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import google.protobuf
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import api_implementation
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given
from hypothesis import strategies as st

import strategies
from pycontext import ContextBlock, ContextPackage, ContextType
from pycontext.schema import SCHEMA, messages
from strategies import counter_of
from wirefields import BYTES, END, FIXED32, FIXED64, START, VARINT, field, fields, joined, shuffled

TESTS = Path(__file__).parent
PROTO = (TESTS.parent / "proto" / "pycontext" / "context.proto").read_text(encoding="utf-8")
OURS = messages()
Package = OURS["ContextPackage"]
Block = OURS["ContextBlock"]


def article_classes():
    """The article's schema as protobuf's compiler understood it, in a pool of its own."""
    (file,) = descriptor_pb2.FileDescriptorSet.FromString((TESTS / "data" / "article.desc").read_bytes()).file
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    names = [message.name for message in file.message_type]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"pycontext.{name}")) for name in names}


ARTICLE = article_classes()


def one(**options):
    block = ContextBlock("b", "hello", 0.1, ContextType.TOOL, {"k": "v"}, 7, references=["a"], origin="elsewhere")
    return ContextPackage("s", "agent", [block], None, 3, "trace", **options)


def read(data, package=None, **options):
    return ContextPackage.from_protobuf(data, counter=package and counter_of(package), **options)


def bits(value):
    return struct.pack("<d", value)


def test_this_is_the_version_that_was_asked_for():
    assert google.protobuf.__version__ == os.environ["PYCONTEXT_PROTOBUF"]
    assert api_implementation.Type() == os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"]


# The schema.


def said_by_the_schema(text, message):
    body = re.search(rf"^message {message} \{{(.*?)^\}}", text, re.DOTALL | re.MULTILINE)[1]
    lines = re.findall(r"^ +([\w<>, ]+) (\w+) = (\d+);", body, re.MULTILINE)
    assert len(lines) == body.count("=")
    return {name: (kind, int(number)) for kind, name, number in lines}


def said_by(field):
    """A field's type as a schema says it, from what the library made of it."""
    names = {number: name for name, number in descriptor_pb2.FieldDescriptorProto.Type.items()}
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = (said_by(field.message_type.fields_by_name[part]) for part in ("key", "value"))
        return f"map<{key}, {value}>"
    of = field.message_type or field.enum_type
    kind = names[field.type].removeprefix("TYPE_").lower() if of is None else of.name
    # A message inside a message always says whether it is there.
    optional = field.has_presence and field.message_type is None and not field.is_repeated
    return f"{'repeated ' * field.is_repeated}{'optional ' * optional}{kind}"


@pytest.mark.parametrize(
    ("text", "classes"), [(PROTO, OURS), ((TESTS / "data" / "article.proto").read_text(encoding="utf-8"), ARTICLE)]
)
def test_the_classes_are_what_the_schema_says(text, classes):
    names = re.findall(r"^message (\w+)", text, re.MULTILINE)
    assert sorted(classes) == sorted(names)
    for name in names:
        expected = said_by_the_schema(text, name)
        made = classes[name].DESCRIPTOR.fields
        assert {field.name: (said_by(field), field.number) for field in made} == expected
        if classes is OURS:
            assert SCHEMA[name] == expected
    body = re.search(r"enum ContextType \{(.*?)\}", text, re.DOTALL)[1]
    enum = classes["ContextBlock"].DESCRIPTOR.fields_by_name["type"].enum_type
    assert {value.name: value.number for value in enum.values} == {
        name: int(number) for name, number in re.findall(r"(\w+) = (\d+);", body)
    }


def test_the_classes_are_always_the_same_and_clash_with_none():
    assert messages() == OURS
    assert messages() is not messages()
    file = descriptor_pb2.FileDescriptorProto(name="pycontext/context.proto", package="pycontext", syntax="proto3")
    file.message_type.add(name="ContextBlock")
    # The pool that generated code is in.
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    assert messages()["ContextBlock"]().DESCRIPTOR.fields


# Ours, read by theirs.


@given(package=strategies.packages())
def test_theirs_reads_ours_field_by_field(package):
    data = package.to_protobuf()
    message = Package.FromString(data)
    header = ("session_id", "agent_id", "version", "trace_id", "counter", "operation_id", "hops", "epoch")
    for name in header:
        assert getattr(message, name) == getattr(package, name)
    assert [(p.session_id, p.version, p.content_hash.hex()) for p in message.parents] == [
        (p.session_id, p.version, p.content_hash) for p in package.parents
    ]
    metrics = package.metrics
    assert message.metrics.total_tokens == min(metrics.total_tokens, 2**32 - 1)
    assert message.metrics.context_saturation == np.float32(metrics.context_saturation)
    assert dict(message.metrics.type_distribution) == {
        name: np.float32(share) for name, share in metrics.type_distribution.items()
    }
    assert len(message.blocks) == len(package.blocks)
    for theirs, block in zip(message.blocks, package.blocks, strict=True):
        assert (theirs.id, theirs.content, theirs.timestamp) == (block.id, block.content, block.timestamp)
        assert (theirs.type, theirs.token_count) == (block.type.value, block.token_count)
        assert dict(theirs.metadata) == block.metadata
        assert list(theirs.references) == block.references
        assert theirs.origin == (block.origin or "")
        rounded = np.float32(block.relevance_score)
        assert bits(theirs.relevance_score) == bits(rounded)
        assert theirs.HasField("exact_relevance_score") == (bits(rounded) != bits(block.relevance_score))
        if theirs.HasField("exact_relevance_score"):
            assert bits(theirs.exact_relevance_score) == bits(block.relevance_score)
    assert not unknown_fields(message)


def unknown_fields(message):
    return list(UnknownFieldSet(message))


@given(package=strategies.packages(), seed=st.integers(0, 1000))
def test_ours_reads_what_theirs_writes_of_it(package, seed):
    message = Package.FromString(package.to_protobuf())
    # What it does not write says nothing; nobody can say then that 0 was counted.
    expected = package.to_dict()
    for block, theirs in zip(expected["blocks"], message.blocks, strict=True):
        block["token_count"] = theirs.token_count or package.blocks.counter.count(block["content"])
    del expected["metrics"]
    again = message.SerializeToString()
    data = shuffled(again, seed)
    parts = [
        (number, wire, shuffled(value, seed, maps=[5]) if number == 3 else value)
        for number, wire, value in fields(data)
    ]
    for written in (again, message.SerializeToString(deterministic=True), joined(parts)):
        loaded = read(written, package)
        found = loaded.to_dict()
        del found["metrics"]
        assert found == expected
        assert loaded.content_hash == package.content_hash


def test_ours_reads_what_theirs_fills_in():
    message = Package(session_id="s", agent_id="a", counter="o200k_base")
    message.blocks.add(id="b", content="hello there", type="USER", relevance_score=0.5, timestamp=5)
    message.blocks[0].metadata["k"] = "v"
    message.blocks[0].references.extend(["x", "y", "x"])
    message.blocks.add(id="zeros")
    loaded = read(message.SerializeToString())
    assert loaded.version == 1
    assert loaded.trace_id
    assert loaded.operation_id
    first, second = loaded.blocks
    assert (first.type, first.relevance_score, first.timestamp, first.token_count) == (ContextType.USER, 0.5, 5, 2)
    assert (first.metadata, first.references, first.origin) == ({"k": "v"}, ["x", "y", "x"], None)
    # An omitted type is the first one: a claim to SYSTEM.
    assert second == ContextBlock("zeros", "", 0.0, ContextType.SYSTEM, {}, 0, 0)


def test_of_a_field_that_comes_twice_the_last_counts_and_lists_go_on():
    first = one().to_protobuf()
    other = ContextPackage("other", "agent", [ContextBlock("c", "world", 0.25, ContextType.USER, timestamp=9)])
    data = first + other.to_protobuf()
    loaded, theirs = read(data), Package.FromString(data)
    assert (loaded.session_id, loaded.version, loaded.trace_id) == ("other", 1, other.trace_id)
    assert (theirs.session_id, theirs.version, theirs.trace_id) == ("other", 1, other.trace_id)
    assert [block.id for block in loaded.blocks] == [block.id for block in theirs.blocks] == ["b", "c"]
    block = fields(first)[2][2]
    last = Block(id="z", content="last", relevance_score=0.75, timestamp=8, type="USER", metadata={"k": "w", "l": ""})
    merged = block + last.SerializeToString() + field(9, FIXED64, struct.pack("<d", 0.1))
    loaded = read(field(1, BYTES, b"s") + field(2, BYTES, b"a") + field(3, BYTES, merged)).blocks[0]
    theirs = Block.FromString(merged)
    assert (loaded.id, loaded.content, loaded.timestamp) == (theirs.id, theirs.content, theirs.timestamp)
    assert (loaded.type, loaded.references) == (ContextType.USER, list(theirs.references))
    assert loaded.metadata == dict(theirs.metadata) == {"k": "w", "l": ""}
    # Field 9 belongs to the score that stood before it.
    assert loaded.relevance_score == 0.75


# The article's schema, which knows nothing of what came later.


@given(package=strategies.packages())
def test_a_reader_of_the_articles_schema_reads_ours_and_loses_nothing(package):
    data = package.to_protobuf()
    message = ARTICLE["ContextPackage"].FromString(data)
    assert (message.session_id, message.agent_id) == (package.session_id, package.agent_id)
    assert (message.version, message.trace_id) == (package.version, package.trace_id)
    assert message.metrics.total_tokens == min(package.metrics.total_tokens, 2**32 - 1)
    for theirs, block in zip(message.blocks, package.blocks, strict=True):
        assert (theirs.id, theirs.content, theirs.type) == (block.id, block.content, block.type.value)
        assert theirs.relevance_score == np.float32(block.relevance_score)
        assert dict(theirs.metadata) == block.metadata
        assert list(theirs.references) == block.references
        assert (theirs.timestamp, theirs.token_count) == (block.timestamp, block.token_count)
        # Else nobody can say that it was counted.
        theirs.token_count = theirs.token_count or 1
        block.token_count = theirs.token_count
    loaded = read(message.SerializeToString(), package)
    expected, found = package.to_dict(), loaded.to_dict()
    # Writing to the blocks made another version of the original.
    for made in (expected, found):
        del made["version"], made["operation_id"]
    assert found == expected


def test_ours_reads_what_the_articles_schema_writes():
    message = ARTICLE["ContextPackage"](session_id="s", agent_id="a", version=4, trace_id="t")
    message.blocks.add(
        id="b", timestamp=12, content="hello", relevance_score=0.1, type="MEMORY", token_count=77, references=["x"]
    )
    message.blocks[0].metadata["k"] = "v"
    message.metrics.total_tokens = 5
    message.metrics.type_distribution["MEMORY"] = 1.0
    loaded = read(message.SerializeToString())
    assert (loaded.session_id, loaded.agent_id, loaded.version, loaded.trace_id) == ("s", "a", 4, "t")
    # The article counts words: a sender that names no counter is not believed.
    expected = ContextBlock(
        "b", "hello", float(np.float32(0.1)), ContextType.MEMORY, {"k": "v"}, 12, 1, references=["x"]
    )
    assert loaded.blocks == [expected]
    assert loaded.metrics.total_tokens == 1
    again = ARTICLE["ContextPackage"].FromString(loaded.to_protobuf())
    assert again.blocks[0].relevance_score == message.blocks[0].relevance_score


def test_a_score_that_another_writer_changed_is_his():
    message = ARTICLE["ContextPackage"].FromString(one().to_protobuf())
    message.blocks[0].relevance_score = 0.75
    assert read(message.SerializeToString()).blocks[0].relevance_score == 0.75
    message.blocks[0].relevance_score = 0.1
    assert read(message.SerializeToString()).blocks[0].relevance_score == 0.1
    message.blocks[0].relevance_score = 0
    assert read(message.SerializeToString()).blocks[0].relevance_score == 0
    tiny = one()
    tiny.blocks[0].relevance_score = 1e-50
    assert read(tiny.to_protobuf()).blocks[0].relevance_score == 1e-50


# Fields that nobody here knows.

GROUP = (
    field(7, START) + field(1, VARINT, 300) + field(2, START) + field(2, END) + field(3, BYTES, b"x") + field(7, END)
)
UNKNOWN = [
    field(100, VARINT, 2**64 - 1),
    field(100, VARINT, 0),
    field(2000, BYTES, b"later"),
    field(2000, BYTES),
    field(2**29 - 1, FIXED64, bytes(range(8))),
    field(19, FIXED32, b"\x01\x02\x03\x04"),
    field(100, START) + GROUP + field(100, END),
]


@pytest.mark.parametrize("unknown", [*UNKNOWN, b"".join(UNKNOWN)])
def test_unknown_fields_survive_both_ways(unknown):
    package = one()
    number, wire, block = fields(package.to_protobuf())[2]
    parts = fields(package.to_protobuf())
    data = unknown + joined([*parts[:2], (number, wire, unknown + block), *parts[3:]])
    # Ours keeps them, in the package and in the block, and reads all else.
    loaded = read(data)
    assert loaded.to_dict() == package.to_dict()
    written = loaded.to_protobuf()
    assert written.count(unknown) == 2
    message = Package.FromString(written)
    assert len(unknown_fields(message)) == len(unknown_fields(message.blocks[0])) > 0
    # Theirs keeps them as well, and ours reads that.
    again = read(message.SerializeToString())
    assert again.to_dict() == package.to_dict()
    assert again.to_protobuf().count(unknown) == 2


def test_unknown_fields_stay_through_an_edit():
    parts = fields(one().to_protobuf())
    loaded = read(joined([*parts[:2], (3, BYTES, parts[2][2] + UNKNOWN[2]), *parts[3:]]) + UNKNOWN[0])
    loaded.blocks[0].content = "edited"
    loaded.blocks.append(ContextBlock("new", "x", 0.5, ContextType.USER))
    written = loaded.to_protobuf()
    assert UNKNOWN[2] in fields(written)[2][2]
    assert UNKNOWN[2] not in fields(written)[3][2]
    assert written.endswith(UNKNOWN[0])


@given(data=st.binary(max_size=60) | st.tuples(st.binary(max_size=4), st.sampled_from(UNKNOWN)).map(b"".join))
def test_what_theirs_refuses_as_no_message_ours_refuses(data):
    whole = one().to_protobuf() + data
    try:
        ContextPackage.from_protobuf(whole)
    except ValueError:
        return
    Package.FromString(whole)
