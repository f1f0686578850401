"""JSON from outside: read whole, or refused in one line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn

from pycontext._core import json_size
from pycontext.errors import ContextError, ValidationError, shown
from pycontext.limits import DEFAULT, Limits

__all__ = ["parse"]


def parse(data: str | bytes, *, limits: Limits = DEFAULT) -> Any:
    """Read JSON in which nothing is ambiguous: no key twice, no NaN, no number that Python cannot hold.

    Args:
        data: the text, or its bytes in UTF-8.
        limits: of its bytes, its depth, the number of its values and the digits of its numbers.

    Raises:
        ValidationError: it is no such JSON, or outside the limits.
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        size = len(data) if isinstance(data, bytes) else len(text.encode())
    except UnicodeDecodeError as error:
        raise ValidationError(f"not UTF-8 at byte {error.start}") from None
    except UnicodeEncodeError:
        raise ValidationError("not UTF-8: holds a lone surrogate") from None
    if size > limits.package_bytes:
        raise ValidationError(f"JSON is {size} bytes, over {limits.package_bytes}")
    depth, values = json_size(text)
    if depth > limits.json_depth:
        raise ValidationError(f"not JSON: nested {depth} deep, over {limits.json_depth}")
    if values > limits.json_values:
        raise ValidationError(f"JSON has {values} values, over {limits.json_values}")
    try:
        return json.loads(
            text,
            object_pairs_hook=_each_key_once,
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_whole(limits.json_digits),
        )
    except json.JSONDecodeError as error:
        raise ValidationError(f"not JSON: {error.msg} at column {error.colno}") from None
    except ContextError:
        raise
    except (ValueError, RecursionError) as error:
        raise ValidationError(f"not JSON: {error}") from None


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise ValidationError(f"key {shown(key)} comes twice")
            seen.add(key)
    return made


def _refuse(constant: str) -> NoReturn:
    raise ValidationError(f"not JSON: {constant}")


def _finite(text: str) -> float:
    """Python reads 1e999 as infinity, which no JSON can say again."""
    number = float(text)
    if math.isinf(number):
        raise ValidationError(f"number {text:.40} is too large")
    return number


def _whole(digits: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        # Before Python turns it into a number, which takes the square of its length.
        if len(text.removeprefix("-")) > digits:
            raise ValidationError(f"number {text:.20}… has {len(text)} digits, over {digits}")
        return int(text)

    return read
