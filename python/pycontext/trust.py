"""What comes from outside, and what of it is believed."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pycontext.block import PROVIDER_PREFIXES, ContextType
from pycontext.blockset import BlockSet
from pycontext.budget import check_tokens
from pycontext.counter import TokenCounter
from pycontext.errors import ConflictError, PrivilegeError, SignatureError, ValidationError, shown
from pycontext.limits import DEFAULT, Limits
from pycontext.package import ContextPackage
from pycontext.wire import KeyRing, unseal

__all__ = ["Admission", "Data", "OnSystem", "Replays", "Trust", "replayed"]

_LOG: Final = logging.getLogger(__name__)

Trust = Literal["peer", "self"]
OnSystem = Literal["refuse", "demote", "drop"]
Data = Mapping[str, Any] | str | bytes | ContextPackage

# Of a peer: so much is left for the changes to come. A number that could rise no further would freeze a session.
_LARGEST: Final = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The terms on which packages from outside are taken; the importer sets them, the payload cannot.

    Attributes:
        trust: "peer" for what comes from another agent, "self" for one's own export.
        on_system: what becomes of a peer's SYSTEM blocks: "refuse" the package, "demote" them to KNOWLEDGE, or "drop"
            them.
        origin: whom a peer's blocks are said to come from; None for the key that signed them, else "peer".
        session_id: the session that it must be; None for any.
        keys: of those whose seal must be on it; None takes what is neither signed nor encrypted.
        audience: whom a sealed package is for; None for nobody in particular.
        namespace: of a sealed package.
        strict: True refuses JSON keys that are not known.
        limits: of the package.

    Raises:
        ValidationError: a term is none of these.
    """

    trust: Trust = "peer"
    on_system: OnSystem = "refuse"
    origin: str | None = None
    session_id: str | None = None
    keys: KeyRing | None = None
    audience: str | None = None
    namespace: str = ""
    strict: bool = False
    limits: Limits = DEFAULT

    def __post_init__(self) -> None:
        for name, value, valid in (
            ("trust", self.trust, ("peer", "self")),
            ("on_system", self.on_system, ("refuse", "demote", "drop")),
        ):
            if not isinstance(value, str) or value not in valid:
                raise ValidationError(f"{name} {shown(value)} is not one of {', '.join(valid)}")

    def admit(self, data: Data, counter: TokenCounter) -> tuple[ContextPackage, str]:
        """Return a package of what came, its tokens counted again, and the id of the operation that came.

        Args:
            data: what `to_dict`, `to_json` or `to_bytes` returned, or a package.
            counter: what counts tokens.

        Raises:
            ValidationError: `data` is no package, or outside the limits.
            PrivilegeError: a peer sent a SYSTEM block, and such packages are refused.
            SignatureError: there are keys, and no seal that holds.
        """
        signer = None
        if self.keys is None:
            package = self._read(data, counter)
        else:
            package, signer = self._unsealed(data, self.keys, counter)
        if self.session_id is not None and package.session_id != self.session_id:
            raise ValidationError(f"session_id {shown(package.session_id)} is not {shown(self.session_id)}")
        # Asked before: what follows are changes.
        operation_id = package.operation_id
        if self.trust == "self":
            return package, operation_id
        for name in ("version", "epoch"):
            check_tokens(name, getattr(package, name), most=_LARGEST)
        return self._of_peer(package, signer), operation_id

    def _read(self, data: Data, counter: TokenCounter) -> ContextPackage:
        if isinstance(data, ContextPackage):
            data = data.to_bytes(limits=self.limits)
        if isinstance(data, bytes | bytearray | memoryview):
            return ContextPackage.from_bytes(data, counter=counter, counts="recount", limits=self.limits)
        if isinstance(data, str):
            return ContextPackage.from_json(
                data, strict=self.strict, counter=counter, counts="recount", limits=self.limits
            )
        return ContextPackage.from_dict(data, strict=self.strict, counter=counter, counts="recount", limits=self.limits)

    def _unsealed(self, data: Data, keys: KeyRing, counter: TokenCounter) -> tuple[ContextPackage, str | None]:
        """The package, and the id of the key that signed it."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise SignatureError(f"data is {type(data).__name__}, not the bytes of a sealed package")
        opened = unseal(
            data,
            keys,
            audience=self.audience,
            session_id=self.session_id,
            namespace=self.namespace,
            limits=self.limits,
            counter=counter,
            counts="recount",
        )
        return opened.package, opened.key_id

    def _of_peer(self, package: ContextPackage, signer: str | None) -> ContextPackage:
        version, operation_id = package.version, package.operation_id
        blocks = package.blocks
        is_changed = self._demote(package.session_id, blocks)
        blocks.set_origin((signer or "peer") if self.origin is None else self.origin)
        return package.with_blocks(
            blocks,
            version=version,
            # What was changed here is not what the sender has under that id.
            operation_id=None if is_changed else operation_id,
            # What nobody signed is not believed: at least this one handoff there was.
            hops=1 if signer is None else package.hops,
            sender=None,
            unknown_fields=b"",
        )

    def _demote(self, session_id: str, blocks: BlockSet) -> bool:
        """Do what the terms say with SYSTEM blocks; whether there were any."""
        rows = [row for row, number in enumerate(blocks.types.tolist()) if number == ContextType.SYSTEM.value]
        if not rows:
            return False
        if self.on_system == "refuse":
            raise PrivilegeError(
                f"blocks[{rows[0]}] {shown(blocks[rows[0]].id)} is SYSTEM and comes from a peer; "
                'trust="self" takes one\'s own export, on_system="demote" makes it KNOWLEDGE'
            )
        _LOG.warning("session %s: %d SYSTEM blocks of a peer: %s", session_id, len(rows), self.on_system)
        if self.on_system == "drop":
            blocks.remove_rows(rows)
            return True
        for row in rows:
            block = blocks[row]
            block.type = ContextType.KNOWLEDGE
            # They say how a provider is to be sent the message of a system.
            block.metadata = {k: v for k, v in block.metadata.items() if not k.startswith(PROVIDER_PREFIXES)}
        return True


class Replays:
    """The operations that were imported last, by session: one that comes again is a replay.

    Args:
        most: operations to remember.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def check(self, session_id: str, operation_id: str) -> None:
        """Raise `ConflictError` if the operation was imported before."""
        if (session_id, operation_id) in self._seen:
            raise replayed(session_id, operation_id)

    def note(self, session_id: str, operation_id: str) -> None:
        """Remember an operation; the oldest is forgotten when there are too many."""
        self._seen[session_id, operation_id] = None
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)


def replayed(session_id: str, operation_id: str) -> ConflictError:
    """Return the error for an operation that comes again."""
    return ConflictError(
        f"operation_id {shown(operation_id)} of session {shown(session_id)} was imported before: a replay", 0, 0
    )
