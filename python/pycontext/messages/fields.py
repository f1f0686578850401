"""What all message adapters do: keep a provider's fields in the metadata, with the readable text in the content.

A provider's field is JSON under its prefix. The text is not kept twice: where the content of a block is the text of one
place in such a field, `true` stands in that place, which is the text of no message.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from pycontext.block import ContextType
from pycontext.errors import ValidationError, shown

# Roles that every API has, and those of OpenAI; for tools each has its own.
ROLE_OF_TYPE: Final = {ContextType.SYSTEM: "system", ContextType.USER: "user", ContextType.AGENT: "assistant"}
TYPE_OF_ROLE: Final = {
    "system": ContextType.SYSTEM,
    "developer": ContextType.SYSTEM,
    "user": ContextType.USER,
    "assistant": ContextType.AGENT,
}
# The article's scores for blocks of these types.
SCORE_OF_TYPE: Final = {
    ContextType.SYSTEM: 1.0,
    ContextType.USER: 0.9,
    ContextType.AGENT: 0.9,
    ContextType.TOOL: 0.8,
}

# One encoder for all: json.dumps makes a new one in every call with options.
encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Slot(NamedTuple):
    """A place in a field where readable text stands, or `true` for the content of the block."""

    owner: dict[str, Any]
    key: str
    siblings: list[Any] | None
    """The list that the owner leaves when its text is taken away; None where an empty text may stand."""

    def write(self, text: str) -> None:
        """Put a text here, or take away what is here."""
        if text or self.siblings is None:
            self.owner[self.key] = text
        else:
            self.siblings[:] = [other for other in self.siblings if other is not self.owner]


Slots = Callable[[list[Any]], list[Slot]]


def checked_list(name: str, values: object) -> Iterable[Any]:
    """Return what an adapter was given, which must be a list of messages or items.

    Raises:
        ValidationError: it is something else.
    """
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise ValidationError(f"{name} {shown(values)} is {type(values).__name__}, not a list of dicts")
    return values


def checked_blocks(blocks: object) -> Iterable[Any]:
    """Return what is to be rendered, which must be a sequence of blocks.

    Raises:
        ValidationError: it is something else.
    """
    if not isinstance(blocks, Iterable):
        raise ValidationError(f"blocks {shown(blocks)} is {type(blocks).__name__}, not a sequence of blocks")
    return blocks


def checked_role(message: object, types: Mapping[str, ContextType]) -> ContextType:
    """Return the type that belongs to the role of a message.

    Raises:
        ValidationError: it is no dict, or its role is none of `types`.
    """
    if type(message) is not dict and not isinstance(message, Mapping):
        raise ValidationError(f"{shown(message)} is {type(message).__name__}, not a dict")
    role = message.get("role")
    kind = types.get(role) if isinstance(role, str) else None
    if kind is None:
        raise ValidationError(f"role {shown(role)} is not one of {', '.join(types)}")
    return kind


def checked_dict(name: str, value: object) -> dict[str, Any]:
    """Return a part of a message, which must be an object with a type.

    Raises:
        ValidationError: it is something else; the error begins with `name`.
    """
    if not isinstance(value, dict):
        raise ValidationError(f"{name} {shown(value)} is {type(value).__name__}, not a dict")
    checked_str(f"{name}.type", value.get("type"))
    return value


def checked_str(name: str, value: object) -> str:
    """Return a value that must be a string.

    Raises:
        ValidationError: it is something else; the error begins with `name`.
    """
    if not isinstance(value, str):
        raise ValidationError(f"{name} {shown(value)} is {type(value).__name__}, not str")
    return value


def dump(key: object, value: object) -> str:
    """Return a field as JSON from which just this field comes back.

    Raises:
        ValidationError: the key is no string, or there is no such JSON.
    """
    if type(key) is str:
        try:
            if is_own_json(value):
                return encode(value)
        except (TypeError, ValueError, RecursionError):
            # Said below.
            pass
    return _dumped(key, value)[0]


def load(block_id: str, key: str, value: str) -> Any:
    """Return a field of a block.

    Raises:
        ValidationError: the value is not JSON.
    """
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValidationError(
            f"block {shown(block_id)}: {key} {shown(value)} is not JSON: {type(error).__name__}"
        ) from None


def load_dicts(block_id: str, key: str, value: str) -> list[dict[str, Any]]:
    """Return a field of a block that holds a list of objects.

    Raises:
        ValidationError: it does not.
    """
    values = load(block_id, key, value)
    if not isinstance(values, list) or not all(isinstance(each, dict) for each in values):
        raise ValidationError(f"block {shown(block_id)}: {key} {shown(value)} is not a list of objects")
    return values


def pack(key: str, values: list[Any], slots: Slots) -> tuple[str, str]:
    """Return the readable text of a list, and the list as JSON without it where it stands in one place.

    Raises:
        ValidationError: there is no such JSON.
    """
    text, copy = _dumped(key, values)
    places = slots(copy)
    content = "\n".join(place.owner[place.key] for place in places)
    if len(places) == 1 and content:
        places[0].owner[places[0].key] = True
        text = encode(copy)
    return content, text


def put(values: list[Any], content: str, slots: Slots) -> bool:
    """Write the content of a block where its text stands in a list that was packed; an edited content wins.

    Returns:
        False when there is content and no place for it.
    """
    places = slots(values)
    texts = [place.owner[place.key] for place in places]
    if any(text is True for text in texts) or "\n".join(texts) != content:
        first = next((at for at, text in enumerate(texts) if text is True), 0)
        for at, place in enumerate(places):
            place.write(content if at == first else "")
    return bool(places) or not content


def text_slots(parts: object, types: tuple[str, ...] = ("text",)) -> list[Slot]:
    """Return the places of the texts in the parts of a message."""
    if not isinstance(parts, list):
        return []
    found = (part for part in parts if isinstance(part, dict) and part.get("type") in types)
    return [Slot(part, "text", parts) for part in found if is_text(part.get("text"))]


def is_text(value: object) -> bool:
    """Return whether a value is a text, or stands for the content of the block."""
    return isinstance(value, str) or value is True


def is_own_json(value: Any) -> bool:
    """Return whether a value certainly comes back from its JSON as it is: texts, numbers, lists and dicts of these."""
    kind = type(value)
    if kind is str or kind is bool or kind is int or kind is float or value is None:
        return True
    if kind is dict:
        for key, each in value.items():
            if type(key) is not str or not (type(each) is str or is_own_json(each)):
                return False
        return True
    return kind is list and all(map(is_own_json, value))


def _dumped(key: object, value: Any) -> tuple[str, Any]:
    """JSON, and what comes back from it."""
    if not isinstance(key, str):
        raise ValidationError(f"key {shown(key)} is {type(key).__name__}, not str")
    try:
        text = encode(value)
        copy = value if isinstance(value, str) else json.loads(text)
        # Tuples and keys that are no strings have a JSON, but not one of their own.
        is_same = copy == value
    except (TypeError, ValueError, RecursionError) as error:
        raise ValidationError(f"{key} {shown(value)} is not JSON: {type(error).__name__}") from None
    if not is_same:
        raise ValidationError(f"{key} {shown(value)} does not come back from JSON as it is")
    return text, copy
