"""Token counters: the Protocol, the exact ones inside the wheel, and how a name becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from os import PathLike
from typing import TYPE_CHECKING, Final, Literal, Protocol, runtime_checkable

from pycontext._core import count_tokens, count_tokens_batch, count_within, prefix_counts
from pycontext.errors import PluginError, ValidationError, shown
from pycontext.estimate import EstimateCounter
from pycontext.models import FAMILIES, encoding_of, family_of
from pycontext.vocabulary_file import RankFileCounter, TokenizerFileCounter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "DEFAULT_ENCODING",
    "ENCODINGS",
    "EncodingCounter",
    "EstimateCounter",
    "RankFileCounter",
    "TokenCounter",
    "TokenizerFileCounter",
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


def get_counter(
    name: str | PathLike[str], *, pattern: str | None = None, bound: Literal["middle", "upper"] = "middle"
) -> TokenCounter:
    """Return the counter of that name.

    Args:
        name: one of `ENCODINGS`; a model of OpenAI, as tiktoken knows it; a model or family without a public tokenizer
            ("claude-..."), whose counter is an estimate; the path of a file of ranks that ends with .tiktoken; the path
            of a tokenizer.json.
        pattern: how a text is cut into pieces; wanted by a file of ranks, and by nothing else.
        bound: "upper" has an estimate be too high rather than too low; an exact counter is what it is.

    Raises:
        ValidationError: the name is none of these, or the file or the pattern is wrong.
    """
    text = name if isinstance(name, str) else str(name) if isinstance(name, PathLike) else ""
    if text.endswith(".tiktoken"):
        if pattern is None:
            raise ValidationError(f"counter {shown(text)} is a file of ranks, and wants a pattern=")
        return RankFileCounter(text, pattern)
    if pattern is not None:
        raise ValidationError(f"pattern {shown(pattern)} is for a file of ranks that ends with .tiktoken")
    if text.endswith(".json"):
        return TokenizerFileCounter(text)
    if text in ENCODINGS:
        return EncodingCounter(text)
    if encoding := encoding_of(text):
        return EncodingCounter(encoding)
    if family := family_of(text):
        return EstimateCounter(family, FAMILIES[family], bound=bound)
    known = f"{', '.join(ENCODINGS)}, a model of OpenAI, {' or '.join(FAMILIES)}, a .tiktoken or a tokenizer.json"
    raise ValidationError(f"counter {shown(name)} is not one of {known}")


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
