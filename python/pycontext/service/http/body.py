"""What a request brings: its body and its query, read within bounds and field by field."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from pycontext import strict_json
from pycontext.errors import ValidationError, shown
from pycontext.service.http.refusal import Refusal

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["Field", "fields_of", "query_of", "read_body"]

Kind = Literal["string", "number", "integer", "texts", "strings"]

_NAMES: Final[Mapping[Kind, str]] = {
    "string": "a string",
    "number": "a number",
    "integer": "a whole number",
    "texts": "an object of strings",
    "strings": "a list of strings",
}

# What is read in about a millisecond.
_LONG_BODY: Final = 1 << 16
_MOST_DIGITS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One value of a body or a query.

    Attributes:
        name: of the key.
        kind: what it must be.
        says: what it is for, in the description.
        is_required: whether it must be there.
        choices: all that it may be; () for anything of its kind.
        least: of a number.
        most: of a number.
    """

    name: str
    kind: Kind
    says: str
    is_required: bool = False
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None

    def check(self, value: object) -> None:
        """Raise `ValidationError` unless the value is what the field may hold."""
        if not _is_of(self.kind, value):
            raise ValidationError(f"{self.name} {shown(value)} is not {_NAMES[self.kind]}")
        if self.choices and value not in self.choices:
            raise ValidationError(f"{self.name} {shown(value)} is not one of {', '.join(self.choices)}")
        if isinstance(value, int | float) and (
            (self.least is not None and value < self.least) or (self.most is not None and value > self.most)
        ):
            raise ValidationError(f"{self.name} {shown(value)} is not {self.least} to {self.most}")


async def read_body(request: Request, most_bytes: int) -> object:
    """Read the JSON of a request; an empty body is an empty object.

    Raises:
        Refusal: it is larger than `most_bytes`, whatever was declared, or it is said to be no JSON.
        ValidationError: it is no JSON.
        ClientDisconnect: the client went before it was whole.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and (len(declared) > _MOST_DIGITS or int(declared) > most_bytes):
        raise _too_large(most_bytes)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most_bytes:
            raise _too_large(most_bytes)
    if not data:
        return {}
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if kind.strip() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise Refusal(415, "UnsupportedMediaType", "the body is not application/json in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "UnsupportedMediaType", "the body is compressed: send it as it is")
    if len(data) > _LONG_BODY:
        return await asyncio.to_thread(strict_json.parse, bytes(data))
    return strict_json.parse(bytes(data))


def fields_of(body: object, fields: Sequence[Field]) -> dict[str, Any]:
    """Return the values of a body, each of which is what its field may hold.

    Raises:
        ValidationError: it is no object, a key is not known or missing, or a value is not what it must be.
    """
    if not isinstance(body, dict):
        raise ValidationError(f"the body {shown(body)} is not an object")
    _check_names("the body", body, fields)
    for field in fields:
        if field.name in body:
            field.check(body[field.name])
    return body


def query_of(pairs: Iterable[tuple[str, str]], fields: Sequence[Field]) -> dict[str, Any]:
    """Return the values of a query, numbers read.

    Raises:
        ValidationError: a name comes twice, is not known or missing, or a value is not what it must be.
    """
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name in values:
            raise ValidationError(f"{shown(name)} comes twice in the query")
        values[name] = text
    _check_names("the query", values, fields)
    for field in fields:
        if field.name not in values:
            continue
        text = values[field.name]
        if field.kind == "integer" and text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS:
            values[field.name] = int(text)
        field.check(values[field.name])
    return values


def _check_names(where: str, values: Mapping[str, Any], fields: Sequence[Field]) -> None:
    known = [field.name for field in fields]
    for name in values:
        if name not in known:
            raise ValidationError(f"{where} has {shown(name)}, which is not one of {', '.join(known) or 'nothing'}")
    for field in fields:
        if field.is_required and field.name not in values:
            raise ValidationError(f"{where} has no {field.name}")


def _is_of(kind: Kind, value: object) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "texts":
        return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    if kind == "strings":
        return isinstance(value, list) and all(isinstance(text, str) for text in value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole or (kind == "number" and isinstance(value, float))


def _too_large(most_bytes: int) -> Refusal:
    return Refusal(413, "BodyTooLarge", f"the body is over {most_bytes} bytes")
