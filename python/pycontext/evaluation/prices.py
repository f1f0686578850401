"""List prices of prompt tokens: the one place. Edit me."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["AS_OF", "PRICES", "Price"]

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
    """

    model: str
    fresh: float
    read: float
    write: float


# A provider that caches by itself writes at the plain price.
PRICES: Final = (
    Price("Claude Sonnet 4.6", fresh=3.00, read=0.30, write=3.75),
    Price("GPT-4.1 mini", fresh=0.40, read=0.10, write=0.40),
)
