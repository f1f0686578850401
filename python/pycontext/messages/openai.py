"""OpenAI chat messages to blocks and back, without loss.

A message becomes one block. Its text is the block's content; the other fields are kept in the metadata as JSON, under
their names with the prefix `openai.`. A message in the plain form (role and text first, the role that belongs to the
block's type) stores only what follows; of any other message the metadata holds every field, in order, and `true` where
the text stands.

A result is paired with its call by order of occurrence: the last call before it of that id that has no result yet.
Clients repeat ids (in 25 of 100 recorded conversations), so the id alone would tie results to the wrong call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any, Final

from pycontext._core import escape, header
from pycontext.block import ContextBlock, ContextType
from pycontext.errors import ValidationError, shown
from pycontext.messages.calls import Waiting, answered_by, calls_of
from pycontext.messages.fields import (
    ROLE_OF_TYPE,
    SCORE_OF_TYPE,
    TYPE_OF_ROLE,
    Slot,
    checked_blocks,
    checked_list,
    checked_role,
    dump,
    load,
    put,
    text_slots,
)
from pycontext.messages.translation import as_chat, is_foreign

__all__ = ["from_blocks", "to_blocks"]

_TYPE_OF_ROLE: Final = {**TYPE_OF_ROLE, "tool": ContextType.TOOL, "function": ContextType.TOOL}
_ROLE_OF_TYPE: Final = {**ROLE_OF_TYPE, ContextType.TOOL: "tool"}
_PREFIX: Final = "openai."
_ROLE: Final = "openai.role"
_CONTENT: Final = "openai.content"
_CALL_ID: Final = "openai.tool_call_id"
# Members of an Enum are slow to ask for.
_AGENT: Final = ContextType.AGENT
_TOOL: Final = ContextType.TOOL
# Roles that belong to a type, and the fields of a message that has nothing but a text.
_PLAIN_ROLES: Final = frozenset(_ROLE_OF_TYPE.values())
_PLAIN: Final = ["role", "content"]
_PLAIN_FIELDS: Final = len(_PLAIN)
_NO_REFERENCES: Final[list[str]] = []
_RESULTS: Final = ("tool", "function")
_CALLS: Final = frozenset(("tool_calls", "function_call"))
_RESULT_ROLES: Final = ('"tool"', '"function"')


# What a message says, as fields of a block: its number, type, content, metadata and references.
Fields = tuple[int, ContextType, str, dict[str, str], list[str]]


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
    waiting = waiting_in(after)
    return [_block(fields, start) for fields in read(messages, start, waiting)]


def tied(messages: Iterable[Mapping[str, Any]], start: int, waiting: Waiting) -> dict[int, list[str]]:
    """Return the references of results by number, of messages that `read` would read; what is none is passed over."""
    found = {}
    for number, message in enumerate(messages, start):
        role = message.get("role")
        if role == "assistant":
            if not _CALLS.isdisjoint(message):
                waiting.call(f"m{number}", calls_of(message))
        elif role in _RESULTS:
            found[number] = waiting.answer(f"m{number}", answered_by(message))
    return found


def read(messages: Iterable[Mapping[str, Any]], start: int, waiting: Waiting) -> Iterator[Fields]:
    """Read chat messages as `to_blocks` does, one after the other; makes no block of them.

    Raises:
        ValidationError: a message is none; the error says which one.
    """
    for number, message in enumerate(checked_list("messages", messages), start):
        try:
            kind, content, metadata = _read(message)
            references = _NO_REFERENCES
            if kind is _TOOL:
                references = waiting.answer(f"m{number}", answered_by(message))
            elif kind is _AGENT and not _CALLS.isdisjoint(message):
                waiting.call(f"m{number}", calls_of(message))
        except ValidationError as error:
            raise ValidationError(f"messages[{number - start}]: {error}") from None
        yield number, kind, content, metadata, references


def from_blocks(blocks: Iterable[ContextBlock]) -> list[dict[str, Any]]:
    """Turn blocks into chat messages.

    A block that came from a message becomes that message again; where its content was edited, the edit wins. Of other
    blocks, SYSTEM, USER and AGENT become messages of their role; MEMORY, KNOWLEDGE and TOOL become user messages under
    a header such as `[MEMORY]`, because no role of the API fits them; with an `origin`, the header says that they are
    data.

    Blocks of the Anthropic and Responses adapters are translated: texts, images, calls and results. Thinking and
    reasoning, which only the model that wrote them can read, stay behind, and so do marks such as `cache_control` and
    `is_error`. Other parts become texts that hold their JSON. An image in a result becomes the text `[image]`, because
    a tool message of the API holds text alone.

    Raises:
        ValidationError: a metadata value under `openai.` or `anthropic.` is not JSON.
    """
    return [
        _write(block.id, block.type, block.content, block.metadata, block.origin) for block in checked_blocks(blocks)
    ]


def waiting_in(blocks: Iterable[ContextBlock]) -> Waiting:
    """Return the calls without a result among blocks that came from messages of any format."""
    waiting = Waiting()
    for block in blocks:
        message = chat_of(block.id, block.type, block.content, block.metadata)
        if message is None:
            continue
        if block.type is ContextType.AGENT:
            waiting.call(block.id, calls_of(message))
        elif block.type is ContextType.TOOL:
            waiting.was_answered(answered_by(message), block.references)
    return waiting


def from_fields(fields: Sequence[Any]) -> dict[str, Any]:
    """Turn the fields of a block, in the order of `ContextBlock` and the type by its number, into a chat message.

    Raises:
        ValidationError: a metadata value under `openai.` or `anthropic.` is not JSON.
    """
    block_id, content, _, number, metadata, *_, origin = fields
    return _write(block_id, ContextType(number), content, metadata, origin)


def _block(fields: Fields, start: int) -> ContextBlock:
    number, kind, content, metadata, references = fields
    try:
        return ContextBlock(
            f"m{number}", content, SCORE_OF_TYPE[kind], kind, metadata, number, references=list(references)
        )
    except ValidationError as error:
        raise ValidationError(f"messages[{number - start}]: {error}") from None


def _read(message: Mapping[str, Any]) -> tuple[ContextType, str, dict[str, str]]:
    kind = checked_role(message, _TYPE_OF_ROLE)
    content = message.get("content")
    keys = list(message)
    is_plain = (
        isinstance(content, str)
        and keys[:_PLAIN_FIELDS] == _PLAIN
        and message["role"] in _PLAIN_ROLES
        and (kind is not _TOOL or "tool_call_id" in message)
    )
    metadata = {}
    for key in keys[_PLAIN_FIELDS:] if is_plain else keys:
        value = message[key]
        # Most fields are texts and null: a call each would take longer than they do.
        if type(value) is str and type(key) is str:
            metadata[_PREFIX + key] = encode_basestring(value)
        elif value is None and type(key) is str:
            metadata[_PREFIX + key] = "null"
        else:
            metadata[f"{_PREFIX}{key}"] = dump(key, value)
    if isinstance(content, str):
        if not is_plain:
            metadata[_CONTENT] = "true"
        return kind, content, metadata
    if isinstance(content, list):
        return kind, "\n".join(slot.owner["text"] for slot in _slots(content)), metadata
    if content is None:
        return kind, "", metadata
    raise ValidationError(f"content {shown(content)} is {type(content).__name__}, not str, list or null")


def _write(
    block_id: str, kind: ContextType, text: str, metadata: Mapping[str, str], origin: str | None
) -> dict[str, Any]:
    message = chat_of(block_id, kind, text, metadata)
    if message is None:
        return {"role": "user", "content": under_header(kind, text, origin)}
    if message["role"] == "tool" and is_foreign(metadata) and isinstance(message["content"], list):
        parts = message["content"]
        message["content"] = [part if part["type"] == "text" else {"type": "text", "text": "[image]"} for part in parts]
    return message


def under_header(kind: ContextType, text: str, origin: str | None) -> str:
    """Return what a user message says of a block that no role fits; what came from others is marked as data."""
    return header(kind.value, origin is not None) + escape(text)


def chat_of(block_id: str, kind: ContextType, text: str, metadata: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the fields of a block as a chat message; None where no role of the API fits it.

    Raises:
        ValidationError: a metadata value under `openai.` or `anthropic.` is not JSON.
    """
    role = _ROLE_OF_TYPE.get(kind)
    if role is not None and is_foreign(metadata):
        return as_chat(block_id, kind, text, metadata)
    is_result = _CALL_ID in metadata or metadata.get(_ROLE) in _RESULT_ROLES
    if role is None or (kind is ContextType.TOOL and not is_result):
        return None
    message: dict[str, Any] = {}
    if _ROLE not in metadata:
        message = {"role": role, "content": text}
    for key, value in metadata.items():
        if key.startswith(_PREFIX):
            message[key.removeprefix(_PREFIX)] = load(block_id, key, value)
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
    if not put(raw, content, _slots):
        raw.insert(0, {"type": "text", "text": content})
    return raw


def _slots(parts: list[Any]) -> list[Slot]:
    return [slot for slot in text_slots(parts) if isinstance(slot.owner["text"], str)]
