"""A provider's answer as JSON, read with care."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from pycontext.agents.client import Answer, ToolCall, Usage
from pycontext.errors import AnswerError, LLMUnavailableError, shown

__all__ = ["as_json", "count", "ended", "field", "finished"]

_Kind = TypeVar("_Kind")
_CUT: Final = ("max_tokens", "model_context_window_exceeded", "length")
_REFUSED: Final = ("refusal", "content_filter")


def as_json(value: Any) -> dict[str, Any]:
    """Return what the SDK made of JSON as JSON again.

    The SDKs check nothing: a model has whatever the server sent, and a body of another type is a str.

    Raises:
        LLMUnavailableError: it is no JSON object.
    """
    raw = value.to_dict(warnings=False) if hasattr(value, "to_dict") else value
    if not isinstance(raw, dict):
        raise LLMUnavailableError(f"the answer {shown(raw)} is no JSON object")
    return raw


def field(source: object, key: str, kind: type[_Kind]) -> _Kind:
    """Return a field of an answer.

    Raises:
        LLMUnavailableError: it is not there, or of another type: a proxy or a broken server wrote this.
    """
    value = source.get(key) if isinstance(source, dict) else None
    if not isinstance(value, kind):
        raise LLMUnavailableError(f"the answer's {key} {shown(value)} is {type(value).__name__}, not {kind.__name__}")
    return value


def count(source: object, key: str) -> int:
    """Return a number of tokens, 0 where there is none: a number that is missing costs nobody his answer."""
    value = source.get(key) if isinstance(source, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def ended(reason: object, whole: tuple[str | None, ...]) -> None:
    """Refuse an answer that ended otherwise than by being whole.

    Raises:
        AnswerError: it was cut, was refused, or ended for a reason that nobody here knows.
    """
    if reason in whole:
        return
    how = "was cut" if reason in _CUT else "was refused" if reason in _REFUSED else "is not whole"
    raise AnswerError(f"the answer {how}: the provider says {shown(reason)}")


def finished(text: str, calls: list[ToolCall], usage: Usage | None) -> Answer:
    """Return the answer.

    Raises:
        AnswerError: it says nothing and calls nothing.
    """
    if not text.strip() and not calls:
        raise AnswerError("the answer is empty: no text and no calls")
    return Answer(text, tool_calls=tuple(calls), usage=usage)
