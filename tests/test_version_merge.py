"""Two versions of a session become one, or their conflicts are reported."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given

from histories import histories, package_of
from pycontext import Conflict, ContextBlock, ContextPackage, ContextType, ValidationError, diff, merge
from pycontext.package import Parent
from reference import units_of

AGENT, TOOL, USER = ContextType.AGENT, ContextType.TOOL, ContextType.USER


def block(id, timestamp=0, type=USER, content="word", **fields):
    return ContextBlock(id, content, 0.5, type, timestamp=timestamp, **fields)


def exchange(id, *times):
    """A call and its results, by their timestamps."""
    call, *results = times
    return [block(id, call, AGENT), *(block(f"{id}.{i}", t, TOOL, references=[id]) for i, t in enumerate(results))]


def ids_of(package):
    return [block.id for block in package.blocks]


def merged(base, a, b):
    """The ids of a merge without conflicts, after a look from the other side."""
    found, turned = merge(base, a, b), merge(base, b, a)
    assert found.conflicts == ()
    assert found.package.to_protobuf() == turned.package.to_protobuf()
    return ids_of(found.package)


def by_id(package):
    """What of the blocks is content, in plain Python."""
    return {b.id: (b.content, b.relevance_score, b.type, b.metadata, b.timestamp, b.references) for b in package.blocks}


def settle(base, a, b):
    """What stays of blocks by id, and what two sides did that does not go together."""
    stays, conflicts = {}, {}
    for id in {**base, **a, **b}:
        was, one, other = base.get(id), a.get(id), b.get(id)
        if one != was and other not in (was, one):
            did = ["added" if was is None else "removed" if side is None else "changed" for side in (one, other)]
            conflicts[id] = "/".join(did)
        elif (one if other == was else other) is not None:
            stays[id] = one if other == was else other
    return stays, conflicts


def header_conflicts(base, a, b):
    return [
        Conflict(name, "header", "changed/changed")
        for name in ("agent_id", "trace_id")
        if getattr(base, name) != getattr(a, name) != getattr(b, name) != getattr(base, name)
    ]


@given(packages=histories())
def test_what_stays_is_that_of_dicts_and_conflicts_are_named(packages):
    base, a, b = packages
    before = [package.to_protobuf() for package in packages]
    stays, conflicts = settle(*map(by_id, packages))
    expected = header_conflicts(*packages) + [Conflict(id, "block", conflicts[id]) for id in sorted(conflicts)]
    found, turned = merge(base, a, b), merge(base, b, a)
    assert list(found.conflicts) == expected
    assert (found.package is None) == bool(expected)
    if found.package is None:
        back = [dataclasses.replace(c, did="/".join(c.did.split("/")[::-1])) for c in turned.conflicts]
        assert (turned.package, back) == (None, expected)
    else:
        assert by_id(found.package) == stays
        # The very same package, whichever side comes first.
        assert found.package.to_protobuf() == turned.package.to_protobuf()
        assert found.package.version == max(a.version, b.version) + 1
        assert (found.package.hops, found.package.epoch) == (max(a.hops, b.hops), max(a.epoch, b.epoch))
        assert found.package.agent_id == (b.agent_id if a.agent_id == base.agent_id else a.agent_id)
        parents = sorted([a.as_parent, b.as_parent], key=lambda p: (p.version, p.content_hash))
        assert list(found.package.parents) == parents
    assert [package.to_protobuf() for package in packages] == before


@given(packages=histories())
def test_the_order_is_the_common_one_then_that_of_units(packages):
    base, a, b = packages
    found = merge(base, a, b).package
    if found is None or not diff(base, a) or not diff(base, b):
        return
    ids = ids_of(found)
    one, other = ([id for id in ids_of(side) if id in ids] for side in (a, b))
    agreed = 0
    while agreed < min(len(one), len(other)) and one[agreed] == other[agreed]:
        agreed += 1
    assert ids[:agreed] == one[:agreed]
    # Behind that no unit is split, and they stand in order.
    blocks = list(found.blocks)
    units = units_of(blocks)
    rest = sorted((unit for unit in units if unit[-1] >= agreed), key=lambda unit: next(r for r in unit if r >= agreed))
    keys = []
    place = agreed
    for unit in rest:
        behind = [row for row in unit if row >= agreed]
        assert behind == list(range(place, place + len(behind)))
        place += len(behind)
        first = blocks[unit[0]]
        keys.append((unit[0] >= agreed, first.timestamp, first.id))
        # A unit that one side has whole stands as it stands there.
        there = {tuple(id for id in side if id in {ids[r] for r in behind}) for side in (one, other)}
        whole = {order for order in there if len(order) == len(behind)}
        if len(whole) == 1:
            assert tuple(ids[row] for row in behind) in whole
        else:
            assert_results_follow_calls([blocks[row] for row in behind])
    assert keys == sorted(keys)
    assert place == len(ids)


def assert_results_follow_calls(blocks):
    rows = {block.id: row for row, block in enumerate(blocks)}
    for row, result in enumerate(blocks):
        if result.type is TOOL:
            calls = [rows[id] for id in result.references if id in rows and blocks[rows[id]].type is AGENT]
            assert all(call < row for call in calls)


@given(packages=histories())
def test_a_side_that_changed_nothing_leaves_the_other(packages):
    base, a, _ = packages
    same = package_of(list(base.blocks), agent_id=base.agent_id)
    for found in (merge(base, a, same), merge(base, same, a), merge(base, a, a)):
        assert found.conflicts == ()
        assert found.package.blocks.to_fields() == a.blocks.to_fields()
        assert found.package.agent_id == a.agent_id
    assert merge(a, a, a).package.blocks.to_fields() == a.blocks.to_fields()


BASE = [block("s", 0), *exchange("c", 1)]


def test_both_sides_add():
    base = package_of(BASE)
    a = package_of([*BASE, block("a", 5), block("late", 9)])
    b = package_of([*BASE, block("b", 6)])
    assert merged(base, a, b) == ["s", "c", "a", "b", "late"]
    # Of equal timestamps the smaller id comes first.
    assert merged(base, package_of([*BASE, block("z", 5)]), package_of([*BASE, block("y", 5)])) == ["s", "c", "y", "z"]
    # What both added alike is there once.
    assert merged(base, a, package_of([*BASE, block("a", 5)])) == ["s", "c", "a", "late"]


def test_a_result_stays_behind_its_call():
    base = package_of(BASE)
    a = package_of([*BASE, block("a", 2)])
    b = package_of([*BASE, block("c.0", 8, TOOL, references=["c"]), block("b", 9)])
    assert merged(base, a, b) == ["s", "c", "c.0", "a", "b"]


def test_units_that_began_before_come_first_by_their_first_block():
    start = [*exchange("late", 2), *exchange("early", 1), block("s")]
    results = [block("r1", 3, TOOL, references=["late"]), block("r0", 9, TOOL, references=["early"])]
    a, b = package_of([*start, block("a", 0), results[0]]), package_of([*start, results[1]])
    assert merged(package_of(start), a, b) == ["late", "early", "s", "r0", "r1", "a"]


def test_results_of_one_call_from_both_sides_stand_behind_it():
    base = package_of([block("s")])
    call = block("call", 5, AGENT)
    first, second = (block(id, time, TOOL, references=["call"]) for id, time in (("r0", 3), ("r1", 2)))
    # Not one side has the whole unit, and the results say that they are older than their call.
    a, b = package_of([call, first, block("s")]), package_of([block("s"), call, second])
    assert merged(base, a, b) == ["s", "call", "r1", "r0"]


def test_a_named_unit_is_not_split():
    base = package_of([block("s")])
    a = package_of([block("s"), block("u0", 1, metadata={"unit": "u"}), block("a", 2)])
    b = package_of([block("s"), block("b", 0), block("u1", 7, metadata={"unit": "u"})])
    assert merged(base, a, b) == ["s", "b", "u0", "u1", "a"]


def test_a_unit_that_one_side_has_whole_stands_as_there():
    base = package_of([block("s")])
    unit = [block(f"u{i}", 9 - i, metadata={"unit": "u"}) for i in range(3)]
    a, b = package_of([block("s"), *unit]), package_of([block("b", 1), block("s")])
    assert merged(base, a, b) == ["s", "b", "u0", "u1", "u2"]


def test_removals_edits_and_moves_of_different_blocks_go_together():
    blocks = [block(f"b{i}", i) for i in range(5)]
    a = package_of([blocks[1], block("b2", 2, content="edited"), *blocks[3:]])
    b = package_of([*blocks[:4], block("b4", 4, content="by b")])
    found = merge(package_of(blocks), a, b).package
    assert {b.id: b.content for b in found.blocks} == {"b1": "word", "b2": "edited", "b3": "word", "b4": "by b"}
    assert ids_of(found) == ["b1", "b2", "b3", "b4"]


def test_conflicts_say_what_both_sides_did():
    base = package_of([block("one"), block("two"), block("three")])
    a = package_of([block("one", content="a"), block("two", content="a"), block("new", 1)], agent_id="a")
    b = package_of([block("one", content="b"), block("three", content="b"), block("new", 2)], agent_id="b")
    found = merge(base, a, b)
    assert found.package is None
    assert found.conflicts == (
        Conflict("agent_id", "header", "changed/changed"),
        Conflict("new", "block", "added/added"),
        Conflict("one", "block", "changed/changed"),
        Conflict("three", "block", "removed/changed"),
        Conflict("two", "block", "changed/removed"),
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.conflicts[0].did = ""


def test_the_header_of_the_side_that_changed_it():
    base, a, b = (package_of([block("s")], agent_id=name) for name in ("agent", "agent", "other"))
    a.trace_id = "trace of a"
    found = merge(base, a, b).package
    assert (found.agent_id, found.trace_id) == ("other", "trace of a")
    b.trace_id = "trace of b"
    assert merge(base, a, b).conflicts == (Conflict("trace_id", "header", "changed/changed"),)


def test_fields_that_are_not_known_are_part_of_the_header():
    data = package_of([block("s")]).to_protobuf()
    base, a, b = (ContextPackage.from_protobuf(data + more) for more in (b"", b"\x78\x01", b"\x78\x02"))
    for found in (merge(base, a, base), merge(base, base, a), merge(base, a, a)):
        assert found.package.unknown_fields == b"\x78\x01"
    assert merge(base, a, b).conflicts == (Conflict("unknown_fields", "header", "changed/changed"),)


def test_of_blocks_of_equal_content_that_which_is_not_the_bases():
    base = [block("s", token_count=1), block("t")]
    more = [[block("a", 1)], [block("b", 1)]]
    a = package_of([block("s", token_count=7), block("t", origin="peer"), *more[0]])
    b = package_of([*base, *more[1]])
    found = merge(package_of(base), a, b).package
    assert [(b.token_count, b.origin) for b in found.blocks][:2] == [(7, None), (1, "peer")]
    # Where both have another one it is the same, whichever side comes first.
    b = package_of([block("s", token_count=8), base[1], *more[1]])
    merged(package_of(base), a, b)
    assert merge(package_of(base), a, b).package.blocks[0].token_count in (7, 8)


def test_a_side_of_the_bases_content_gives_nothing():
    base = package_of([block("s"), block("t")])
    a = package_of([block("t"), block("s"), block("a", 1)])
    b = package_of([block("s", token_count=8), block("t")])
    assert merged(base, a, b) == ["t", "s", "a"]
    assert merge(base, a, b).package.blocks.to_fields() == a.blocks.to_fields()


def test_whoever_merges_the_same_comes_to_the_same_operation():
    base, a, b = package_of([]), package_of([block("a")]), package_of([block("b")])
    found = merge(base, a, b).package
    assert found.operation_id == merge(base, b, a).package.operation_id == "87de63f33c64be052b8cec9f18731a75"
    assert found.parents == tuple(
        sorted([Parent("s", 1, a.content_hash), Parent("s", 1, b.content_hash)], key=lambda p: p.content_hash)
    )
    others = [
        merge(base, a, package_of([block("c")])),
        merge(base, a, package_of([block("b")], version=2)),
        merge(base, a, package_of([block("b")], operation_id="p")),
        # Another base makes something else of the same two.
        merge(package_of([block("a")]), a, b),
    ]
    assert len({found.operation_id, *(other.package.operation_id for other in others)}) == 5


def test_a_merged_package_goes_on_by_itself():
    base, a, b = package_of([]), package_of([block("a")], version=4), package_of([block("b")])
    found = merge(base, a, b).package
    operation = found.operation_id
    found.blocks[0].content = "changed"
    assert (found.version, a.blocks[0].content) == (6, "word")
    assert found.operation_id != operation
    # The same where the blocks are those of one side.
    found = merge(base, a, base).package
    found.blocks[0].content = "changed"
    assert (found.version, a.blocks[0].content) == (6, "word")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (ContextPackage("t", "agent"), "session_id 't' of b is not 's', that of base"),
        (package_of([], counter="cl100k_base"), "counter 'cl100k_base' of b is not 'o200k_base', that of base"),
        (None, "b None is NoneType, not a ContextPackage"),
    ],
)
def test_only_packages_of_one_session_are_merged(other, words):
    with pytest.raises(ValidationError, match=words):
        merge(package_of([]), package_of([]), other)


def test_a_version_ends_somewhere():
    last = package_of([], version=2**32 - 1)
    with pytest.raises(ValidationError, match="version 4294967296 is not"):
        merge(package_of([]), last, package_of([]))
