"""Columns of values that callers give: sequences and arrays, checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pycontext.errors import ValidationError, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["column", "integers", "numbers"]


def column(name: str, values: object) -> list[Any]:
    """A column of objects as a list."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValidationError(f"{name} {shown(values)} is {type(values).__name__}, not a sequence")
    return values if isinstance(values, list) else list(values)


def numbers(name: str, values: object) -> NDArray[np.float64]:
    """A column of real numbers as an array; whether they are in range is for the core."""
    return _array(name, values, "fiu", "numbers").astype("float64", copy=False)


def integers(name: str, values: object, most: int) -> list[int]:
    """A column of whole numbers from 0 up."""
    array = _array(name, values, "iu", "whole numbers")
    outside = (array < 0) | (array > most)
    if outside.any():
        row = int(outside.argmax())
        raise ValidationError(f"blocks[{row}]: {name} {array[row]} is not from 0 to {most}")
    return list(array.tolist())


def _array(name: str, values: object, kinds: str, what: str) -> NDArray[Any]:
    import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

    try:
        array = np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValidationError(f"{name} {shown(values)} is no array of {what}: {error}") from None
    if array.ndim != 1 or (array.size and array.dtype.kind not in kinds):
        raise ValidationError(f"{name} {shown(values)} is an array of {array.dtype}, not of {what} in one row")
    return array
