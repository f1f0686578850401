"""Every contender on every question of a set, under every budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pycontext.budget import check_tokens
from pycontext.errors import ValidationError, shown
from pycontext.evaluation.bootstrap import Resampling, clusters_of
from pycontext.evaluation.contender import Contender, Role
from pycontext.evaluation.dataset import Dataset
from pycontext.evaluation.history import Cases
from pycontext.evaluation.judgement import Gate, Judgement, judge
from pycontext.evaluation.tally import Tally

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BUDGETS", "Trial", "run_trial"]

BUDGETS: Final = (500, 1000, 2000, 4000, 8000)
RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out on one set.

    Attributes:
        name: of the set.
        sha256: of its file.
        questions: how many.
        cluster: what was drawn again for the intervals, "contexts" or "questions".
        clusters: how many of those.
        budgets: in tokens of the request, ascending.
        roles: of each contender, by its name, in the order of the tables.
        judgements: one a question, by contender and budget.
        resampling: the resamples that all intervals share.
    """

    name: str
    sha256: str
    questions: int
    cluster: str
    clusters: int
    budgets: tuple[int, ...]
    roles: Mapping[str, Role]
    judgements: Mapping[tuple[str, int], Sequence[Judgement]]
    resampling: Resampling

    def recall(self, name: str, budget: int) -> NDArray[np.float64]:
        """Return the recall of a contender, one entry a question."""
        return np.array([one.recall for one in self.judgements[name, budget]])

    def useful(self, name: str, budget: int) -> float:
        """Return the part of the kept tokens that a question needs; 0 where nothing was kept."""
        kept = sum(one.kept_tokens for one in self.judgements[name, budget])
        return sum(one.gold_tokens for one in self.judgements[name, budget]) / kept if kept else 0.0

    def tokens(self, name: str, budget: int) -> float:
        """Return the mean tokens of a request."""
        return float(np.mean([one.tokens for one in self.judgements[name, budget]]))

    def refused(self, name: str, budget: int) -> int:
        """Return how often what must stay did not fit."""
        return sum(one.refused for one in self.judgements[name, budget])

    def broken(self, role: Role | None = None) -> Counter[Gate]:
        """Return how often promises were broken, by contenders of a role or by all."""
        found: Counter[Gate] = Counter()
        for (name, _), judgements in self.judgements.items():
            if role is None or self.roles[name] is role:
                for one in judgements:
                    found.update(one.broken)
        return found

    def of_role(self, *roles: Role) -> list[str]:
        """Return the names of the contenders of some roles."""
        return [name for name, role in self.roles.items() if role in roles]


def run_trial(
    dataset: Dataset,
    contenders: Sequence[Contender],
    *,
    tally: Tally,
    budgets: Sequence[int] = BUDGETS,
    seed: int = 0,
    resamples: int = RESAMPLES,
    on_question: Callable[[int], object] = lambda _: None,
) -> Trial:
    """Let contenders choose, and judge what they chose.

    Args:
        dataset: what is asked of what.
        contenders: in the order of the tables; no name twice.
        tally: counts messages.
        budgets: tokens that a request may have.
        seed: of the resamples.
        resamples: for the intervals.
        on_question: is told 1 after every question.

    Raises:
        ValidationError: an option is outside its limits.
    """
    if not budgets:
        raise ValidationError("budgets are empty")
    for budget in budgets:
        check_tokens("budgets", budget, least=1)
    check_tokens("resamples", resamples, least=1)
    names = [one.name for one in contenders]
    if len(set(names)) < len(names):
        raise ValidationError(f"contenders {shown(names)} have a name twice")
    ascending = tuple(sorted(set(budgets)))
    cases = Cases(dataset, tally)
    judgements: dict[tuple[str, int], list[Judgement]] = {(name, budget): [] for name in names for budget in ascending}
    for question in dataset.questions:
        case = cases.of(question)
        for one in contenders:
            for budget in ascending:
                judgements[one.name, budget].append(judge(case, one.choices(case, budget), budget, tally))
        on_question(1)
    cluster, of_question = clusters_of(
        [question.cid for question in dataset.questions], [question.qid for question in dataset.questions]
    )
    return Trial(
        dataset.name,
        dataset.sha256,
        len(dataset.questions),
        cluster,
        len(set(of_question)),
        ascending,
        {one.name: one.role for one in contenders},
        judgements,
        Resampling(of_question, resamples, seed),
    )
