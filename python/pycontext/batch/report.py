"""What a batch did, as one page that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pycontext.batch.drawing import histogram, key, pair, stacked
from pycontext.batch.figures import NONE, duration, plural, saved, share, short, size
from pycontext.batch.markup import Markup, element, joined, shown
from pycontext.batch.style import STYLE
from pycontext.selection import WORDS

__all__ = ["html_report"]

# The page has no script and fetches nothing, and a browser is told to hold it to that.
_HEAD: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
"""

_MOST_FILES: Final = 10
_MOST_ROWS: Final = 20
_LONGEST: Final = 13

# By key: whether it is a problem or a remark, and what is said of how many.
_NOTABLE: Final = {
    "bad_lines": ("problem", "line", "that hold no conversation and were left out"),
    "could_not_fit": ("problem", "conversation", "in which what must stay is larger than the budget"),
    "estimated": ("problem", "conversation", "with tokens that were estimated, not counted"),
    "near_duplicates": ("remark", "conversation", "left out because another says nearly the same"),
}


def html_report(summary: Mapping[str, Any]) -> str:
    """Return the report of a batch as an HTML document that fetches nothing and has no script.

    Args:
        summary: what `pycontext batch --json` says at its end. Its names and ids may be anybody's: they are escaped,
            clipped and cleared of what cannot be printed.
    """
    title = _title(summary)
    parts = [
        _header(summary, title),
        element("main", _tiles(summary), _notable(summary), *_tables(summary), _settings(summary)),
        element("footer", "Written by pycontext batch. This page fetches nothing and runs nothing."),
    ]
    head = joined(element("title", f"{title} · pycontext batch"), element("style", STYLE))
    return f"{_HEAD}{head}\n</head>\n{element('body', *parts)}\n</html>\n"


def _title(summary: Mapping[str, Any]) -> str:
    n, before, after = (summary[name] for name in ("conversations", "tokens_before", "tokens_after"))
    if not n:
        return "No conversations"
    if before == after:
        return f"{plural(n, 'conversation')}, as many tokens as before"
    word = "fewer" if after < before else "more"
    return f"{plural(n, 'conversation')}, {saved(before, after).lstrip('+')} {word} tokens"


def _header(summary: Mapping[str, Any], title: str) -> Markup:
    parts = ["pycontext batch · ", _files(summary["input"], most=2)]
    if summary["output"] is not None:
        parts += [_ARROW, _name(summary["output"])]
    return element("header", element("h1", title), element("p", *parts))


# Read aloud it is a word.
_ARROW: Final = joined(
    element("span", " → ", class_="arrow", aria_hidden="true"), element("span", " to ", class_="spoken")
)


def _tiles(summary: Mapping[str, Any]) -> Markup:
    """The numbers that everybody asks for."""
    n, before, after = (summary[name] for name in ("conversations", "tokens_before", "tokens_after"))
    seconds = summary.get("seconds") or 0
    per_second = (
        f"{short(n / seconds)} conversations and {short(before / seconds)} tokens a second"
        if n and 0 < seconds < math.inf
        else "nothing to measure"
    )
    less = f"{before - after:,} fewer" if after <= before else f"{after - before:,} more"
    tiles = [
        _tile("Tokens", [f"{before:,}", _ARROW, f"{after:,}"], [stacked(before, after)], kind="wide"),
        _tile("Saved", [saved(before, after)], [f"{less} tokens"], figure="most"),
        _tile("Conversations", [f"{n:,}"], [f"{summary['written']:,} written, {summary['untouched']:,} untouched"]),
        _tile(
            "Messages",
            [f"{summary['messages_before']:,}", _ARROW, f"{summary['messages_after']:,}"],
            [f"{share(summary['messages_after'], summary['messages_before'])} stayed" if n else "nothing to keep"],
        ),
        _tile("Time", [duration(seconds)], [per_second]),
    ]
    return element("dl", *tiles, class_="tiles")


def _tile(name: str, figures: Sequence[str], note: Sequence[str], *, kind: str = "", figure: str = "") -> Markup:
    # A number that breaks in the middle is read wrong.
    is_long = any(len(number) > _LONGEST for number in figures if not isinstance(number, Markup))
    return element(
        "div",
        element("dt", name),
        element("dd", *figures, class_=" ".join(filter(None, ("figure", figure, "long" * is_long)))),
        element("dd", *note, class_="note"),
        class_=f"tile {kind}".strip(),
    )


def _notable(summary: Mapping[str, Any]) -> Markup:
    """What somebody should look at, first."""
    found = [(summary[name], *said) for name, said in _NOTABLE.items() if summary[name]]
    items = [
        element("li", element("span", kind, class_="tag"), element("strong", plural(n, noun)), f" {said}", class_=kind)
        for n, kind, noun, said in found
    ]
    if not items:
        all_well = "Every line was read, counted exactly and cut to the budget."
        text = all_well if summary["conversations"] else "There was nothing to read."
        return _section("No problems", element("p", text))
    has_problem = any(kind == "problem" for _, kind, _, _ in found)
    return _section("To look at", element("ul", *items), kind="problems" if has_problem else "")


def _section(title: str, *children: str, kind: str = "") -> Markup:
    # Sections without a class have none.
    attributes = {"class": kind} if kind else {}
    return element("section", element("h2", title), *children, **attributes)


def _tables(summary: Mapping[str, Any]) -> Iterator[Markup]:
    yield _section("Tokens by type", *_by_type(summary))
    yield _section("What fell, and why", *_fell(summary))
    yield _section("Tokens a conversation", *_histogram(summary))
    yield _section("Largest conversations", *_largest(summary))


def _by_type(summary: Mapping[str, Any]) -> Iterator[Markup]:
    types = {name: found for name, found in summary["by_type"].items() if any(found.values())}
    if not types:
        yield _nothing("No messages.")
        return
    most = max(max(found["tokens_before"], found["tokens_after"]) for found in types.values())
    yield key("before (upper bar)", "after (lower bar)")
    rows = [
        [element("bdi", shown(name)), *_counts(found), pair(found["tokens_before"], found["tokens_after"], most)]
        for name, found in types.items()
    ]
    total = ["all", *_counts(summary), ""]
    headings = ("type", "messages before", "after", "tokens before", "after", "saved", "tokens")
    yield _table("What messages cost, by who wrote them or what they are.", headings, rows, total)


def _counts(found: Mapping[str, Any]) -> list[str]:
    numbers = [f"{found[name]:,}" for name in ("messages_before", "messages_after", "tokens_before", "tokens_after")]
    return [*numbers, saved(found["tokens_before"], found["tokens_after"])]


def _fell(summary: Mapping[str, Any]) -> Iterator[Markup]:
    fell = {reason: found for reason, found in summary["fell"].items() if found["messages"] or found["tokens"]}
    if not fell:
        yield _nothing("Nothing fell.")
        return
    messages = sum(found["messages"] for found in fell.values())
    tokens = sum(found["tokens"] for found in fell.values())
    rows = [
        [_reason(name), f"{found['messages']:,}", f"{found['tokens']:,}", share(found["tokens"], tokens)]
        for name, found in sorted(fell.items(), key=lambda item: -item[1]["tokens"])
    ]
    total = ["all", f"{messages:,}", f"{tokens:,}", share(tokens, tokens)]
    yield _table("Messages that are left out.", ("reason", "messages", "tokens", "share of tokens"), rows, total)


def _reason(name: str) -> Markup:
    words = {reason.value: said for reason, said in WORDS.items()}.get(name)
    return joined(f"{words} ", _name(name)) if words else _name(name)


def _histogram(summary: Mapping[str, Any]) -> Iterator[Markup]:
    found = summary["histogram"]
    bounds, before, after = found["bounds"], found["before"], found["after"]
    if not any(before) and not any(after):
        yield _nothing("No conversations.")
        return
    picture, slots = histogram(bounds, before, after, summary["available"])
    yield key("before (wide bars)", "after (narrow bars)")
    yield element("figure", _scrolling(picture, "histogram"))
    rows = [[f"{bounds[i]:,}", f"{bounds[i + 1]:,}", f"{before[i]:,}", f"{after[i]:,}"] for i in slots]
    table = _table(
        "Conversations by their tokens.", ("tokens from", "to less than", "conversations before", "after"), rows
    )
    yield element("details", element("summary", "The same as a table"), table)


def _largest(summary: Mapping[str, Any]) -> Iterator[Markup]:
    largest = summary["largest"][:_MOST_ROWS]
    if not largest:
        yield _nothing("No conversations.")
        return
    most = max(max(one["tokens_before"], one["tokens_after"]) for one in largest)
    has_files = any("file" in one for one in largest)
    yield key("before (upper bar)", "after (lower bar)")
    rows = [
        [
            _name(NONE if one["id"] is None else one["id"]),
            *([_name(one.get("file", NONE), 40)] if has_files else []),
            f"{one['line']:,}",
            f"{one['messages']:,}",
            f"{one['tokens_before']:,}",
            f"{one['tokens_after']:,}",
            saved(one["tokens_before"], one["tokens_after"]),
            pair(one["tokens_before"], one["tokens_after"], most),
        ]
        for one in largest
    ]
    files = ["file"] if has_files else []
    headings = ("id", *files, "line", "messages", "tokens before", "after", "saved", "tokens")
    yield _table("The most tokens before, first.", headings, rows)


def _settings(summary: Mapping[str, Any]) -> Markup:
    query = summary["query"]
    pairs = [
        ("Budget", f"{plural(summary['budget'], 'token')} a conversation"),
        ("Available", f"{plural(summary['available'], 'token')} of it for messages"),
        ("Policy", _name(summary["policy"])),
        ("Query", "none" if query is None else _name(query)),
        ("Encoding", _name(summary["encoding"])),
        ("Read", joined(_files(summary["input"], most=_MOST_FILES), f" ({size(summary['bytes_read'])})")),
        ("Written", _written(summary)),
    ]
    items = [item for name, said in pairs for item in (element("dt", name), element("dd", said))]
    return _section("Settings", element("dl", *items, class_="settings"))


def _written(summary: Mapping[str, Any]) -> Markup:
    if summary["output"] is None:
        return joined("to no file")
    return joined(_name(summary["output"]), f" ({size(summary['bytes_written'])})")


def _files(names: Sequence[str], *, most: int) -> Markup:
    if not names:
        return joined("no file")
    shown_names = [part for name in names[:most] for part in (Markup(", "), _name(name))][1:]
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return joined(*shown_names, more)


def _name(text: object, width: int = 80) -> Markup:
    """What others called something; it has its own direction, so that none turns the line around."""
    return element("bdi", shown(text, width), class_="name")


def _nothing(text: str) -> Markup:
    return element("p", text, class_="note")


def _table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]], total: Sequence[str] = ()) -> Markup:
    """A table whose first column names its rows; the others are numbers or files, the last may be drawings."""
    last = "bars" if isinstance(rows[0][-1], Markup) else "number"
    kinds = ["id", *("id" if name == "file" else "number" for name in headings[1:-1]), last]
    head = [element("th", name, scope="col", class_=kind) for name, kind in zip(headings, kinds, strict=True)]
    parts = [element("caption", caption), element("thead", element("tr", *head))]
    parts.append(element("tbody", *(_row(row, kinds) for row in rows)))
    if total:
        parts.append(element("tfoot", _row(total, kinds)))
    return _scrolling(element("table", *parts), caption)


def _row(cells: Sequence[str], kinds: Sequence[str]) -> Markup:
    first = element("th", cells[0], scope="row", class_=kinds[0])
    rest = (element("td", cell, class_=kind) for cell, kind in zip(cells[1:], kinds[1:], strict=True))
    return element("tr", first, *rest)


def _scrolling(child: Markup, label: str) -> Markup:
    """What is wider than the page moves in its own frame, with keys too."""
    return element("div", child, class_="scroll", role="region", tabindex=0, aria_label=label)
