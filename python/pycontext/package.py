"""The ordered blocks of one session, with a version."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from copy import deepcopy
from threading import RLock
from typing import Any, Final, Literal

from pycontext._core import check_id
from pycontext.block import ContextBlock, ContextType, now_ms, restore
from pycontext.blockset import BlockSet
from pycontext.budget import check_tokens
from pycontext.counter import DEFAULT_ENCODING, TokenCounter, get_counter
from pycontext.errors import ValidationError, shown
from pycontext.metrics import ContextMetrics

__all__ = ["ContextPackage"]

# Letters, digits and a few marks: safe in a key of any store, in a path and in a log line.
_SESSION_ID: Final = re.compile(r"\w[\w.@:+=~-]*")
_PACKAGE_KEYS: Final = ("session_id", "agent_id", "blocks", "metrics", "version", "trace_id", "counter")
_BLOCK_KEYS: Final = (
    "id", "content", "relevance_score", "type", "metadata", "timestamp", "token_count", "references"
)  # fmt: skip


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

    Attributes:
        session_id: fixed.
        agent_id: may be written.
        trace_id: may be written.
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
    ) -> None:
        del metrics
        check_session_id(session_id)
        check_tokens("version", version, least=1, most=2**32 - 1)
        self.session_id: Final = session_id
        self.agent_id = agent_id
        self.trace_id = str(uuid.uuid4()) if trace_id is None else trace_id
        self.lock = RLock()
        self._max_tokens = 8192
        self._blocks = self._adopt(BlockSet(blocks, counter=counter))
        self._first_version = version - self._blocks.revision
        self._unknown: dict[str, Any] = {}
        # Of blocks as they came: by id and timestamp, so that a new block of an old id gets nothing of it.
        self._unknown_of_blocks: dict[tuple[str, int], dict[str, Any]] = {}

    def _adopt(self, blocks: BlockSet) -> BlockSet:
        blocks.lock = self.lock
        return blocks

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("agent_id", "trace_id"):
            check_id(name, value)
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        with self._blocks.settled():
            state = {name: value for name, value in vars(self).items() if name != "lock"}
            return {**state, "_first_version": self.version}

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
            version = self.version
            self._blocks = self._adopt(new)
            self._first_version = version + 1 - new.revision

    @property
    def counter(self) -> str:
        """Name of what counts the tokens; the counter itself is `blocks.counter`."""
        return self._blocks.counter.name

    @property
    def version(self) -> int:
        """Raised by every change of the blocks."""
        return self._first_version + self._blocks.revision

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
            return {
                "session_id": self.session_id,
                "agent_id": self.agent_id,
                "blocks": [self._block_dict(fields) for fields in self._blocks.to_fields()],
                "metrics": {
                    "total_tokens": metrics.total_tokens,
                    "context_saturation": metrics.context_saturation,
                    "type_distribution": metrics.type_distribution,
                },
                "version": self.version,
                "trace_id": self.trace_id,
                "counter": self.counter,
                **deepcopy(self._unknown),
            }

    def _block_dict(self, fields: tuple[Any, ...]) -> dict[str, Any]:
        id, content, score, kind, metadata, timestamp, tokens, references = fields
        return {
            "id": id,
            "content": content,
            "relevance_score": score,
            "type": ContextType(kind).name,
            "metadata": metadata,
            "timestamp": timestamp,
            "token_count": tokens,
            "references": references,
            **deepcopy(self._unknown_of_blocks.get((id, timestamp), {})),
        }

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        *,
        strict: bool = False,
        counter: str | TokenCounter | None = None,
        counts: Literal["believe", "recount"] = "believe",
    ) -> ContextPackage:
        """Make a package of what `to_dict` wrote.

        Args:
            data: the dict; missing `metadata`, `timestamp`, `token_count` and `references` mean what they mean in
                `ContextBlock`, and a missing `version` means 1.
            strict: True refuses keys that are not known, False keeps them for `to_dict`.
            counter: what counts tokens; None for the one that the dict names.
            counts: "believe" takes the token counts of the dict if its counter is the same, "recount" none.

        Raises:
            ValidationError: a key is missing, not known (strict), or its value is outside its limits.
        """
        values = _checked_keys("package", data, _PACKAGE_KEYS, strict)
        named = values.get("counter", DEFAULT_ENCODING)
        package = cls(
            _need("package", values, "session_id"),
            _need("package", values, "agent_id"),
            version=values.get("version", 1),
            trace_id=values.get("trace_id"),
            counter=get_counter(named) if counter is None else counter,
        )
        items = _need("package", values, "blocks")
        if not isinstance(items, list | tuple):
            raise ValidationError(f"blocks {shown(items)} is {type(items).__name__}, not a list")
        believed = counts == "believe" and named == package.counter
        package._blocks.extend([_block(i, item, believed, strict) for i, item in enumerate(items)])
        package._first_version = values.get("version", 1) - package._blocks.revision
        try:
            package._unknown = deepcopy(_unknown(data, _PACKAGE_KEYS))
            for fields, item in zip(package._blocks.to_fields(), items, strict=True):
                if unknown := _unknown(item, _BLOCK_KEYS):
                    package._unknown_of_blocks[fields[0], fields[5]] = deepcopy(unknown)
        except RecursionError:
            raise ValidationError("package: a key that is not known is nested too deep") from None
        return package

    def __repr__(self) -> str:
        return f"<ContextPackage {self.session_id}: {len(self._blocks)} blocks>"


def check_session_id(session_id: object) -> None:
    """Raise `ValidationError` unless the id is safe in a store's key, in a path and in a log line."""
    check_id("session_id", session_id)
    if not _SESSION_ID.fullmatch(str(session_id)):
        raise ValidationError(
            f"session_id {shown(session_id)} is not made of letters, digits and _ . @ : + = ~ -, "
            "or starts with one of the marks but _"
        )


def _block(index: int, item: object, believed: bool, strict: bool) -> ContextBlock:
    """A block that the set has yet to check."""
    where = f"blocks[{index}]"
    values = _checked_keys(where, item, _BLOCK_KEYS, strict)
    name = _need(where, values, "type")
    if not isinstance(name, str) or name not in ContextType.__members__:
        valid = ", ".join(ContextType.__members__)
        raise ValidationError(f"{where}.type {shown(name)} is not one of {valid}")
    timestamp = values.get("timestamp")
    return restore(
        (
            _need(where, values, "id"),
            _need(where, values, "content"),
            _need(where, values, "relevance_score"),
            ContextType[name].value,
            values.get("metadata", {}),
            now_ms() if timestamp is None else timestamp,
            values.get("token_count") if believed else None,
            values.get("references", []),
        )
    )


def _checked_keys(where: str, data: object, known: tuple[str, ...], strict: bool) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ValidationError(f"{where} {shown(data)} is {type(data).__name__}, not a dict")
    for key in data:
        if not isinstance(key, str):
            raise ValidationError(f"{where}: key {shown(key)} is {type(key).__name__}, not str")
        if strict and key not in known:
            raise ValidationError(f"{where}: key {shown(key)} is not one of {', '.join(known)}")
    return data


def _need(where: str, values: Mapping[str, Any], key: str) -> Any:
    if key not in values:
        raise ValidationError(f"{where}: key {key!r} is missing")
    return values[key]


def _unknown(data: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in known}
