"""What is too large is refused at every door, before it takes memory."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

import pycontext
import raw
from pycontext import (
    BlockSet,
    ContextBlock,
    ContextManager,
    ContextPackage,
    ContextType,
    Limits,
    Parent,
    ValidationError,
)

USER, SYSTEM = ContextType.USER, ContextType.SYSTEM


def block(id="a", **fields):
    return ContextBlock(id, fields.pop("content", "word"), 0.5, USER, timestamp=1, **fields)


def package(*blocks, **fields):
    return ContextPackage("s", "agent", blocks or [block()], trace_id="t", operation_id="o", **fields)


# Every limit: the largest value that the package has, one that is in no other limit's way, and the package.
LARGE = {
    "package_blocks": (3, package(block("a"), block("b"), block("c"))),
    "block_bytes": (100, package(block(content="x" * 100))),
    "metadata_bytes": (30, package(block(metadata={"k": "v" * 29}))),
    "metadata_keys": (3, package(block(metadata={"k": "", "l": "", "m": ""}))),
    "id_bytes": (20, package(block("x" * 20))),
    "references": (5, package(block(references=["r"] * 5))),
}
OF_IDS = {
    "reference": package(block(references=["x" * 20])),
    "origin": package(block(origin="x" * 20)),
    "session_id": ContextPackage("x" * 20, "a", [], trace_id="t", operation_id="o"),
    "agent_id": ContextPackage("s", "x" * 20, [], trace_id="t", operation_id="o"),
    "trace_id": ContextPackage("s", "a", [], trace_id="x" * 20, operation_id="o"),
    "operation_id": ContextPackage("s", "a", [], trace_id="t", operation_id="x" * 20),
}
CASES = [(name, most, made) for name, (most, made) in LARGE.items()]
CASES += [("id_bytes", 20, made) for made in OF_IDS.values()]
DOORS = {
    "dict": lambda made, limits: ContextPackage.from_dict(made.to_dict(), limits=limits),
    "json": lambda made, limits: ContextPackage.from_json(made.to_json(), limits=limits),
    "protobuf": lambda made, limits: ContextPackage.from_protobuf(made.to_protobuf(), limits=limits),
    "envelope": lambda made, limits: ContextPackage.from_bytes(made.to_bytes(), limits=limits),
    "zstd": lambda made, limits: ContextPackage.from_bytes(made.to_bytes(compress="zstd"), limits=limits),
    "import of a dict": lambda made, limits: ContextManager().import_session(made.to_dict(), limits=limits),
    "import of JSON": lambda made, limits: ContextManager().import_session(made.to_json(), limits=limits),
    "import of bytes": lambda made, limits: ContextManager().import_session(made.to_bytes(), limits=limits),
    "import of a package": lambda made, limits: ContextManager().import_session(made, limits=limits),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("name", "most", "made"), CASES, ids=[*LARGE, *OF_IDS])
def test_a_limit_holds_at_every_door(name, most, made, door):
    DOORS[door](made, Limits(**{name: most}))
    with pytest.raises(ValidationError, match=f"over {most - 1}$"):
        DOORS[door](made, Limits(**{name: most - 1}))


@pytest.mark.parametrize("door", [door for door in DOORS if "dict" not in door])
def test_the_size_of_a_package_is_limited_at_every_door(door):
    made = package(block(content="x" * 2_000))
    sizes = {"json": len(made.to_json()), "import of JSON": len(made.to_json())}
    most = sizes.get(door, len(made.to_protobuf()))
    DOORS[door](made, Limits(package_bytes=most))
    with pytest.raises(ValidationError, match=f"is {most} bytes, over {most - 1}$"):
        DOORS[door](made, Limits(package_bytes=most - 1))


@pytest.mark.parametrize(
    "door", [ContextPackage.from_json, lambda text, limits: ContextManager().import_session(text, limits=limits)]
)
def test_the_limits_of_json(door):
    text = json.dumps({**package().to_dict(), "x": [[["[" * 9]]], "n": 12345})
    door(text, limits=Limits(json_depth=4, json_digits=5))
    with pytest.raises(ValidationError, match="nested 4 deep, over 3"):
        door(text, limits=Limits(json_depth=3))
    values = 1 + text.count(",") + text.count("{") + text.count("[") - 9
    door(text, limits=Limits(json_values=values))
    with pytest.raises(ValidationError, match=f"JSON has {values} values, over {values - 1}$"):
        door(text, limits=Limits(json_values=values - 1))
    with pytest.raises(ValidationError, match="has 5 digits, over 4"):
        door(text, limits=Limits(json_digits=4))


def test_what_nobody_could_read_is_not_written():
    with pytest.raises(ValidationError, match="package has 2 blocks, over 1"):
        package(block("a"), block("b")).to_bytes(limits=Limits(package_blocks=1))
    with pytest.raises(ValidationError, match="parents are 17 packages, over 16"):
        package(parents=[Parent("p", 1, "0" * 64)] * 17)
    full = package(version=2**32 - 1)
    full.blocks.append(block("one more"))
    for write in (full.to_protobuf, full.to_bytes):
        with pytest.raises(ValidationError, match="version 4294967296 is not a whole number from 1 to 4294967295"):
            write()


# Refuses an input, and prints the most memory that the process ever had after it and before it, in KiB. The kernel's
# own mark: that of getrusage is inherited from whoever started the process.
REFUSE = """
import re, sys
from pathlib import Path
import pycontext
data = sys.stdin.buffer.read()
read = eval(sys.argv[1], vars(pycontext))
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
try:
    read(data)
except pycontext.ContextError as error:
    print(peak(), before, error)
"""


def peak_of(data, read):
    """Mebibytes at most, mebibytes before, and the message."""
    done = subprocess.run([sys.executable, "-c", REFUSE, read], input=data, capture_output=True, check=True)
    peak, before, message = done.stdout.decode().split(maxsplit=2)
    return int(peak) / 1024, int(before) / 1024, message.strip()


@pytest.mark.parametrize(
    "read", ["ContextPackage.from_bytes", "BlockSet.from_bytes", "ContextManager().import_session"]
)
@pytest.mark.parametrize("said", [2**28, 2**20, 2**22])
def test_a_bomb_of_256_mebibytes_stays_below_64(read, said):
    data = raw.sealed(raw.frame(raw.runs(2**28), said), flags=1, size=said)
    assert len(data) < 10_000
    peak, _, message = peak_of(data, read)
    assert re.search("over 67108864|no zstd frame", message)
    assert peak < 64, "the interpreter and all"


@pytest.mark.parametrize("read", ["ContextPackage.from_bytes", "ContextManager().import_session"])
def test_a_hundred_thousand_and_one_blocks_are_counted_before_one_is_read(read):
    # The first one is bad: it is not what is complained about.
    data = raw.sealed(raw.package(raw.block(content=b"\xff" * 4096), *[raw.block()] * 100_000))
    peak, before, message = peak_of(data, read)
    assert message == "package has 100001 blocks, over 100000"
    assert peak - before < 8


def test_json_of_empty_lists_takes_no_memory():
    peak, before, message = peak_of(b"[" + b"[]," * 10_000_000 + b"[]]", "ContextPackage.from_json")
    assert message == "JSON has 20000003 values, over 5000000"
    # The text itself, once more as str and once as UTF-8.
    assert peak - before < 100


def test_all_system_blocks_of_many_are_dropped_at_once():
    blocks = [ContextBlock(f"b{i}", "x", 0.5, SYSTEM if i % 2 else USER, timestamp=1) for i in range(10)]
    manager = ContextManager()
    manager.import_session(ContextPackage("s", "a", blocks), on_system="drop")
    assert [b.id for b in manager.sessions["s"].blocks] == [f"b{i}" for i in range(0, 10, 2)]
    held = BlockSet(blocks)
    last = held[9]
    held.remove_rows([0, 3, -2])
    assert [b.id for b in held] == ["b1", "b2", "b4", "b5", "b6", "b7", "b9"]
    last.content = "still live"
    assert held[6].content == "still live"
    with pytest.raises(IndexError):
        held.remove_rows([0, 7])
    assert len(held) == 7


@pytest.mark.parametrize("value", ["\ud800", float("nan"), {1, 2}, b"x", [object()]])
def test_a_key_that_is_not_known_must_be_json(value):
    data = {**package().to_dict(), "x_note": value}
    with pytest.raises(ValidationError, match="x_note"):
        ContextPackage.from_dict(data)
    data = package().to_dict()
    data["blocks"][0]["x_note"] = value
    with pytest.raises(ValidationError, match="x_note"):
        ContextPackage.from_dict(data)


def test_how_counts_are_read_is_one_of_two_ways():
    made = package()
    for read, data in (
        (ContextPackage.from_dict, made.to_dict()),
        (ContextPackage.from_json, made.to_json()),
        (ContextPackage.from_bytes, made.to_bytes()),
    ):
        with pytest.raises(ValidationError, match="counts 'doubt' is not one of believe, recount"):
            read(data, counts="doubt")


def test_blocks_that_refer_to_each_other_in_a_circle_are_followed_by_nobody():
    ring = [block(f"b{i}", references=[f"b{(i + 1) % 5_000}", f"b{i}", "gone"]) for i in range(5_000)]
    made = ContextPackage("s", "a", ring)
    for door in DOORS.values():
        door(made, Limits())
    policy = pycontext.Policy("tied", pycontext.Policy.named("relevance").tiers, references="require")
    assert BlockSet(ring).prune(10**9, policy=policy).kept_ids == [b.id for b in ring]
    assert len(made.content_hash) == 64
    assert len(pycontext.handoff(made, to="b").package.blocks) == 5_000


# Everything that is repeated in a message at once: fields, ids and types whose names nobody would choose.
LONG = ["\n" * 300, "\u2028" * 80, "\x85" * 256, "'" * 300, "\\" * 300, "🙂" * 300, "a\r\nb" * 100]


@pytest.mark.parametrize("text", LONG, ids=repr)
def test_a_message_is_one_line_of_at_most_300_characters(text):
    odd = type("Odd", (), {})()
    type(odd).__name__ = text
    attempts = [
        lambda: block(text, content=odd),
        lambda: block(text[:30], content=odd),
        lambda: block("\u2028" * 80, references=[text + "\n"]),
        lambda: block("\u2028" * 80, references=[odd]),
        lambda: block("\u2028" * 80, metadata={text: odd}),
        lambda: block("\u2028" * 80, metadata={text: "v" * 70_000, "\n": ""}),
        lambda: BlockSet([block("\u2028" * 80), block("\u2028" * 80)]),
        lambda: ContextPackage(text, text),
        lambda: ContextPackage("s", text + "\n"),
        lambda: ContextPackage.from_dict({**package().to_dict(), "counter": text}),
        lambda: ContextPackage.from_dict({**package().to_dict(), text: 1}, strict=True),
        lambda: ContextPackage.from_dict({**package().to_dict(), text: odd}),
        lambda: ContextPackage.from_json(json.dumps({text: 1})[:-1] + "," + json.dumps({text: 2})[1:]),
        lambda: ContextPackage.from_protobuf(raw.package(raw.block(id=text, content=b"\xff"))),
        lambda: ContextPackage.from_protobuf(raw.package(raw.block(id="\u2028" * 80, references=[text + "\n"]))),
        lambda: ContextPackage.from_protobuf(raw.package(counter=text)),
        lambda: ContextManager().import_session(package(), session_id=text),
        lambda: ContextManager().import_session(package(), origin=text + "\n"),
        lambda: ContextManager().delete_session(text),
        lambda: pycontext.handoff(package(), to=text + "\n"),
    ]
    for attempt in attempts:
        with pytest.raises(pycontext.ContextError) as caught:
            attempt()
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        assert len(message) <= 300
