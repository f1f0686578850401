"""What the APIs of Anthropic and OpenAI refuse in a request, as far as their documentation and their errors tell."""

from __future__ import annotations

import json

# Version 2026-10-21 takes no temperature, top_p and top_k.
ANTHROPIC = {
    "cache_control", "max_tokens", "messages", "metadata", "model", "output_config", "service_tier", "stop_sequences",
    "stream", "system", "thinking", "tool_choice", "tools",
}  # fmt: skip
OPENAI = {
    "frequency_penalty", "max_completion_tokens", "max_tokens", "messages", "metadata", "model", "n",
    "parallel_tool_calls", "presence_penalty", "reasoning_effort", "response_format", "seed", "stop", "stream",
    "stream_options", "temperature", "tool_choice", "tools", "top_p", "user",
}  # fmt: skip


class RefusedError(Exception):
    """Why a request is refused, in the words of its API."""


def ask(condition, text):
    if not condition:
        raise RefusedError(text)


def check_anthropic(body):
    """Raises `RefusedError` for a request that the messages API would not take.

    Roles take turns: the API itself joins neighbours, others that speak it do not.
    """
    unknown = sorted(body.keys() - ANTHROPIC)
    ask(not unknown, f"{unknown[:1]}: Extra inputs are not permitted")
    ask(isinstance(body.get("max_tokens"), int), "max_tokens: Field required")
    ask(body.get("messages"), "messages: at least one message is required")
    for tool in body.get("tools", ()):
        ask({"name", "input_schema"} <= tool.keys(), "tools: name and input_schema are required")
        ask(not tool.keys() - {"name", "input_schema", "description", "strict"}, "tools: Extra inputs")
        ask(tool["input_schema"].get("type") == "object", "tools: input_schema.type: Field required")
    choice = body.get("tool_choice")
    ask(choice is None or choice.get("type") in ("auto", "any", "tool", "none"), f"tool_choice: {choice}")
    system = body.get("system")
    ask(system is None or says(system), "system: text content blocks must be non-empty")
    waiting, role, ids = [], None, set()
    for message in body["messages"]:
        ask(message.keys() == {"role", "content"}, f"messages: Extra inputs in {sorted(message)}")
        ask(message["role"] in ("user", "assistant"), f"messages: Unexpected role {message['role']}")
        ask(message["role"] != role, "messages: roles must alternate")
        role, content = message["role"], message["content"]
        ask(content and says(content), "messages: text content blocks must contain non-whitespace text")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        results = [part["tool_use_id"] for part in parts if part["type"] == "tool_result"]
        first = [part["type"] for part in parts][: len(results)]
        ask(first == ["tool_result"] * len(results), "messages: tool_result blocks must come first")
        ask(sorted(results) == sorted(waiting), "messages: tool_use ids without tool_result blocks, or the reverse")
        waiting = [part["id"] for part in parts if part["type"] == "tool_use"]
        ask(not waiting or role == "assistant", "messages: tool_use is for the assistant")
        ask(all(isinstance(part["input"], dict) for part in parts if part["type"] == "tool_use"), "tool_use.input")
        ask(not ids & set(waiting) and len(set(waiting)) == len(waiting), "messages: tool_use ids must be unique")
        ids |= set(waiting)
    ask(not waiting, "messages: tool_use ids without tool_result blocks")


def says(content):
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return all(part["text"].strip() for part in parts if part["type"] == "text")


def check_openai(body):
    """Raises `RefusedError` for a request that the chat completions API would not take."""
    unknown = sorted(body.keys() - OPENAI)
    ask(not unknown, f"Unrecognized request argument supplied: {unknown[:1]}")
    ask(body.get("messages"), "[] is too short - 'messages'")
    ask("max_tokens" not in body, "Unsupported parameter: 'max_tokens', use 'max_completion_tokens'")
    ask(body.get("stream") or "stream_options" not in body, "stream_options is for streams")
    for tool in body.get("tools", ()):
        ask(tool.get("type") == "function" and tool["function"].get("name"), "Missing required parameter: tools")
    waiting = []
    for message in body["messages"]:
        role, content, calls = message["role"], message.get("content"), message.get("tool_calls")
        ask(role in ("system", "developer", "user", "assistant", "tool"), f"Invalid value: {role}")
        if role == "tool":
            ask(message["tool_call_id"] in waiting, "messages with role 'tool' must answer a 'tool_calls' before them")
            waiting.remove(message["tool_call_id"])
        else:
            ask(not waiting, "an assistant message with 'tool_calls' must be followed by tool messages")
        ask(isinstance(content, str | list) or (role == "assistant" and calls), "Invalid value for 'content': null")
        ask(calls is None or calls, "[] is too short - 'tool_calls'")
        for call in calls or ():
            json.loads(call["function"]["arguments"])
            waiting.append(call["id"])
    ask(not waiting, "an assistant message with 'tool_calls' must be followed by tool messages")
