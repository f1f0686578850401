"""What Anthropic's API is asked with, from chat messages and tools in OpenAI's form."""

from __future__ import annotations

from typing import Any, Final

from pycontext.errors import ValidationError, shown
from pycontext.messages.anthropic import from_blocks, system_of
from pycontext.messages.openai import to_blocks

__all__ = ["choice_of", "messages_of", "tools_of"]

_PLAIN: Final = {"role", "content"}
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}


def messages_of(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `messages` and, where there is one, `system`.

    Neighbours of one role become one message, and texts of blanks alone go: Anthropic itself joins the first and
    refuses the second, others that speak its API refuse both.

    Raises:
        ValidationError: these are no chat messages.
    """
    blocks = to_blocks(messages)
    joined: list[dict[str, Any]] = []
    for message in from_blocks(blocks):
        parts = _parts(message["content"])
        if not parts and message["role"] != "system":
            continue
        if joined and joined[-1]["role"] == message["role"] and not (message.keys() | joined[-1].keys()) - _PLAIN:
            joined[-1]["content"] = joined[-1]["content"] + parts
        else:
            joined.append({**message, "content": parts})
    system = system_of(blocks)
    if system is None or not (parts := _parts(system)):
        return {"messages": joined}
    return {"messages": joined, "system": system if isinstance(system, str) else parts}


def _parts(content: Any) -> list[dict[str, Any]]:
    """The content as parts that say something."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [part for part in parts if part.get("type") != "text" or part["text"].strip()]


def tools_of(tools: Any) -> list[Any]:
    """Return tools in Anthropic's form; those that have it already stay as they are.

    Raises:
        ValidationError: these are no tools.
    """
    if not isinstance(tools, list | tuple):
        raise ValidationError(f"tools {shown(tools)} is {type(tools).__name__}, not a list")
    return [_tool(f"tools[{at}]", tool) for at, tool in enumerate(tools)]


def _tool(name: str, tool: Any) -> Any:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        return tool
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ValidationError(f"{name}.function {shown(function)} has no name")
    # Anthropic wants a schema, OpenAI leaves it out where a tool takes nothing.
    made = {"name": function["name"], "input_schema": function.get("parameters") or {"type": "object"}}
    return made | {key: function[key] for key in ("description", "strict") if function.get(key) is not None}


def choice_of(choice: Any) -> Any:
    """Return a `tool_choice` in Anthropic's form; one that has it already stays as it is."""
    if isinstance(choice, str) and choice in _CHOICES:
        return {"type": _CHOICES[choice]}
    if isinstance(choice, dict) and choice.get("type") == "function" and isinstance(choice.get("function"), dict):
        return {"type": "tool", "name": choice["function"].get("name")}
    return choice
