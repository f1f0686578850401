"""Bars of tokens before and after, in SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from pycontext.batch.figures import plural, short
from pycontext.batch.markup import Markup, element

__all__ = ["histogram", "key", "pair", "stacked"]

# Of the picture of a histogram, in pixels of its own.
_WIDTH: Final = 960
_HEIGHT: Final = 320
_LEFT: Final = 60
_RIGHT: Final = 20
_TOP: Final = 26
_BOTTOM: Final = 48
_MOST_LABELS: Final = 14
_BASE: Final = _HEIGHT - _BOTTOM

# How much of its slot a bar takes: who sees no colours sees what is wide and what is narrow.
_SLOT: Final = {"before": 0.96, "after": 0.5}


def pair(before: int, after: int, most: int) -> Markup:
    """Draw two bars, before above after; `most` is as long as there is room."""
    title = f"{before:,} before, {after:,} after"
    bars = [
        element("rect", class_=f"bar {when}", x=0, y=y, height=7, rx=2, width=_length(tokens, most))
        for when, tokens, y in (("before", before, 0), ("after", after, 9))
    ]
    return element("svg", element("title", title), *bars, role="img", height=16)


def stacked(before: int, after: int) -> Markup:
    """Draw one thick bar of what was, and in it what is."""
    most = max(before, after)
    bars = [
        element("rect", class_=f"bar {when}", x=0, y=y, height=height, rx=4, width=_length(tokens, most))
        for when, tokens, y, height in (("before", before, 0, 22), ("after", after, 4, 14))
    ]
    title = f"{plural(before, 'token')} before, {after:,} after"
    return element("svg", element("title", title), *bars, role="img", height=22)


def key(before: str, after: str) -> Markup:
    """Say which bar is which."""
    signs = [
        element("span", element("svg", _sign(when), viewBox="0 0 14 8", aria_hidden="true"), text)
        for when, text in (("before", before), ("after", after))
    ]
    return element("p", *signs, class_="key")


def histogram(
    bounds: Sequence[int], before: Sequence[int], after: Sequence[int], available: int | None
) -> tuple[Markup, range]:
    """Draw how many conversations have how many tokens, before and after, each bucket as wide as the others.

    Args:
        bounds: of the buckets, one more than there are; they grow by a factor, so that the axis is a logarithmic one.
        before: conversations in each.
        after: likewise.
        available: where a line is drawn.

    Returns:
        The picture, and the buckets in it: those at both ends that are empty are left out.
    """
    slots = _slots(bounds, before, after, available)
    width = (_WIDTH - _LEFT - _RIGHT) / len(slots)
    step = _step(max(max(before[i], after[i]) for i in slots))
    ceiling = step * max(1, math.ceil(max(max(before[i], after[i]) for i in slots) / step))
    parts = [
        element("title", "Conversations by their tokens, before and after"),
        element("desc", " ".join((_said("Before", bounds, before), _said("After", bounds, after)))),
        *_rows(ceiling, step),
    ]
    for when, counts in (("before", before), ("after", after)):
        for at, i in enumerate(slots):
            if counts[i]:
                height = max(1.5, counts[i] / ceiling * (_BASE - _TOP))
                left = _LEFT + (at + (1 - _SLOT[when]) / 2) * width
                label = element("title", f"{_bucket(bounds, i)}: {plural(counts[i], 'conversation')} {when}")
                box = {
                    "x": _px(left),
                    "y": _px(_BASE - height),
                    "width": _px(_SLOT[when] * width),
                    "height": _px(height),
                }
                parts.append(element("rect", label, class_=f"bar {when}", **box))
    parts += _edges(bounds, slots, width)
    if available is not None and bounds[slots[0]] <= available <= bounds[slots[-1] + 1]:
        parts += _mark(available, _LEFT + _place(available, bounds, slots) * width)
    return element("svg", *parts, role="img", class_="histogram", viewBox=f"0 0 {_WIDTH} {_HEIGHT}"), slots


def _slots(bounds: Sequence[int], before: Sequence[int], after: Sequence[int], available: int | None) -> range:
    shown = [i for i in range(len(before)) if before[i] or after[i]] or [0]
    if available is not None:
        # Where everything has room, the line shows how much is left.
        shown += [i for i in range(len(before)) if bounds[i] <= available < bounds[i + 1]]
    return range(min(shown), max(shown) + 1)


def _rows(ceiling: int, step: int) -> Iterator[Markup]:
    """Draw the lines across, with their numbers."""
    for count in range(0, ceiling + 1, step):
        y = _px(_BASE - count / ceiling * (_BASE - _TOP))
        line: dict[str, str | float] = {"x1": _LEFT, "x2": _WIDTH - _RIGHT, "y1": y, "y2": y}
        yield element("line", class_="grid" if count else "axis", **line)
        yield element("text", short(count), x=_LEFT - 8, y=y, dy="0.35em", text_anchor="end")
    yield element("text", "conversations", x=_LEFT - 8, y=12, text_anchor="start")


def _edges(bounds: Sequence[int], slots: range, width: float) -> Iterator[Markup]:
    """Draw where buckets end, with their numbers."""
    every = -(-(len(slots) + 1) // _MOST_LABELS)
    # Round numbers first, which are those with few bits.
    first = min(range(every), key=lambda at: bounds[slots[0] + at].bit_count())
    for at in range(first, len(slots) + 1, every):
        x = _px(_LEFT + at * width)
        yield element("line", class_="axis", x1=x, x2=x, y1=_BASE, y2=_BASE + 5)
        yield element("text", short(bounds[slots[0] + at]), x=x, y=_BASE + 19, text_anchor="middle")
    middle = _px((_LEFT + _WIDTH - _RIGHT) / 2)
    yield element("text", "tokens a conversation", x=middle, y=_HEIGHT - 8, text_anchor="middle")


def _mark(available: int, x: float) -> Iterator[Markup]:
    yield element("line", class_="mark", x1=_px(x), x2=_px(x), y1=_TOP - 6, y2=_BASE)
    anchor, away = ("end", -6) if x > _WIDTH / 2 else ("start", 6)
    yield element("text", f"available: {available:,}", class_="marked", x=_px(x + away), y=_TOP - 9, text_anchor=anchor)


def _place(value: int, bounds: Sequence[int], slots: range) -> float:
    """Return how many slots are left of a value; inside of a slot the axis is logarithmic as well."""
    for at, i in enumerate(slots):
        low, high = bounds[i], bounds[i + 1]
        if low <= value <= high:
            return at + (math.log1p(value) - math.log1p(low)) / (math.log1p(high) - math.log1p(low))
    return len(slots)


def _said(when: str, bounds: Sequence[int], counts: Sequence[int]) -> str:
    """Return in words what a reader who sees no picture wants most."""
    most = max(range(len(counts)), key=counts.__getitem__)
    return f"{when}: most conversations, {counts[most]:,} of {sum(counts):,}, have {_bucket(bounds, most)}."


def _bucket(bounds: Sequence[int], i: int) -> str:
    low, high = bounds[i], bounds[i + 1] - 1
    return plural(low, "token") if low >= high else f"{low:,} to {high:,} tokens"


def _step(most: int) -> int:
    """Return a round number, of which four at most are about as many."""
    if most <= 4:
        return 1
    unit: int = 10 ** (len(str(most)) - 1)
    # Parts of one are none, and never chosen.
    steps = (unit // 10, unit // 5, unit // 4, unit // 2, unit, 2 * unit, 5 * unit)
    return next(step for step in steps if step * 4 >= most)


def _length(tokens: int, most: int) -> str:
    """Return how long a bar is; what is there at all can be seen."""
    return f"{max(0.4, 100 * tokens / most):.2f}%" if tokens > 0 else "0%"


def _sign(when: str) -> Markup:
    narrow = when == "after"
    box = {"x": 0, "y": 2 if narrow else 0, "width": 14, "height": 4 if narrow else 8}
    return element("rect", class_=f"bar {when}", rx=1.5, **box)


def _px(value: float) -> str:
    return f"{value:.2f}"
