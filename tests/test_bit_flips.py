"""What was changed on its way is found: every flipped bit, and whatever else happens to bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontext import BlockSet, ContextBlock, ContextError, ContextManager, ContextPackage, ContextType, ValidationError

WORDS = random.Random(20261123).choices(
    ["the", "flight", "HAT007", "is", "café", "数字", "booked", "\n", "[1]"], k=4_000
)


def package(blocks, words):
    """So many blocks of so many words, none like the other."""
    made = [
        ContextBlock(
            f"b{i}", " ".join(WORDS[i * words : (i + 1) * words]), i / blocks, ContextType.USER, {"n": f"{i}"}, i
        )
        for i in range(blocks)
    ]
    return ContextPackage("s", "agent", made, trace_id="trace", operation_id="operation")


# Bits of all together: more than 100,000.
PACKAGES = {"empty": package(0, 0), "small": package(1, 4), "middle": package(12, 40), "large": package(60, 30)}
ENVELOPES = [
    pytest.param(made, compress, id=f"{name} {compress}")
    for name, made in PACKAGES.items()
    for compress in ("none", "zstd")
]


def flipped(data):
    """The data with each of its bits flipped, one after the other."""
    changed = bytearray(data)
    for at in range(len(data)):
        for bit in range(8):
            changed[at] ^= 1 << bit
            yield bytes(changed)
            changed[at] ^= 1 << bit


def test_these_are_more_than_a_hundred_thousand_bits():
    made = [made.to_bytes(compress=compress) for made in PACKAGES.values() for compress in ("none", "zstd")]
    assert sum(8 * len(data) for data in made) > 100_000
    assert {bool(data[5] & 1) for data in made} == {True, False}, "some are compressed"


@pytest.mark.parametrize(("made", "compress"), ENVELOPES)
def test_no_flipped_bit_is_accepted(made, compress):
    data = made.to_bytes(compress=compress)
    assert ContextPackage.from_bytes(data).to_dict() == made.to_dict()
    accepted = 0
    for changed in flipped(data):
        try:
            BlockSet.from_bytes(changed)
        except ValidationError:
            continue
        accepted += 1
    assert accepted == 0


# What can happen to bytes besides: cut, torn, doubled, in another order.
AT = st.integers(0, 2**16)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), AT, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("delete"), AT, st.integers(1, 16)),
        st.tuples(st.just("swap"), AT, AT),
        st.tuples(st.just("double"), AT, st.integers(1, 16)),
        st.tuples(st.just("zero"), AT, st.integers(1, 16)),
        st.tuples(st.just("cut"), AT, st.none()),
    ),
    min_size=1,
    max_size=3,
)


def change(data, changes):
    data = bytearray(data)
    for how, place, what in changes:
        at = place % max(len(data), 1)
        if how == "insert":
            data[at:at] = what
        elif how == "delete":
            del data[at : at + what]
        elif how == "swap" and data:
            other = what % len(data)
            data[at], data[other] = data[other], data[at]
        elif how == "double":
            data[at:at] = data[at : at + what]
        elif how == "zero":
            data[at : at + what] = bytes(len(data[at : at + what]))
        elif how == "cut":
            del data[at:]
    return bytes(data)


@pytest.mark.parametrize("compress", ["none", "zstd"])
@given(changes=CHANGES, name=st.sampled_from(list(PACKAGES)))
def test_a_changed_envelope_is_refused_or_the_same_package(compress, changes, name):
    made = PACKAGES[name]
    changed = change(made.to_bytes(compress=compress), changes)
    manager = ContextManager()
    for read in (ContextPackage.from_bytes, lambda data: manager.sessions[manager.import_session(data, trust="self")]):
        try:
            assert read(changed).to_dict() == made.to_dict()
        except ContextError:
            assert not manager.sessions


@given(changes=CHANGES, name=st.sampled_from(["small", "middle"]))
def test_a_changed_message_is_refused_or_a_package_like_any_other(changes, name):
    """Nothing in it says what it was: whatever is read has to hold together."""
    try:
        read = ContextPackage.from_protobuf(change(PACKAGES[name].to_protobuf(), changes))
    except ContextError:
        return
    again = ContextPackage.from_protobuf(read.to_protobuf())
    assert again.content_hash == read.content_hash
    assert again.to_dict()["blocks"] == read.to_dict()["blocks"]


@given(changes=CHANGES, name=st.sampled_from(["small", "middle"]))
def test_a_changed_text_is_refused_or_a_package_like_any_other(changes, name):
    try:
        read = ContextPackage.from_json(change(PACKAGES[name].to_json().encode(), changes))
    except ContextError:
        return
    assert ContextPackage.from_json(read.to_json()).to_dict() == read.to_dict()
