"""What the schemas of tools cost in a request: an upper bound, because no provider says how it writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from pycontext.counter import TokenCounter, count_with
from pycontext.errors import ValidationError, shown

__all__ = ["ToolFormat", "schema_tokens"]

ToolFormat = Literal["openai", "anthropic"]

# The lines around all functions, which a request has once.
_OPENAI_FRAME: Final = 20
# The most that Anthropic's table of system prompts for tool use has, of all its models.
_ANTHROPIC_FRAME: Final = 530

# OpenAI's cookbook, for gpt-4o: tokens of a function, of its properties, of each, of an enum and of its values, and of
# the end of all.
_FUNCTION: Final = 7
_PROPERTIES: Final = 3
_PROPERTY: Final = 3
_ENUM: Final = -3
_VALUE: Final = 3
_END: Final = 12


def schema_tokens(tools: Iterable[Mapping[str, Any]], counter: TokenCounter, format: ToolFormat = "openai") -> int:
    """Return at least the tokens that tool schemas add to a request; 0 without tools.

    Their JSON without blanks, which names more than any form that a model is shown, and what stands around it; where
    the rule of OpenAI's cookbook gives more, that.

    Args:
        tools: in the form of OpenAI's or Anthropic's API.
        counter: what counts texts.
        format: whose frame is added.

    Raises:
        ValidationError: a tool is no dict with a JSON and a name, or there is no such format.
        PluginError: the counter raised or returned what it must not.
    """
    if not isinstance(format, str) or format not in ("openai", "anthropic"):
        raise ValidationError(f"format {shown(format)} is not one of openai, anthropic")
    if isinstance(tools, str | Mapping) or not isinstance(tools, Iterable):
        raise ValidationError(f"tools {shown(tools)} is {type(tools).__name__}, not a list of dicts")
    read = [_read(at, tool) for at, tool in enumerate(tools)]
    if not read:
        return 0
    written = sum(count_with(counter, [text for text, _ in read]))
    if format == "anthropic":
        return written + _ANTHROPIC_FRAME
    return max(written + _OPENAI_FRAME, sum(_by_cookbook(function, counter) for _, function in read) + _END)


def _read(at: int, tool: object) -> tuple[str, Mapping[str, Any]]:
    """A tool as JSON, and what it says of its function."""
    if not isinstance(tool, Mapping):
        raise ValidationError(f"tools[{at}] {shown(tool)} is {type(tool).__name__}, not a dict")
    try:
        text = json.dumps(dict(tool), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValidationError(f"tools[{at}] {shown(tool)} is not JSON: {type(error).__name__}") from None
    function = tool.get("function", tool)
    # Tools that a provider has itself have a type and nothing to describe.
    if not isinstance(function, Mapping) or not isinstance(function.get("name", tool.get("type")), str):
        raise ValidationError(f"tools[{at}] {shown(tool)} has no name")
    return text, function


def _by_cookbook(function: Mapping[str, Any], counter: TokenCounter) -> int:
    texts = [f"{function.get('name', '')}:{_text(function.get('description')).removesuffix('.')}"]
    tokens = _FUNCTION
    parameters = function.get("parameters", function.get("input_schema"))
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    if isinstance(properties, Mapping) and properties:
        tokens += _PROPERTIES
        for name, rule in properties.items():
            tokens += _PROPERTY
            described = rule if isinstance(rule, Mapping) else {}
            values = described.get("enum")
            if isinstance(values, list) and values:
                tokens += _ENUM + _VALUE * len(values)
                texts += [_text(value) for value in values]
            kind, description = _text(described.get("type")), _text(described.get("description"))
            texts.append(f"{name}:{kind}:{description.removesuffix('.')}")
    return tokens + sum(count_with(counter, texts))


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
