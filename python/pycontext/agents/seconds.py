"""Spans of time that callers give."""

from __future__ import annotations

from pycontext.errors import ValidationError, shown

__all__ = ["MOST_SECONDS", "check_seconds"]

# Ten years: beyond it a time-out is a slip, and some clocks overflow.
MOST_SECONDS = 315_360_000.0


def check_seconds(name: str, value: object) -> None:
    """Refuse what is no number of seconds above 0.

    Raises:
        ValidationError: it is something else; the error begins with `name`.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= MOST_SECONDS:
        raise ValidationError(f"{name} {shown(value)} is not a number of seconds above 0, at most {MOST_SECONDS:.0f}")
