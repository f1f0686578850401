"""The ordered blocks of one session, with a version."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from threading import RLock
from typing import Any, Final, Literal, Self

from pycontext._core import check_id
from pycontext.block import ContextBlock
from pycontext.blockset import BlockSet, believes, zstd_of
from pycontext.budget import check_tokens
from pycontext.counter import DEFAULT_ENCODING, TokenCounter
from pycontext.errors import ValidationError, shown
from pycontext.jsonform import BLOCK_KEYS, PACKAGE_KEYS, block_of, checked_keys, dict_of, need, unknown_of
from pycontext.limits import DEFAULT, Limits
from pycontext.metrics import ContextMetrics
from pycontext.strict_json import parse

__all__ = ["ContextPackage", "Parent"]

# Letters, digits and a few marks: safe in a key of any store, in a path and in a log line.
_SESSION_ID: Final = re.compile(r"\w[\w.@:+=~-]*")
_MOST: Final = 2**32 - 1
# A merge has two.
_MOST_PARENTS: Final = 16
_HASH: Final = re.compile("[0-9a-f]{64}")

Counts = Literal["believe", "recount"]


@dataclass(frozen=True, slots=True)
class Parent:
    """A package that another was made from.

    Attributes:
        session_id: its session.
        version: its version.
        content_hash: of its blocks, 64 hexadecimal digits.
    """

    session_id: str
    version: int
    content_hash: str

    def __post_init__(self) -> None:
        check_session_id(self.session_id)
        check_tokens("parent version", self.version, least=1, most=_MOST)
        check_hash("parent content_hash", self.content_hash)


class ContextPackage:
    """The blocks of one session.

    Args:
        session_id: 1 to 256 bytes of letters, digits and `_ . @ : + = ~ -`, the first one a letter, a digit or `_`.
        agent_id: who owns the session, 1 to 256 bytes, no control characters.
        blocks: copied in.
        metrics: accepted because the article has it; metrics are always those of the blocks.
        version: 1 to 2**32 - 1; every change raises it.
        trace_id: follows the session through handoffs; None for a new one.
        counter: what counts tokens.
        operation_id: of the last change; None for a new one.
        parents: what this was made from.
        hops: handoffs since the first package.
        epoch: transfers of this session.
        sender: the agent that handed it over; None where it is the agent's own.

    Attributes:
        session_id: fixed.
        agent_id: may be written, which is a change.
        trace_id: likewise.
        parents: fixed.
        hops: fixed.
        epoch: fixed.
        lock: held by whoever changes the session; the blocks use the same.

    Raises:
        ValidationError: a field is outside its limits.
        PluginError: the counter raised or returned what it must not.
    """

    def __init__(
        self,
        session_id: str,
        agent_id: str,
        blocks: Iterable[ContextBlock] = (),
        metrics: ContextMetrics | None = None,
        version: int = 1,
        trace_id: str | None = None,
        *,
        counter: str | TokenCounter = DEFAULT_ENCODING,
        operation_id: str | None = None,
        parents: Iterable[Parent] = (),
        hops: int = 0,
        epoch: int = 0,
        sender: str | None = None,
    ) -> None:
        del metrics
        check_session_id(session_id)
        check_tokens("version", version, least=1, most=_MOST)
        check_tokens("hops", hops, least=0, most=_MOST)
        check_tokens("epoch", epoch, least=0, most=_MOST)
        if operation_id is not None:
            check_id("operation_id", operation_id)
        if sender is not None:
            check_id("sender", sender)
        self.session_id: Final = session_id
        self.agent_id = agent_id
        self.trace_id = str(uuid.uuid4()) if trace_id is None else trace_id
        self.parents: Final = tuple(parents)
        for parent in self.parents:
            if not isinstance(parent, Parent):
                raise ValidationError(f"parents {shown(parent)} is {type(parent).__name__}, not a Parent")
        if len(self.parents) > _MOST_PARENTS:
            raise ValidationError(f"parents are {len(self.parents)} packages, over {_MOST_PARENTS}")
        self.hops: Final = hops
        self.epoch: Final = epoch
        self.lock = RLock()
        self._max_tokens = 8192
        self._blocks = self._adopt(BlockSet(blocks, counter=counter))
        self._first_version = version - self._blocks.revision
        # The last operation, by the version that it made: a later version is the work of another.
        self._operation = (version, uuid.uuid4().hex if operation_id is None else operation_id)
        # The same of whoever handed it over: what changes it is the work of its agent.
        self._sender = (version, sender)
        self._unknown: dict[str, Any] = {}
        self._unknown_bytes = b""
        # Of blocks as they came: by id and timestamp, so that a new block of an old id gets nothing of it.
        self._unknown_of_blocks: dict[tuple[str, int], dict[str, Any]] = {}

    @classmethod
    def over(
        cls,
        blocks: BlockSet,
        session_id: str,
        agent_id: str,
        version: int = 1,
        *,
        unknown_fields: bytes = b"",
        **header: Any,
    ) -> Self:
        """Make a package of a set itself, which is not copied.

        Args:
            blocks: of nobody else.
            session_id: as the class takes it.
            agent_id: as the class takes it.
            version: as the class takes it.
            unknown_fields: protobuf fields that are not known, for `to_protobuf`.
            header: what else the class takes.
        """
        package = cls(session_id, agent_id, version=version, counter=blocks.counter, **header)
        package._blocks = package._adopt(blocks)
        package._first_version = version - blocks.revision
        package._unknown_bytes = unknown_fields
        return package

    def with_blocks(self, blocks: BlockSet, **header: Any) -> Self:
        """Make a package of a set itself, with the header of this one where `header` says nothing else."""
        with self._blocks.settled():
            names = ("session_id", "agent_id", "parents", "sender", "unknown_fields")
            own = self._header() | {name: getattr(self, name) for name in names}
        del own["counter"]
        return self.over(blocks, **(own | header))

    def copy(self) -> Self:
        """Return a package of its own that is equal; its blocks are copied when one of the two is first changed."""
        with self._blocks.settled():
            new = object.__new__(type(self))
            blocks = self._blocks.snapshot()
            # Asked first: it may be made just now, and both are the work of one operation.
            operation = self.version, self.operation_id
            vars(new).update(
                vars(self),
                lock=blocks.lock,
                _blocks=blocks,
                _first_version=operation[0] - blocks.revision,
                _operation=operation,
            )
            if self._unknown or self._unknown_of_blocks:
                kept = {"_unknown": self._unknown, "_unknown_of_blocks": self._unknown_of_blocks}
                vars(new).update(deepcopy(kept))
            return new

    def pass_on(self, agent_id: str) -> Self:
        """Return the same session under another owner, one version and one epoch later, and fence this one off."""
        with self._blocks.settled():
            self._blocks.check_open()
            new = self.with_blocks(
                self._blocks.snapshot(),
                agent_id=agent_id,
                version=self.version + 1,
                operation_id=None,
                parents=[self.as_parent],
                epoch=self.epoch + 1,
                sender=self.agent_id,
            )
            kept = {"_unknown": self._unknown, "_unknown_of_blocks": self._unknown_of_blocks}
            vars(new).update(deepcopy(kept), _max_tokens=self._max_tokens)
            self._blocks.fence(
                f"session {shown(self.session_id)} goes on under {shown(agent_id)}, epoch {new.epoch}: "
                f"here, epoch {self.epoch}, nothing changes any more"
            )
            return new

    def _adopt(self, blocks: BlockSet) -> BlockSet:
        blocks.lock = self.lock
        return blocks

    def __setattr__(self, name: str, value: object) -> None:
        if name not in ("agent_id", "trace_id"):
            super().__setattr__(name, value)
            return
        check_id(name, value)
        if "_first_version" not in vars(self):
            super().__setattr__(name, value)
        elif value != getattr(self, name):
            with self._blocks.settled():
                self._blocks.check_open()
                super().__setattr__(name, value)
                self._first_version += 1

    def __getstate__(self) -> dict[str, Any]:
        with self._blocks.settled():
            state = {name: value for name, value in vars(self).items() if name != "lock"}
            # As they are for the version, which begins anew where this is loaded.
            version = self.version
            state.update(
                _first_version=version, _operation=(version, self.operation_id), _sender=(version, self.sender)
            )
            return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, lock=RLock())
        self._adopt(self._blocks)
        # The state has the version itself: the loaded set begins to count its changes anew.
        self._first_version -= self._blocks.revision

    @property
    def blocks(self) -> BlockSet:
        """The blocks; assigning any iterable of blocks checks and copies them, then replaces all."""
        return self._blocks

    @blocks.setter
    def blocks(self, blocks: Iterable[ContextBlock]) -> None:
        # Before the lock: the blocks may be those of another session, which has one of its own.
        new = BlockSet(list(blocks), counter=self._blocks.counter)
        with self._blocks.settled():
            self._blocks.check_open()
            version = self.version
            self._blocks = self._adopt(new)
            self._first_version = version + 1 - new.revision

    @property
    def counter(self) -> str:
        """Name of what counts the tokens; the counter itself is `blocks.counter`."""
        return self._blocks.counter.name

    @property
    def version(self) -> int:
        """Raised by every change."""
        return self._first_version + self._blocks.revision

    @property
    def operation_id(self) -> str:
        """Id of the last change, by which a replay is known."""
        with self._blocks.settled():
            version = self.version
            if self._operation[0] != version:
                self._operation = (version, uuid.uuid4().hex)
            return self._operation[1]

    @property
    def sender(self) -> str | None:
        """The agent that handed it over, as long as nobody has changed it; None where it is its agent's own."""
        with self._blocks.settled():
            version, sender = self._sender
            return sender if version == self.version else None

    def keep_version(self, version: int) -> None:
        """Say that what was changed since is no newer than what came as that version; it is another operation."""
        with self._blocks.settled():
            if self.version != version:
                self.stand_at(version, uuid.uuid4().hex)

    def stand_at(self, version: int, operation_id: str, sender: str | None = None) -> None:
        """Say that what it is now is that version, made by that operation, and handed over by that agent."""
        with self._blocks.settled():
            self._first_version += version - self.version
            self._operation = (version, operation_id)
            self._sender = (version, sender)

    @property
    def author(self) -> str:
        """The agent who answers for the package as it is: its sender, else its own."""
        sender = self.sender
        return self.agent_id if sender is None else sender

    @property
    def content_hash(self) -> str:
        """BLAKE3 over the blocks in their order, 64 hexadecimal digits; token counts and origins are not in it."""
        return self._blocks.content_hash

    @property
    def as_parent(self) -> Parent:
        """What a package that is made from this one says of it."""
        with self._blocks.settled():
            return Parent(self.session_id, self.version, self.content_hash)

    @property
    def unknown_fields(self) -> bytes:
        """Fields of the message it was read from that this version does not know, as they came."""
        return self._unknown_bytes

    @property
    def metrics(self) -> ContextMetrics:
        """How full the session is now, against the budget of the last `calculate_metrics`, 8,192 before that."""
        return self._blocks.metrics(self._max_tokens)

    def calculate_metrics(self, max_tokens: int = 8192) -> ContextMetrics:
        """Measure against a budget, which `metrics` uses from then on; takes the same time for any size.

        Raises:
            ValidationError: `max_tokens` is no whole number from 1 up.
        """
        metrics = self._blocks.metrics(max_tokens)
        self._max_tokens = max_tokens
        return metrics

    def to_dict(self) -> dict[str, Any]:
        """Return the package as JSON values, sharing nothing with it; keys that `from_dict` did not know are back."""
        with self._blocks.settled():
            metrics = self.metrics
            unknown = self._unknown_of_blocks
            return {
                "session_id": self.session_id,
                "agent_id": self.agent_id,
                "blocks": [dict_of(f, unknown.get((f[0], f[5]), {})) for f in self._blocks.to_fields()],
                "metrics": {
                    "total_tokens": metrics.total_tokens,
                    "context_saturation": metrics.context_saturation,
                    "type_distribution": metrics.type_distribution,
                },
                **self._header(),
                "parents": [
                    {"session_id": p.session_id, "version": p.version, "content_hash": p.content_hash}
                    for p in self.parents
                ],
                **({} if self.sender is None else {"sender": self.sender}),
                **deepcopy(self._unknown),
            }

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        *,
        strict: bool = False,
        counter: str | TokenCounter | None = None,
        counts: Counts = "believe",
        limits: Limits = DEFAULT,
    ) -> Self:
        """Make a package of what `to_dict` wrote.

        Args:
            data: the dict; missing `metadata`, `timestamp`, `token_count` and `references` mean what they mean in
                `ContextBlock`, and a missing `version` means 1.
            strict: True refuses keys that are not known, False keeps them for `to_dict`.
            counter: what counts tokens; None for the one that the dict names.
            counts: "believe" takes the token counts of the dict if its counter is the same, "recount" none.
            limits: of its blocks and the ids of its header.

        Raises:
            ValidationError: a key is missing, not known (strict), or its value is outside its limits.
        """
        are_believed = believes(counts)
        values = checked_keys("package", data, PACKAGE_KEYS, strict=strict)
        named = values.get("counter", DEFAULT_ENCODING)
        items = need("package", values, "blocks")
        if not isinstance(items, list | tuple):
            raise ValidationError(f"blocks {shown(items)} is {type(items).__name__}, not a list")
        if len(items) > limits.package_blocks:
            raise ValidationError(f"package has {len(items)} blocks, over {limits.package_blocks}")
        package = cls(
            need("package", values, "session_id"),
            need("package", values, "agent_id"),
            version=values.get("version", 1),
            trace_id=values.get("trace_id"),
            counter=named if counter is None else counter,
            operation_id=values.get("operation_id"),
            parents=_parents(values.get("parents", ())),
            hops=values.get("hops", 0),
            epoch=values.get("epoch", 0),
            sender=values.get("sender"),
        )
        _check_ids(values, limits)
        believed = are_believed and named == package.counter
        package._blocks.extend([block_of(i, item, believed=believed, strict=strict) for i, item in enumerate(items)])
        package._blocks.check_sizes(limits)
        package._first_version = values.get("version", 1) - package._blocks.revision
        package._unknown = unknown_of("package", data, PACKAGE_KEYS)
        for i, (fields, item) in enumerate(zip(package._blocks.to_fields(), items, strict=True)):
            if unknown := unknown_of(f"blocks[{i}]", item, BLOCK_KEYS):
                package._unknown_of_blocks[fields[0], fields[5]] = unknown
        return package

    def to_json(self) -> str:
        """Return the package as JSON text, without blanks; NaN cannot occur in it."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(
        cls,
        data: str | bytes,
        *,
        strict: bool = False,
        counter: str | TokenCounter | None = None,
        counts: Counts = "believe",
        limits: Limits = DEFAULT,
    ) -> Self:
        """Make a package of what `to_json` wrote.

        Args:
            data: the text, or its bytes in UTF-8.
            strict: as in `from_dict`.
            counter: as in `from_dict`.
            counts: as in `from_dict`.
            limits: of the text and its blocks.

        Raises:
            ValidationError: it is no JSON, a key comes twice, or as in `from_dict`.
        """
        if not isinstance(data, str | bytes):
            raise ValidationError(f"data {shown(data)} is {type(data).__name__}, not str or bytes")
        return cls.from_dict(parse(data, limits=limits), strict=strict, counter=counter, counts=counts, limits=limits)

    def to_protobuf(self, *, limits: Limits = DEFAULT) -> bytes:
        """Return the message `ContextPackage` of `proto/pycontext/context.proto`, for readers of any language.

        Raises:
            ValidationError: there are more blocks or bytes than `limits` let anybody read again.
        """
        return self._encoded(limits, None)

    @classmethod
    def from_protobuf(
        cls,
        data: bytes,
        *,
        counter: str | TokenCounter | None = None,
        counts: Counts = "believe",
        limits: Limits = DEFAULT,
    ) -> Self:
        """Make a package of a message `ContextPackage`; fields that are not known are back in `to_protobuf`.

        Args:
            data: the message.
            counter: what counts tokens; None for the one that the message names.
            counts: "believe" takes the token counts of the message if it names the same counter, "recount" none.
            limits: of the message and its blocks.

        Raises:
            ValidationError: it is no such message, or outside its limits.
            PluginError: the counter raised or returned what it must not.
        """
        return cls._decoded(data, counter, counts, limits, is_envelope=False)

    def to_bytes(self, *, compress: Literal["none", "zstd"] = "none", limits: Limits = DEFAULT) -> bytes:
        """Return the message in an envelope for storing and sending, in which every flipped bit is found.

        Args:
            compress: "zstd" where it makes the message smaller.
            limits: as in `to_protobuf`.

        Raises:
            ValidationError: there are more blocks or bytes than `limits` let anybody read again.
        """
        return self._encoded(limits, zstd_of(compress))

    @classmethod
    def from_bytes(
        cls,
        data: bytes,
        *,
        counter: str | TokenCounter | None = None,
        counts: Counts = "believe",
        limits: Limits = DEFAULT,
    ) -> Self:
        """Make a package of what `to_bytes` wrote.

        Args:
            data: the envelope.
            counter: as in `from_protobuf`.
            counts: as in `from_protobuf`.
            limits: of the message and its blocks; nothing larger is decompressed.

        Raises:
            ValidationError: it is no envelope, was changed or cut off, or as in `from_protobuf`.
        """
        return cls._decoded(data, counter, counts, limits, is_envelope=True)

    def _encoded(self, limits: Limits, compress: bool | None) -> bytes:
        with self._blocks.settled():
            # It may have risen past what the wire can say.
            check_tokens("version", self.version, least=1, most=_MOST)
            return self._blocks.encoded(self.to_header(), self.metrics, limits, compress)

    @classmethod
    def _decoded(
        cls, data: bytes, counter: str | TokenCounter | None, counts: Counts, limits: Limits, *, is_envelope: bool
    ) -> Self:
        header, blocks = BlockSet.decoded(data, counter, counts, limits, is_envelope=is_envelope)
        _check_ids(header, limits)
        return cls.over(blocks, **header_of(header))

    def to_header(self) -> dict[str, Any]:
        """Return all but the blocks, as the core writes it."""
        return {
            **self._header(),
            "session_id": self.session_id,
            "agent_id": self.agent_id,
            "parents": [(p.session_id, p.version, bytes.fromhex(p.content_hash)) for p in self.parents],
            "sender": self.sender or "",
            "unknown": self._unknown_bytes,
        }

    def _header(self) -> dict[str, Any]:
        """What JSON and protobuf write alike."""
        return {
            "version": self.version,
            "trace_id": self.trace_id,
            "counter": self.counter,
            "operation_id": self.operation_id,
            "hops": self.hops,
            "epoch": self.epoch,
        }

    def __repr__(self) -> str:
        return f"<ContextPackage {self.session_id}: {len(self._blocks)} blocks>"


def check_hash(name: str, value: object) -> None:
    """Raise `ValidationError` unless a value is a content hash."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ValidationError(f"{name} {shown(value)} is not 64 hexadecimal digits")


def check_package(name: str, value: object) -> None:
    """Raise `ValidationError` unless a value is a package."""
    if not isinstance(value, ContextPackage):
        raise ValidationError(f"{name} {shown(value)} is {type(value).__name__}, not a ContextPackage")


def check_session_id(session_id: object) -> None:
    """Raise `ValidationError` unless the id is safe in a store's key, in a path and in a log line."""
    check_id("session_id", session_id)
    if not _SESSION_ID.fullmatch(str(session_id)):
        raise ValidationError(
            f"session_id {shown(session_id)} is not made of letters, digits and _ . @ : + = ~ -, "
            "or starts with one of the marks but _"
        )


def header_of(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the core has read besides the blocks, as `ContextPackage.over` takes it."""
    return {
        "session_id": header["session_id"],
        "agent_id": header["agent_id"],
        # proto3 writes no zeros: what nobody wrote is none.
        "version": header["version"] or 1,
        "trace_id": header["trace_id"] or None,
        "operation_id": header["operation_id"] or None,
        "parents": [Parent(session, version, hashed.hex()) for session, version, hashed in header["parents"]],
        "hops": header["hops"],
        "epoch": header["epoch"],
        "sender": header["sender"] or None,
        "unknown_fields": header["unknown"],
    }


def _check_ids(header: Mapping[str, Any], limits: Limits) -> None:
    """Hold the ids of a header to limits that are stricter than the defaults; what is no str is refused elsewhere."""
    for name in ("session_id", "agent_id", "trace_id", "operation_id", "sender", "counter"):
        value = header.get(name)
        size = len(value.encode(errors="replace")) if isinstance(value, str) else 0
        if size > limits.id_bytes:
            raise ValidationError(f"{name} {shown(value)} is {size} bytes, over {limits.id_bytes}")


def _parents(items: object) -> list[Parent]:
    if not isinstance(items, list | tuple):
        raise ValidationError(f"parents {shown(items)} is {type(items).__name__}, not a list")
    keys = ("session_id", "version", "content_hash")
    parents = []
    for i, item in enumerate(items):
        values = checked_keys(f"parents[{i}]", item, keys, strict=False)
        parents.append(Parent(*(need(f"parents[{i}]", values, key) for key in keys)))
    return parents
