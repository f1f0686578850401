"""Estimates for models whose tokenizer is not public."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from pycontext._core import count_tokens, count_tokens_batch
from pycontext.errors import ValidationError, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EstimateCounter"]

Bound = Literal["middle", "upper"]

_LARGEST: Final = 2**32 - 1


class EstimateCounter:
    """Estimates tokens as a multiple of those of o200k_base; never exact.

    Args:
        family: whose tokens they are; part of the name of the counter.
        factor: tokens of the model for one token of o200k_base.
        bound: "middle" estimates; "upper" is to be too high rather than too low. Before `calibrate` that is the bytes
            of the text in UTF-8, which no byte-level tokenizer goes beyond; after it, the highest ratio among the
            samples, which other texts may go beyond.
        samples: pairs that the factor was measured on, 0 for an assumption.

    Raises:
        ValidationError: the factor is no number above 0, or the bound is neither of the two.
    """

    __slots__ = ("bound", "factor", "family", "name", "samples")

    exact: Final = False

    def __init__(self, family: str, factor: float, *, bound: Bound = "middle", samples: int = 0) -> None:
        if not isinstance(family, str) or not family:
            raise ValidationError(f"family {shown(family)} is not a str that says one")
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor < math.inf:
            raise ValidationError(f"factor {shown(factor)} is not a number above 0")
        if bound not in ("middle", "upper"):
            raise ValidationError(f"bound {shown(bound)} is not one of middle, upper")
        self.family: Final = family
        self.factor: Final = float(factor)
        self.bound: Final[Bound] = bound
        self.samples: Final = samples
        how = f"{self.factor:.6g}" if bound == "middle" or samples else "bytes"
        self.name: Final = f"estimate:{family}:{bound}:{how}"

    def count(self, text: str, /) -> int:
        """Estimated tokens of one text, rounded up; raises `ValidationError` for what is no text."""
        tokens = count_tokens(text)
        if self.bound == "upper" and not self.samples:
            return len(text.encode())
        return min(_LARGEST, math.ceil(tokens * self.factor))

    def count_batch(self, texts: Sequence[str], /) -> NDArray[np.uint32]:
        """Estimated tokens of many texts, one uint32 a text."""
        texts = list(texts)
        tokens = count_tokens_batch(texts)
        if self.bound == "upper" and not self.samples:
            return np.fromiter((len(text.encode()) for text in texts), np.uint32, len(texts))
        estimated: NDArray[np.uint32] = np.minimum(_LARGEST, np.ceil(tokens * self.factor)).astype(np.uint32)
        return estimated

    def calibrate(self, samples: Iterable[tuple[str, int]]) -> EstimateCounter:
        """Return a counter whose factor is measured.

        Args:
            samples: texts, each with the tokens that the model was charged for it alone, without message framing.

        Returns:
            A counter of the same family and bound. "middle": all tokens of the samples over all of o200k_base.
            "upper": the highest ratio of a sample, so that no sample is estimated too low.

        Raises:
            ValidationError: there are no samples, or one is no text with a count above 0.
        """
        texts, counts = [], []
        for i, sample in enumerate(samples):
            match sample:
                case (str() as text, int() as count) if text and 0 < count <= _LARGEST and not isinstance(count, bool):
                    texts.append(text)
                    counts.append(count)
                case _:
                    raise ValidationError(f"samples[{i}] {shown(sample)} is not a text and its tokens, above 0")
        if not texts:
            raise ValidationError("samples has none; a factor is measured on at least one")
        ours = count_tokens_batch(texts).astype(np.float64)
        theirs = np.array(counts, np.float64)
        factor = theirs.sum() / ours.sum() if self.bound == "middle" else (theirs / ours).max()
        return EstimateCounter(self.family, float(factor), bound=self.bound, samples=len(texts))

    def __repr__(self) -> str:
        measured = f"measured on {self.samples} samples" if self.samples else "an assumption"
        return f"<EstimateCounter {self.name}, {measured}>"
