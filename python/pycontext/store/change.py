"""One change of a stored session, as bytes and as it is done."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

from pycontext import _core
from pycontext.blockset import BlockSet
from pycontext.counter import TokenCounter
from pycontext.errors import ValidationError, shown
from pycontext.limits import Limits
from pycontext.package import ContextPackage, header_of

__all__ = ["Change", "Kind"]

Kind = Literal["append", "put", "header"]

# As the schema has them.
_KINDS: Final[tuple[Kind, ...]] = ("append", "put", "header")
_TEXTS: Final = ("session_id", "agent_id", "trace_id", "operation_id", "sender")
_NUMBERS: Final = ("version", "hops", "epoch")
_NO_HEADER: Final[Mapping[str, Any]] = {
    **dict.fromkeys(_TEXTS, ""),
    **dict.fromkeys(_NUMBERS, 0),
    "parents": (),
    "unknown": b"",
}


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What one write does to a session.

    Attributes:
        kind: "append": the blocks come behind all others; "put": they take the place of those of their ids; "header":
            `header` is that of the session from then on.
        session_id: of the session.
        operation_id: of the write.
        blocks: that come.
        removed: ids of blocks that go.
        header: fields of the package.
    """

    kind: Kind
    session_id: str
    operation_id: str
    blocks: BlockSet
    removed: tuple[str, ...] = ()
    header: Mapping[str, Any] | None = None

    def to_message(self, limits: Limits) -> bytes:
        """Return the message `ContextChange`.

        Raises:
            ValidationError: there are more blocks or bytes than `limits` let anybody read again.
        """
        header = dict(_NO_HEADER if self.header is None else self.header)
        header["session_id"], header["operation_id"] = self.session_id, self.operation_id
        header["counter"] = self.blocks.counter.name
        package = self.blocks.encoded(header, None, limits, None)
        message = _core.encode_change(package, _KINDS.index(self.kind), list(self.removed))
        if len(message) > limits.package_bytes:
            raise ValidationError(f"change is {len(message)} bytes, over {limits.package_bytes}")
        return message

    @classmethod
    def from_message(cls, message: bytes, counter: TokenCounter, limits: Limits) -> Self:
        """Read a message, whose tokens are counted again where another counter made the counts.

        Raises:
            ValidationError: it is no such message, or outside its limits.
            PluginError: the counter raised or returned what it must not.
        """
        number, removed, header, rows = _core.decode_change(message, limits)
        if number >= len(_KINDS):
            raise ValidationError(f"kind {number} of a change is not below {len(_KINDS)}")
        blocks = BlockSet.of_rows(rows, counter, is_believed=header["counter"] == counter.name)
        kind = _KINDS[number]
        session_id, operation_id = header["session_id"], header["operation_id"]
        return cls(kind, session_id, operation_id, blocks, tuple(removed), header if kind == "header" else None)

    def done_to(self, package: ContextPackage, version: int) -> tuple[ContextPackage, dict[str, str]]:
        """Do it to a package, and return the package, another one where the header is, and the ids that were taken.

        Every reader of the same changes comes to the same: a block whose id is taken by one of the same content is
        left out, by one of other content it gets the id `<id>~<version>`.
        """
        renamed: dict[str, str] = {}
        blocks = package.blocks
        if self.kind == "append":
            renamed = self._append(blocks, version)
        elif self.kind == "header" and self.header is not None:
            package = package.with_blocks(blocks, **header_of(self.header))
        else:
            self._put(blocks)
        package.stand_at(version, self.operation_id, package.sender if self.kind == "header" else None)
        return package, renamed

    def _append(self, blocks: BlockSet, version: int) -> dict[str, str]:
        rows = ((id, blocks.find(id)) for id in self.blocks.ids())
        taken = {id: row for id, row in rows if row is not None}
        if not taken:
            blocks.join(self.blocks)
            return {}
        known = [block_hash(blocks, row) for row in taken.values()]
        came = dict(zip(self.blocks.ids(), self.blocks.hashes(), strict=True))
        same = {id for id, seen in zip(taken, known, strict=True) if came[id] == seen}
        names: dict[str, str] = {}
        for id in taken:
            if id not in same:
                names[id] = _free((blocks, self.blocks), names.values(), id, version)
        new = [
            replace(block, id=names.get(block.id, block.id), references=[names.get(id, id) for id in block.references])
            for block in self.blocks
            if block.id not in same
        ]
        blocks.extend(new)
        return names

    def _put(self, blocks: BlockSet) -> None:
        gone = [row for row in map(blocks.find, self.removed) if row is not None]
        if gone:
            blocks.remove_rows(gone)
        for block in self.blocks:
            row = blocks.find(block.id)
            if row is None:
                blocks.append(block)
            else:
                blocks[row] = block


def block_hash(blocks: BlockSet, row: int) -> bytes:
    """Return the content hash of one block of a set."""
    return BlockSet.gathered([blocks], [(0, row, 1)]).hashes()[0]


def _free(sets: Iterable[BlockSet], names: Collection[str], id: str, version: int) -> str:
    """Return an id for a block whose own is taken, the same for whoever does the same change.

    Args:
        sets: that must not have it.
        names: that others were given.
        id: of the block.
        version: that the change makes.
    """
    # An id may be so long that nothing can be put behind it.
    name = f"{id.encode()[:200].decode(errors='ignore')}~{version}"
    while name in names or any(blocks.find(name) is not None for blocks in sets):
        name += "~"
    return name


def check_change(change: Change, session_id: str, operation_id: str) -> None:
    """Raise `ValidationError` unless a change is the one of that session and operation."""
    for name, expected in (("session_id", session_id), ("operation_id", operation_id)):
        actual = getattr(change, name)
        if actual != expected:
            raise ValidationError(f"{name} {shown(actual)} of a change is not {shown(expected)}")
