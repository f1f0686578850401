"""Versions of a session: hashes, operation ids, differences and deltas."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histories import histories, package_of
from pycontext import (
    ConflictError,
    ContextBlock,
    ContextError,
    ContextPackage,
    ContextType,
    Delta,
    ValidationError,
    _core,
    apply,
    delta,
    diff,
)
from pycontext.limits import Limits
from pycontext.package import Parent

USER, TOOL = ContextType.USER, ContextType.TOOL


def block(id, content="word", **fields):
    return ContextBlock(id, **{"content": content, "relevance_score": 0.5, "type": USER, "timestamp": 1, **fields})


def many(n):
    return package_of([block(f"b{i}", f"block number {i}", timestamp=i) for i in range(n)])


def field(number, payload):
    """A field of bytes of a protobuf message, written by hand."""
    assert len(payload) < 128
    return bytes([number << 3 | 2, len(payload)]) + payload


def sealed(body, done=(False, False, False), signature=b""):
    return _core.close_envelope(_core.write_envelope(done, len(body), body, b""), signature)


def written(found, **other):
    """The envelope of a delta with other values, as nobody writes it who means well."""
    values = {"base_hash": found.base_hash, "content_hash": found.content_hash, "runs": found.runs, **other}
    hashes = bytes.fromhex(values["base_hash"]), bytes.fromhex(values["content_hash"])
    return sealed(_core.encode_delta(found.package.to_protobuf(), *hashes, list(values["runs"])))


def content_of(blocks):
    """What of blocks is content, in plain Python."""
    return [(b.id, b.content, b.relevance_score, b.type, b.metadata, b.timestamp, b.references) for b in blocks]


FULL = {
    "id": "b",
    "content": "word",
    "relevance_score": 0.5,
    "type": TOOL,
    "metadata": {"k": "v", "l": "w"},
    "timestamp": 1,
    "references": ["c", "d"],
}
OTHER = {
    "id": ["B", "bb"],
    "content": ["Word", ""],
    "relevance_score": [0.25, 0.5000000000000001],
    "type": [USER],
    "metadata": [{}, {"k": "v"}, {"k": "w", "l": "v"}, {"k": "vl", "w": ""}, {"kv": "", "l": "w"}],
    "timestamp": [0, 2],
    "references": [[], ["c"], ["d", "c"], ["cd"], ["c", "d", "d"]],
}


def hash_of(**fields):
    return package_of([ContextBlock(**{**FULL, **fields})]).content_hash


def test_the_content_hash_is_the_same_in_every_release():
    assert hash_of() == "3b178344e2d6e774d34bd8ae1df8af69b7b61439b04d9cf0267254abebc52e78"
    assert package_of([]).content_hash == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


def test_equal_blocks_have_equal_hashes():
    assert hash_of(metadata={"l": "w", "k": "v"}) == hash_of()
    assert hash_of(relevance_score=-0.0) == hash_of(relevance_score=0.0)
    assert hash_of(token_count=99) == hash_of()
    assert hash_of(origin="peer") == hash_of()
    # The header is not in it.
    assert package_of([ContextBlock(**FULL)], agent_id="x", version=7, operation_id="p").content_hash == hash_of()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in OTHER for value in OTHER[name]])
def test_every_change_of_a_field_changes_the_hash(name, value):
    assert hash_of(**{name: value}) != hash_of()


def test_the_hash_knows_the_order_and_where_blocks_end():
    one, other = block("a", "bc"), block("ab", "c")
    assert len({package_of(blocks).content_hash for blocks in ([one, other], [other, one], [one], [other])}) == 4


@given(packages=histories())
def test_hashes_are_equal_just_where_blocks_are(packages):
    for one in packages:
        for other in packages:
            are_equal = content_of(one.blocks) == content_of(other.blocks)
            assert (one.content_hash == other.content_hash) == are_equal
            assert bool(diff(one, other)) == (not are_equal)


def test_an_operation_id_stays_until_something_changes():
    package = ContextPackage("s", "a", [block("b")])
    first = package.operation_id
    assert package.blocks[0].content == "word"
    package.to_bytes()
    assert package.operation_id == first
    package.agent_id = "other"
    before, first = first, package.operation_id
    assert before != first
    loaded = [
        pickle.loads(pickle.dumps(package)),
        copy.deepcopy(package),
        ContextPackage.from_bytes(package.to_bytes()),
        ContextPackage.from_protobuf(package.to_protobuf()),
        ContextPackage.from_json(package.to_json()),
    ]
    assert {other.operation_id for other in loaded} == {first}
    for other in loaded:
        other.blocks.append(block("new"))
    package.blocks[0].content = "new"
    seen = {first, package.operation_id, *(other.operation_id for other in loaded)}
    assert len(seen) == 7
    package.blocks[0].content = "word"
    assert package.operation_id not in seen
    assert ContextPackage("s", "a").operation_id != ContextPackage("s", "a").operation_id


def test_a_diff_names_what_differs():
    old = package_of([block("a"), block("b"), block("c"), block("d")])
    new = package_of([block("z"), block("d", "changed"), block("a", token_count=9), block("c"), block("y")])
    found = diff(old, new)
    assert (found.added, found.removed, found.changed, found.moved) == (("z", "y"), ("b",), ("d",), True)
    assert not diff(old, package_of(list(old.blocks), agent_id="other"))
    assert diff(old, package_of(list(old.blocks)[::-1])).moved
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.moved = False


@given(packages=histories())
def test_a_diff_is_that_of_dicts(packages):
    _, a, b = packages
    old, new = ({block[0]: block for block in content_of(package.blocks)} for package in (a, b))
    found = diff(a, b)
    assert found.added == tuple(id for id in new if id not in old)
    assert found.removed == tuple(id for id in old if id not in new)
    assert found.changed == tuple(id for id in new if id in old and old[id] != new[id])
    assert found.moved == ([id for id in new if id in old] != [id for id in old if id in new])


@given(packages=histories(), compress=st.sampled_from(["none", "zstd"]))
def test_a_delta_makes_the_new_package_to_the_last_byte(packages, compress):
    _, base, new = packages
    before = base.to_protobuf(), new.to_protobuf()
    found = delta(base, new)
    assert apply(base, found).to_protobuf() == before[1]
    data = found.to_bytes(compress=compress)
    sent = Delta.from_bytes(data)
    assert apply(base, sent).to_protobuf() == before[1]
    assert sent.to_bytes(compress=compress) == data
    assert (base.to_protobuf(), new.to_protobuf()) == before
    # It carries what the other side lacks, and no more.
    there = base.blocks.to_fields()
    assert [f[0] for f in found.package.blocks.to_fields()] == [f[0] for f in new.blocks.to_fields() if f not in there]


def test_one_more_block_of_many_is_all_that_a_delta_carries():
    base, new = many(2_000), many(2_000)
    new.blocks.append(block("new"))
    found = delta(base, new)
    assert [block.id for block in found.package.blocks] == ["new"]
    assert found.runs == ((0, 2_000), (None, 1))
    assert len(found.to_bytes()) < len(new.to_bytes()) / 100
    assert repr(found) == f"<Delta s: {base.content_hash[:8]} to {new.content_hash[:8]}, 1 blocks carried>"


def test_what_is_no_content_travels_as_well():
    header = {"parents": [Parent("p", 3, "ab" * 32)], "hops": 2, "epoch": 5, "version": 9, "operation_id": "after"}
    base = package_of([block("a"), block("b"), block("c", metadata={"k": "v", "l": "w"}), block("d")])
    new = package_of(
        [block("a", token_count=77), block("b", origin="peer"), block("c", metadata={"l": "w", "k": "v"}), block("d")],
        **header,
    )
    assert not diff(base, new)
    found = delta(base, new)
    assert [block.id for block in found.package.blocks] == ["a", "b", "c"]
    made = apply(base, Delta.from_bytes(found.to_bytes()))
    assert made.to_protobuf() == new.to_protobuf()
    assert made.to_dict() == new.to_dict()
    assert (made.blocks[0].token_count, made.blocks[1].origin) == (77, "peer")


def test_fields_that_are_not_known_travel_as_well():
    base = package_of([])
    unknown = field(15, b"later")
    message = base.to_protobuf() + field(3, field(1, b"b") + field(3, b"word") + unknown) + unknown
    new = ContextPackage.from_protobuf(message)
    assert new.unknown_fields == unknown
    made = apply(base, Delta.from_bytes(delta(base, new).to_bytes()))
    assert made.to_protobuf() == new.to_protobuf()
    assert made.to_protobuf().count(unknown) == 2
    # A block that has lost them is another one.
    (kept,) = new.blocks
    bare = package_of([kept])
    assert len(delta(bare, new).package.blocks) == 1


def test_a_delta_is_for_one_base():
    base, new = many(3), many(4)
    found = delta(base, new)
    other = many(2)
    expected = f"base has the content {other.content_hash[:8]}, the delta is for {base.content_hash[:8]}"
    with pytest.raises(ConflictError, match=expected):
        apply(other, found)
    changed = many(3)
    changed.blocks[0].content = "changed"
    with pytest.raises(ConflictError):
        apply(changed, found)
    assert len(other.blocks) == 2


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (ContextPackage("t", "agent"), "session_id 't' of new is not 's', that of base"),
        (package_of([], counter="cl100k_base"), "counter 'cl100k_base' of new is not 'o200k_base', that of base"),
        (None, "new None is NoneType, not a ContextPackage"),
    ],
)
def test_only_packages_of_one_session_have_a_delta(other, words):
    with pytest.raises(ValidationError, match=words):
        delta(package_of([]), other)


def test_a_delta_of_another_session_is_refused():
    found = delta(ContextPackage("t", "agent"), ContextPackage("t", "agent", [block("a")]))
    with pytest.raises(ValidationError, match="session_id 't' of delta is not 's', that of base"):
        apply(package_of([]), found)
    with pytest.raises(ValidationError, match="delta 'x' is str, not a Delta"):
        apply(package_of([]), "x")
    with pytest.raises(ValidationError, match="a 'x' is str, not a ContextPackage"):
        diff("x", package_of([]))


RUNS = st.lists(st.tuples(st.none() | st.integers(0, 6), st.integers(1, 5)), max_size=6)


@given(runs=RUNS, data=st.data())
def test_runs_make_what_the_delta_says_or_nothing(runs, data):
    base, new = many(4), many(6)
    del new.blocks[1]
    found = delta(base, new)
    assert found.runs == ((0, 1), (2, 2), (None, 2))
    runs = data.draw(st.permutations(runs + list(found.runs)) | st.just(runs) | st.just(list(found.runs)))
    for hostile in (
        lambda: dataclasses.replace(found, runs=tuple(runs)),
        lambda: Delta.from_bytes(written(found, runs=runs)),
    ):
        try:
            made = apply(base, hostile())
        except ValidationError:
            # Of the right blocks in the right order there is one list of places, cut into runs in any way.
            assert places_of(runs) != places_of(found.runs)
        else:
            assert made.to_protobuf() == new.to_protobuf()
        assert base.to_protobuf() == many(4).to_protobuf()


def places_of(runs):
    carried = 0
    places = []
    for start, count in runs:
        places += [("carried", carried + i) if start is None else ("base", start + i) for i in range(count)]
        carried += count if start is None else 0
    return places


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([(None, 2**32 - 1)], "package has 4294967295 blocks, over 100000"),
        ([(0, 60_000), (0, 60_000)], "package has 120000 blocks, over 100000"),
        ([(0, 3), (None, 0)], "runs.count 0 is not 1 or more"),
        ([(2, 2), (None, 1)], r"runs\[0\] ends at 4, behind the 3 blocks of the base"),
        ([(2**32 - 2, 1)], "behind the 3 blocks"),
        ([(0, 3)], "runs use 0 blocks that the delta carries, not all 1"),
        ([(0, 3), (None, 1), (None, 1)], "runs use 2 blocks that the delta carries, not all 1"),
        ([(0, 3), (None, 1), (0, 1)], "runs make 5 blocks of 4"),
        ([(0, 1), (0, 1), (0, 1), (None, 1)], "id 'b0' is already the id of"),
        ([(0, 2), (None, 1)], "delta makes the content [0-9a-f]{8}, and says that it makes [0-9a-f]{8}"),
        ([(None, 1), (0, 3)], "delta makes the content"),
    ],
)
def test_a_hostile_delta_is_refused_before_it_grows(runs, words):
    base, new = many(3), many(4)
    with pytest.raises(ValidationError, match=words):
        apply(base, Delta.from_bytes(written(delta(base, new), runs=runs)))
    assert base.to_protobuf() == many(3).to_protobuf()


def test_blocks_that_are_not_those_of_the_hash_are_refused():
    base, new = many(3), many(4)
    found = delta(base, new)
    with pytest.raises(ValidationError, match="and says that it makes 00000000"):
        apply(base, Delta.from_bytes(written(found, content_hash="00" * 32)))
    found.package.blocks[0].content = "other"
    with pytest.raises(ValidationError, match="and says that it makes"):
        apply(base, found)


def test_limits_hold_for_what_comes_out():
    base, new = many(3), many(4)
    found = delta(base, new)
    small = Limits(package_blocks=3)
    with pytest.raises(ValidationError, match="package has 4 blocks, over 3"):
        found.to_bytes(limits=small)
    with pytest.raises(ValidationError, match="package has 4 blocks, over 3"):
        Delta.from_bytes(found.to_bytes(), limits=small)
    tight = Limits(package_bytes=len(found.package.to_protobuf()))
    with pytest.raises(ValidationError, match=r"delta is \d+ bytes, over"):
        found.to_bytes(limits=tight)
    with pytest.raises(ValidationError, match=r"package is \d+ bytes, over"):
        Delta.from_bytes(found.to_bytes(), limits=tight)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("package", None, "package None is NoneType"),
        ("base_hash", "ab", "base_hash 'ab' is not 64 hexadecimal digits"),
        ("content_hash", b"x" * 32, "content_hash b.* is not 64"),
        ("runs", [(0, 1)], "runs .* is list, not a tuple"),
        ("runs", ((0,),), r"runs\[0\] \(0,\) is not a position and a count"),
        ("runs", ((0, 1), (-1, 1)), r"runs\[1\] start -1 is not"),
        ("runs", ((2**32 - 1, 1),), r"runs\[0\] start 4294967295 is not"),
        ("runs", ((0, 0),), r"runs\[0\] count 0 is not"),
        ("runs", ((None, True),), r"runs\[0\] count True is not"),
    ],
)
def test_a_delta_holds_what_it_must(name, value, words):
    found = delta(many(1), many(2))
    with pytest.raises(ValidationError, match=words):
        dataclasses.replace(found, **{name: value})


def test_every_flipped_bit_is_found():
    for compress in ("none", "zstd"):
        data = delta(many(1), many(9)).to_bytes(compress=compress)
        for bit in range(8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(ValidationError):
                Delta.from_bytes(bytes(flipped))
        for end in range(len(data)):
            with pytest.raises(ValidationError):
                Delta.from_bytes(data[:end])


GOOD = _core.open_envelope(delta(many(1), many(3)).to_bytes(), Limits())[2]


@given(
    data=st.binary()
    | st.binary().map(sealed)
    | st.tuples(st.integers(0, len(GOOD)), st.integers(0, len(GOOD)), st.binary(max_size=5)).map(
        lambda cut: sealed(GOOD[: cut[0]] + cut[2] + GOOD[cut[1] :])
    )
)
def test_bytes_of_any_kind_are_a_delta_or_refused(data):
    try:
        found = Delta.from_bytes(data)
        made = apply(many(1), found)
    except ContextError:
        return
    assert made.content_hash == found.content_hash


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "data None is NoneType, not bytes"),
        (b"", "envelope does not start with PCX1"),
        (many(2).to_bytes(), "base_hash is 5 bytes, not 32"),
        (sealed(b""), "base_hash is missing"),
        (sealed(field(2, b"x" * 32)), "content_hash is missing"),
        (sealed(field(2, b"x" * 32) + field(3, b"x" * 32)), "protobuf is empty"),
        (sealed(b"x", (False, True, False)), "envelope is encrypted: that of a delta never is"),
        (sealed(b"x", (False, False, True), b"s"), "envelope is signed: that of a delta never is"),
    ],
)
def test_what_is_no_delta_is_refused(data, words):
    with pytest.raises(ValidationError, match=words):
        Delta.from_bytes(data)
    with pytest.raises(ValidationError):
        ContextPackage.from_bytes(delta(many(1), many(2)).to_bytes())


def test_counts_of_a_delta_are_believed_or_not():
    base, new = many(1), many(1)
    new.blocks.append(block("new", "two words", token_count=99))
    data = delta(base, new).to_bytes()
    assert apply(base, Delta.from_bytes(data)).blocks[1].token_count == 99
    assert apply(base, Delta.from_bytes(data, counts="recount")).blocks[1].token_count == 2
    with pytest.raises(ValidationError, match="counter 'cl100k_base' of delta is not 'o200k_base'"):
        apply(base, Delta.from_bytes(data, counter="cl100k_base"))


class Words:
    name = "words"
    exact = True

    def count(self, text):
        return len(text.split())

    def count_batch(self, texts):
        return [self.count(text) for text in texts]


def test_a_counter_of_ones_own_is_asked_for_nothing():
    base, new = (package_of([block("a", "one two"), block(id, "three")], counter=Words()) for id in "bc")
    found = delta(base, new)
    made = apply(base, Delta.from_bytes(found.to_bytes(), counter=Words()))
    assert made.to_protobuf() == new.to_protobuf()
    assert made.counter == "words"
    with pytest.raises(ValidationError, match="words"):
        Delta.from_bytes(found.to_bytes())


def test_a_package_made_by_a_delta_goes_on_by_itself():
    base, new = many(2), many(3)
    made = apply(base, delta(base, new))
    assert (made.version, made.operation_id) == (new.version, new.operation_id)
    made.blocks[0].content = "changed"
    made.blocks.append(block("more"))
    assert made.version == new.version + 2
    assert [len(package.blocks) for package in (base, new, made)] == [2, 3, 4]
    assert base.blocks[0].content == new.blocks[0].content == "block number 0"
