"""What became of the conversations of a batch, in the same room however many they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pycontext._core import bounds

__all__ = ["Tally"]

_LARGEST: Final = 20

# A large conversation as the core names it: tokens before, line or row from 0, id, messages, tokens after.
_Large = tuple[int, int, str, int, int]


class Tally:
    """Sums that parts are added to; JSON can say all of it.

    Args:
        sums: those of another tally, as its `sums` has them.
    """

    def __init__(self, sums: Mapping[str, Any] | None = None) -> None:
        self.sums: dict[str, Any] = {"largest": [], "bad_lines": 0, **(sums or {})}

    def add(self, sums: Mapping[str, Any], place: Callable[[int], tuple[str, int]]) -> None:
        """Add the sums of a part; `place` has the file and the number of a line or row of it."""
        found: list[_Large] = sums["largest"]
        named: list[dict[str, Any]] = [
            {"file": file, "line": line, "id": id, "messages": messages, "tokens_before": before, "tokens_after": after}
            for before, at, id, messages, after in found
            for file, line in [place(at)]
        ]
        # Sorted is stable: of equals the first stays, whatever the parts were.
        named.sort(key=lambda large: (-large["tokens_before"], large["line"]))
        largest = sorted(self.sums["largest"] + named, key=lambda large: -large["tokens_before"])
        _merge(self.sums, {name: value for name, value in sums.items() if name != "largest"})
        self.sums["largest"] = largest[:_LARGEST]

    def note_bad(self) -> None:
        """Note a line that is no conversation."""
        self.sums["bad_lines"] += 1

    def summary(self) -> dict[str, Any]:
        """Return the sums under the names of the report."""
        sums = {**_EMPTY, **self.sums}
        by_type = {
            name: dict(zip(("messages_before", "messages_after", "tokens_before", "tokens_after"), row, strict=True))
            for name, row in sums["by_type"].items()
            if any(row)
        }
        before, after = sums["histogram_before"], sums["histogram_after"]
        used = max((at + 1 for at, pair in enumerate(zip(before, after, strict=True)) if any(pair)), default=0)
        return {
            **{name: sums[name] for name in _NUMBERS},
            "messages_before": sum(row["messages_before"] for row in by_type.values()),
            "messages_after": sum(row["messages_after"] for row in by_type.values()),
            "by_type": by_type,
            "fell": {reason: {"messages": pair[0], "tokens": pair[1]} for reason, pair in sums["fell"].items()},
            "largest": sums["largest"],
            "histogram": {"bounds": bounds()[: used + 1], "before": before[:used], "after": after[:used]},
        }


_NUMBERS: Final = (
    "conversations",
    "written",
    "untouched",
    "could_not_fit",
    "near_duplicates",
    "bad_lines",
    "estimated",
    "tokens_before",
    "tokens_after",
)
_EMPTY: Final[dict[str, Any]] = {
    **dict.fromkeys(_NUMBERS, 0),
    "by_type": {},
    "fell": {},
    "histogram_before": [],
    "histogram_after": [],
}


def _merge(sums: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add numbers to numbers, entry by entry."""
    for name, value in more.items():
        if isinstance(value, Mapping):
            _merge(sums.setdefault(name, {}), value)
        elif isinstance(value, list):
            old = sums.get(name) or [0] * len(value)
            sums[name] = [a + b for a, b in zip(old, value, strict=True)]
        else:
            sums[name] = sums.get(name, 0) + value
