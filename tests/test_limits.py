"""Every limit at its border, at every door."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from pycontext import BlockSet, ContextBlock, ContextPackage, ContextType, Limits, ValidationError
from wirefields import BYTES, field

DOORS = {
    "plain": (ContextPackage.to_bytes, ContextPackage.from_bytes),
    "zstd": (lambda package, **options: package.to_bytes(compress="zstd", **options), ContextPackage.from_bytes),
    "set": (lambda package, **options: package.blocks.to_bytes(**options), BlockSet.from_bytes),
    "protobuf": (ContextPackage.to_protobuf, ContextPackage.from_protobuf),
    "json": (ContextPackage.to_json, ContextPackage.from_json),
    "dict": (ContextPackage.to_dict, ContextPackage.from_dict),
}
WRITERS_WITH_LIMITS = ("plain", "zstd", "set", "protobuf")


def package(*blocks):
    return ContextPackage("s", "a", [block(id="first"), *blocks, block(id="last")])


def block(**fields):
    return ContextBlock(**{"id": "b", "content": "", "relevance_score": 0.5, "type": ContextType.USER, **fields})


# A block at some size, the limit that holds it there, and what the refusal says.
AT_THE_BORDER = [
    (block(content="é" * 50), Limits(block_bytes=100), "content is 100 bytes, over 99"),
    (
        block(content="é" * 25, metadata={"openai.x": '"' + "y" * 40 + '"'}),
        Limits(block_bytes=100),
        "content is 100 bytes, over 99",
    ),
    (block(metadata={"kä": "v" * 50, "l": "é"}), Limits(metadata_bytes=56), "metadata is 56 bytes, over 55"),
    (block(metadata={f"k{i}": "" for i in range(7)}), Limits(metadata_keys=7), "metadata is 7 keys, over 6"),
    (block(id="é" * 50), Limits(id_bytes=100), "is 100 bytes, over 99"),
    (block(references=["é" * 50]), Limits(id_bytes=100), "references"),
    (block(origin="é" * 50), Limits(id_bytes=100), "origin"),
    (block(metadata={"é" * 50: ""}), Limits(id_bytes=100), "metadata key"),
    (block(references=list("abcdefg")), Limits(references=7), "references are 7 ids, over 6"),
]


def stricter(limits):
    """One less of what differs from the default."""
    (name,) = (field.name for field in fields(limits) if getattr(limits, field.name) != field.default)
    return replace(limits, **{name: getattr(limits, name) - 1})


@pytest.mark.parametrize("door", sorted(DOORS))
@pytest.mark.parametrize(("large", "limits", "words"), AT_THE_BORDER, ids=lambda value: str(value)[:30])
def test_a_block_at_a_limit_is_read_and_one_over_it_refused(door, large, limits, words):
    write, read = DOORS[door]
    data = write(package(large))
    read(data, limits=limits)
    with pytest.raises(ValidationError) as caught:
        read(data, limits=stricter(limits))
    assert str(caught.value).startswith("blocks[1]")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("door", sorted(DOORS))
def test_the_number_of_blocks(door):
    write, read = DOORS[door]
    data = write(package(block()))
    read(data, limits=Limits(package_blocks=3))
    with pytest.raises(ValidationError, match="package has 3 blocks, over 2"):
        read(data, limits=Limits(package_blocks=2))


@pytest.mark.parametrize("door", sorted({*DOORS} - {"dict"}))
def test_the_bytes_of_a_package(door):
    write, read = DOORS[door]
    original = package(block(content="é" * 500))
    data = write(original)
    sizes = {"json": len(data), "set": len(data) - 20}
    size = len(data.encode()) if door == "json" else sizes.get(door, len(original.to_protobuf()))
    read(data, limits=Limits(package_bytes=size))
    with pytest.raises(ValidationError, match=f"is {size} bytes, over {size - 1}"):
        read(data, limits=Limits(package_bytes=size - 1))


@pytest.mark.parametrize("door", WRITERS_WITH_LIMITS)
def test_what_nobody_could_read_is_not_written(door):
    write, read = DOORS[door]
    original = package(block(content="some words " * 90))
    size = len(original.to_protobuf()) if door != "set" else len(original.blocks.to_bytes()) - 20
    fits = Limits(package_bytes=size, package_blocks=3)
    assert read(write(original, limits=fits), limits=fits)
    with pytest.raises(ValidationError, match=f"package is {size} bytes, over {size - 1}"):
        write(original, limits=Limits(package_bytes=size - 1))
    with pytest.raises(ValidationError, match="package has 3 blocks, over 2"):
        write(original, limits=Limits(package_blocks=2))


# The defaults, where a test can afford them.


def message(*parts):
    return field(1, BYTES, b"s") + field(2, BYTES, b"a") + b"".join(field(3, BYTES, part) for part in parts)


def test_a_hundred_thousand_blocks_and_one():
    parts = [field(1, BYTES, b"b%d" % i) for i in range(100_000)]
    assert len(ContextPackage.from_protobuf(message(*parts)).blocks) == 100_000
    # Counted before any is read: the first one is none.
    with pytest.raises(ValidationError, match=r"^package has 100001 blocks, over 100000$"):
        ContextPackage.from_protobuf(message(b"\xff", *parts))
    blocks = [{"id": f"b{i}", "content": "", "relevance_score": 0, "type": "USER"} for i in range(100_001)]
    with pytest.raises(ValidationError, match=r"^package has 100001 blocks, over 100000$"):
        ContextPackage.from_dict({"session_id": "s", "agent_id": "a", "blocks": [{}, *blocks[1:]]})
    many = BlockSet.from_columns([""] * 100_001, [ContextType.USER] * 100_001, [0.5] * 100_001)
    with pytest.raises(ValidationError, match=r"^package has 100001 blocks, over 100000$"):
        many.to_bytes()


def test_a_mebibyte_of_content():
    for size in (1 << 20, (1 << 20) + 1):
        data = message(field(1, BYTES, b"b") + field(3, BYTES, b"x" * size))
        if size == 1 << 20:
            assert len(ContextPackage.from_protobuf(data).blocks[0].content) == size
        else:
            with pytest.raises(ValidationError, match=r"^blocks\[0\] 'b': content is 1048577 bytes, over 1048576$"):
                ContextPackage.from_protobuf(data)


def test_sixty_four_mebibytes():
    over = bytes((64 << 20) + 1)
    for read in (ContextPackage.from_protobuf, ContextPackage.from_json):
        with pytest.raises(ValidationError, match="is 67108865 bytes, over 67108864"):
            read(over)


def test_a_million_references():
    most = field(1, BYTES, b"b") + field(8, BYTES, b"r") * 10_000
    assert len(ContextPackage.from_protobuf(message(most)).blocks[0].references) == 10_000
    with pytest.raises(ValidationError, match=r"^blocks\[0\] 'b': references are 10001 ids, over 10000$"):
        ContextPackage.from_protobuf(message(field(1, BYTES, b"b") + field(8, BYTES, b"r") * 1_000_000))
    item = {"id": "b", "content": "", "relevance_score": 0, "type": "USER", "references": ["r"] * 1_000_000}
    with pytest.raises(ValidationError, match="references are 1000000 ids, over 10000"):
        ContextPackage.from_dict({"session_id": "s", "agent_id": "a", "blocks": [item]})


def test_what_comes_again_and_again_is_bounded():
    pairs = b"".join(field(5, BYTES, field(1, BYTES, b"k") + field(2, BYTES, b"%d" % i)) for i in range(20_000))
    loaded = ContextPackage.from_protobuf(message(field(1, BYTES, b"b") + pairs))
    assert loaded.blocks[0].metadata == {"k": "19999"}
    with pytest.raises(ValidationError, match="parents are 17 packages, over 16"):
        ContextPackage.from_protobuf(message() + field(9, BYTES, field(1, BYTES, b"s")) * 17)


@pytest.mark.parametrize(("at", "limit"), [("package", 65_536), ("block", 1 << 20)])
def test_unknown_fields_are_bounded(at, limit):
    def made(size):
        # The tag has two bytes, the length three.
        unknown = field(100, BYTES, bytes(size - 5))
        assert len(unknown) == size
        block = field(1, BYTES, b"b") + unknown * (at == "block")
        return message(block) + unknown * (at == "package")

    assert ContextPackage.from_protobuf(made(limit)).to_protobuf()
    with pytest.raises(ValidationError, match=f"{limit + 1} bytes, over {limit}"):
        ContextPackage.from_protobuf(made(limit + 1))


# Limits themselves.


@pytest.mark.parametrize("value", [0, -1, 1.5, "7", None, True, 2**32])
@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_a_limit_is_a_whole_number(name, value):
    with pytest.raises(ValidationError, match=f"^{name} .* is not a whole number from 1 to"):
        Limits(**{name: value})


def test_a_block_is_never_larger_than_a_set_takes():
    for name in ("id_bytes", "block_bytes", "metadata_bytes", "metadata_keys", "references"):
        most = getattr(Limits(), name)
        with pytest.raises(ValidationError, match=f"{name} {most + 1} is not a whole number from 1 to {most}"):
            Limits(**{name: most + 1})
    assert Limits(package_bytes=2**32 - 1, package_blocks=2**32 - 1)


def test_json_has_limits_of_its_own():
    data = json.dumps({**package().to_dict(), "x": [[7]]})
    assert ContextPackage.from_json(data, limits=Limits(json_depth=4))
    with pytest.raises(ValidationError, match="nested 4 deep, over 3"):
        ContextPackage.from_json(data, limits=Limits(json_depth=3))
