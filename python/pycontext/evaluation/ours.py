"""The library itself, as a program calls it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pycontext.errors import BudgetExceededError
from pycontext.evaluation.contender import Choice, Role
from pycontext.evaluation.history import Case
from pycontext.policy import Policy
from pycontext.scorer import Scorer
from pycontext.selection import Selection

__all__ = ["POLICY", "Ours", "query_of"]

POLICY: Final = "evidence"
"""What `prune` does with a query."""


def query_of(case: Case) -> Sequence[str]:
    """Return what `prune` is told: what was said, the question last."""
    return case.question.turns


class Ours:
    """`BlockSet.prune` with a policy, and a scorer where there is one.

    Args:
        policy: the policy, or the name of one.
        scorer: None for the words alone.
        role: what it is compared as.
        name: shown in tables; None for that of the policy.
    """

    def __init__(
        self,
        policy: Policy | str = POLICY,
        *,
        scorer: Scorer | None = None,
        role: Role = Role.OURS,
        name: str | None = None,
    ) -> None:
        self.policy: Final = Policy.of(policy)
        self.scorer: Final = scorer
        self.role: Final = role
        self.name: Final = f"pycontext, {self.policy.name}" if name is None else name

    def choices(self, case: Case, budget: int, /) -> Sequence[Choice]:
        """Return the one choice; none where what must stay does not fit."""
        try:
            selection = self.select(case, budget)
        except BudgetExceededError:
            return []
        return [Choice(tuple(selection.indices.tolist()), selection.messages(), selection.tokens)]

    def select(self, case: Case, budget: int) -> Selection:
        """Prune.

        Raises:
            BudgetExceededError: what must stay does not fit.
        """
        return case.history.set.prune(budget, policy=self.policy, query=query_of(case), scorer=self.scorer)
