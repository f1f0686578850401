"""What the kernel chose, with a reason for every block."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal

from pycontext import _core
from pycontext.block import ContextBlock, restore
from pycontext.errors import ValidationError, shown
from pycontext.messages import openai

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycontext.counter import TokenCounter

__all__ = ["Dropped", "Reason", "Selection"]

# What a model is sent: text, or chat messages.
Rendering = str | list[dict[str, Any]]


class Reason(StrEnum):
    """Why a block stays or falls; the values are stable codes."""

    PINNED = "pinned"
    KEPT = "kept"
    BUDGET = "budget"
    SHARE = "share"
    BELOW_THRESHOLD = "below_threshold"
    DUPLICATE = "duplicate"
    UNIT = "unit"
    ORPHAN = "orphan"


# Their detail is a name that belongs to the reason.
_NAMED: Final = (Reason.DUPLICATE, Reason.UNIT, Reason.SHARE)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A block that falls.

    Attributes:
        id: of the block.
        reason: the code; `UNIT` says that it falls with the block named in `detail`, which has the reason.
        detail: the id that the reason points to (`DUPLICATE`, `UNIT`), the name of the tier (`SHARE`), else the numbers
            or what is missing.
        tokens: what the block would have cost as rendered.
    """

    id: str
    reason: Reason
    detail: str
    tokens: int


_EVIDENCE: Final = ("terms", "added_terms", "scorer", "reference_share", "query_weight")


class Selection:
    """The blocks that stay, and why the others fall.

    A selection shows the blocks as they were when it was made: later changes do not reach it. Nothing is built before
    somebody asks for it, and then only that. Made by `prune`; it cannot be pickled, its receipt `to_dict()` can.
    """

    __slots__ = ("_chosen", "_counter", "_fitted", "_policy", "_source", "render")

    def __init__(self, chosen: _core.Selection, policy: str, render: str, counter: TokenCounter) -> None:
        self._chosen = chosen
        self._policy = policy
        self._counter = counter
        self.render = render
        """Name of the rendering that the costs are for."""
        self._source: Sequence[ContextBlock] | None = None
        self._fitted: tuple[Rendering, int, int] | None = None

    @property
    def policy(self) -> str:
        """Name of the policy that chose."""
        return self._policy

    @property
    def counter(self) -> str:
        """Name of the counter."""
        return self._counter.name

    @property
    def tokens(self) -> int:
        """What stays, counted as rendered, with the tokens of the request that belong to no block."""
        return self._chosen.tokens if self._fitted is None else self._fitted[1]

    @property
    def available(self) -> int:
        """Tokens that there were for the blocks."""
        return self._chosen.available if self._fitted is None else self._fitted[2]

    @property
    def exact(self) -> bool:
        """False when any of `tokens` was estimated."""
        return self._chosen.exact and self._counter.exact

    @property
    def evidence(self) -> dict[str, Any] | None:
        """Which signals counted where units were taken by evidence, else None.

        `terms` of the query that some block has; `added_terms` of the best matches; `scorer`, whether one counted
        besides words; `reference_share`, the part of the room that references had before the conversation with tools,
        None where only one of the two is there; `query_weight`, how much the words of the query counted in that
        conversation, 0 to 1.
        """
        found = self._chosen.evidence()
        return None if found is None else dict(zip(_EVIDENCE, found, strict=True))

    @property
    def rendering(self) -> Rendering | None:
        """What a plug-in wrote for this selection, None where there is none."""
        return None if self._fitted is None else self._fitted[0]

    @property
    def indices(self) -> NDArray[np.int64]:
        """Positions of the blocks that stay, in their original order; a new array."""
        return self._chosen.indices()

    @property
    def reasons(self) -> list[Reason]:
        """The reason of every block, those that stay included, in their original order."""
        return self._chosen.reasons()

    @property
    def copies(self) -> dict[str, str]:
        """Ids of duplicates that fell while the copy stays, and the id of that copy."""
        return self._chosen.copies()

    def cut(self, columns: _core.Columns, held: list[int]) -> tuple[_core.Fallen, dict[str, str], list[int | None]]:
        """Remove from `columns` what fell and is there still.

        Returns it, ids of duplicates that fell with those of their copies, and where the rows in `held` are then.
        """
        return _core.cut(columns, self._chosen, held)

    @property
    def kept_ids(self) -> list[str]:
        """Ids of the blocks that stay, in their original order."""
        return self._chosen.kept_ids()

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
        return self._chosen.dropped_ids()

    @property
    def dropped(self) -> list[Dropped]:
        """The blocks that fall, in their original order, each with its reason."""
        return [Dropped(*entry) for entry in self._chosen.entries(fell_only=True)]

    def over(self, source: Sequence[ContextBlock]) -> Selection:
        """Take the caller's own objects for the blocks, one for each."""
        self._source = source
        return self

    def rendered_as(self, rendering: Rendering, tokens: int, available: int) -> Selection:
        """Take what a plug-in wrote for this selection, its count, and the tokens that there were."""
        self._fitted = rendering, tokens, available
        return self

    def messages(self, format: Literal["openai"] = "openai") -> list[dict[str, Any]]:
        """Return what stays as chat messages: those of the formatter where it wrote messages.

        Raises:
            ValidationError: there is no such format.
        """
        if not isinstance(format, str) or format != "openai":
            raise ValidationError(f"format {shown(format)} is not one of openai")
        if isinstance(self.rendering, list):
            return deepcopy(self.rendering)
        messages, others = self._chosen.messages()
        # Fields of a provider are JSON in the metadata, which is read where it is written.
        for at, row in others:
            messages[at] = openai.from_fields(self._chosen.get(row))
        return messages

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
        return {
            "policy": self.policy,
            "render": self.render,
            "counter": self.counter,
            "tokens": self.tokens,
            "available": self.available,
            "exact": self.exact,
            **({} if self.evidence is None else {"evidence": self.evidence}),
            "blocks": [
                {
                    "id": id,
                    "reason": f"{reason}:{detail}" if reason in _NAMED else str(reason),
                    "detail": "" if reason in _NAMED else detail,
                    "tokens": cost,
                }
                for id, reason, detail, cost in self._chosen.entries(fell_only=False)
            ],
        }

    def __repr__(self) -> str:
        kept, total = len(self._chosen.rows()), len(self._chosen)
        return f"<Selection: {kept} of {total} blocks, {self.tokens} of {self.available} tokens>"

    def _snapshot(self) -> list[ContextBlock]:
        """The blocks that stay as they were, with references to dropped copies mapped."""
        blocks = [restore(self._chosen.get(row), self.counter) for row in self._chosen.rows()]
        if copies := self.copies:
            for block in blocks:
                block.references = [copies.get(id, id) for id in block.references]
        return blocks
