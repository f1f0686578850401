"""What the kernel chose, with a reason for every block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal

from pycontext import _core
from pycontext.block import ContextBlock, restore
from pycontext.cache import Cache, CacheReport, Prefix
from pycontext.difference import Difference
from pycontext.errors import ValidationError, shown
from pycontext.messages import openai
from pycontext.prices import Bill, Price, price_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycontext.counter import TokenCounter
    from pycontext.policy import Policy

__all__ = ["WORDS", "Dropped", "Reason", "Selection"]

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
    CUT = "cut"
    NEAR_DUPLICATE = "near_duplicate"


WORDS: Final = {
    Reason.PINNED: "pinned",
    Reason.KEPT: "kept",
    Reason.BUDGET: "no room",
    Reason.UNIT: "with its unit",
    Reason.BELOW_THRESHOLD: "low score",
    Reason.DUPLICATE: "said twice",
    Reason.ORPHAN: "broken unit",
    Reason.SHARE: "share is full",
    Reason.CUT: "cut before",
    Reason.NEAR_DUPLICATE: "said nearly so",
}
"""What a reason means, in a table."""

_FORMS: Final = {
    "repack": "its JSON without blanks",
    "stub": "identifiers, numbers and words of status alone",
    "ends": "its beginning and its end",
    "summary": "a summary of the caller's",
}

# Their detail is a name that belongs to the reason.
_NAMED: Final = (Reason.DUPLICATE, Reason.NEAR_DUPLICATE, Reason.UNIT, Reason.SHARE)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A block that falls.

    Attributes:
        id: of the block.
        reason: the code; `UNIT` says that it falls with the block named in `detail`, which has the reason.
        detail: the id that the reason points to (`DUPLICATE`, `NEAR_DUPLICATE`, `UNIT`), the name of the tier
            (`SHARE`), else the numbers or what is missing.
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

    __slots__ = (
        "_cache", "_chosen", "_counter", "_fitted", "_forms", "_is_budget_exact", "_policy", "_source", "render",
    )  # fmt: skip

    def __init__(self, chosen: _core.Selection, policy: Policy, render: str, counter: TokenCounter) -> None:
        self._chosen = chosen
        self._policy = policy
        self._counter = counter
        self.render = render
        """Name of the rendering that the costs are for."""
        self._source: Sequence[ContextBlock] | None = None
        self._fitted: tuple[Rendering, int, int] | None = None
        self._cache: CacheReport | None = None
        self._forms: dict[str, str] = {}
        self._is_budget_exact = True

    @property
    def chosen(self) -> _core.Selection:
        """The same for the kernel."""
        return self._chosen

    @property
    def policy(self) -> str:
        """Name of the policy that chose."""
        return self._policy.name

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
        """False when any of `tokens` was estimated, or what the budget holds besides the blocks."""
        return self._chosen.exact and self._counter.exact and self._is_budget_exact

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
    def whole_tokens(self) -> int:
        """Tokens of the request, had nothing been cut; under a formatter those of the costs."""
        return self._chosen.whole()

    @property
    def cache(self) -> CacheReport | None:
        """What a provider's cache has of the request; None where `prune` was not given the selection before."""
        return self._cache

    @property
    def shortened(self) -> dict[str, str]:
        """The form of blocks that stay but not as they were, by id: "repack", "stub", "ends" or "summary"."""
        return dict(self._forms)

    def costs(self) -> list[int]:
        """Return the tokens of every block as rendered, those that fall included, in their original order."""
        return self._chosen.costs()

    def over_columns(self, columns: _core.Columns, render: str) -> Selection:
        """Return the same choice over blocks whose contents are others now."""
        return Selection(self._chosen.over(columns, render), self._policy, render, self._counter)

    def with_forms(self, forms: Mapping[str, str]) -> Selection:
        """Say which blocks are not as they were."""
        self._forms = dict(forms)
        return self

    def shared_with(self, previous: Selection) -> Prefix:
        """Return what the request has in common with an earlier one, from its beginning."""
        return Prefix(*self._chosen.shared(previous.chosen))

    def cost(self, model: str | Price, previous: Selection | None = None) -> Bill:
        """Return what the prompt costs.

        Args:
            model: a `Price`, or the name of a model in `PRICES`.
            previous: the selection of the request before, of which the provider has what is the same; None for none.

        Raises:
            ValidationError: the model has no price.
        """
        whole = self.whole_tokens
        prefix = Prefix(0, 0, whole, is_broken=False) if previous is None else self.shared_with(previous)
        return price_of(model).bill(
            requests=1,
            tokens=self.tokens,
            cached=prefix.tokens,
            whole=whole,
            whole_cached=whole - prefix.new_tokens,
        )

    def diff(self, previous: Selection) -> Difference:
        """Return what is otherwise than in an earlier selection of the same session."""
        before, now = set(previous.kept_ids), set(self.kept_ids)
        known = before.union(previous.dropped_ids)
        why = {
            one.id: f"{one.reason}:{one.detail}" if one.reason in _NAMED else str(one.reason) for one in self.dropped
        }
        return Difference(
            came=[id for id in self.kept_ids if id not in known],
            returned=[id for id in self.kept_ids if id in known and id not in before],
            fell={id: why[id] for id in previous.kept_ids if id in why},
            gone=[id for id in previous.kept_ids if id not in now and id not in why],
            stayed=len(before & now),
            tokens=self.tokens - previous.tokens,
            prefix=self.shared_with(previous),
        )

    def table(self) -> str:
        """Return blocks and tokens by reason as text, a line each."""
        sums: dict[str, tuple[int, int]] = {}
        for _, reason, detail, tokens in self._chosen.entries(fell_only=False):
            name = f"{reason}:{detail}" if reason is Reason.SHARE else str(reason)
            blocks, so_far = sums.get(name, (0, 0))
            sums[name] = blocks + 1, so_far + tokens
        order = [str(reason) for reason in Reason]
        rows = [("reason", "blocks", "tokens")]
        rows += [
            (name, f"{blocks:,}", f"{tokens:,}")
            for name, (blocks, tokens) in sorted(sums.items(), key=lambda entry: order.index(entry[0].split(":")[0]))
        ]
        rows.append(("request", f"{len(self._chosen.rows()):,}", f"{self.tokens:,} of {self.available:,}"))
        widths = [max(len(row[at]) for row in rows) for at in range(3)]
        return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)

    def after(self, previous: Selection | None, *, is_budget_exact: bool) -> Selection:
        """Take in what the request before began with, and whether what the budget holds besides was counted."""
        self._is_budget_exact = is_budget_exact
        if previous is not None:
            prefix = self.shared_with(previous)
            self._cache = (self._policy.cache or Cache()).report(
                prefix,
                tokens=self.tokens,
                whole=self.whole_tokens,
                prefix_hash=self._chosen.prefix_hash(prefix.blocks).hex(),
                before=previous.cache,
            )
        return self

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
        copy is always a new one, which names the copy that stays, and so is one that was shortened.
        """
        if self._source is None:
            return self._snapshot()
        copies = self.copies
        own = [self._source[row] for row in self._chosen.rows()]
        if not copies and not self._forms:
            return own
        pairs = zip(own, self._snapshot(), strict=True)
        is_other = [block.id in self._forms or not copies.keys().isdisjoint(block.references) for block in own]
        return [new if other else block for (block, new), other in zip(pairs, is_other, strict=True)]

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
        sentence = self._chosen.explain(block_id)
        form = self._forms.get(block_id)
        return sentence if form is None else f"{sentence} It is shortened: {_FORMS[form]}."

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
            **({} if (cache := self.cache) is None else {"cache": asdict(cache)}),
            "blocks": [
                {
                    "id": id,
                    "reason": _code(reason, detail),
                    "detail": "" if reason in _NAMED else detail,
                    "tokens": cost,
                    **({"form": self._forms[id]} if id in self._forms else {}),
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


def _code(reason: Reason, detail: str) -> str:
    """A reason as receipts carry it."""
    return f"{reason}:{detail}" if reason in _NAMED else str(reason)
