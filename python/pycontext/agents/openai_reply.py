"""What OpenAI's chat completions API answers, at once or in pieces."""

from __future__ import annotations

from typing import Any, Final

from pycontext.agents.client import Answer, ToolCall, Usage
from pycontext.agents.reply import count, ended, field, finished
from pycontext.errors import AnswerError, LLMUnavailableError, shown

__all__ = ["OpenAIPieces", "answer_of"]

# Some servers that speak this API say nothing at the end of a whole answer.
_WHOLE: Final = ("stop", "tool_calls", None)


def answer_of(completion: dict[str, Any]) -> Answer:
    """Return the answer in the first choice of a completion.

    Raises:
        LLMUnavailableError: it is no completion.
        AnswerError: it was cut or refused, or is empty.
    """
    choices = field(completion, "choices", list)
    if not choices:
        raise LLMUnavailableError("the answer has no choices")
    message = field(choices[0], "message", dict)
    ended(choices[0].get("finish_reason"), _WHOLE)
    if message.get("refusal"):
        raise AnswerError(f"the answer was refused: the model says {shown(message['refusal'], 120)}")
    text = "" if message.get("content") is None else field(message, "content", str)
    calls = [] if message.get("tool_calls") is None else field(message, "tool_calls", list)
    return finished(text, [_call(call) for call in calls], _usage(completion.get("usage")))


def _call(call: Any) -> ToolCall:
    # A custom tool takes text of any kind.
    is_custom = isinstance(call, dict) and call.get("type") == "custom"
    inner = field(call, "custom" if is_custom else "function", dict)
    arguments = field(inner, "input" if is_custom else "arguments", str)
    return ToolCall(field(call, "id", str), field(inner, "name", str), arguments)


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    cached = count(usage.get("prompt_tokens_details"), "cached_tokens")
    return Usage(count(usage, "prompt_tokens"), count(usage, "completion_tokens"), cached)


class OpenAIPieces:
    """Puts the chunks of a stream together to the completion that the API would have answered."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._stop: str | None = None
        self._usage: Any = None

    def add(self, event: dict[str, Any]) -> str:
        """Take one chunk and return the text in it.

        Raises:
            LLMUnavailableError: it is no chunk of such a stream.
        """
        # The last has the usage and no choices.
        self._usage = event.get("usage") or self._usage
        text = ""
        for choice in field(event, "choices", list):
            if field(choice, "index", int) == 0:
                self._stop = choice.get("finish_reason") or self._stop
                text += self._add(choice.get("delta") or {})
        return text

    def whole(self) -> dict[str, Any]:
        """Return the completion.

        Raises:
            LLMUnavailableError: the stream ended before the completion did.
        """
        # The SDK ends a stream that was cut like one that is whole, and does not show the mark of its end.
        if self._stop is None:
            raise LLMUnavailableError("the stream ended before the answer did")
        message = {
            "content": "".join(self._texts),
            "refusal": "".join(self._refusals),
            "tool_calls": [_joined(call) for _, call in sorted(self._calls.items())],
        }
        return {"choices": [{"message": message, "finish_reason": self._stop}], "usage": self._usage}

    def _add(self, delta: Any) -> str:
        for key, pieces in (("content", self._texts), ("refusal", self._refusals)):
            if isinstance(delta, dict) and delta.get(key) is not None:
                pieces.append(field(delta, key, str))
        if field({"delta": delta}, "delta", dict).get("tool_calls") is not None:
            for piece in field(delta, "tool_calls", list):
                self._call(piece)
        return delta.get("content") or ""

    def _call(self, piece: Any) -> None:
        """Take a piece of a call: the first has its id and name, the others go on with its arguments."""
        call = self._calls.setdefault(field(piece, "index", int), {"pieces": []})
        call |= {key: piece[key] for key in ("id", "type") if piece.get(key)}
        for kind, key in (("function", "arguments"), ("custom", "input")):
            inner = piece.get(kind)
            if isinstance(inner, dict):
                call |= {"kind": kind, "key": key}
                call |= {"name": inner["name"]} if inner.get("name") else {}
                call["pieces"].append(inner.get(key) or "")


def _joined(call: dict[str, Any]) -> dict[str, Any]:
    kind = call.get("kind", "function")
    inner = {"name": call.get("name"), call.get("key", "arguments"): "".join(call["pieces"])}
    return {"id": call.get("id"), "type": kind, kind: inner}
