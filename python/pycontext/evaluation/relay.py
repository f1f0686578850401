"""Whether a handoff loses anything: pruned, made bytes, stored, and read by a second process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pycontext.block import ContextType
from pycontext.errors import BudgetExceededError, ContextError
from pycontext.evaluation.dataset import Dataset
from pycontext.evaluation.history import Case, Cases
from pycontext.evaluation.ours import Ours, query_of
from pycontext.evaluation.receiver import digest, seen
from pycontext.evaluation.tally import Tally
from pycontext.handoff import handoff
from pycontext.package import ContextPackage
from pycontext.store.url import open_store

__all__ = ["Relay", "RelayError", "run_relay"]

_RECEIVER: Final = "pycontext.evaluation.receiver"
_SENDER_AGENT: Final = "sender"
_RECEIVER_AGENT: Final = "receiver"


class RelayError(ContextError):
    """The second process did not do its part."""


@dataclass(frozen=True, slots=True)
class Relay:
    """What arrived, of one set under one budget.

    Attributes:
        budget: in tokens.
        questions: how many.
        refused: where what must stay did not fit.
        before: with all evidence when the sender had pruned.
        after: with all evidence in the other process.
        changed: whose blocks are not those that were sent, bit by bit.
        rendered: whose messages are not those that the sender would have sent a model.
    """

    budget: int
    questions: int
    refused: int
    before: int
    after: int
    changed: int
    rendered: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost on the way."""
        return self.before == self.after and not self.changed and not self.rendered


def run_relay(
    dataset: Dataset,
    ours: Ours,
    *,
    tally: Tally,
    budgets: Sequence[int],
    on_question: Callable[[int], object] = lambda _: None,
) -> list[Relay]:
    """Hand every question's context over, through a file of SQLite that another process of Python reads.

    Args:
        dataset: what is asked of what.
        ours: how the sender prunes.
        tally: counts messages.
        budgets: of the receiver, in tokens.
        on_question: is told 1 after every question.

    Raises:
        RelayError: the second process failed.
    """
    cases = Cases(dataset, tally)
    sums = {budget: Relay(budget, len(dataset.questions), 0, 0, 0, 0, 0) for budget in budgets}
    packages: dict[int, ContextPackage] = {}
    sent: dict[str, tuple[int, Case, dict[str, Any], str]] = {}
    with tempfile.TemporaryDirectory(prefix="pycontext-eval-") as folder:
        url = f"sqlite:///{Path(folder) / 'sessions.db'}"
        with open_store(url) as store:
            for number, question in enumerate(dataset.questions):
                case = cases.of(question)
                key = case.history.key
                if key not in packages:
                    packages[key] = ContextPackage(f"sent-{len(packages)}", _SENDER_AGENT, case.history.blocks)
                for budget in budgets:
                    try:
                        package, messages = _hand_over(packages[key], case, ours, budget, f"{number}-{budget}")
                    except BudgetExceededError:
                        sums[budget] = replace(sums[budget], refused=sums[budget].refused + 1)
                        continue
                    store.save(ContextPackage.from_bytes(package.to_bytes(compress="zstd")))
                    sent[package.session_id] = budget, case, seen(package), messages
                on_question(1)
        found = _received(url)
    for session_id, (budget, case, left, messages) in sent.items():
        sums[budget] = _added(sums[budget], case, left, messages, found.get(session_id))
    return list(sums.values())


def _hand_over(package: ContextPackage, case: Case, ours: Ours, budget: int, name: str) -> tuple[ContextPackage, str]:
    """The receiver's package, and a hash of the messages that the sender would have sent."""
    query: Any = query_of(case)
    made = handoff(
        package,
        to=_RECEIVER_AGENT,
        budget=budget,
        allow=frozenset(ContextType),
        policy=ours.policy,
        query=query,
        scorer=ours.scorer,
        session_id=name,
    )
    return made.package, digest(ours.select(case, budget).messages())


def _received(url: str) -> dict[str, dict[str, Any]]:
    """What a second process reads from the store, by session."""
    command = [sys.executable, "-m", _RECEIVER, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own program
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise RelayError(f"the second process ended with {done.returncode}: {said[0]}")
    return {entry["session"]: entry for entry in map(json.loads, done.stdout.splitlines())}


def _added(relay: Relay, case: Case, sent: dict[str, Any], messages: str, found: dict[str, Any] | None) -> Relay:
    arrived = found or {"ids": [], "blocks": [], "messages": ""}
    return replace(
        relay,
        before=relay.before + _has_all(case, sent["ids"]),
        after=relay.after + _has_all(case, arrived["ids"]),
        changed=relay.changed + (arrived["blocks"] != sent["blocks"]),
        rendered=relay.rendered + (arrived["messages"] != messages),
    )


def _has_all(case: Case, ids: Sequence[str]) -> bool:
    return all(not clause.isdisjoint(ids) for clause in case.question.gold)
