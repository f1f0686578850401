"""Answers in JSON, of a form that is checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pycontext.errors import AnswerError, ValidationError, shown
from pycontext.strict_json import parse

__all__ = ["Form", "Item", "fraction", "text", "texts"]

# Models like to wrap JSON as they do code.
_FENCED: Final = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*)\n\s*```\s*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Item:
    """A key of an answer.

    Attributes:
        key: its name.
        meaning: what the model is told of it.
        kind: how its value is written, and what reads it: returns the value, or raises `ValueError`.
    """

    key: str
    meaning: str
    kind: tuple[str, Callable[[Any], Any]]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


def _texts(value: Any) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise ValueError
    return values


def _fraction(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError
    return float(value)


text: Final = ("a string that is not empty", _text)
texts: Final = ("a list of strings", _texts)
fraction: Final = ("a number from 0 to 1", _fraction)


@dataclass(frozen=True, slots=True)
class Form:
    """The keys that a JSON answer must have; others are kept as they come.

    Attributes:
        task: what the model is to do.
        items: the keys.
    """

    task: str
    items: tuple[Item, ...]

    @property
    def prompt(self) -> str:
        """What the model is asked."""
        lines = [f'- "{item.key}": {item.kind[0]}; {item.meaning}' for item in self.items]
        return "\n".join([self.task, "Answer with one JSON object and nothing else. Its keys:", *lines])

    def read(self, answer: str) -> dict[str, Any]:
        """Return the values of an answer.

        Raises:
            AnswerError: it is no JSON object, or a key is missing or has another kind of value.
        """
        fenced = _FENCED.match(answer)
        try:
            values = parse(fenced[1] if fenced else answer)
        except ValidationError as error:
            raise AnswerError(f"answer {shown(answer)} is no JSON: {error}") from None
        if not isinstance(values, dict):
            raise AnswerError(f"answer is {type(values).__name__}, not a JSON object")
        for item in self.items:
            if item.key not in values:
                raise AnswerError(f"answer has no key {item.key!r}")
            kind, read = item.kind
            try:
                values[item.key] = read(values[item.key])
            except ValueError:
                raise AnswerError(f"{item.key} {shown(values[item.key])} is not {kind}") from None
        return values

    def repair(self, error: AnswerError) -> str:
        """What the model is told of an answer that was none."""
        return f"That is not what was asked for: {error}. Answer once more, with the JSON object and nothing else."
