"""Chats in the shapes of other APIs, and the rules by which those APIs refuse a request; written from their pages."""

from __future__ import annotations

import json
from typing import Any

# What must not be free: fifty tokens of one word.
WHY = "because " * 50


def deep() -> list[Any]:
    """A list in a list, deeper than any reader of JSON goes."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


def as_json(value: object) -> str:
    """With the order of keys, which dicts do not compare."""
    return json.dumps(value)


def textual(message: dict[str, Any]) -> dict[str, Any]:
    """A chat message with the texts of its parts for content, and the calls that the framing table has."""
    content = message["content"]
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if "text" in part)
    calls = [call for call in message.get("tool_calls", []) if "function" in call]
    return {**message, "content": content, "tool_calls": calls}


def claude_of(chat: list[dict[str, Any]]) -> tuple[str | None, list[dict[str, Any]]]:
    """Recorded chat messages as an Anthropic client would have sent them: system, and messages."""
    system = None
    messages: list[dict[str, Any]] = []
    for message in chat:
        role, text = message["role"], message.get("content")
        if role == "system":
            system = text
        elif role == "tool":
            part = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": text}
            if messages[-1]["role"] == "assistant":
                messages.append({"role": "user", "content": []})
            messages[-1]["content"].append(part)
        elif message.get("tool_calls"):
            thought = {"type": "thinking", "thinking": "what now?", "signature": "c2lnbmVk"}
            parts = [thought] + ([{"type": "text", "text": text}] if text else [])
            for call in message["tool_calls"]:
                name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
                parts.append({"type": "tool_use", "id": call["id"], "name": name, "input": arguments})
            messages.append({"role": "assistant", "content": parts})
        else:
            messages.append({"role": role, "content": text})
    return system, messages


def items_of(chat: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Recorded chat messages as Responses items."""
    items: list[dict[str, Any]] = []
    for number, message in enumerate(chat):
        role, text = message["role"], message.get("content")
        if role == "tool":
            items.append({"type": "function_call_output", "call_id": message["tool_call_id"], "output": text})
            continue
        if role == "assistant":
            items.append({"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": "Z2VoZWlt"})
        if text:
            kind = "output_text" if role == "assistant" else "input_text"
            items.append({"type": "message", "role": role, "content": [{"type": kind, "text": text}]})
        for call in message.get("tool_calls") or []:
            fields = {"call_id": call["id"], **call["function"], "id": f"fc_{number}", "status": "completed"}
            items.append({"type": "function_call", **fields})
    return items


def claude_refusal(messages: list[dict[str, Any]], *, unique: bool = True, empty: bool = False) -> str | None:
    """Why the Messages API would refuse a list, None where it would not; calls of the last exchange may wait.

    Args:
        messages: of a request.
        unique: whether ids that two calls share are refused.
        empty: whether empty texts are taken.
    """
    seen: set[str] = set()
    for at, message in enumerate(messages):
        if set(message) != {"role", "content"} or message["role"] not in ("user", "assistant", "system"):
            return f"messages.{at}: fields"
        before = _parts(messages[at - 1]) if at else []
        after = _parts(messages[at + 1]) if at + 1 < len(messages) else None
        parts = _parts(message)
        calls = [part["id"] for part in parts if part["type"] == "tool_use"]
        results = [part["tool_use_id"] for part in parts if part["type"] == "tool_result"]
        if message["role"] == "system":
            is_last = after is None or messages[at + 1]["role"] == "assistant"
            if not at or messages[at - 1]["role"] != "user" or not is_last:
                return f"messages.{at}: system stands in a wrong place"
            continue
        if (calls and message["role"] != "assistant") or (results and message["role"] != "user"):
            return f"messages.{at}: wrong role"
        answered = [part["tool_use_id"] for part in after or [] if part["type"] == "tool_result"]
        if at + 2 < len(messages) and set(calls) - set(answered):
            return f"messages.{at}: tool_use ids without tool_result blocks immediately after"
        called = [part["id"] for part in before if part["type"] == "tool_use"]
        if set(results) - set(called) or len(set(results)) != len(results):
            return f"messages.{at}: tool_result without its tool_use in the message before"
        if [part["type"] == "tool_result" for part in parts] != [True] * len(results) + [False] * (
            len(parts) - len(results)
        ):
            return f"messages.{at}: tool_result blocks are not first"
        if (unique and seen & set(calls)) or len(set(calls)) != len(calls):
            return f"messages.{at}: tool_use ids must be unique"
        seen |= set(calls)
        if not empty and any(
            part["type"] == "text" and not part["text"] for part in parts if isinstance(message["content"], list)
        ):
            return f"messages.{at}: text content blocks must be non-empty"
    return None


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def responses_refusal(items: list[dict[str, Any]]) -> str | None:
    """Why the Responses API would refuse items, None where it would not; calls at the end may wait."""
    open_calls: list[str] = []
    last_call = -1
    for at, item in enumerate(items):
        kind = item.get("type", "message")
        if kind == "reasoning":
            follows = items[at + 1] if at + 1 < len(items) else {"role": "nobody"}
            is_spoken = follows.get("role", "assistant") == "assistant"
            if not is_spoken or follows.get("type", "").endswith("_output"):
                return f"items.{at}: reasoning without its required following item"
        elif kind.endswith("_call") and "call_id" in item:
            open_calls.append(item["call_id"])
            last_call = at
        elif kind.endswith("_output"):
            if item["call_id"] not in open_calls:
                return f"items.{at}: no tool call found for {item['call_id']}"
            open_calls.remove(item["call_id"])
    if open_calls and any("role" in item for item in items[last_call + 1 :]):
        return f"no tool output found for {open_calls}"
    return None
