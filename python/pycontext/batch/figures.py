"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["NONE", "duration", "plural", "saved", "share", "short", "size"]

NONE: Final = "\N{EN DASH}"
"""Where there is no number."""


def plural(n: int, noun: str) -> str:
    """Return the number with its noun."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def short(n: float) -> str:
    """Return a number with three digits that count, and a letter for thousands and more from 100,000 on."""
    if n < 99_999.5:
        return f"{n:,.0f}" if n >= 100 or n == int(n) else f"{n:.2g}"
    for letter, unit in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        # What rounds to a thousand of a unit is one of the next.
        if n < 999.5 * unit:
            return f"{_three(n / unit)}{letter}"
    return f"{_three(n / 1e12)}T"


def size(n: int) -> str:
    """Return a number of bytes."""
    return plural(n, "byte") if n < 100_000 else f"{short(n)}B"


def share(part: float, whole: float) -> str:
    """Return a part in percent; only all of it is 100% and only nothing is 0%."""
    if not whole:
        return NONE
    found = part / whole
    if 0 < found < 0.001:
        return "<0.1%"
    if 0.999 < found < 1:
        return ">99.9%"
    return f"{found:.0%}" if found in (0, 1) else f"{found:.1%}"


def saved(before: int, after: int) -> str:
    """Return how much less there is after, in percent; more has a sign."""
    return share(before - after, before) if after <= before else f"+{share(after - before, before)}"


def duration(seconds: float) -> str:
    """Return a time in the units that it needs."""
    if not math.isfinite(seconds) or seconds <= 0:
        return NONE
    if seconds < 0.0995:
        return f"{seconds * 1_000:.2g} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def _three(n: float) -> str:
    return f"{n:,.0f}" if n >= 99.95 else f"{n:.1f}" if n >= 9.995 else f"{n:.2f}"
