"""Blocks that came from another provider's messages, as OpenAI chat messages.

Chat messages are what every format is translated from and to. Texts, images, calls and results have counterparts.
Thinking and reasoning, which only the model that wrote them can read, stay behind in the block; so do marks such as
`cache_control`, `is_error` and ids of items. Any other part becomes a text that holds its JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pycontext.block import ContextType
from pycontext.messages.fields import ROLE_OF_TYPE, Slot, encode, is_text, load_dicts, put, text_slots

# Of an Anthropic block: the parts, the fields of its message, the first block of that message.
CONTENT: Final = "anthropic.content"
MESSAGE: Final = "anthropic.message"
OF: Final = "anthropic.of"
# Of a Responses block: the items.
ITEMS: Final = "openai.items"

ITEM_TEXTS: Final = ("input_text", "output_text", "text")


def is_foreign(metadata: Mapping[str, str]) -> bool:
    """Return whether the fields of a block are those of another format than chat messages."""
    return CONTENT in metadata or ITEMS in metadata


def as_chat(block_id: str, kind: ContextType, text: str, metadata: Mapping[str, str]) -> dict[str, Any] | None:
    """Return a foreign block as a chat message; None where no role of the API fits it.

    The content is a str where it is nothing but text, else a list of parts; a result may hold images here.

    Raises:
        ValidationError: the field is not JSON, or no list of objects.
    """
    key, slots, read = (CONTENT, part_slots, _of_parts) if CONTENT in metadata else (ITEMS, item_slots, _of_items)
    fields = load_dicts(block_id, key, metadata[key])
    is_placed = put(fields, text, slots)
    message = read(kind, fields)
    if message is None:
        return None
    if not is_placed:
        message["content"].insert(0, _text(text))
    # An opaque part stays a part of its own: its JSON is no words of the speaker.
    if all(part["type"] == "text" for part in message["content"]) and _joined(message["content"]) == text:
        message["content"] = text if text or "tool_calls" not in message else None
    return message


def part_slots(parts: list[Any]) -> list[Slot]:
    """Return the places of the readable text in the parts of an Anthropic message."""
    if len(parts) == 1 and parts[0].get("type") == "tool_result":
        content = parts[0].get("content")
        return [Slot(parts[0], "content", None)] if is_text(content) else text_slots(content)
    return text_slots(parts)


def item_slots(items: list[Any]) -> list[Slot]:
    """Return the places of the readable text in Responses items."""
    slots = []
    for item in items:
        key = "content" if is_message(item) else "output" if answered_id(item) is not None else None
        if key is None:
            continue
        value = item.get(key)
        # The item that follows a reasoning item must stay, even when its text is taken away.
        own = [Slot(item, key, None)] if is_text(value) else text_slots(value, ITEM_TEXTS)
        slots += [slot._replace(siblings=None) for slot in own]
    return slots


def is_message(item: Mapping[str, Any]) -> bool:
    """Return whether a Responses item is a message; the short form has a role and no type."""
    return item.get("type") in (None, "message") and "role" in item


def called_id(item: Mapping[str, Any]) -> str | None:
    """Return the id under which the result of an item will come; None where the item is no call to a client."""
    kind = _type_of(item)
    key = "id" if kind == "mcp_approval_request" else "call_id" if kind.endswith("_call") else ""
    value = item.get(key)
    return value if isinstance(value, str) else None


def answered_id(item: Mapping[str, Any]) -> str | None:
    """Return the id of the call that an item answers; None where it answers none."""
    kind = _type_of(item)
    if kind == "mcp_approval_response":
        value = item.get("approval_request_id")
    elif kind.endswith("_output"):
        value = item.get("call_id", item.get("id") if kind == "local_shell_call_output" else None)
    else:
        return None
    return value if isinstance(value, str) else None


def _of_parts(kind: ContextType, parts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """An Anthropic message, or the piece of one that a block holds."""
    if len(parts) == 1 and parts[0].get("type") == "tool_result":
        inner = parts[0].get("content")
        content = inner if isinstance(inner, list) else [] if inner is None else [_text(inner)]
        return _message(kind, parts[0].get("tool_use_id"), [_of_part(part) for part in content], [])
    calls = [part for part in parts if part.get("type") == "tool_use"]
    others = [part for part in parts if part.get("type") not in ("tool_use", "thinking", "redacted_thinking")]
    return _message(kind, None, [_of_part(part) for part in others], [_of_tool_use(part) for part in calls])


def _of_part(part: Any) -> dict[str, Any]:
    match part:
        case {"type": "text", "text": str(text)}:
            return _text(text)
        case {"type": "image", "source": {"type": "base64", "media_type": str(media), "data": str(data)}}:
            return _image({"url": f"data:{media};base64,{data}"})
        case {"type": "image", "source": {"type": "url", "url": str(url)}}:
            return _image({"url": url})
    return _opaque(part)


def _of_tool_use(part: dict[str, Any]) -> dict[str, Any]:
    return _call(part.get("id"), part.get("name"), encode(part.get("input", {})))


def _of_items(kind: ContextType, items: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The Responses items of a block."""
    if len(items) == 1 and (answered := answered_id(items[0])) is not None:
        output = items[0].get("output", items[0])
        outputs = output if isinstance(output, list) else [] if output is None else [output]
        return _message(kind, answered, [_of_item_part(part) for part in outputs], [])
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for item in items:
        if is_message(item):
            content = item.get("content")
            parts += [_of_item_part(part) for part in (content if isinstance(content, list) else [content])]
        elif (called := called_id(item)) is not None:
            calls.append(_of_item_call(called, item))
        elif item.get("type") != "reasoning":
            parts.append(_opaque(item))
    message = _message(kind, None, parts, calls)
    if message and kind is ContextType.SYSTEM and any(item.get("role") == "developer" for item in items):
        message["role"] = "developer"
    return message


def _of_item_part(part: Any) -> dict[str, Any]:
    match part:
        case str(text) | {"type": "input_text" | "output_text" | "text", "text": str(text)}:
            return _text(text)
        case {"type": "input_image", "image_url": str(url)}:
            detail = part.get("detail")
            return _image({"url": url} | ({"detail": detail} if detail else {}))
    return _opaque(part)


def _of_item_call(called: str, item: dict[str, Any]) -> dict[str, Any]:
    match item:
        case {"type": "function_call", "name": str(name), "arguments": str(arguments)}:
            return _call(called, name, arguments)
        case {"type": "custom_tool_call", "name": str(name), "input": str(text)}:
            return {"id": called, "type": "custom", "custom": {"name": name, "input": text}}
    return _call(called, item["type"], encode(item))


def _message(
    kind: ContextType, answered: str | None, content: list[dict[str, Any]], calls: list[dict[str, Any]]
) -> dict[str, Any] | None:
    if kind is ContextType.TOOL and answered is not None:
        return {"role": "tool", "tool_call_id": answered, "content": content}
    if kind not in ROLE_OF_TYPE:
        return None
    return {"role": ROLE_OF_TYPE[kind], "content": content} | ({"tool_calls": calls} if calls else {})


def _call(call_id: Any, name: Any, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _joined(parts: list[dict[str, Any]]) -> str:
    return "\n".join(part["text"] for part in parts)


def _image(image: dict[str, Any]) -> dict[str, Any]:
    return {"type": "image_url", "image_url": image}


def _opaque(part: Any) -> dict[str, Any]:
    return _text(encode(part))


def _type_of(item: Mapping[str, Any]) -> str:
    kind = item.get("type")
    return kind if isinstance(kind, str) else ""
