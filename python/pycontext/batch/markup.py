"""Elements of a page, in which every text is escaped."""

from __future__ import annotations

import html
from typing import Final

__all__ = ["Markup", "element", "joined", "shown"]

_REPLACED: Final = "\N{REPLACEMENT CHARACTER}"


class Markup(str):
    """Markup that is whole. Any other string is text, and `element` escapes it."""

    __slots__ = ()


def shown(value: object, width: int = 80) -> str:
    """Return any value as a line of at most so many characters; what has no shape of its own is shown as one sign.

    A long one loses its middle: ids often differ at their end, and files always do.
    """
    text = value if isinstance(value, str) else str(value)
    if len(text) > width:
        # Before anything else: it may be megabytes.
        tail = width // 3
        text = f"{text[: width - tail - 1]}…{text[-tail:]}"
    return "".join(c if c.isprintable() else _REPLACED for c in text)


def element(name: str, *children: str, **attributes: str | float) -> Markup:
    """Return an element; attributes lose a `_` at their end, and others become `-`.

    Nothing that `isprintable` refuses comes out of a text: no control, no mark of direction, no half of a pair.
    """
    head = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(str(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{head}>{joined(*children)}</{name}>")


def joined(*children: str) -> Markup:
    """Return the elements and texts one after another."""
    return Markup("".join(child if isinstance(child, Markup) else _escaped(child) for child in children))


def _escaped(text: str) -> str:
    return html.escape(shown(text, 1_000))
