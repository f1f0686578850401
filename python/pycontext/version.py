"""Versions of a session: how two differ, what makes one of another, and what two come to together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Final, Literal, Self

from pycontext import _core
from pycontext.block import ContextType
from pycontext.blockset import BlockSet, bytes_of, zstd_of
from pycontext.budget import check_tokens
from pycontext.counter import TokenCounter
from pycontext.errors import ConflictError, ValidationError, shown
from pycontext.limits import DEFAULT, Limits
from pycontext.package import ContextPackage, Counts, Parent, check_hash, check_package

__all__ = ["Conflict", "Delta", "Diff", "Merge", "apply", "delta", "diff", "merge"]

# What a merge takes from either side.
_HEADER: Final = ("agent_id", "trace_id", "unknown_fields")


@dataclass(frozen=True, slots=True)
class Diff:
    """How the blocks of two packages differ; false where they are equal.

    Attributes:
        added: ids of blocks that only the second has, in its order.
        removed: ids of blocks that only the first has, in its order.
        changed: ids of blocks of other content, in the order of the second.
        moved: whether the blocks that both have stand in another order.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    moved: bool

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.moved)


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """What makes one package of another.

    Attributes:
        package: has the header of the new package, and the blocks that the base lacks.
        base_hash: content hash of the base.
        content_hash: content hash of what comes out.
        runs: where the blocks of that are, in order: position of the first one in the base, None for the next ones of
            `package`; and how many.

    Raises:
        ValidationError: a hash or a run is none.
    """

    package: ContextPackage
    base_hash: str
    content_hash: str
    runs: tuple[tuple[int | None, int], ...]

    def __post_init__(self) -> None:
        check_package("package", self.package)
        for name in ("base_hash", "content_hash"):
            check_hash(name, getattr(self, name))
        if not isinstance(self.runs, tuple):
            raise ValidationError(f"runs {shown(self.runs)} is {type(self.runs).__name__}, not a tuple")
        for i, run in enumerate(self.runs):
            if not isinstance(run, tuple) or len(run) != 2:
                raise ValidationError(f"runs[{i}] {shown(run)} is not a position and a count")
            if run[0] is not None:
                check_tokens(f"runs[{i}] start", run[0], most=2**32 - 2)
            check_tokens(f"runs[{i}] count", run[1], least=1, most=2**32 - 1)

    def to_bytes(self, *, compress: Literal["none", "zstd"] = "none", limits: Limits = DEFAULT) -> bytes:
        """Return the message `ContextDelta` of `proto/pycontext/context.proto` in an envelope, as a package has one.

        Args:
            compress: "zstd" where it makes the message smaller.
            limits: of the message, and of the package that comes out.

        Raises:
            ValidationError: there are more blocks or bytes than `limits` let anybody read again.
        """
        is_zstd = zstd_of(compress)
        made = sum(count for _, count in self.runs)
        if made > limits.package_blocks:
            raise ValidationError(f"package has {made} blocks, over {limits.package_blocks}")
        hashes = bytes.fromhex(self.base_hash), bytes.fromhex(self.content_hash)
        body = _core.encode_delta(self.package.to_protobuf(limits=limits), *hashes, list(self.runs))
        if len(body) > limits.package_bytes:
            raise ValidationError(f"delta is {len(body)} bytes, over {limits.package_bytes}")
        small = _core.compress(body) if is_zstd else None
        done = (small is not None, False, False)
        unsigned = _core.write_envelope(done, len(body), body if small is None else small, b"")
        return _core.close_envelope(unsigned, b"")

    @classmethod
    def from_bytes(
        cls,
        data: bytes,
        *,
        counter: str | TokenCounter | None = None,
        counts: Counts = "believe",
        limits: Limits = DEFAULT,
    ) -> Self:
        """Make a delta of what `to_bytes` wrote.

        Args:
            data: the envelope.
            counter: what counts tokens; None for the one that the delta names.
            counts: "believe" takes the token counts of the blocks that it carries if it names the same counter,
                "recount" none.
            limits: of the message, and of the package that comes out; nothing larger is decompressed.

        Raises:
            ValidationError: it is no envelope, was changed or cut off, holds no delta, or is outside its limits.
            PluginError: the counter raised or returned what it must not.
        """
        (is_zstd, is_encrypted, is_signed), uncompressed, body, *_ = _core.open_envelope(bytes_of(data), limits)
        if is_encrypted or is_signed:
            raise ValidationError(f"envelope is {'encrypted' if is_encrypted else 'signed'}: that of a delta never is")
        message = _core.decompress(body, uncompressed) if is_zstd else body
        package, base_hash, content_hash, runs = _core.decode_delta(message, limits)
        return cls(
            ContextPackage.from_protobuf(package, counter=counter, counts=counts, limits=limits),
            base_hash.hex(),
            content_hash.hex(),
            tuple(runs),
        )

    def __repr__(self) -> str:
        hashes = f"{self.base_hash[:8]} to {self.content_hash[:8]}"
        return f"<Delta {self.package.session_id}: {hashes}, {len(self.package.blocks)} blocks carried>"


@dataclass(frozen=True, slots=True)
class Conflict:
    """What two sides did that does not go together.

    Attributes:
        name: id of the block, or name of the header's field.
        part: "block" or "header".
        did: what the first and the second side did: "changed/changed", "changed/removed", "removed/changed" or
            "added/added".
    """

    name: str
    part: Literal["block", "header"]
    did: str


@dataclass(frozen=True, slots=True)
class Merge:
    """What two packages come to together.

    Attributes:
        package: the merged package; None where there are conflicts.
        conflicts: those of the header, then those of blocks by their ids.
    """

    package: ContextPackage | None
    conflicts: tuple[Conflict, ...] = ()


def diff(a: ContextPackage, b: ContextPackage) -> Diff:
    """Return how the blocks of `b` differ from those of `a`, by content hash.

    Token counts, origins and the header are no content: packages that differ in nothing else are equal here.

    Raises:
        ValidationError: one of them is no package.
    """
    old, new = _State("a", a), _State("b", b)
    staying = [id for id in new.ids if id in old.hashes]
    return Diff(
        tuple(id for id in new.ids if id not in old.hashes),
        tuple(id for id in old.ids if id not in new.hashes),
        tuple(id for id in staying if old.hashes[id] != new.hashes[id]),
        staying != [id for id in old.ids if id in new.hashes],
    )


def delta(base: ContextPackage, new: ContextPackage) -> Delta:
    """Return what makes `new` of `base`: the new header, the blocks that the base lacks, and where each block is.

    Blocks that differ only in what is no content (token count, origin, fields that this version does not know) are
    carried as well, so that `apply` gives the very bytes of `new`.

    Raises:
        ValidationError: one of them is no package, or they are not of one session and one counter.
    """
    old, target = _State("base", base), _State("new", new)
    _check_alike(old, target)
    rows = {exact: row for row, exact in enumerate(old.blocks.exact_hashes())}
    carried: list[tuple[int, int]] = []
    places = []
    for row, exact in enumerate(target.blocks.exact_hashes()):
        if exact in rows:
            places.append((0, rows[exact]))
        else:
            places.append((1, len(carried)))
            carried.append((0, row))
    package = target.package.with_blocks(BlockSet.gathered([target.blocks], _runs(carried)))
    runs = tuple((None if is_carried else start, count) for is_carried, start, count in _runs(places))
    return Delta(package, old.content, target.content, runs)


def apply(base: ContextPackage, delta: Delta) -> ContextPackage:
    """Return the package that a delta makes of `base`, which is not changed.

    Raises:
        ConflictError: the delta is for other blocks.
        ValidationError: one of them is none, they are not of one session and one counter, or the delta does not make
            what it says.
    """
    if not isinstance(delta, Delta):
        raise ValidationError(f"delta {shown(delta)} is {type(delta).__name__}, not a Delta")
    old, carried = _State("base", base), _State("delta", delta.package)
    _check_alike(old, carried)
    if old.content != delta.base_hash:
        raise ConflictError(
            f"base has the content {old.content[:8]}, the delta is for {delta.base_hash[:8]}",
            old.package.version,
            carried.package.version,
        )
    blocks = BlockSet.gathered([old.blocks, carried.blocks], _checked_runs(delta, len(old.ids), len(carried.ids)))
    if blocks.content_hash != delta.content_hash:
        raise ValidationError(
            f"delta makes the content {blocks.content_hash[:8]}, and says that it makes {delta.content_hash[:8]}"
        )
    return carried.package.with_blocks(blocks)


def merge(base: ContextPackage, a: ContextPackage, b: ContextPackage) -> Merge:
    """Return what two packages that were made from one come to together, the same whichever comes first.

    Of every block, by id and content hash, and of `agent_id`, `trace_id` and unknown fields, what the side that changed
    it made of it counts; where both did, and not alike, that is a conflict. The order is that of both as far as they
    agree; then come units, none of them split, by the timestamp and the id of their first block, those that began
    before first. Where one side holds just what the base holds, the blocks are those of the other.

    Of two blocks of equal content the one counts whose token count and origin are not those of the base; where neither
    has those, the one whose hash of all that travels with it is lower.

    Args:
        base: what both were made from.
        a: one side.
        b: the other side.

    Returns:
        A package with the version above both, both as parents and an operation id that follows from the three, or the
        conflicts.

    Raises:
        ValidationError: one of them is no package, or they are not of one session and one counter.
    """
    states = (_State("base", base), _State("a", a), _State("b", b))
    _check_alike(*states)
    header = {name: [getattr(state.package, name) for state in states] for name in _HEADER}
    ids = {**states[1].hashes, **states[2].hashes}
    hashes = {id: [state.hashes.get(id) for state in states] for id in ids}
    conflicts = [Conflict(name, "header", _did(values)) for name, values in header.items() if not _side(values)]
    disputed = sorted(id for id, values in hashes.items() if not _side(values))
    conflicts += [Conflict(id, "block", _did(hashes[id])) for id in disputed]
    if conflicts:
        return Merge(None, tuple(conflicts))
    parents = sorted(states[1:], key=_identity)
    package = base.with_blocks(
        _merged(states, hashes),
        **{name: values[_side(values) or 0] for name, values in header.items()},
        version=max(state.package.version for state in parents) + 1,
        operation_id=_operation_of([states[0], *parents]),
        parents=[Parent(*_identity(state)[:3]) for state in parents],
        hops=max(state.package.hops for state in parents),
        epoch=max(state.package.epoch for state in parents),
        sender=None,
    )
    return Merge(package)


class _State:
    """A package as it is now, which no other thread changes, with what its blocks are compared by."""

    def __init__(self, name: str, package: ContextPackage) -> None:
        check_package(name, package)
        self.name: Final = name
        with package.blocks.settled():
            self.package: Final = package.with_blocks(package.blocks.snapshot())
        self.blocks: Final = self.package.blocks
        self.ids: Final = self.blocks.ids()

    @cached_property
    def rows(self) -> dict[str, int]:
        """Positions by id."""
        return {id: row for row, id in enumerate(self.ids)}

    @cached_property
    def hashes(self) -> dict[str, bytes]:
        """Content hashes by id, in order."""
        return dict(zip(self.ids, self.blocks.hashes(), strict=True))

    @cached_property
    def content(self) -> str:
        """The content hash."""
        return self.blocks.content_hash


def _check_alike(first: _State, *others: _State) -> None:
    for other in others:
        for field in ("session_id", "counter"):
            expected, actual = getattr(first.package, field), getattr(other.package, field)
            if actual != expected:
                raise ValidationError(
                    f"{field} {shown(actual)} of {other.name} is not {shown(expected)}, that of {first.name}"
                )


def _runs(places: Iterable[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Places, each a set and a position in it, as runs: the set, the first position, how many."""
    runs: list[tuple[int, int, int]] = []
    where, start, count = 0, 0, 0
    for place in places:
        if count and place == (where, start + count):
            count += 1
            continue
        if count:
            runs.append((where, start, count))
        where, start, count = *place, 1
    return [*runs, (where, start, count)] if count else runs


def _checked_runs(delta: Delta, base: int, carried: int) -> list[tuple[int, int, int]]:
    """Runs of a delta over a base and what it carries, when they ask for no more than there is."""
    runs = []
    used = 0
    for i, (start, count) in enumerate(delta.runs):
        if start is None:
            runs.append((1, used, count))
            used += count
        elif start + count > base:
            raise ValidationError(f"runs[{i}] ends at {start + count}, behind the {base} blocks of the base")
        else:
            runs.append((0, start, count))
    if used != carried:
        raise ValidationError(f"runs use {used} blocks that the delta carries, not all {carried}")
    made = sum(count for _, count in delta.runs)
    # No id can come twice: what is more than both have is refused before it is built.
    if made > base + carried:
        raise ValidationError(f"runs make {made} blocks of {base + carried}")
    return runs


def _side(values: Sequence[object]) -> int | None:
    """Of base, a and b the one whose value counts: that of a side which changed it; None where they do not agree."""
    base, a, b = values
    if b in (a, base):
        return 1
    return 2 if a == base else None


def _did(values: Sequence[object]) -> str:
    base, *sides = values
    return "/".join("added" if base is None else "removed" if side is None else "changed" for side in sides)


def _identity(state: _State) -> tuple[str, int, str, str]:
    return state.package.session_id, state.package.version, state.content, state.package.operation_id


def _operation_of(states: Iterable[_State]) -> str:
    """An operation id that whoever merges the same comes to."""
    merged = json.dumps([_identity(state) for state in states])
    return blake2b(merged.encode(), digest_size=16).hexdigest()


def _merged(states: Sequence[_State], hashes: dict[str, list[bytes | None]]) -> BlockSet:
    """The blocks of a merge without conflicts."""
    base, a, b = states
    if (a.content == base.content) != (b.content == base.content):
        return (a if b.content == base.content else b).blocks
    exact = [dict(zip(state.ids, state.blocks.exact_hashes(), strict=True)) for state in states]
    taken: dict[str, int] = {}
    for id, values in hashes.items():
        side = _side(values)
        if values[1] == values[2]:
            side = _side([known.get(id) for known in exact]) or (1 if exact[1][id] < exact[2][id] else 2)
        if side and values[side]:
            taken[id] = side
    orders = [[id for id in state.ids if id in taken] for state in (a, b)]
    pairs = enumerate(zip(*orders, strict=False))
    agreed = next((place for place, (one, other) in pairs if one != other), min(map(len, orders)))
    # Those on which they agree come first in this.
    ids = list(dict.fromkeys([*orders[0], *orders[1]]))
    places = ((taken[id] - 1, states[taken[id]].rows[id]) for id in ids)
    together = BlockSet.gathered([a.blocks, b.blocks], _runs(places))
    rows = [*range(agreed), *_by_units(together, ids, agreed, orders)]
    return BlockSet.gathered([together], _runs((0, row) for row in rows))


def _by_units(blocks: BlockSet, ids: list[str], agreed: int, orders: list[list[str]]) -> list[int]:
    """The rows from `agreed` on, unit by unit."""
    heads, times = blocks.units(), blocks.timestamps.tolist()
    units: dict[int, list[int]] = {}
    for row in range(agreed, len(ids)):
        units.setdefault(heads[row], []).append(row)
    places = [{id: place for place, id in enumerate(order)} for order in orders]
    keyed = []
    for head, found in units.items():
        rows = found if len(found) == 1 else _within_unit(blocks, found, ids, places)
        first = head if head < agreed else rows[0]
        keyed.append(((head >= agreed, times[first], ids[first]), rows))
    return [row for _, rows in sorted(keyed) for row in rows]


def _within_unit(blocks: BlockSet, rows: list[int], ids: list[str], places: list[dict[str, int]]) -> list[int]:
    """Rows of a unit as the sides have them that have all, where those agree; else by time, results behind calls."""
    placed = [{known.get(ids[row]): row for row in rows} for known in places]
    orders = [[row for _, row in sorted(side.items())] for side in placed if None not in side]
    if orders and all(order == orders[0] for order in orders):
        return orders[0]
    unit = {row: blocks[row] for row in rows}
    calls = {block.id: block.timestamp for block in unit.values() if block.type is ContextType.AGENT}

    def key(row: int) -> tuple[int, bool, int, str]:
        block = unit[row]
        asked = [calls[id] for id in block.references if id in calls] if block.type is ContextType.TOOL else []
        return max([block.timestamp, *asked]), bool(asked), block.timestamp, block.id

    return sorted(rows, key=key)
