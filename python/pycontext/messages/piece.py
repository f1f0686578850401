"""What a block says in an Anthropic request, wherever it came from."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from pycontext.block import ContextBlock, ContextType
from pycontext.errors import ValidationError, shown
from pycontext.messages.calls import chat_calls
from pycontext.messages.fields import ROLE_OF_TYPE, encode, load, load_dicts, put
from pycontext.messages.openai import chat_of, under_header
from pycontext.messages.translation import CONTENT, MESSAGE, OF, part_slots

_DATA_URL: Final = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)
_THINKING: Final = ("thinking", "redacted_thinking")


@dataclass(slots=True)
class Piece:
    """What a block says, and where it belongs."""

    block: ContextBlock
    role: str
    content: Any
    """Text or parts."""
    is_own: bool
    """Whether it came from a message of this API, or from no message at all."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Of the message that it came from, in order; empty where there is nothing to know."""
    of: str | None = None
    """The first block of that message, where there are several: only compared."""
    answers: str | None = None
    """The id of the call whose result this is, as the client that made the result knew it."""

    def message(self) -> dict[str, Any]:
        """Return the message that the piece is by itself; its role is that of the block's type, which may be edited."""
        return self.fields | {"role": self.role, "content": self.content}

    def calls(self) -> list[dict[str, Any]]:
        """Return the calls that the piece makes."""
        is_agent = self.block.type is ContextType.AGENT and isinstance(self.content, list)
        parts = self.content if is_agent else []
        return [part for part in parts if part.get("type") == "tool_use" and isinstance(part.get("id"), str)]

    def join(self, message: dict[str, Any]) -> None:
        """Put the piece into a message that has parts already."""
        message["content"] += self.content
        for key, value in self.fields.items():
            message.setdefault(key, value)


def read(block: ContextBlock) -> Piece:
    """Return what a block says.

    Raises:
        ValidationError: a metadata value under `anthropic.` or `openai.` is not JSON.
    """
    kind, metadata = block.type, block.metadata
    if kind in (ContextType.MEMORY, ContextType.KNOWLEDGE):
        return _headed(block)
    if CONTENT in metadata:
        return _of_parts(block)
    if any(key.startswith("openai.") for key in metadata):
        chat = chat_of(block.id, kind, block.content, metadata)
        return _headed(block) if chat is None else _of_chat(block, chat)
    if kind is ContextType.TOOL:
        return _headed(block)
    return Piece(block, ROLE_OF_TYPE[kind], block.content, is_own=True, fields=_fields(block))


def _headed(block: ContextBlock) -> Piece:
    return Piece(block, "user", under_header(block.type, block.content, block.origin), is_own=True)


def _of_parts(block: ContextBlock) -> Piece:
    """A message of this API whose content is a list, or a piece of one."""
    kind, metadata = block.type, block.metadata
    parts = load_dicts(block.id, CONTENT, metadata[CONTENT])
    if not put(parts, block.content, part_slots):
        _insert(parts, block.content)
    if kind is ContextType.TOOL:
        if len(parts) != 1 or parts[0].get("type") != "tool_result":
            return _headed(block)
        answers = str(parts[0].get("tool_use_id"))
        return Piece(block, "user", parts, True, _fields(block), metadata.get(OF), answers)
    if kind is ContextType.SYSTEM and any(part.get("type") != "text" for part in parts):
        return Piece(block, "system", block.content, is_own=True, fields=_fields(block))
    # What was edited to another type is no piece of its message any more.
    of = metadata.get(OF) if kind is ContextType.USER else None
    return Piece(block, ROLE_OF_TYPE[kind], parts, True, _fields(block), of)


def _fields(block: ContextBlock) -> dict[str, Any]:
    if MESSAGE not in block.metadata:
        return {}
    fields = load(block.id, MESSAGE, block.metadata[MESSAGE])
    if not isinstance(fields, dict):
        raise ValidationError(
            f"block {shown(block.id)}: {MESSAGE} {shown(fields)} is {type(fields).__name__}, not dict"
        )
    return fields


def _insert(parts: list[dict[str, Any]], text: str) -> None:
    """Put a text into parts that had none."""
    if len(parts) == 1 and parts[0].get("type") == "tool_result":
        inner = parts[0].get("content")
        parts[0]["content"] = [_text(text), *inner] if isinstance(inner, list) else text
        return
    # Thinking comes first, as the model wrote it.
    at = next((at for at, part in enumerate(parts) if part.get("type") not in _THINKING), len(parts))
    parts.insert(at, _text(text))


def _of_chat(block: ContextBlock, chat: dict[str, Any]) -> Piece:
    """A chat message; its calls keep the ids they have until all are known."""
    role = ROLE_OF_TYPE.get(block.type, "user")
    said = chat.get("content") or ""
    refusal = chat.get("refusal")
    if block.type is ContextType.SYSTEM:
        return Piece(block, role, block.content, is_own=False)
    if chat["role"] in ("tool", "function"):
        answers = str(chat.get("tool_call_id") if chat["role"] == "tool" else chat.get("name"))
        content = said if isinstance(said, str) else _parts(said)
        part = {"type": "tool_result", "tool_use_id": answers, "content": content}
        return Piece(block, role, [part], is_own=False, answers=answers)
    calls = [_call(call) for call in chat_calls(chat)]
    refused = [_text(refusal)] if isinstance(refusal, str) and refusal else []
    if isinstance(said, str) and not calls and not refused:
        return Piece(block, role, said, is_own=False)
    parts = _parts(said) if isinstance(said, list) else [_text(said)] if said else []
    return Piece(block, role, [*parts, *refused, *calls], is_own=False)


def _call(call: Any) -> dict[str, Any]:
    match call:
        case {"function": {"name": str(name), **function}}:
            arguments: Any = function.get("arguments") or "{}"
            value = _object(arguments)
            tool_input = {"arguments": arguments} if value is None else value
        case {"custom": {"name": str(name), **custom}}:
            tool_input = {"input": custom.get("input")}
        case _:
            return _text(encode(call))
    return {"type": "tool_use", "id": str(call.get("id")), "name": name, "input": tool_input}


def _object(arguments: Any) -> dict[str, Any] | None:
    """The object that arguments are as JSON, if they are one and can be said again."""
    try:
        value = json.loads(arguments)
        encode(value)
    except (TypeError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _parts(content: list[Any]) -> list[dict[str, Any]]:
    return [_part(part) for part in content if part != {"type": "text", "text": ""}]


def _part(part: Any) -> dict[str, Any]:
    match part:
        case {"type": "text", "text": str(text)}:
            return _text(text)
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            if data := _DATA_URL.fullmatch(url):
                return {"type": "image", "source": {"type": "base64", "media_type": data[1], "data": data[2]}}
            return {"type": "image", "source": {"type": "url", "url": url}}
    return _text(encode(part))


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
