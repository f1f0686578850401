"""What the kernel chose, with a reason for every block."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from pycontext.block import ContextBlock, restore
from pycontext.errors import ValidationError, shown
from pycontext.messages import openai

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycontext import _core

__all__ = ["Dropped", "Reason", "Selection"]


class Reason(StrEnum):
    """Why a block stays or falls; the values are stable codes."""

    PINNED = "pinned"
    KEPT = "kept"
    BUDGET = "budget"
    BELOW_THRESHOLD = "below_threshold"
    DUPLICATE = "duplicate"
    UNIT = "unit"
    ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A block that falls.

    Attributes:
        id: of the block.
        reason: the code; `UNIT` says that it falls with the block named in `detail`, which has the reason.
        detail: the id that the reason points to (`DUPLICATE`, `UNIT`), else the numbers or what is missing.
        tokens: what the block would have cost as rendered.
    """

    id: str
    reason: Reason
    detail: str
    tokens: int


class Selection:
    """The blocks that stay, and why the others fall.

    A selection shows the blocks as they were when it was made: later changes do not reach it. Nothing is built before
    somebody asks for it. Made by `prune`.

    Attributes:
        policy: name of the policy that chose.
        render: name of the rendering that the costs are for.
        counter: name of the counter.
        tokens: what stays, counted as rendered, with the tokens of the request that belong to no block.
        available: tokens that there were for the blocks.
        exact: False when any of `tokens` was estimated.
        rendering: what a plug-in wrote for this selection, None where there is none.
    """

    def __init__(
        self,
        chosen: _core.Selection,
        *,
        policy: str,
        render: str,
        counter: str,
        available: int,
        exact: bool,
    ) -> None:
        self._chosen: Final = chosen
        self._source: Sequence[ContextBlock] | None = None
        self.rendering: str | list[dict[str, Any]] | None = None
        self.policy: Final = policy
        self.render: Final = render
        self.counter: Final = counter
        self.tokens = chosen.tokens
        self.available: Final = available
        self.exact: Final = exact and chosen.exact

    @cached_property
    def indices(self) -> NDArray[np.int64]:
        """Positions of the blocks that stay, in their original order."""
        return self._chosen.indices()

    @cached_property
    def copies(self) -> dict[str, str]:
        """Ids of duplicates that fell while the copy stays, and the id of that copy."""
        return self._chosen.copies()

    @property
    def kept_ids(self) -> list[str]:
        """Ids of the blocks that stay, in their original order."""
        ids = self._ids
        return [ids[row] for row in self._chosen.rows()]

    @property
    def kept(self) -> list[ContextBlock]:
        """The blocks that stay, in their original order.

        The caller's own objects where the input was a list of them, else new ones. A block that references a dropped
        copy is always a new one, which names the copy that stays.
        """
        if self._source is None:
            return self._snapshot()
        copies = self.copies
        own = [self._source[row] for row in self._chosen.rows()]
        if not copies:
            return own
        pairs = zip(own, self._snapshot(), strict=True)
        return [block if copies.keys().isdisjoint(block.references) else new for block, new in pairs]

    @property
    def dropped_ids(self) -> list[str]:
        """Ids of the blocks that fall, in their original order."""
        kept = set(self._chosen.rows())
        return [id for row, id in enumerate(self._ids) if row not in kept]

    @property
    def dropped(self) -> list[Dropped]:
        """The blocks that fall, in their original order, each with its reason."""
        costs = self._chosen.costs()
        return [
            Dropped(self._ids[row], Reason(code), detail, costs[row])
            for row, (code, detail) in enumerate(self._reasons)
            if code not in (Reason.PINNED, Reason.KEPT)
        ]

    def over(self, source: Sequence[ContextBlock]) -> Selection:
        """Take the caller's own objects for the blocks, one for each."""
        self._source = source
        return self

    def rendered_as(self, rendering: str | list[dict[str, Any]], tokens: int) -> Selection:
        """Take what a plug-in wrote for this selection, and its count."""
        self.rendering = rendering
        self.tokens = tokens
        return self

    def messages(self, format: Literal["openai"] = "openai") -> list[dict[str, Any]]:
        """Return what stays as chat messages: those of the formatter where it wrote messages.

        Raises:
            ValidationError: there is no such format.
        """
        if format != "openai":
            raise ValidationError(f"format {shown(format)} is not one of openai")
        if isinstance(self.rendering, list):
            return deepcopy(self.rendering)
        return openai.from_blocks(self._snapshot())

    def text(self) -> str:
        """Return what stays in the text form: blocks under headers, or what the formatter wrote."""
        return self.rendering if isinstance(self.rendering, str) else self._chosen.text()

    def explain(self, block_id: str) -> str:
        """Return one sentence with the numbers that decided about a block.

        Raises:
            ValidationError: there was no block of that id.
        """
        return self._chosen.explain(block_id)

    def to_dict(self) -> dict[str, Any]:
        """Return the receipt as stable JSON: the numbers, then every block with its reason and tokens."""
        costs = self._chosen.costs()
        targeted = (Reason.DUPLICATE, Reason.UNIT)
        return {
            "policy": self.policy,
            "render": self.render,
            "counter": self.counter,
            "tokens": self.tokens,
            "available": self.available,
            "exact": self.exact,
            "blocks": [
                {
                    "id": id,
                    "reason": f"{code}:{detail}" if code in targeted else code,
                    "detail": "" if code in targeted else detail,
                    "tokens": cost,
                }
                for id, (code, detail), cost in zip(self._ids, self._reasons, costs, strict=True)
            ],
        }

    def __repr__(self) -> str:
        kept, total = len(self._chosen.rows()), len(self._ids)
        return f"<Selection: {kept} of {total} blocks, {self.tokens} of {self.available} tokens>"

    def _snapshot(self) -> list[ContextBlock]:
        """The blocks that stay as they were, with references to dropped copies mapped."""
        blocks = [restore(self._chosen.get(row), self.counter) for row in self._chosen.rows()]
        if copies := self.copies:
            for block in blocks:
                block.references = [copies.get(id, id) for id in block.references]
        return blocks

    @cached_property
    def _ids(self) -> list[str]:
        return self._chosen.ids()

    @cached_property
    def _reasons(self) -> list[tuple[str, str]]:
        return self._chosen.reasons()
