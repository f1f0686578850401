"""What is otherwise in a request than in the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pycontext.cache import Prefix

__all__ = ["Difference"]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two selections compared.

    Attributes:
        came: ids of blocks that stay and were not there before.
        returned: ids of blocks that stay and fell before.
        fell: blocks that stayed before and fall now, by id, with the reason.
        gone: ids of blocks that stayed before and are not in the input any more.
        stayed: number of blocks that stay in both.
        tokens: how many more there are now.
        prefix: what both have in common at the beginning.
    """

    came: Sequence[str]
    returned: Sequence[str]
    fell: Mapping[str, str]
    gone: Sequence[str]
    stayed: int
    tokens: int
    prefix: Prefix

    def __str__(self) -> str:
        lines = [f"{self.stayed} stay, {self.tokens:+,} tokens, the first {self.prefix.blocks} blocks as before"]
        lines += [f"+ {id}" for id in self.came]
        lines += [f"+ {id} (back)" for id in self.returned]
        lines += [f"- {id} ({reason})" for id, reason in self.fell.items()]
        lines += [f"- {id} (not in the input)" for id in self.gone]
        return "\n".join(lines)
