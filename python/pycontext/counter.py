"""Token counters: the Protocol, and the exact ones inside the wheel."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from pycontext._core import count_tokens, count_tokens_batch, count_within, prefix_counts
from pycontext.errors import PluginError, ValidationError, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "DEFAULT_ENCODING",
    "ENCODINGS",
    "EncodingCounter",
    "TokenCounter",
    "as_counter",
    "count_tokens",
    "count_tokens_batch",
    "count_with",
    "count_within",
    "get_counter",
    "prefix_counts",
    "whole_number",
]

ENCODINGS: Final = ("o200k_base", "cl100k_base")
DEFAULT_ENCODING: Final = "o200k_base"

_LARGEST: Final = 2**32 - 1


@runtime_checkable
class TokenCounter(Protocol):
    """Counts tokens.

    A plug-in is called in batches, before the kernel runs and once after it for a rendered text; never from inside it.
    It may be called while the set that it counts for is locked, and must not use that set.
    """

    @property
    def name(self) -> str:
        """Recorded with what was counted; another name means another count."""

    @property
    def exact(self) -> bool:
        """Whether the model sees just as many tokens."""

    def count(self, text: str, /) -> int:
        """Tokens of one text."""

    def count_batch(self, texts: Sequence[str], /) -> Sequence[int] | NDArray[np.integer]:
        """Tokens of many texts, one entry a text."""


class EncodingCounter:
    """An exact counter for one of `ENCODINGS`."""

    __slots__ = ("name",)

    exact: Final = True

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or name not in ENCODINGS:
            raise ValidationError(f"counter {shown(name)} is not one of {', '.join(ENCODINGS)}")
        self.name: Final = name

    def count(self, text: str, /) -> int:
        """Tokens of one text; raises `ValidationError` for what is no text."""
        return count_tokens(text, self.name)

    def count_batch(self, texts: Sequence[str], /) -> NDArray[np.uint32]:
        """Tokens of many texts in one call, other threads running meanwhile."""
        return count_tokens_batch(texts, self.name)

    def __repr__(self) -> str:
        return f"get_counter({self.name!r})"


def get_counter(name: str) -> TokenCounter:
    """Return the exact counter of that name.

    Raises:
        ValidationError: the name is not one of `ENCODINGS`.
    """
    return EncodingCounter(name)


def as_counter(counter: str | TokenCounter) -> TokenCounter:
    """Return a counter for what a caller may write: a name, or a plug-in.

    Raises:
        ValidationError: it is neither the name of a counter nor one itself.
    """
    if isinstance(counter, EncodingCounter):
        return counter
    # A str is asked first: to ask for a Protocol takes longer than the rest of a small prune.
    if not isinstance(counter, str) and isinstance(counter, TokenCounter):
        if isinstance(counter.name, str) and counter.name:
            return counter
        raise ValidationError(f"counter {shown(counter)} has the name {shown(counter.name)}, not a str that says one")
    return get_counter(counter)


def count_with(counter: TokenCounter, texts: Sequence[str]) -> list[int]:
    """Count with a plug-in and check what it returns.

    Raises:
        PluginError: it raised, or did not return one whole number from 0 up for each text.
    """
    if not texts:
        return []
    name = f"counter {shown(counter.name)}"
    try:
        counts = list(counter.count_batch(texts))
    except Exception as cause:
        raise PluginError(f"{name} raised {type(cause).__name__}") from cause
    if len(counts) != len(texts):
        raise PluginError(f"{name} returned {len(counts)} counts for {len(texts)} texts")
    return [whole_number(f"{name} returned", count) for count in counts]


def whole_number(what: str, value: object) -> int:
    """A plug-in's number of tokens, which must be a whole number from 0 to 2**32 - 1.

    Raises:
        PluginError: it is not; `what` says who said it.
    """
    try:
        number = -1 if isinstance(value, bool) else index(value)  # type: ignore[arg-type]  # raises for what has none
    except TypeError:
        number = -1
    if not 0 <= number <= _LARGEST:
        raise PluginError(f"{what} {shown(value)}, not a whole number from 0 to {_LARGEST}")
    return number
