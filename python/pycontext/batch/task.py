"""What is asked of every conversation of a batch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final, Literal

from pycontext import _core
from pycontext.budget import Budget
from pycontext.counter import DEFAULT_ENCODING, ENCODINGS
from pycontext.errors import ValidationError, shown
from pycontext.policy import Policy
from pycontext.query import Query, turns_of

__all__ = ["LAST_USER", "Overflow", "Task", "checked_threads"]

LAST_USER: Final = "last-user"

Overflow = Literal["drop", "keep", "null"]
"""What becomes of a conversation whose pinned messages are more than the budget."""


@dataclass(frozen=True, slots=True)
class Task:
    """How conversations are pruned; `job` is the same for the kernel."""

    budget: Budget
    policy: Policy
    query: Query | None
    encoding: str
    overflow: Overflow
    job: _core.Job

    @classmethod
    def of(
        cls,
        budget: Budget | int,
        *,
        policy: Policy | str | None = None,
        query: Query | None = None,
        counter: str = DEFAULT_ENCODING,
        on_overflow: Overflow = "drop",
    ) -> Task:
        """Return a task for what a caller may write.

        Raises:
            ValidationError: an option is outside its limits.
        """
        if counter not in ENCODINGS:
            raise ValidationError(f"counter {shown(counter)} is not one of {', '.join(ENCODINGS)}")
        if on_overflow not in ("drop", "keep", "null"):
            raise ValidationError(f"on_overflow {shown(on_overflow)} is not one of drop, keep, null")
        limit, chosen = Budget.of(budget), Policy.of(policy, query)
        if chosen.cache is not None:
            raise ValidationError(f"policy {chosen.name!r} goes on from the request before, which a batch has not")
        turns = None if query is None else [] if query == LAST_USER else turns_of(query)
        job = _core.Job(limit.available, chosen.compiled, turns, counter, on_overflow)
        return cls(limit, chosen, query, counter, on_overflow, job)

    def settings(self) -> dict[str, Any]:
        """Return what is asked, for the summary."""
        return {
            "budget": self.budget.max_tokens,
            "available": self.budget.available,
            "policy": self.policy.name,
            "query": self.query,
            "encoding": self.encoding,
        }


def checked_threads(threads: int | None) -> int:
    """Return how many threads work: as many as there are cores where nobody says it.

    Raises:
        ValidationError: it is no whole number from 1 to 256.
    """
    if threads is None:
        return len(os.sched_getaffinity(0))
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= 256:
        raise ValidationError(f"threads {shown(threads)} is not a whole number from 1 to 256")
    return threads
