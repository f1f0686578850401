"""Which half of an experiment a session is in, and what happened there."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from pycontext.agents.turn import TurnReport
from pycontext.errors import ValidationError, shown
from pycontext.package import check_session_id
from pycontext.policy import check_fraction

__all__ = ["Arm", "ArmSums", "Split"]

_LONGEST_NAME: Final = 256
# So many bits of a hash a float holds, so that the largest one is still below 1.
_BITS: Final = 53


class Arm(StrEnum):
    """The two ways in which a session can go."""

    BASELINE = "baseline"
    MANAGED = "managed"


class Split:
    """Gives every session an arm, the same one in every process and for ever.

    A session stands at a place between 0 and 1 that its id and the name of the experiment decide, as by lot; below the
    ratio it is managed. When the ratio rises nobody leaves the managed arm. Another experiment draws lots anew.

    Args:
        experiment: its name, 1 to 256 printable characters.
        traffic_ratio: share of the sessions that are managed, 0 to 1.

    Raises:
        ValidationError: an argument is outside its limits.
    """

    def __init__(self, experiment: str, traffic_ratio: float) -> None:
        is_name = isinstance(experiment, str) and experiment.isprintable() and 0 < len(experiment) <= _LONGEST_NAME
        if not is_name:
            raise ValidationError(
                f"experiment {shown(experiment)} is not a printable str of 1 to {_LONGEST_NAME} characters"
            )
        check_fraction("traffic_ratio", traffic_ratio)
        self.experiment: Final = experiment
        self.traffic_ratio: Final = traffic_ratio
        # A key has 64 bytes at most, and a name may have more.
        self._key: Final = hashlib.blake2b(experiment.encode()).digest()

    def place_of(self, session_id: str) -> float:
        """Return where a session stands, from 0 to below 1.

        Raises:
            ValidationError: it is no id of a session.
        """
        check_session_id(session_id)
        digest = hashlib.blake2b(session_id.encode(), key=self._key, digest_size=8).digest()
        return (int.from_bytes(digest, "big") >> (64 - _BITS)) / 2.0**_BITS

    def arm_of(self, session_id: str) -> Arm:
        """Return the arm of a session.

        Raises:
            ValidationError: it is no id of a session.
        """
        return Arm.MANAGED if self.place_of(session_id) < self.traffic_ratio else Arm.BASELINE


@dataclass(slots=True)
class ArmSums:
    """What happened in one arm so far.

    Attributes:
        sessions: that began in it.
        turns: that were done or failed.
        errors: of these, failed.
        cancelled: turns that were given up by who asked; they are not among `turns`.
        prompt_tokens: of all requests of these turns.
        session_tokens: what the requests would have been with every block of the session in them; what fell out of a
            managed session is in it no more.
        seconds: of these turns.
        layer_seconds: of these, neither the model's nor the tools'.
    """

    sessions: int = 0
    turns: int = 0
    errors: int = 0
    cancelled: int = 0
    prompt_tokens: int = 0
    session_tokens: int = 0
    seconds: float = 0.0
    layer_seconds: float = 0.0

    def add(self, report: TurnReport, *, is_new: bool) -> None:
        """Take a turn in."""
        if report.outcome == "cancelled":
            self.cancelled += 1
            return
        self.sessions += is_new
        self.turns += 1
        self.errors += report.outcome == "failed"
        self.prompt_tokens += report.prompt_tokens
        self.session_tokens += report.session_tokens
        self.seconds += report.seconds
        self.layer_seconds += report.layer_seconds

    def a_turn(self, what: str) -> float | None:
        """One of the sums for each turn, None where there was no turn."""
        return getattr(self, what) / self.turns if self.turns else None

    def to_dict(self) -> dict[str, Any]:
        """Return the sums as JSON values."""
        return asdict(self)
