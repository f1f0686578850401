"""Shorter forms of blocks: what stays does not have to stay whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from pycontext import _core
from pycontext.block import ContextBlock, ContextType
from pycontext.counter import EncodingCounter, TokenCounter, count_with, prefix_counts
from pycontext.errors import BudgetExceededError, ValidationError, shown
from pycontext.selection import Selection

if TYPE_CHECKING:
    from pycontext.blockset import BlockSet

__all__ = ["Shorten", "prune_shortened"]

Form = Literal["repack", "stub", "ends", "summary"]
Choose = Callable[["BlockSet"], Selection]

_MOST_TOKENS: Final = 2**31
# What is left of a result that would else not fit at all.
_LEAST_ENDS: Final = 8
_TURNS: Final = (ContextType.USER, ContextType.AGENT, ContextType.TOOL)


@dataclass(frozen=True, slots=True)
class Shorten:
    """What may be shortened where not all fits, and how.

    A block has at most one form in a request. JSON without blanks loses nothing. A stub of JSON has its identifiers,
    numbers, flags and words of status, and the id under which the whole can be had; stubs are made whole again, newest
    first, while there is room. Text that is no JSON keeps its head and its tail around such a mark. The results of the
    last unit stay whole if they can: they are stubs, or cut, where what must stay does not fit otherwise. SYSTEM
    blocks and those that `pin=` names stay as they are.

    Attributes:
        types: what may be shortened; not SYSTEM.
        summaries: shorter texts of your own by id of the block, of any type but SYSTEM; they need no mark.
        head_tokens: that plain text keeps of its beginning.
        tail_tokens: that it keeps of its end.
        least_saved: tokens that a form must save.
        pins: "keep" leaves blocks that `pin=` names, and the last turn of the user, as they are; "shorten" does not.

    Raises:
        ValidationError: a field is outside its limits.
    """

    types: tuple[ContextType, ...] = (ContextType.TOOL,)
    summaries: Mapping[str, str] = field(default_factory=dict, kw_only=True, hash=False)
    head_tokens: int = field(default=120, kw_only=True)
    tail_tokens: int = field(default=60, kw_only=True)
    least_saved: int = field(default=16, kw_only=True)
    pins: Literal["keep", "shorten"] = field(default="keep", kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.types, tuple | list | set | frozenset):
            raise ValidationError(f"types {shown(self.types)} is not a tuple of ContextType but SYSTEM")
        for kind in self.types:
            if not isinstance(kind, ContextType) or kind is ContextType.SYSTEM:
                raise ValidationError(f"types: {shown(kind)} is not a ContextType but SYSTEM")
        if not isinstance(self.summaries, Mapping) or not all(
            isinstance(text, str) for pair in self.summaries.items() for text in pair
        ):
            raise ValidationError(f"summaries {shown(self.summaries)} is not a dict of str to str")
        for name in ("head_tokens", "tail_tokens", "least_saved"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
                raise ValidationError(f"{name} {shown(value)} is not a whole number from 0 to {_MOST_TOKENS}")
        if not isinstance(self.pins, str) or self.pins not in ("keep", "shorten"):
            raise ValidationError(f"pins {shown(self.pins)} is not one of keep, shorten")
        object.__setattr__(self, "types", tuple(self.types))
        object.__setattr__(self, "summaries", MappingProxyType(dict(self.summaries)))

    @classmethod
    def of(cls, shorten: Shorten | str) -> Shorten:
        """Return what a caller may write: a `Shorten`, or "tool" for results of tools.

        Raises:
            ValidationError: it is neither.
        """
        if isinstance(shorten, Shorten):
            return shorten
        if not isinstance(shorten, str) or shorten != "tool":
            raise ValidationError(f"shorten {shown(shorten)} is neither tool nor a Shorten")
        return cls()


@dataclass(slots=True)
class _Row:
    """A block that has a shorter form."""

    row: int
    block: ContextBlock
    whole: str
    """JSON without blanks, where it is JSON."""
    short: str
    form: Form


def prune_shortened(blocks: BlockSet, shorten: Shorten, pins: Iterable[str], render: str, choose: Choose) -> Selection:
    """Choose among blocks in their short forms, then make whole what there is room for, the newest first.

    Args:
        blocks: a set of its own, whose blocks get other contents.
        shorten: what may be shortened.
        pins: ids of blocks that stay as they are.
        render: "openai" or "text".
        choose: prunes a set to the budget.

    Raises:
        BudgetExceededError: what must stay does not fit, also in its shortest form.
    """
    # Live blocks: what is written to one is in the set.
    live = list(blocks)
    last = _last_unit(blocks, live)
    fixed = set() if shorten.pins == "shorten" else {*pins, *_last_user(live)}
    texts = {block.id: block.content for block in live}
    rows = _rows(live, shorten, fixed, blocks.counter)
    whole = _costs(blocks, rows, render, is_whole=True)
    for one in rows:
        one.block.content = one.whole if one.row in last else one.short
    try:
        selection = choose(blocks)
    except BudgetExceededError as error:
        selection = _squeezed(blocks, [one for one in rows if one.row in last], choose, error)
    short = selection.costs()
    room = selection.available - selection.tokens
    kept = set(selection.chosen.rows())
    grown = []
    for one in sorted(rows, key=lambda one: one.row, reverse=True):
        more = whole[one.row] - short[one.row]
        if one.row in kept and one.block.content != one.whole and more <= room:
            room -= more
            grown.append(one)
            one.block.content = one.whole
    restated = selection.over_columns(blocks.columns(), render)
    while restated.tokens > restated.available and grown:
        # In the text form the last block has a tail of its own.
        one = grown.pop()
        one.block.content = one.short
        restated = selection.over_columns(blocks.columns(), render)
    forms = {one.block.id: _form(one) for one in rows if one.row in kept and one.block.content != texts[one.block.id]}
    return restated.with_forms(forms)


def _form(one: _Row) -> Form:
    return one.form if one.block.content == one.short else "repack" if one.block.content == one.whole else "ends"


def _rows(live: list[ContextBlock], shorten: Shorten, fixed: set[str], counter: TokenCounter) -> list[_Row]:
    found = []
    for row, block in enumerate(live):
        if block.type is ContextType.SYSTEM or block.id in fixed:
            continue
        if block.id in shorten.summaries:
            found.append(_Row(row, block, block.content, shorten.summaries[block.id], "summary"))
        elif block.type in shorten.types:
            whole = _core.repack(block.content)
            short = None if whole is None else _core.stub(block.content, block.id)
            if whole is None:
                ends = _ends(block.content, block.id, shorten.head_tokens, shorten.tail_tokens, counter)
                found.append(_Row(row, block, block.content, ends, "ends"))
            else:
                found.append(_Row(row, block, whole, whole if short is None else short, "stub"))
    counts = count_with(counter, [text for one in found for text in (one.whole, one.short)])
    for one, before, after in zip(found, counts[::2], counts[1::2], strict=True):
        if before - after < shorten.least_saved:
            one.short = one.whole
    return [one for one in found if one.short != one.whole or one.whole != one.block.content]


def _ends(text: str, id: str, head: int, tail: int, counter: TokenCounter) -> str:
    """The beginning and the end of a text around a line that says how much is missing and how to get it."""
    name = counter.name if isinstance(counter, EncodingCounter) else "o200k_base"
    # Of another counter's tokens these are about so many; what comes out is counted by that one.
    ends, counts = prefix_counts(text, name)
    total = int(counts[-1]) if len(counts) else 0
    if total <= head + tail:
        return text
    first = int(counts.searchsorted(head, side="right"))
    start = int(ends[first - 1]) if first else 0
    final = int(counts.searchsorted(total - tail, side="left"))
    end = int(ends[final]) if tail and final < len(ends) else len(text)
    left_out = (int(counts[final]) if tail and final < len(ends) else total) - (int(counts[first - 1]) if first else 0)
    mark = f'[shortened: {left_out:,} of {total:,} tokens left out; recall_context("{id}") has all]'
    return "\n".join(part for part in (text[:start], mark, text[end:]) if part)


def _squeezed(blocks: BlockSet, last: list[_Row], choose: Choose, error: BudgetExceededError) -> Selection:
    """Shorten the last unit's results until what must stay fits: by stubs, then to what there is room for."""
    if not last:
        raise error
    # Plain text has no form that is better than to be cut to what there is room for.
    forms = {one.row: one.whole if one.form == "ends" else one.short for one in last}
    for one in last:
        one.block.content = forms[one.row]
    try:
        return choose(blocks)
    except BudgetExceededError as still:
        error = still
    sizes = dict(zip(forms, count_with(blocks.counter, list(forms.values())), strict=True))
    low, high, found = _LEAST_ENDS, max(sizes.values()), None
    best: dict[int, str] = {}
    while low <= high:
        most = (low + high) // 2
        for one in last:
            is_long = sizes[one.row] > most
            text = forms[one.row]
            cut = _ends(text, one.block.id, most * 2 // 3, most // 3, blocks.counter) if is_long else text
            one.block.content = cut
        try:
            found = choose(blocks)
        except BudgetExceededError as still:
            error, high = still, most - 1
        else:
            best = {one.row: one.block.content for one in last}
            low = most + 1
    if found is None:
        raise error
    for one in last:
        one.block.content = best[one.row]
    return found


def _costs(blocks: BlockSet, rows: list[_Row], render: str, *, is_whole: bool) -> list[int]:
    """Tokens of every block as rendered, those that have a shorter form in one of the two."""
    for one in rows:
        one.block.content = one.whole if is_whole else one.short
    return blocks.costs(render)


def _last_unit(blocks: BlockSet, live: list[ContextBlock]) -> set[int]:
    heads = blocks.units()
    last = next((row for row in reversed(range(len(live))) if live[row].type in _TURNS), None)
    return set() if last is None else {row for row, head in enumerate(heads) if head == heads[last]}


def _last_user(live: list[ContextBlock]) -> list[str]:
    return [block.id for block in reversed(live) if block.type is ContextType.USER][:1]
