"""When a write is refused: what the scripts of the Redis log say in Lua, for the logs that are written in Python."""

from __future__ import annotations

from typing import NamedTuple

from pycontext.store.request import Append, Discard, Refused, Replace

__all__ = ["Standing", "discard_refusal", "refusal"]


class Standing(NamedTuple):
    """Where a session stands.

    Attributes:
        incarnation: of the session.
        version: of the session.
        operation_id: that made the version.
        epoch: of the session.
        snapshot_version: of the last snapshot.
        snapshot_operation: that made that version.
    """

    incarnation: str
    version: int
    operation_id: str
    epoch: int
    snapshot_version: int
    snapshot_operation: str

    def refused(self, why: str) -> Refused:
        """Return a refusal that says where the session stands."""
        return Refused(why, self.version, self.epoch, self.operation_id)  # type: ignore[arg-type]


def refusal(request: Append | Replace, standing: Standing) -> Refused | None:
    """Return why a write of an operation that was not done yet is refused; None where it is not."""
    if isinstance(request, Replace) and not request.incarnation:
        return standing.refused("exists")
    if request.incarnation and request.incarnation != standing.incarnation:
        return standing.refused("other")
    if request.epoch >= 0 and request.epoch < standing.epoch:
        return standing.refused("fenced")
    # An epoch that the store has not seen was lost with what it failed to keep.
    is_ahead = request.epoch > standing.epoch
    is_next = request.new_epoch in (-1, standing.epoch, standing.epoch + 1)
    expected = (request.expected, request.expected_operation)
    is_expected = request.expected < 0 or expected == (standing.version, standing.operation_id)
    return None if is_expected and is_next and not is_ahead else standing.refused("conflict")


def discard_refusal(request: Discard, standing: Standing) -> Refused | None:
    """Return why a session may not be removed; None where it may."""
    if request.incarnation and request.incarnation != standing.incarnation:
        return standing.refused("other")
    return standing.refused("fenced") if 0 <= request.epoch < standing.epoch else None
