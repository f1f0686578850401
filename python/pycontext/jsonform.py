"""Packages as JSON values: the keys, and what they must hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from pycontext.block import ContextBlock, ContextType, now_ms, restore
from pycontext.errors import ValidationError, shown

__all__ = ["BLOCK_KEYS", "PACKAGE_KEYS", "block_of", "checked_keys", "dict_of", "need", "unknown_of"]

PACKAGE_KEYS: Final = (
    "session_id", "agent_id", "blocks", "metrics", "version", "trace_id", "counter", "operation_id", "parents", "hops",
    "epoch", "sender",
)  # fmt: skip
BLOCK_KEYS: Final = (
    "id", "content", "relevance_score", "type", "metadata", "timestamp", "token_count", "references", "origin"
)  # fmt: skip


def dict_of(fields: tuple[Any, ...], unknown: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a block, the type by its number, as a dict; the origin only where there is one."""
    made = dict(zip(BLOCK_KEYS, fields, strict=True))
    made["type"] = ContextType(made["type"]).name
    if made["origin"] is None:
        del made["origin"]
    return {**made, **deepcopy(dict(unknown))} if unknown else made


def block_of(index: int, item: object, *, believed: bool, strict: bool) -> ContextBlock:
    """Make a block that a set has yet to check.

    Raises:
        ValidationError: a key is missing, or not known where that is refused, or the type is none.
    """
    where = f"blocks[{index}]"
    values = checked_keys(where, item, BLOCK_KEYS, strict=strict)
    name = need(where, values, "type")
    if not isinstance(name, str) or name not in ContextType.__members__:
        valid = ", ".join(ContextType.__members__)
        raise ValidationError(f"{where}.type {shown(name)} is not one of {valid}")
    timestamp = values.get("timestamp")
    return restore(
        (
            need(where, values, "id"),
            need(where, values, "content"),
            need(where, values, "relevance_score"),
            ContextType[name].value,
            values.get("metadata", {}),
            now_ms() if timestamp is None else timestamp,
            values.get("token_count") if believed else None,
            values.get("references", []),
            values.get("origin"),
        )
    )


def checked_keys(where: str, data: object, known: tuple[str, ...], *, strict: bool) -> Mapping[str, Any]:
    """Return a dict whose keys are str, and known where others are refused."""
    if not isinstance(data, Mapping):
        raise ValidationError(f"{where} {shown(data)} is {type(data).__name__}, not a dict")
    for key in data:
        if not isinstance(key, str):
            raise ValidationError(f"{where}: key {shown(key)} is {type(key).__name__}, not str")
        if strict and key not in known:
            raise ValidationError(f"{where}: key {shown(key)} is not one of {', '.join(known)}")
    return data


def need(where: str, values: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key that must be there."""
    if key not in values:
        raise ValidationError(f"{where}: key {key!r} is missing")
    return values[key]


def unknown_of(where: str, data: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """Return the keys that are not known, sharing nothing.

    Raises:
        ValidationError: JSON cannot say what they hold, so that nobody could write it again.
    """
    return {key: _copied(where, key, value) for key, value in data.items() if key not in known}


def _copied(where: str, key: str, value: Any) -> Any:
    try:
        text = json.dumps([key, value], ensure_ascii=False, allow_nan=False)
        text.encode()
    except RecursionError:
        raise ValidationError(f"{where}: key {shown(key)} is nested too deep") from None
    except (TypeError, ValueError):
        raise ValidationError(f"{where}: key {shown(key)} holds what JSON cannot say") from None
    return json.loads(text)[1]
