"""How full a session is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pycontext.block import ContextType
from pycontext.budget import check_tokens

__all__ = ["ContextMetrics"]


@dataclass
class ContextMetrics:
    """How full a session is.

    Attributes:
        total_tokens: tokens of the contents alone.
        context_saturation: their share of the budget, at most 1.
        type_distribution: share of the tokens by name of the type, for types that have any.
    """

    total_tokens: int
    context_saturation: float
    type_distribution: dict[str, float]

    @classmethod
    def of(cls, tokens: Mapping[ContextType, int], max_tokens: int) -> ContextMetrics:
        """Measure tokens by type against a budget.

        Raises:
            ValidationError: `max_tokens` is no whole number from 1 up.
        """
        check_tokens("max_tokens", max_tokens, least=1)
        total = sum(tokens.values())
        return cls(
            total_tokens=total,
            context_saturation=min(1.0, total / max_tokens),
            type_distribution={kind.name: n / total for kind, n in tokens.items() if n},
        )
