"""What callers of a store say, checked."""

from __future__ import annotations

import secrets
from typing import Final

from pycontext._core import check_id
from pycontext.budget import check_tokens
from pycontext.errors import (
    ValidationError,
    shown,
)
from pycontext.package import ContextPackage, check_package
from pycontext.store.hint import MOST_HINTS, Hint

__all__ = ["LARGEST_VERSION", "check_epoch", "hint_id", "hint_of", "milliseconds", "operation_of", "taking"]

# A hundred years.
_LONGEST_SECONDS: Final = 100 * 365 * 86_400
LARGEST_VERSION: Final = 2**32 - 1
# Its length stands in one byte.
_OPERATION_BYTES: Final = 128


def milliseconds(name: str, seconds: object) -> int:
    """Return a time in milliseconds, 1 or more.

    Raises:
        ValidationError: it is no number of seconds above 0.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST_SECONDS:
        raise ValidationError(
            f"{name} {shown(seconds)} is not a number of seconds above 0 and at most {_LONGEST_SECONDS}"
        )
    return max(int(seconds * 1000), 1)


def taking(most: int, lease_seconds: float) -> tuple[int, int]:
    """Return how many hints to take, and for how many milliseconds.

    Raises:
        ValidationError: one of them is outside its limits.
    """
    check_tokens("most", most, least=1, most=MOST_HINTS)
    return int(most), milliseconds("lease_seconds", lease_seconds)


def hint_id(hint: Hint) -> str:
    """Return the id by which a log knows a hint.

    Raises:
        ValidationError: it is no hint.
    """
    if not isinstance(hint, Hint):
        raise ValidationError(f"hint {shown(hint)} is {type(hint).__name__}, not a Hint")
    return hint.id


def hint_of(package: ContextPackage) -> Hint:
    """Return what its agent is told of a package.

    Raises:
        ValidationError: it is no package.
    """
    check_package("package", package)
    return Hint("", package.session_id, package.sender or "", package.version, package.epoch)


def check_epoch(epoch: int | None) -> None:
    """Check the epoch of a writer.

    Raises:
        ValidationError: it is none.
    """
    if epoch is not None:
        check_tokens("epoch", epoch, least=0, most=LARGEST_VERSION)


def operation_of(operation_id: str | None) -> str:
    """Return the id of a write, a new one where none is given."""
    if operation_id is None:
        return secrets.token_hex(16)
    check_id("operation_id", operation_id)
    if len(operation_id.encode()) > _OPERATION_BYTES:
        raise ValidationError(f"operation_id {shown(operation_id)} is longer than {_OPERATION_BYTES} bytes")
    return operation_id
