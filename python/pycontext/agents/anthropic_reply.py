"""What Anthropic's API answers, at once or in pieces."""

from __future__ import annotations

import json
from typing import Any, Final

from pycontext.agents.client import Answer, ToolCall, Usage
from pycontext.agents.reply import count, ended, field, finished
from pycontext.errors import LLMUnavailableError

__all__ = ["AnthropicPieces", "answer_of"]

# A turn that a tool of the server paused is not over.
_WHOLE: Final = ("end_turn", "stop_sequence", "tool_use")
_CACHED: Final = "cache_read_input_tokens"
_INPUT: Final = ("input_tokens", _CACHED, "cache_creation_input_tokens")


def answer_of(message: dict[str, Any]) -> Answer:
    """Return the answer in a message; thinking stays behind.

    Raises:
        LLMUnavailableError: it is no message.
        AnswerError: it was cut or refused, or is empty.
    """
    parts = field(message, "content", list)
    ended(field(message, "stop_reason", str), _WHOLE)
    text = "".join(field(part, "text", str) for part in parts if field(part, "type", str) == "text")
    return finished(text, [_call(part) for part in parts if part["type"] == "tool_use"], _usage(message.get("usage")))


def _call(part: dict[str, Any]) -> ToolCall:
    said = part.get("input")
    # In a stream it is JSON already, as the model wrote it.
    arguments = said if isinstance(said, str) else json.dumps(field(part, "input", dict), ensure_ascii=False)
    return ToolCall(field(part, "id", str), field(part, "name", str), arguments)


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    # What was read from the cache or written to it is not in `input_tokens`.
    read = sum(count(usage, key) for key in _INPUT)
    return Usage(read, count(usage, "output_tokens"), count(usage, _CACHED))


class AnthropicPieces:
    """Puts the events of a stream together to the message that the API would have answered."""

    def __init__(self) -> None:
        self._usage: dict[str, Any] = {}
        self._stop: str | None = None
        # Of each part, its beginning and the pieces that follow.
        self._parts: dict[int, tuple[dict[str, Any], list[str]]] = {}

    def add(self, event: dict[str, Any]) -> str:
        """Take one event and return the text in it.

        Raises:
            LLMUnavailableError: it is no event of such a stream.
        """
        match event.get("type"):
            case "message_start":
                self._count(field(event, "message", dict).get("usage"))
            case "content_block_start":
                part = field(event, "content_block", dict)
                self._parts[field(event, "index", int)] = (part, [])
                return field(part, "text", str) if part.get("type") == "text" else ""
            case "content_block_delta":
                return self._add(field(event, "index", int), field(event, "delta", dict))
            case "message_delta":
                self._stop = field(field(event, "delta", dict), "stop_reason", str)
                self._count(event.get("usage"))
        return ""

    def whole(self) -> dict[str, Any]:
        """Return the message.

        Raises:
            LLMUnavailableError: the stream ended before the message did.
        """
        if self._stop is None:
            raise LLMUnavailableError("the stream ended before the answer did")
        parts = [self._whole(part, pieces) for _, (part, pieces) in sorted(self._parts.items())]
        return {"content": parts, "stop_reason": self._stop, "usage": self._usage or None}

    def _add(self, index: int, delta: dict[str, Any]) -> str:
        kind = delta.get("type")
        if kind not in ("text_delta", "input_json_delta"):
            return ""
        if index not in self._parts:
            raise LLMUnavailableError(f"the stream goes on with part {index}, which it did not begin")
        piece = field(delta, "text" if kind == "text_delta" else "partial_json", str)
        self._parts[index][1].append(piece)
        return piece if kind == "text_delta" else ""

    def _count(self, usage: Any) -> None:
        """Take over numbers, which are sums so far; those that are left out stay."""
        if isinstance(usage, dict):
            self._usage |= {key: value for key, value in usage.items() if value is not None}

    @staticmethod
    def _whole(part: dict[str, Any], pieces: list[str]) -> dict[str, Any]:
        said = "".join(pieces)
        if part.get("type") == "text":
            return {**part, "text": part["text"] + said}
        # A tool that takes nothing may have no pieces.
        return {**part, "input": said} if part.get("type") == "tool_use" and said else part
