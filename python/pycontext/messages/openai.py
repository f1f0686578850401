"""OpenAI chat messages to blocks and back, without loss.

A message becomes one block. Its text is the block's content; the other fields are kept in the metadata as JSON, under
their names with the prefix `openai.`. A message in the plain form (role and text first, the role that belongs to the
block's type) stores only what follows; of any other message the metadata holds every field, in order, and `true` where
the text stands.

A result is paired with its call by order of occurrence: the last call before it of that id that has no result yet.
Clients repeat ids (in 25 of 100 recorded conversations), so the id alone would tie results to the wrong call.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pycontext._core import escape
from pycontext.block import ContextBlock, ContextType
from pycontext.errors import ValidationError, shown

__all__ = ["from_blocks", "to_blocks"]

_TYPE_OF_ROLE: Final = {
    "system": ContextType.SYSTEM,
    "developer": ContextType.SYSTEM,
    "user": ContextType.USER,
    "assistant": ContextType.AGENT,
    "tool": ContextType.TOOL,
    "function": ContextType.TOOL,
}
_ROLE_OF_TYPE: Final = {
    ContextType.SYSTEM: "system",
    ContextType.USER: "user",
    ContextType.AGENT: "assistant",
    ContextType.TOOL: "tool",
}
# The article's scores for blocks of these types.
_SCORE_OF_TYPE: Final = {
    ContextType.SYSTEM: 1.0,
    ContextType.USER: 0.9,
    ContextType.AGENT: 0.9,
    ContextType.TOOL: 0.8,
}
_PREFIX: Final = "openai."
# One encoder for all: json.dumps makes a new one in every call with options.
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_ROLE: Final = "openai.role"
_CONTENT: Final = "openai.content"
_CALL_ID: Final = "openai.tool_call_id"
_RESULT_ROLES: Final = ('"tool"', '"function"')


def to_blocks(
    messages: Iterable[Mapping[str, Any]], *, start: int = 0, after: Sequence[ContextBlock] = ()
) -> list[ContextBlock]:
    """Turn chat messages into blocks with the ids `m0`, `m1`, ...

    Args:
        messages: OpenAI chat messages, of any length.
        start: number of the first message. Timestamps are these numbers: later messages are newer, and the same input
            gives the same blocks.
        after: blocks of the messages that these continue, so that results find the calls that wait there. Give it
            whenever a conversation is turned into blocks piece by piece.

    Returns:
        One block a message, in order.

    Raises:
        ValidationError: a message is no dict with a known role, its content is neither str, list nor null, or a field
            is no JSON; the error says which one.
    """
    if isinstance(messages, str | Mapping) or not isinstance(messages, Iterable):
        raise ValidationError(f"messages {shown(messages)} is {type(messages).__name__}, not a list of dicts")
    blocks: list[ContextBlock] = []
    # Blocks that made a call without a result yet, the last one at the end, by the call's id.
    waiting = _waiting(after)
    for index, message in enumerate(messages):
        block_id = f"m{start + index}"
        try:
            kind, content, metadata = _read(message)
            references: list[str] = []
            if kind is ContextType.TOOL:
                calls = waiting[_answered(message)]
                # An id that no block has says that the call is not here.
                references = [calls.pop() if calls else f"{block_id}.call"]
            elif kind is ContextType.AGENT:
                for call in _calls(message):
                    waiting[call].append(block_id)
            score = _SCORE_OF_TYPE[kind]
            block = ContextBlock(block_id, content, score, kind, metadata, start + index, references=references)
        except ValidationError as error:
            raise ValidationError(f"messages[{index}]: {error}") from None
        blocks.append(block)
    return blocks


def from_blocks(blocks: Iterable[ContextBlock]) -> list[dict[str, Any]]:
    """Turn blocks into chat messages.

    A block that came from a message becomes that message again; where its content was edited, the edit wins. Of other
    blocks, SYSTEM, USER and AGENT become messages of their role; MEMORY, KNOWLEDGE and TOOL become user messages under
    a header such as `[MEMORY]`, because no role of the API fits them.

    Raises:
        ValidationError: a metadata value under `openai.` is not JSON.
    """
    if not isinstance(blocks, Iterable):
        raise ValidationError(f"blocks {shown(blocks)} is {type(blocks).__name__}, not a sequence of blocks")
    return [_write(block.id, block.type, block.content, block.metadata) for block in blocks]


def from_fields(fields: Sequence[Any]) -> dict[str, Any]:
    """Turn the fields of a block, in the order of `ContextBlock` and the type by its number, into a chat message.

    Raises:
        ValidationError: a metadata value under `openai.` is not JSON.
    """
    block_id, content, _, number, metadata, *_ = fields
    return _write(block_id, ContextType(number), content, metadata)


def _read(message: Mapping[str, Any]) -> tuple[ContextType, str, dict[str, str]]:
    if not isinstance(message, Mapping):
        raise ValidationError(f"{shown(message)} is {type(message).__name__}, not a dict")
    role = message.get("role")
    kind = _TYPE_OF_ROLE.get(role) if isinstance(role, str) else None
    if kind is None:
        raise ValidationError(f"role {shown(role)} is not one of {', '.join(_TYPE_OF_ROLE)}")
    content = message.get("content")
    fields = list(message.items())
    is_plain = (
        isinstance(content, str)
        and role == _ROLE_OF_TYPE[kind]
        and [key for key, _ in fields[:2]] == ["role", "content"]
        and (kind is not ContextType.TOOL or "tool_call_id" in message)
    )
    metadata = {f"{_PREFIX}{key}": _dump(key, value) for key, value in fields[2 if is_plain else 0 :]}
    if isinstance(content, str):
        if not is_plain:
            metadata[_CONTENT] = "true"
        return kind, content, metadata
    if isinstance(content, list):
        return kind, _text_of(content), metadata
    if content is None:
        return kind, "", metadata
    raise ValidationError(f"content {shown(content)} is {type(content).__name__}, not str, list or null")


def _waiting(blocks: Sequence[ContextBlock]) -> defaultdict[str, list[str]]:
    """Calls without a result among blocks that came from messages."""
    waiting: defaultdict[str, list[str]] = defaultdict(list)
    for block in blocks:
        message = _write(block.id, block.type, block.content, block.metadata)
        if block.type is ContextType.AGENT:
            for call in _calls(message):
                waiting[call].append(block.id)
        elif block.type is ContextType.TOOL and message["role"] in ("tool", "function"):
            calls = waiting[_answered(message)]
            for call in block.references:
                if call in calls:
                    calls.remove(call)
    return waiting


def _write(block_id: str, kind: ContextType, text: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    role = _ROLE_OF_TYPE.get(kind)
    is_result = _CALL_ID in metadata or metadata.get(_ROLE) in _RESULT_ROLES
    if role is None or (kind is ContextType.TOOL and not is_result):
        return {"role": "user", "content": f"[{kind.name}]\n{escape(text)}"}
    message: dict[str, Any] = {}
    if _ROLE not in metadata:
        message = {"role": role, "content": text}
    for key, value in metadata.items():
        if key.startswith(_PREFIX):
            message[key.removeprefix(_PREFIX)] = _load(block_id, key, value)
    written = message.get("role")
    if not isinstance(written, str) or _TYPE_OF_ROLE.get(written) is not kind:
        # The block's type was edited after it was read.
        message["role"] = role
    if _CONTENT in metadata:
        message["content"] = _edited(message["content"], text)
    elif text:
        message["content"] = text
    return message


def _edited(raw: Any, content: str) -> Any:
    """What the message's content becomes: as it was read, unless the block's content says otherwise."""
    if not isinstance(raw, list):
        return content if raw is True or content else raw
    if _text_of(raw) == content:
        return raw
    others = [part for part in raw if not _is_text(part)]
    at = next((i for i, part in enumerate(raw) if _is_text(part)), 0)
    return [*raw[:at], {"type": "text", "text": content}, *others[at:]]


def _text_of(parts: list[Any]) -> str:
    return "\n".join(part["text"] for part in parts if _is_text(part))


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _calls(message: Mapping[str, Any]) -> list[str]:
    """Names under which the results of a message's calls will come."""
    calls = message.get("tool_calls")
    found = [_key("tool", call.get("id")) for call in _dicts(calls)]
    function = message.get("function_call")
    return found + [_key("function", call.get("name")) for call in _dicts([function])]


def _answered(message: Mapping[str, Any]) -> str:
    """Name under which the call of a result was noted."""
    if message["role"] == "function":
        return _key("function", message.get("name"))
    return _key("tool", message.get("tool_call_id"))


def _dicts(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _key(role: str, name: object) -> str:
    return f"{role} {name!r}"


def _dump(key: object, value: object) -> str:
    """A field as JSON, from which just this field comes back."""
    if not isinstance(key, str):
        raise ValidationError(f"key {shown(key)} is {type(key).__name__}, not str")
    try:
        text = _ENCODE(value)
        # Tuples and keys that are no strings have a JSON, but not one of their own.
        is_same = isinstance(value, str) or json.loads(text) == value
    except (TypeError, ValueError, RecursionError) as error:
        raise ValidationError(f"{key} {shown(value)} is not JSON: {type(error).__name__}") from None
    if not is_same:
        raise ValidationError(f"{key} {shown(value)} does not come back from JSON as it is")
    return text


def _load(block_id: str, key: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValidationError(
            f"block {shown(block_id)}: {key} {shown(value)} is not JSON: {type(error).__name__}"
        ) from None
