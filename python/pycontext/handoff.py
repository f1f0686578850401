"""Sessions that change hands: the same one under another owner, or a new one, cut for another agent."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal

from pycontext._core import check_id
from pycontext.block import PROVIDER_PREFIXES, ContextBlock, ContextType, restore
from pycontext.blockset import BlockSet
from pycontext.budget import LARGEST_BUDGET, Budget
from pycontext.errors import PluginError, ValidationError, shown
from pycontext.messages.fields import encode
from pycontext.package import ContextPackage, Parent, check_package

if TYPE_CHECKING:
    from pycontext.policy import Policy
    from pycontext.scorer import Scorer
    from pycontext.selection import Selection

__all__ = ["MAX_HOPS", "Handoff", "HandoffReceipt", "Withheld", "handoff", "transfer"]

MAX_HOPS: Final = 16

# Ties blocks that live or die together: without it a unit would be split.
_UNIT: Final = "unit"
_REDACTED: Final = "(redacted)"
_ESCAPE: Final = re.compile(r'\\(u[0-9a-fA-F]{4}|["\\/bfnrt])')
_CHARACTERS: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
# JSON inside JSON inside JSON: of more nobody has told.
_LEVELS: Final = 8
_OPAQUE: Final = frozenset(
    {"image", "image_url", "input_image", "document", "file", "input_file", "input_audio", "audio"}
    | {"computer_screenshot"}
)

Redact = Callable[[str], str] | Iterable[str | re.Pattern[str]]


@dataclass(frozen=True, slots=True)
class Withheld:
    """A block that stays with the sender.

    Attributes:
        id: of the block.
        reason: "type", or what the kernel says: a value of `Reason`.
        detail: the numbers or names that decided.
    """

    id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class HandoffReceipt:
    """What a handoff did; it stays with the sender.

    Attributes:
        sender: the agent that had the package.
        to: the agent that has the new one.
        session_id: of the new package.
        parent: the package that it was made from.
        hops: handoffs since the first package, this one included.
        withheld: blocks that stay with the sender, and why, in order.
        redacted: ids of blocks that travel with something taken out.
        as_text: ids of blocks that travel as text, without the provider's own fields.
        tokens_before: of all blocks of the sender, as rendered.
        tokens_after: of what travels, as rendered.
        available: the budget.
    """

    sender: str
    to: str
    session_id: str
    parent: Parent
    hops: int
    withheld: tuple[Withheld, ...]
    redacted: tuple[str, ...]
    as_text: tuple[str, ...]
    tokens_before: int
    tokens_after: int
    available: int

    def to_dict(self) -> dict[str, Any]:
        """Return the receipt as JSON values."""
        return asdict(self)

    def explain(self, block_id: str) -> str:
        """Return one sentence about a block of the sender's.

        Raises:
            ValidationError: the handoff says nothing of such a block: it travels as it is, or there is none.
        """
        for one in self.withheld:
            if one.id == block_id:
                return f"block {shown(block_id)} was withheld: {one.reason}, {one.detail}"
        ways = [
            way
            for way, ids in (("with something redacted", self.redacted), ("as text", self.as_text))
            if block_id in ids
        ]
        if not ways:
            raise ValidationError(f"block {shown(block_id)} is not one that was withheld or changed")
        return f"block {shown(block_id)} travels {' and '.join(ways)}"


@dataclass(frozen=True, slots=True)
class Handoff:
    """A package for another agent, and what stays with the sender.

    Attributes:
        package: the new package.
        receipt: what was withheld and why.
    """

    package: ContextPackage
    receipt: HandoffReceipt


def transfer(package: ContextPackage, *, to: str) -> ContextPackage:
    """Let a session go on under another owner of the same trust domain; nothing is withheld.

    The new package has the same session, one version and one epoch more, and the old one as its parent. The old one is
    fenced off: every change of it raises `FencedError`, in copies too, and what it exports is refused wherever the new
    epoch is known.

    Args:
        package: of the owner so far.
        to: the agent that owns the session from now on.

    Raises:
        ValidationError: `to` is no agent, or has the session already.
        FencedError: the session goes on elsewhere already.
    """
    _check_receiver(package, to)
    return package.pass_on(to)


def handoff(
    package: ContextPackage,
    *,
    to: str,
    budget: Budget | int | None = None,
    allow: Collection[ContextType] | None = None,
    receiver_tools: Collection[str] | None = None,
    redact: Redact | None = None,
    metadata: Collection[str] = (),
    policy: Policy | str | None = None,
    query: str | None = None,
    scorer: Scorer | None = None,
    render: Literal["openai", "text"] = "openai",
    now: int | None = None,
    session_id: str | None = None,
) -> Handoff:
    """Make a new package for an agent that may not see everything; the sender's is not changed.

    Only what is allowed, redacted and put into text first is then chosen by the kernel within the receiver's budget,
    with the pins of what is left. The new package has a session id of its own, the old package as its parent, and
    the same trace id. Keys and fields that this version does not know do not travel.

    Args:
        package: of the sender.
        to: the agent that gets the new package.
        budget: what the receiver has for it as rendered; None for no limit.
        allow: types that may travel; None for all but SYSTEM.
        receiver_tools: names of the tools that the receiver has: exchanges with others travel as text, so that it does
            not try to call them. None leaves all exchanges as they are.
        redact: texts or patterns to take out, or a function from text to text. It sees contents, calls, origins and the
            metadata that travel, as they are and with the escapes of JSON read; an id or a name of a unit that it
            would change is replaced. An exchange in which anything was redacted travels as text, without the provider's
            own fields; how many images and files stayed behind is said there. The ids of the sender's agent and session
            travel in any case.
        metadata: keys that travel besides `unit` and the provider's fields.
        policy: as in `prune`.
        query: as in `prune`.
        scorer: as in `prune`.
        render: what the receiver's request looks like.
        now: as in `prune`.
        session_id: of the new package; None for a new random one.

    Returns:
        The new package, and the receipt.

    Raises:
        ValidationError: `to` is no agent or has the package already, the package was handed on 16 times, or an option
            is outside its limits.
        BudgetExceededError: what must stay does not fit into the budget.
        PluginError: `redact` or a plug-in raised or returned what it must not.
    """
    _check_receiver(package, to)
    if package.hops >= MAX_HOPS:
        raise ValidationError(f"hops {package.hops} are not below {MAX_HOPS}: the package has been handed on too often")
    if session_id is not None and session_id == package.session_id:
        raise ValidationError(f"session_id {shown(session_id)} is that of the package that is handed over")
    if render not in ("openai", "text"):
        raise ValidationError(f"render {shown(render)} is not one of openai, text")
    draft = _Draft(
        allow=_types(allow),
        tools=None if receiver_tools is None else _names("receiver_tools", receiver_tools),
        keys=_names("metadata", metadata) | {_UNIT},
        redact=_Redactor.of(redact),
    )
    with package.blocks.settled():
        parent = package.as_parent
        before = package.blocks.snapshot()
    draft.read(before)
    made = BlockSet(draft.blocks, counter=before.counter)
    selection = made.prune(
        LARGEST_BUDGET if budget is None else budget, policy=policy, query=query, scorer=scorer, render=render, now=now
    )
    made.keep(selection)
    _cut_references(made)
    new = ContextPackage.over(
        made,
        str(uuid.uuid4()) if session_id is None else session_id,
        to,
        trace_id=package.trace_id if draft.redact(package.trace_id) == package.trace_id else None,
        parents=[parent],
        hops=package.hops + 1,
        sender=package.agent_id,
    )
    withheld = draft.withheld_with(selection)
    stayed = {one.id for one in withheld}
    receipt = HandoffReceipt(
        sender=package.agent_id,
        to=to,
        session_id=new.session_id,
        parent=parent,
        hops=new.hops,
        withheld=withheld,
        redacted=tuple(id for id in draft.redacted if id not in stayed),
        as_text=tuple(id for id in draft.as_text if id not in stayed),
        tokens_before=before.total_cost(render),
        tokens_after=selection.tokens,
        available=selection.available,
    )
    return Handoff(new, receipt)


@dataclass(slots=True)
class _Redactor:
    """Takes out what must not travel."""

    function: Callable[[str], str] | None

    @classmethod
    def of(cls, redact: Redact | None) -> _Redactor:
        if redact is None or callable(redact):
            return cls(redact)
        if isinstance(redact, str | re.Pattern) or not isinstance(redact, Iterable):
            raise ValidationError(
                f"redact {shown(redact)} is {type(redact).__name__}, not a function or a list of texts"
            )
        parts = []
        for one in redact:
            if isinstance(one, re.Pattern) and isinstance(one.pattern, str):
                parts.append(one)
            elif isinstance(one, str) and one:
                parts.append(re.compile(re.escape(one)))
            else:
                raise ValidationError(f"redact {shown(one)} is neither a text nor a pattern of one")

        def replace(text: str) -> str:
            for part in parts:
                text = part.sub(_REDACTED, text)
            return text

        return cls(replace)

    def __call__(self, text: str) -> str:
        """Return the text without what must not travel; where that hides behind escapes of JSON, without those."""
        if self.function is None:
            return text
        changed = _called(self.function, text)
        read = _unescaped(changed)
        cleaned = changed if read == changed else _called(self.function, read)
        return changed if cleaned == read else cleaned


def _called(function: Callable[[str], str], text: str) -> str:
    """What a plug-in makes of a text."""
    name = getattr(function, "__name__", type(function).__name__)
    try:
        changed = function(text)
    except Exception as error:
        raise PluginError(f"redact {name} raised {type(error).__name__}") from error
    if not isinstance(changed, str):
        raise PluginError(f"redact {name} returned {type(changed).__name__}, not str")
    return changed


@dataclass(slots=True)
class _Draft:
    """The blocks that may travel, as they would, and what happened to them."""

    allow: frozenset[ContextType]
    tools: frozenset[str] | None
    keys: frozenset[str]
    redact: _Redactor
    blocks: list[ContextBlock] = field(default_factory=list)
    redacted: list[str] = field(default_factory=list)
    as_text: list[str] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)
    order: dict[str, int] = field(default_factory=dict)
    """Positions of the sender's blocks by their ids."""
    names: dict[str, str] = field(default_factory=dict)
    """Ids under which blocks travel, by the sender's."""
    units: dict[str, str] = field(default_factory=dict)
    """The same for names of units."""

    def read(self, before: BlockSet) -> None:
        """Take in the sender's blocks."""
        # Not handed out by the set: it would read every one of them back at every step.
        blocks = [restore(fields, before.counter.name) for fields in before.to_fields()]
        units, calls = before.units(), before.calls()
        self.order = {block.id: row for row, block in enumerate(blocks)}
        self.names = self._named([id for block in blocks for id in (block.id, *block.references)])
        self.units = self._named([block.metadata[_UNIT] for block in blocks if _UNIT in block.metadata])
        touched = set()
        if self.redact.function is not None:
            touched = {row for row, block in enumerate(blocks) if self._touches(block)}
        # By the first row of their unit: exchanges in which something changes, or whose tools the receiver lacks.
        flat = {units[row] for row in touched}
        flat |= {units[row] for row, made in calls.items() if not self._has_tools(made)}
        # A call whose results stay behind would be made once more.
        called = {units[row] for row in calls}
        withheld = {units[row] for row, block in enumerate(blocks) if block.type not in self.allow}
        flat |= withheld & called
        for row, block in enumerate(blocks):
            if block.type not in self.allow:
                self.withheld.append(Withheld(block.id, "type", f"{block.type.name} may not travel"))
                continue
            is_flat = units[row] in flat
            if is_flat and any(key.startswith(PROVIDER_PREFIXES) for key in block.metadata):
                self.as_text.append(block.id)
            if row in touched:
                self.redacted.append(block.id)
            if is_flat:
                # A text that is still the same keeps its count.
                block.content = self._text(block, calls.get(row, []))
            block.metadata = self._metadata(block, is_flat=is_flat)
            block.references = [self.names[id] for id in block.references]
            block.id = self.names[block.id]
            block.origin = None if block.origin is None else self.redact(block.origin)
            self.blocks.append(block)

    def withheld_with(self, selection: Selection) -> tuple[Withheld, ...]:
        """What stays with the sender, by its own ids and in its order."""
        own = {name: id for id, name in self.names.items()}
        fell = [Withheld(own[one.id], one.reason.value, one.detail) for one in selection.dropped]
        return tuple(sorted([*self.withheld, *fell], key=lambda one: self.order[one.id]))

    def _named(self, ids: list[str]) -> dict[str, str]:
        """The name that each id travels under: its own, where nothing in it is redacted."""
        numbers, taken = count(1), set(ids)
        names = {}
        for id in dict.fromkeys(ids):
            free = (name for n in numbers if (name := f"redacted-{n}") not in taken)
            names[id] = id if self.redact(id) == id else next(free)
        return names

    def _has_tools(self, calls: list[tuple[str, str]]) -> bool:
        return self.tools is None or self.tools.issuperset(name for name, _ in calls)

    def _touches(self, block: ContextBlock) -> bool:
        """Whether something of a block is redacted that travels as it is."""
        if any(self.names[id] != id for id in (block.id, *block.references)):
            return True
        texts = [block.content]
        for key, value in block.metadata.items():
            if key in self.keys or key.startswith(PROVIDER_PREFIXES):
                texts += [key, value]
        return any(self.redact(text) != text for text in texts)

    def _text(self, block: ContextBlock, calls: list[tuple[str, str]]) -> str:
        """Return the content and a line of JSON for every call, all redacted, and say what is not there any more."""
        lines = [block.content] if block.content else []
        lines += [encode({"name": name, "arguments": _json(arguments)}) for name, arguments in calls]
        kept = self.redact("\n".join(lines))
        parts = sum(_opaque(_json(value)) for key, value in block.metadata.items() if key.startswith(PROVIDER_PREFIXES))
        if parts:
            note = f"({parts} {'part' if parts == 1 else 'parts'} that are no text stayed with the sender)"
            kept = f"{kept}\n{note}" if kept else note
        return kept

    def _metadata(self, block: ContextBlock, *, is_flat: bool) -> dict[str, str]:
        fields = block.metadata.items()
        if not is_flat:
            # Nothing in it is redacted, or it would be flat.
            return {key: value for key, value in fields if key in self.keys or key.startswith(PROVIDER_PREFIXES)}
        redact, units = self.redact, self.units
        return {redact(k): units[v] if k == _UNIT else redact(v) for k, v in fields if k in self.keys}


def _unescaped(text: str) -> str:
    """A text with the escapes of JSON read, also of JSON inside JSON."""
    for _ in range(_LEVELS):
        read = _ESCAPE.sub(lambda found: _CHARACTERS.get(found[1]) or chr(int(found[1][1:], 16)), text)
        if read == text:
            break
        # Two halves of one character stand as two escapes.
        text = read.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _json(text: str) -> Any:
    """What a text says as JSON; the text itself where it is none."""
    try:
        value = json.loads(text)
        # What cannot be written again is left as it stands.
        encode(value).encode()
    except (ValueError, RecursionError):
        return text
    return value


def _opaque(value: Any) -> int:
    """How many parts in a provider's field are no text."""
    if isinstance(value, dict):
        return value.get("type") in _OPAQUE or sum(map(_opaque, value.values()))
    return sum(map(_opaque, value)) if isinstance(value, list) else 0


def _cut_references(blocks: BlockSet) -> None:
    """Leave out references to what does not travel: the ids say something of it."""
    ids, rows = set(blocks.ids()), blocks.to_fields()
    for row, (*_, named, _) in enumerate(rows):
        if not ids.issuperset(named):
            blocks[row].references = [id for id in named if id in ids]


def _check_receiver(package: ContextPackage, to: str) -> None:
    check_package("package", package)
    check_id("to", to)
    if to == package.agent_id:
        raise ValidationError(f"to {shown(to)} is the agent that has session {shown(package.session_id)} already")


def _types(allow: Collection[ContextType] | None) -> frozenset[ContextType]:
    if allow is None:
        return frozenset(ContextType) - {ContextType.SYSTEM}
    names = ", ".join(f"ContextType.{kind.name}" for kind in ContextType)
    if isinstance(allow, str) or not isinstance(allow, Iterable):
        raise ValidationError(f"allow {shown(allow)} is {type(allow).__name__}, not a set of {names}")
    for kind in allow:
        if not isinstance(kind, ContextType):
            raise ValidationError(f"allow {shown(kind)} is not one of {names}")
    return frozenset(allow)


def _names(what: str, names: Collection[str]) -> frozenset[str]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ValidationError(f"{what} {shown(names)} is {type(names).__name__}, not a set of str")
    found = list(names)
    for name in found:
        if not isinstance(name, str):
            raise ValidationError(f"{what} {shown(name)} is {type(name).__name__}, not str")
    return frozenset(found)
