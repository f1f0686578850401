"""Which blocks are kept first, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pycontext.errors import ValidationError, shown

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How the kernel chooses; a policy is data, and one kernel serves all.

    Pins go in first whatever the policy says. Then units are taken in its order, each one that still fits, so that
    nothing is left out for want of room that would have fitted. Under a formatter or counter whose costs do not add up
    to the rendering, less may stay.

    Attributes:
        name: shown in receipts.
        order: "score" takes the best first, of equal scores the newer; "time" takes the newest first.
        threshold: base score below which a unit that is not pinned is left out, 0 to 1.
        duplicates: "drop" keeps the best of equal texts among MEMORY and KNOWLEDGE blocks; "keep" keeps all.

    Raises:
        ValidationError: a field is outside its limits.
    """

    name: str
    order: Literal["score", "time"] = "score"
    threshold: float = 0.0
    duplicates: Literal["drop", "keep"] = "drop"

    def __post_init__(self) -> None:
        if self.order not in ("score", "time"):
            raise ValidationError(f"order {shown(self.order)} is not one of score, time")
        if self.duplicates not in ("drop", "keep"):
            raise ValidationError(f"duplicates {shown(self.duplicates)} is not one of drop, keep")
        check_threshold("threshold", self.threshold)

    @staticmethod
    def named(name: str) -> Policy:
        """Return the built-in policy of that name: "relevance" or "recent".

        Raises:
            ValidationError: there is none of that name.
        """
        try:
            return _BUILT_IN[name]
        except (KeyError, TypeError):
            raise ValidationError(f"policy {shown(name)} is not one of {', '.join(_BUILT_IN)}") from None

    @classmethod
    def of(cls, policy: Policy | str | None) -> Policy:
        """Return a policy for what a caller may write: a `Policy`, a name, or None for "relevance"."""
        return policy if isinstance(policy, Policy) else cls.named("relevance" if policy is None else policy)


def check_threshold(name: str, value: object) -> None:
    """Raise `ValidationError` unless `value` is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValidationError(f"{name} {shown(value)} is not a number from 0 to 1")


_BUILT_IN: Final = {policy.name: policy for policy in (Policy("relevance"), Policy("recent", order="time"))}
