"""Requests that begin like the one before, because providers charge less for what they have read already."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Final, NamedTuple

from pycontext.errors import ValidationError, shown

__all__ = ["Cache", "CacheReport", "Prefix"]

# Cuts before which nothing is said of what they cost.
_FEW: Final = 4


@dataclass(frozen=True, slots=True)
class Cache:
    """When a request is chosen anew, and what a provider charges for what it has read before.

    Attributes:
        high_mark: up to this part of the room that SYSTEM blocks leave, what comes is added to what was sent.
        low_mark: down to this part the request is cut when it passes the high mark, from everything that is there. 0.6
            costs least, 0.7 keeps more evidence.
        read: price of a token that the provider has in its cache, as a part of that of a fresh one.
        write: price of a token that it takes into its cache, likewise.

    Raises:
        ValidationError: a field is outside its limits, or the low mark is not below the high one.
    """

    high_mark: float = 1.0
    low_mark: float = 0.65
    read: float = 0.1
    write: float = 1.25

    def __post_init__(self) -> None:
        for name in ("high_mark", "low_mark", "read", "write"):
            value = getattr(self, name)
            most = 1.0 if name.endswith("mark") else 100.0
            if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
                raise ValidationError(f"{name} {shown(value)} is not a number from 0 to {most:g}")
            if not 0 <= value <= most:
                raise ValidationError(f"{name} {shown(value)} is not a number from 0 to {most:g}")
        if not self.low_mark < self.high_mark:
            raise ValidationError(f"low_mark {self.low_mark} is not below high_mark {self.high_mark}")

    def report(
        self, prefix: Prefix, *, tokens: int, whole: int, prefix_hash: str, before: CacheReport | None
    ) -> CacheReport:
        """Return what a request costs where the provider has the prefix.

        Args:
            prefix: what it has in common with the request before.
            tokens: of the request.
            whole: of the request with every block in it.
            prefix_hash: of the blocks of the prefix.
            before: the report of the request before, None where there is none.
        """
        cost = self.read * prefix.tokens + self.write * (tokens - prefix.tokens)
        uncut = self.read * (whole - prefix.new_tokens) + self.write * prefix.new_tokens
        saving = self.read * (whole - tokens)
        extra = cost - uncut
        return CacheReport(
            prefix_blocks=prefix.blocks,
            prefix_tokens=prefix.tokens,
            prefix_hash=prefix_hash,
            expected_cached_share=prefix.tokens / tokens if tokens else 0.0,
            is_broken=prefix.is_broken,
            cost=cost,
            uncut_cost=uncut,
            repaid_after=0.0 if extra <= 0 else extra / saving if saving > 0 else float("inf"),
            breaks=prefix.is_broken + (0 if before is None else before.breaks),
            spent=cost + (0.0 if before is None else before.spent),
            uncut_spent=uncut + (0.0 if before is None else before.uncut_spent),
        )


class Prefix(NamedTuple):
    """What a request has in common with the one before, from its beginning.

    Attributes:
        blocks: how many.
        tokens: of these blocks.
        new_tokens: of the blocks that were not there before, in the request or not, and of what belongs to no block.
        is_broken: whether the request before went on differently.
    """

    blocks: int
    tokens: int
    new_tokens: int
    is_broken: bool


@dataclass(frozen=True, slots=True)
class CacheReport:
    """What a provider's cache has of a request, and whether cutting the request pays.

    Costs are in the price of a fresh prompt token.

    Attributes:
        prefix_blocks: blocks at the beginning that are those of the request before.
        prefix_tokens: their tokens.
        prefix_hash: BLAKE3 over these blocks, 64 hexadecimal digits: equal in two requests when their prefixes are.
        expected_cached_share: part of the request that the cache has, if it still has the request before.
        is_broken: whether the request before went on differently: something was cut out of it.
        cost: of this request.
        uncut_cost: of this request, had nothing ever been cut.
        repaid_after: later requests after which the cut has saved what it cost; 0 where it cost nothing.
        breaks: requests so far that went on differently than the one before.
        spent: on all requests so far but the first.
        uncut_spent: on these, had nothing ever been cut.
    """

    prefix_blocks: int
    prefix_tokens: int
    prefix_hash: str
    expected_cached_share: float
    is_broken: bool
    cost: float
    uncut_cost: float
    repaid_after: float
    breaks: int
    spent: float
    uncut_spent: float

    @property
    def warning(self) -> str | None:
        """One sentence where cutting has cost more than it has saved so far, else None.

        The first cuts of a session are never repaid at once: said from the fourth on.
        """
        if not self.is_broken or self.breaks < _FEW or self.spent <= self.uncut_spent:
            return None
        more = self.spent / self.uncut_spent - 1
        return (
            f"pruning has cost {more:.0%} more than it has saved, after {self.breaks} cuts: with a cache a larger "
            f"budget, a lower low mark or no cut at all costs less"
        )
