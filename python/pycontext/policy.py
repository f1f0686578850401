"""Which blocks are kept first, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Final, Literal

from pycontext import _core
from pycontext.block import ContextType
from pycontext.cache import Cache
from pycontext.errors import ValidationError, shown

__all__ = ["Policy", "Tier"]

_ORDERS: Final = ("score", "time", "evidence")
_MOST_TIERS: Final = 16
_LONGEST_NAME: Final = 64
# Below, pairs would be overlooked.
_LEAST_SIMILAR: Final = 0.5

# A half-life beyond this is none: 19,000 years.
_LONGEST_HALF_LIFE: Final = 1e10
_SHORTEST_HALF_LIFE: Final = 1e-6


def check_fraction(name: str, value: object) -> None:
    """Raise `ValidationError` unless `value` is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValidationError(f"{name} {shown(value)} is not a number from 0 to 1")


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise ValidationError(f"name {shown(name)} is not a printable str of 1 to {_LONGEST_NAME} characters")


def _check_tiers(tiers: object) -> None:
    if not isinstance(tiers, tuple | list) or not all(isinstance(tier, Tier) for tier in tiers):
        raise ValidationError(f"tiers {shown(tiers)} is not a tuple of Tier")
    if not 1 <= len(tiers) <= _MOST_TIERS:
        raise ValidationError(f"tiers are {len(tiers)}, not 1 to {_MOST_TIERS}")
    taken = {kind for tier in tiers for kind in tier.types} | {ContextType.SYSTEM}
    if missing := [kind.name for kind in ContextType if kind not in taken]:
        raise ValidationError(f"tiers take no {' or '.join(missing)}; a share of 0 leaves a type out")


def _check_half_lives(minutes: object) -> None:
    if not isinstance(minutes, Mapping):
        raise ValidationError(f"half_life_minutes {shown(minutes)} is {type(minutes).__name__}, not a dict")
    for kind, value in minutes.items():
        if not isinstance(kind, ContextType) or kind is ContextType.SYSTEM:
            raise ValidationError(f"half_life_minutes: {shown(kind)} is not a ContextType but SYSTEM")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not _SHORTEST_HALF_LIFE <= value <= _LONGEST_HALF_LIFE:
            raise ValidationError(
                f"half_life_minutes of {kind.name} {shown(value)} is not a number from "
                f"{_SHORTEST_HALF_LIFE:g} to {_LONGEST_HALF_LIFE:g}"
            )


@dataclass(frozen=True, slots=True)
class Tier:
    """Units that are taken in one order, up to a share of the budget.

    A unit is in the tier when the type of its first block is one of `types`: a call and its results go with the call.

    Attributes:
        name: shown in the reason `share:<name>`, at most 64 characters.
        types: what the tier takes.
        order: "score" takes the best first, of equal scores the newer; "time" takes the newest first; "evidence" takes
            first what most likely holds what the query or the next call needs, see `Policy.named`.
        share: part of the available tokens that may be used when this tier is full, from 0 to 1; pins and the tiers
            before it are included, so that what they leave is this one's.

    Raises:
        ValidationError: a field is outside its limits.
    """

    name: str
    types: tuple[ContextType, ...] = tuple(ContextType)
    order: Literal["score", "time", "evidence"] = field(default="score", kw_only=True)
    share: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not isinstance(self.types, tuple | list | set | frozenset) or not self.types:
            raise ValidationError(f"types {shown(self.types)} is not a tuple of ContextType with one at least")
        for kind in self.types:
            if not isinstance(kind, ContextType):
                raise ValidationError(f"types: {shown(kind)} is {type(kind).__name__}, not ContextType")
        object.__setattr__(self, "types", tuple(kind for kind in ContextType if kind in self.types))
        if not isinstance(self.order, str) or self.order not in _ORDERS:
            raise ValidationError(f"order {shown(self.order)} is not one of {', '.join(_ORDERS)}")
        check_fraction("share", self.share)


@dataclass(frozen=True, slots=True)
class Policy:
    """How the kernel chooses; a policy is data, and one kernel serves all.

    Pins go in first whatever the policy says. Then tier after tier is filled: units are taken in the tier's order, each
    one that still fits. A type may be in several tiers: what found no room in one has another chance in the next. So
    nothing is left out for want of room that would have fitted, but for the shares. Under a formatter or counter whose
    costs do not add up to the rendering, less may stay.

    The score of a block when it is looked at, its effective score, is its base score, fallen by its age where its type
    has a half-life, raised where it is one of the last turns, and weighed by 0.3 to 1 where there is a query and no
    tier in the order "evidence", which weighs it by itself. Nothing of that is stored.

    Attributes:
        name: shown in receipts, at most 64 characters.
        tiers: 1 to 16; each type but SYSTEM, which is always pinned, is in one at least.
        threshold: base score below which a unit that is not pinned is left out, 0 to 1.
        duplicates: "drop" keeps the best of equal texts among MEMORY and KNOWLEDGE blocks; "keep" keeps all.
        references: "results" ties results to their calls; "require" ties every block to all that it references, and
            leaves out blocks whose references are not in the input.
        half_life_minutes: minutes in which scores of a type halve; other types keep theirs.
        floor: a score does not fall below this, 0 to 1; one that was below keeps its own.
        recency: what the newest USER or AGENT block gains, 0 to 1; each of the nine before it gains 5 % less than the
            next. No score exceeds 1.
        min_relevance: in tiers of evidence, what matters less than this part of the best match is left out though there
            is room, 0 to 1. It saves tokens and costs recall; turns of a conversation with tools are exempt.
        near_duplicates: similarity, 0.5 to 1, from which of two MEMORY or two KNOWLEDGE blocks the better stays: the
            part of their word triples that both have (Jaccard). None compares nothing.
        cache: water marks, so that requests begin like the one before; None chooses anew every time. Takes effect where
            the selection before is given.

    Raises:
        ValidationError: a field is outside its limits.
    """

    name: str
    tiers: tuple[Tier, ...] = (Tier("all"),)
    threshold: float = field(default=0.0, kw_only=True)
    duplicates: Literal["drop", "keep"] = field(default="drop", kw_only=True)
    references: Literal["results", "require"] = field(default="results", kw_only=True)
    half_life_minutes: Mapping[ContextType, float] = field(default_factory=dict, kw_only=True, hash=False)
    floor: float = field(default=0.0, kw_only=True)
    recency: float = field(default=0.0, kw_only=True)
    min_relevance: float = field(default=0.0, kw_only=True)
    near_duplicates: float | None = field(default=None, kw_only=True)
    cache: Cache | None = field(default=None, kw_only=True)
    compiled: _core.Policy = field(init=False, repr=False, compare=False)
    """The same for the kernel."""

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_tiers(self.tiers)
        check_fraction("threshold", self.threshold)
        _check_half_lives(self.half_life_minutes)
        check_fraction("floor", self.floor)
        check_fraction("recency", self.recency)
        check_fraction("min_relevance", self.min_relevance)
        if self.near_duplicates is not None:
            check_fraction("near_duplicates", self.near_duplicates)
            if self.near_duplicates < _LEAST_SIMILAR:
                raise ValidationError(
                    f"near_duplicates {self.near_duplicates} is not a number from {_LEAST_SIMILAR} to 1"
                )
        if self.cache is not None and not isinstance(self.cache, Cache):
            raise ValidationError(f"cache {shown(self.cache)} is {type(self.cache).__name__}, not Cache")
        put = object.__setattr__
        put(self, "tiers", tuple(self.tiers))
        put(self, "half_life_minutes", MappingProxyType(dict(self.half_life_minutes)))
        compiled = _core.Policy(
            [(tier.name, list(tier.types), tier.order, tier.share) for tier in self.tiers],
            self.threshold,
            self.duplicates,
            self.references,
            {kind.value: minutes for kind, minutes in self.half_life_minutes.items()},
            self.floor,
            self.recency,
            self.min_relevance,
            self.near_duplicates,
            None if self.cache is None else (self.cache.high_mark, self.cache.low_mark),
        )
        put(self, "compiled", compiled)

    @property
    def asks(self) -> bool:
        """Whether the last turn of the user is the query where there is none."""
        return any(tier.order == "evidence" for tier in self.tiers)

    def __reduce__(self) -> tuple[Any, ...]:
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.init}
        return _load, ({**values, "half_life_minutes": dict(self.half_life_minutes)},)

    @staticmethod
    def named(name: str) -> Policy:
        """Return the built-in policy of that name.

        - "relevance": best score first.
        - "evidence": what most likely holds what the query or the next call needs; without a query that of the last
          turn of the user. Blocks of MEMORY, KNOWLEDGE and of chats without tools are taken by what they are about:
          BM25 with the words of its best matches added, fused with a scorer where there is one. In a conversation with
          tools units are taken by the codes, dates, addresses and names in them that nothing taken has yet: those used
          in calls, repeated and mentioned lately first. Where both are there the better match has the larger share. A
          block's own score multiplies all.
        - "recent": newest first.
        - "window": the conversation, newest first, up to 70 % of the budget; then TOOL, MEMORY and KNOWLEDGE blocks,
          best score first.
        - "cache": as "evidence", with water marks: what comes is added to the request before until the budget is full,
          then the request is cut to 65 % from everything that is there. In between requests begin like those before, so
          that a provider's cache has them. Give `prune` the selection before; a manager remembers it.

        Raises:
            ValidationError: there is none of that name.
        """
        try:
            return _BUILT_IN[name]
        except (KeyError, TypeError):
            raise ValidationError(f"policy {shown(name)} is not one of {', '.join(_BUILT_IN)}") from None

    @classmethod
    def of(cls, policy: Policy | str | None, query: object = None) -> Policy:
        """Return a policy for what a caller may write: a `Policy`, a name, or None.

        None is "evidence" where something is asked, else "relevance".
        """
        if policy is None:
            return _RELEVANCE if query is None else _EVIDENCE
        return policy if isinstance(policy, Policy) else cls.named(policy)


def _load(values: dict[str, Any]) -> Policy:
    return Policy(**values)


_RELEVANCE: Final = Policy("relevance")
_EVIDENCE: Final = Policy("evidence", (Tier("all", order="evidence"),))
_CACHE: Final = Policy("cache", _EVIDENCE.tiers, cache=Cache())
_CONVERSATION: Final = (ContextType.USER, ContextType.AGENT)
_REST: Final = (ContextType.TOOL, ContextType.MEMORY, ContextType.KNOWLEDGE)
_BUILT_IN: Final = {
    policy.name: policy
    for policy in (
        _RELEVANCE,
        _EVIDENCE,
        Policy("recent", (Tier("all", order="time"),)),
        # The window optimizer of the article, its flaws left behind.
        Policy("window", (Tier("conversation", _CONVERSATION, order="time", share=0.7), Tier("rest", _REST))),
        _CACHE,
    )
}
