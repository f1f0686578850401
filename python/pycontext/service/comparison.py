"""Whether two arms differ, asked again and again while sessions come in."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pycontext.budget import check_tokens
from pycontext.errors import ValidationError, shown
from pycontext.service.arm import Arm

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Comparison", "Difference", "Verdict", "half_width", "reach"]

# What is compared grows by this between two looks: a look more costs little width, a look late costs users.
_GROWTH: Final = 1.5
# Sessions that wait for one of the other arm; who waits longest is let go, so that pairs begin close together.
_WAITING: Final = 16


class Verdict(StrEnum):
    """What may be said of a metric."""

    TOO_FEW = "too few sessions"
    NOT_SHOWN = "no difference shown"
    LOWER = "managed is lower"
    HIGHER = "managed is higher"


@dataclass(frozen=True, slots=True)
class Difference:
    """How a metric differs between the arms, as of the last look.

    Attributes:
        metric: its name; all are for each turn, averaged over sessions.
        managed: of the managed sessions in pairs, None before the first look.
        baseline: of their counterparts.
        low: where the interval of managed less baseline begins, None where there are too few sessions for one.
        high: where it ends.
        verdict: "no difference shown" whenever 0 is in the interval.
    """

    metric: str
    managed: float | None = None
    baseline: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Verdict = Verdict.TOO_FEW

    def to_dict(self) -> dict[str, Any]:
        """Return the difference as JSON values."""
        return {**asdict(self), "verdict": self.verdict.value}


@dataclass(slots=True, eq=False)
class _Sums:
    """Turns of a session, and the sums of its metrics."""

    values: list[float]
    turns: int = 0
    is_paired: bool = False

    def add(self, values: Sequence[float]) -> None:
        self.turns += 1
        for column, value in enumerate(values):
            self.values[column] += value


@dataclass(slots=True)
class Comparison:
    """Compares sessions of two arms in pairs, and calls no difference that may be noise.

    **One number a session.** Turns of one session are like each other, so that it is sessions that are counted: of
    each, the mean of a metric over its turns.

    **Pairs.** A session is paired with one of the other arm that began next to it, whatever share of the traffic each
    arm has. Where the arms do not differ, the difference of a pair is as likely to be `d` as `-d`: the lot decided
    which of the two is which. Of such numbers, however skewed or heavy their tails, the sum exceeds `x` times the root
    of their summed squares with a probability of at most `2 exp(-x^2 / 2)`; no number of sessions is too small for that
    (W. Hoeffding, "Probability inequalities for sums of bounded random variables", JASA 58, 1963, theorem 2, for the
    signs given the sizes; B. Efron, "Student's t-test under symmetry conditions", JASA 64, 1969). An interval from the
    normal distribution over all sessions does not keep what it promises where a tenth of the traffic is managed:
    tokens of sessions are skewed.

    **Looks.** Looking until something shows would find it in noise. So there is a look only when the turns that are
    compared have grown by half, whoever asks in between is told of the last one, and `risk` is spent as the looks come:
    `risk / (k (k + 1))` at the k-th, which for ever adds up to `risk` (K. Lan and D. DeMets, "Discrete sequential
    boundaries for clinical trials", Biometrika 70, 1983), shared out evenly over the metrics (Bonferroni). Sessions
    that go on between two looks do no harm: the bound holds at each look by itself.

    Args:
        metrics: their names, in the order of `values` in `record`.
        risk: probability that any difference is ever called though the arms do not differ, above 0 and up to 0.5.
        first_look: pairs that there must be at the first look, 2 or more.
        most_pairs: that are kept; sessions that begin later are not compared.

    Attributes:
        differences: one for each metric, as of the last look.
        looks: how many there were.
        looked_at: pairs at the last look, 0 before the first.
        turns: of the sessions in pairs.
        next_look: turns at the next look, None before the first.

    Raises:
        ValidationError: an argument is outside its limits.
    """

    metrics: Sequence[str]
    risk: float = 0.05
    first_look: int = 20
    most_pairs: int = 10_000
    differences: tuple[Difference, ...] = field(init=False)
    looks: int = field(init=False, default=0)
    looked_at: int = field(init=False, default=0)
    turns: int = field(init=False, default=0)
    next_look: int | None = field(init=False, default=None)
    _sessions: dict[str, _Sums] = field(init=False, repr=False, default_factory=dict)
    _waiting: deque[tuple[str, Arm]] = field(init=False, repr=False, default_factory=deque)
    _pairs: list[tuple[_Sums, _Sums]] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        is_number = isinstance(self.risk, int | float) and not isinstance(self.risk, bool)
        if not is_number or not 0 < self.risk <= 0.5:
            raise ValidationError(f"risk {shown(self.risk)} is not a number above 0 and up to 0.5")
        check_tokens("most_pairs", self.most_pairs, least=2)
        check_tokens("first_look", self.first_look, least=2, most=self.most_pairs)
        self.metrics = tuple(self.metrics)
        self.differences = tuple(Difference(metric) for metric in self.metrics)

    @property
    def pairs(self) -> int:
        """Pairs of sessions so far."""
        return len(self._pairs)

    @property
    def sessions(self) -> int:
        """Sessions that are remembered: two a pair, and a few that wait."""
        return len(self._sessions)

    def record(self, session_id: str, arm: Arm, values: Sequence[float], *, is_new: bool) -> bool:
        """Take a turn in, and return whether that was time for a look.

        Args:
            session_id: of the session.
            arm: of the session.
            values: of the metrics.
            is_new: whether the session began with this turn; one that began elsewhere, or was let go, is not compared.
        """
        if is_new and len(self._pairs) < self.most_pairs:
            self._begin(session_id, arm)
        sums = self._sessions.get(session_id)
        if sums is not None:
            sums.add(values)
            self.turns += sums.is_paired
        if len(self._pairs) < self.first_look or self.turns < (self.next_look or 0):
            return False
        self._look()
        return True

    def _begin(self, session_id: str, arm: Arm) -> None:
        """Pair a session, or let it wait; all that wait are of one arm."""
        new = self._sessions[session_id] = _Sums([0.0] * len(self.metrics))
        if self._waiting and self._waiting[-1][1] is not arm:
            other = self._sessions[self._waiting.pop()[0]]
            self._pairs.append((new, other) if arm is Arm.MANAGED else (other, new))
            new.is_paired = other.is_paired = True
            self.turns += other.turns
        else:
            self._waiting.append((session_id, arm))
        if len(self._waiting) > _WAITING:
            del self._sessions[self._waiting.popleft()[0]]
        if len(self._pairs) == self.most_pairs:
            for waiting, _ in self._waiting:
                del self._sessions[waiting]
            self._waiting.clear()

    def _look(self) -> None:
        means = np.array([[[v / sums.turns for v in sums.values] for sums in pair] for pair in self._pairs])
        managed, baseline = means.mean(axis=0)
        apart = (means[:, 0] - means[:, 1]).T
        self.looks += 1
        self.looked_at = len(self._pairs)
        self.next_look = math.ceil(self.turns * _GROWTH)
        width = half_width(apart, reach(self.risk / len(self.metrics), self.looks))
        columns = (managed, baseline, apart.mean(axis=-1), width)
        self.differences = tuple(map(_difference, self.metrics, *(column.tolist() for column in columns)))


def reach(risk: float, look: int) -> float:
    """Return how many roots of summed squares a sum of symmetric numbers may reach at a look, the first one being 1."""
    return math.sqrt(2 * math.log(2 * look * (look + 1) / risk))


def half_width(differences: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Return how far from the mean of differences, those along the last axis, the true one may be.

    All `d` for which the differences less `d` have a sum of at most `reach` roots of their summed squares; solved for
    `d`. Infinite for `reach ** 2` differences and fewer.
    """
    count = differences.shape[-1]
    if count <= reach**2:
        return np.full(differences.shape[:-1], np.inf)
    return np.asarray(reach * differences.std(axis=-1) / math.sqrt(count - reach**2))


def _difference(metric: str, managed: float, baseline: float, apart: float, width: float) -> Difference:
    if math.isinf(width):
        return Difference(metric, managed, baseline)
    low, high = apart - width, apart + width
    verdict = Verdict.LOWER if high < 0 else Verdict.HIGHER if low > 0 else Verdict.NOT_SHOWN
    return Difference(metric, managed, baseline, low, high, verdict)
