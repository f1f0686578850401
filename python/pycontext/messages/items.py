"""The items of a Responses request: what each block becomes in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pycontext.block import ContextBlock, ContextType
from pycontext.messages.calls import CallIds, chat_calls
from pycontext.messages.fields import ROLE_OF_TYPE, checked_blocks, encode, load_dicts, put
from pycontext.messages.openai import chat_of, under_header
from pycontext.messages.translation import ITEMS, answered_id, called_id, is_message, item_slots

Item = dict[str, Any]


@dataclass(slots=True)
class Entry:
    """A block and its items."""

    block: ContextBlock
    items: list[Item]
    is_own: bool
    """Whether it came from items, or from no message at all."""
    answers: str | None = None
    """The id of the call whose result this is, as the client that made the result knew it."""

    def calls(self) -> list[Item]:
        """Return the items that are calls."""
        is_agent = self.block.type is ContextType.AGENT
        return [item for item in self.items if is_agent and called_id(item) is not None]


def written(blocks: Iterable[ContextBlock]) -> list[Item]:
    """Return the items of blocks, each call with an id of its own.

    Raises:
        ValidationError: a metadata value under `openai.` or `anthropic.` is not JSON.
    """
    entries = [_read(block) for block in checked_blocks(blocks)]
    ids = CallIds(str(called_id(item)) for entry in entries if entry.is_own for item in entry.calls())
    output_types: dict[str, str] = {}
    # From the end: the last of equal ids is kept, and with it a call whose result has still to come.
    for entry in reversed(entries):
        calls = entry.calls()
        known = [str(called_id(item)) for item in calls]
        if entry.is_own:
            ids.keep(entry.block.id, known)
        else:
            known = ids.rename(entry.block.id, known)
            for item, new in zip(calls, known, strict=True):
                item["call_id"] = new
        output_types |= {new: f"{item['type']}_output" for item, new in zip(calls, known, strict=True)}
    for entry in entries:
        if entry.answers is None:
            continue
        found = ids.answer(entry.block.references, entry.answers)
        if found is not None and not entry.is_own:
            entry.items[0] |= {"type": output_types[found[1]], "call_id": found[1]}
        elif found is not None and found[1] != entry.answers:
            entry.items[0]["call_id"] = found[1]
        elif found is None and not entry.is_own:
            entry.items = [_headed(entry.block)]
    return [item for entry in entries for item in entry.items]


def _read(block: ContextBlock) -> Entry:
    kind, metadata = block.type, block.metadata
    if kind in (ContextType.MEMORY, ContextType.KNOWLEDGE):
        return Entry(block, [_headed(block)], is_own=True)
    if ITEMS in metadata:
        return _of_items(block)
    chat = chat_of(block.id, kind, block.content, metadata)
    if chat is None:
        return Entry(block, [_headed(block)], is_own=True)
    is_own = not any(key.startswith(("openai.", "anthropic.")) for key in metadata)
    return Entry(block, [{"role": chat["role"], "content": chat["content"]}], True) if is_own else _of_chat(block, chat)


def _headed(block: ContextBlock) -> Item:
    return {"role": "user", "content": under_header(block.type, block.content, block.origin)}


def _of_items(block: ContextBlock) -> Entry:
    kind = block.type
    items = load_dicts(block.id, ITEMS, block.metadata[ITEMS])
    answers = answered_id(items[0]) if len(items) == 1 else None
    if kind is ContextType.TOOL and answers is None:
        return Entry(block, [_headed(block)], is_own=True)
    if not put(items, block.content, item_slots):
        _insert(items, kind, block.content)
    for item in items:
        # What was edited to another type has its role.
        if is_message(item) and not (kind is ContextType.SYSTEM and item["role"] == "developer"):
            item["role"] = ROLE_OF_TYPE.get(kind, "user")
    return Entry(block, items, is_own=True, answers=answers if kind is ContextType.TOOL else None)


def _insert(items: list[Item], kind: ContextType, text: str) -> None:
    """Put a text into items that had none."""
    role = ROLE_OF_TYPE.get(kind, "user")
    holder = next((item for item in items if is_message(item) or kind is ContextType.TOOL), {})
    key = "output" if kind is ContextType.TOOL else "content"
    if isinstance(holder.get(key), list):
        holder[key].insert(0, _text(role, text))
    elif kind is ContextType.TOOL and holder.get("output") is None and "call_id" in holder:
        holder["output"] = text
    elif kind is ContextType.TOOL:
        # A screenshot or an approval has no place for words.
        items.append({"role": role, "content": text})
    else:
        # Before reasoning: the API wants what followed it to follow it.
        items.insert(0, {"role": role, "content": text})


def _of_chat(block: ContextBlock, chat: dict[str, Any]) -> Entry:
    """A chat message; its calls keep the ids they have until all are known."""
    role, said, refusal = chat["role"], chat.get("content") or "", chat.get("refusal")
    if role in ("tool", "function"):
        answers = str(chat.get("tool_call_id") if role == "tool" else chat.get("name"))
        output = said if isinstance(said, str) else [_part("user", part) for part in said]
        item = {"type": "function_call_output", "call_id": answers, "output": output}
        return Entry(block, [item], is_own=False, answers=answers)
    if isinstance(refusal, str) and refusal:
        before = said if isinstance(said, list) else [{"type": "text", "text": said}] if said else []
        said = [*before, {"type": "text", "text": refusal}] if before else refusal
    calls = [_call(call) for call in chat_calls(chat)]
    content = said if isinstance(said, str) else [_part(role, part) for part in said]
    return Entry(block, ([{"role": role, "content": content}] if content else []) + calls, is_own=False)


def _call(call: Any) -> Item:
    match call:
        case {"function": {"name": str(name), **function}}:
            arguments = function.get("arguments") or ""
            text = arguments if isinstance(arguments, str) else encode(arguments)
            return {"type": "function_call", "call_id": str(call.get("id")), "name": name, "arguments": text}
        case {"custom": {"name": str(name), **custom}}:
            text = str(custom.get("input") or "")
            return {"type": "custom_tool_call", "call_id": str(call.get("id")), "name": name, "input": text}
    return {"role": "assistant", "content": encode(call)}


def _part(role: str, part: Any) -> Item:
    match part:
        case {"type": "text", "text": str(text)}:
            return _text(role, text)
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            detail = part["image_url"].get("detail")
            return {"type": "input_image", "image_url": url} | ({"detail": detail} if detail else {})
    return _text(role, encode(part))


def _text(role: str, text: str) -> Item:
    return {"type": "output_text" if role == "assistant" else "input_text", "text": text}
