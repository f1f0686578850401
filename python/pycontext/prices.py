"""List prices of prompt tokens, the one place: edit `PRICES`, or read a table of your own."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any, Final

from pycontext.errors import ValidationError, shown

__all__ = ["AS_OF", "PRICES", "Bill", "Price", "price_of", "read_prices"]

AS_OF: Final = "2026-06"
"""When the prices were those of the providers' lists; lists change, look before you quote."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a million prompt tokens cost, in US dollars.

    Attributes:
        model: the provider's name of the model.
        fresh: tokens outside the provider's cache, where nothing is cached.
        read: tokens that the cache had.
        write: tokens that the cache did not have and takes in.

    Raises:
        ValidationError: a price is no number from 0 up.
    """

    model: str
    fresh: float
    read: float
    write: float

    def __post_init__(self) -> None:
        for name in ("fresh", "read", "write"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not isfinite(value) or value < 0:
                raise ValidationError(f"{name} of {shown(self.model)} {shown(value)} is not a number from 0 up")

    def bill(self, *, requests: int, tokens: int, cached: int, whole: int, whole_cached: int) -> Bill:
        """Return what requests cost.

        Args:
            requests: how many.
            tokens: of all of them.
            cached: of these, what the request before had as well, from its beginning.
            whole: of all of them, had nothing been cut.
            whole_cached: of these, what the request before would have had.
        """
        return Bill(
            self.model,
            requests,
            dollars=self._cached(tokens, cached),
            uncached_dollars=tokens * self.fresh / 1e6,
            uncut_dollars=self._cached(whole, whole_cached),
            uncut_uncached_dollars=whole * self.fresh / 1e6,
        )

    def _cached(self, tokens: int, cached: int) -> float:
        return (cached * self.read + (tokens - cached) * self.write) / 1e6


@dataclass(frozen=True, slots=True)
class Bill:
    """What the prompts of requests cost, in US dollars; answers are not in it.

    Of what a provider asks for keeping a cache alive, and of a cache that forgot, nothing is in it.

    Attributes:
        model: whose prices.
        requests: how many.
        dollars: with the provider's cache.
        uncached_dollars: without it.
        uncut_dollars: with the cache, had nothing been cut.
        uncut_uncached_dollars: without it, had nothing been cut.
    """

    model: str
    requests: int
    dollars: float
    uncached_dollars: float
    uncut_dollars: float
    uncut_uncached_dollars: float

    def __str__(self) -> str:
        return (
            f"{self.model}, {self.requests:,} requests: ${self.dollars:.4f} with a cache (${self.uncut_dollars:.4f} "
            f"uncut), ${self.uncached_dollars:.4f} without (${self.uncut_uncached_dollars:.4f} uncut)"
        )


# A provider that caches by itself writes at the plain price.
PRICES: Final = {
    price.model: price
    for price in (
        Price("claude-sonnet-4-6", fresh=3.00, read=0.30, write=3.75),
        Price("gpt-4.1-mini", fresh=0.40, read=0.10, write=0.40),
    )
}
"""By the name of the model; a dict of your process, to add to and to change."""


def price_of(model: str | Price) -> Price:
    """Return the price of a model of `PRICES`; a `Price` is its own.

    Raises:
        ValidationError: it is in no list.
    """
    if isinstance(model, Price):
        return model
    found = PRICES.get(model) if isinstance(model, str) else None
    if found is None:
        raise ValidationError(f"model {shown(model)} has no price, only {', '.join(PRICES)}: add it to PRICES")
    return found


def read_prices(path: str | PathLike[str]) -> dict[str, Price]:
    """Read a table of prices, `PRICES.update(read_prices("prices.toml"))` puts it to use.

    Args:
        path: of a TOML file with a table for each model: `["gpt-4.1-mini"]`, and in it `fresh`, `read` and `write`.

    Raises:
        OSError: the file cannot be read.
        ValidationError: it is no such file.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValidationError(f"{path} is not TOML: {error}") from None
    return {model: _price(model, fields) for model, fields in tables.items()}


def _price(model: str, fields: Any) -> Price:
    if not isinstance(fields, dict) or set(fields) != {"fresh", "read", "write"}:
        raise ValidationError(f"price of {shown(model)} {shown(fields)} has not just fresh, read and write")
    return Price(model, **fields)
