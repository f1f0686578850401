"""Columns of values that callers give: sequences and arrays, checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pycontext.errors import ValidationError, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["column", "integers", "numbers", "reals"]


def column(name: str, values: object) -> list[Any]:
    """A column of objects as a list."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValidationError(f"{name} {shown(values)} is {type(values).__name__}, not a sequence")
    return values if isinstance(values, list) else list(values)


def numbers(name: str, values: object) -> list[Any] | NDArray[np.float64]:
    """A column of real numbers: an array as one of doubles, anything else as a list for the core to check."""
    return reals(name, values) if hasattr(values, "dtype") else column(name, values)


def integers(name: str, values: object, most: int) -> list[Any] | NDArray[np.int64]:
    """A column of whole numbers up to `most`: an array as one of 64 bits, else a list for the core to check."""
    if not hasattr(values, "dtype"):
        return column(name, values)
    array = _array(name, values, "iu", "whole numbers")
    too_large = array > most
    if too_large.any():
        row = int(too_large.argmax())
        raise ValidationError(f"blocks[{row}]: {name} {array[row]} is not from 0 to {most}")
    return _ready(array, "int64")


def reals(name: str, values: object) -> NDArray[np.float64]:
    """A column of real numbers as an array of doubles; whether they are in range is for the core."""
    if not hasattr(values, "dtype"):
        values = column(name, values)
        # NumPy would make numbers of them.
        if any(isinstance(value, bool) for value in values):
            row = next(row for row, value in enumerate(values) if isinstance(value, bool))
            raise ValidationError(f"blocks[{row}]: {name} {values[row]} is bool, not a number")
    return _ready(_array(name, values, "fiu", "numbers"), "float64")


def _ready(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """The array as the core can read it: aligned, and one value right after the other."""
    import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

    return np.require(array, dtype, ["C", "A"])


def _array(name: str, values: object, kinds: str, what: str) -> NDArray[Any]:
    import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

    try:
        array = np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValidationError(f"{name} {shown(values)} is no array of {what}: {error}") from None
    if array.ndim != 1 or (array.size and array.dtype.kind not in kinds):
        raise ValidationError(f"{name} {shown(values)} is an array of {array.dtype}, not of {what} in one row")
    return array
