"""Live sessions."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from pycontext import _core
from pycontext.errors import BudgetExceededError
from pycontext.ledger import Ledger
from pycontext.originals import Originals
from pycontext.package import ContextPackage
from pycontext.selection import Selection
from pycontext.shadow import ShadowReport
from pycontext.store.version import Version

__all__ = ["Session", "Sessions"]

# Under the name of the manager, whose doing it is.
_LOG: Final = logging.getLogger("pycontext.manager")


@dataclass(slots=True, eq=False)
class Session:
    """A live session, what fell out of it, and in shadow mode what would have fallen."""

    package: ContextPackage
    originals: Originals = field(default_factory=Originals)
    shadow: ShadowReport = field(default_factory=ShadowReport)
    looked_at: float = 0.0
    """Tokens of the session when it was last looked at in shadow mode, 0 once it has been below the mark again."""
    sent: Selection | None = None
    """What was last selected, where a policy goes on from it."""
    ledger: Ledger = field(default_factory=Ledger)
    """What was selected so far, where that is noted."""
    stored: Version | None = None
    """What the store has of it, None where there is no store."""

    @property
    def is_changed(self) -> bool:
        """Whether it was changed since it was what the store has."""
        return self.stored is not None and self.package.version != self.stored

    def stand_at(self, version: Version, sender: str | None = None) -> None:
        """Say that it is what the store has at that version."""
        self.package.stand_at(version, version.operation_id, sender)
        self.stored = version

    def note_sent(self, selection: Selection) -> None:
        """Take what was selected for a request that was sent."""
        self.sent = selection
        self.ledger.add(selection)

    def keep(self, selection: Selection) -> _core.Fallen:
        """Remove what a selection dropped, remember it, and return it."""
        blocks = self.package.blocks
        fallen = blocks.cut(selection)
        self.originals.take(fallen, blocks.counter)
        return fallen

    def dedup(self) -> _core.Fallen:
        """Remove exact duplicates, remember them, and return them."""
        blocks = self.package.blocks
        fallen = blocks.cut_duplicates()
        self.originals.take(fallen, blocks.counter)
        return fallen

    @property
    def nbytes(self) -> int:
        """Bytes that the blocks take, and what fell of them."""
        return self.package.blocks.nbytes + self.originals.nbytes

    def shrink(self) -> None:
        """Give back the memory that is kept for blocks to come."""
        self.package.blocks.shrink()
        self.originals.shrink()

    def note(self, outcome: Selection | BudgetExceededError) -> None:
        """Report what would have been done."""
        report, name = self.shadow, self.package.session_id
        if isinstance(outcome, BudgetExceededError):
            self.shadow = replace(report, refused=report.refused + 1)
            _LOG.warning("shadow: session %s would be refused: %s", name, outcome)
            return
        self.shadow = replace(report, looks=report.looks + 1, selection=outcome)
        dropped, total = len(outcome.dropped_ids), len(outcome.reasons)
        _LOG.info(
            "shadow: session %s would lose %d of %d blocks and keep %d tokens", name, dropped, total, outcome.tokens
        )


class Sessions(Mapping[str, ContextPackage]):
    """A read-only view of sessions; iterates over those that there were when it began."""

    def __init__(self, sessions: dict[str, Session]) -> None:
        self._sessions = sessions

    def __getitem__(self, session_id: str) -> ContextPackage:
        return self._sessions[session_id].package

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._sessions))

    def __repr__(self) -> str:
        return f"<{len(self)} sessions>"
