"""Where a stored session stands."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Self

__all__ = ["Version"]

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Version(int):
    """The version of a stored session: a number, and what tells it from another of the same number.

    Attributes:
        incarnation: of the session: one that expired and was begun anew has another.
        operation_id: of the write that made it.
        epoch: transfers of the session before it.
        previous: id of the operation before, empty where that is not known.
        renamed: of an append, the ids of blocks that were kept under a new one because their own was taken by a block
            of other content; empty as well where the writer does not know the rest of the session.
    """

    incarnation: str
    operation_id: str
    epoch: int
    previous: str
    renamed: Mapping[str, str]

    def __new__(
        cls,
        number: int,
        incarnation: str,
        operation_id: str,
        epoch: int,
        previous: str = "",
        renamed: Mapping[str, str] = _NOTHING,
    ) -> Self:
        """Make a version; stores do."""
        version = super().__new__(cls, number)
        version.incarnation = incarnation
        version.operation_id = operation_id
        version.epoch = epoch
        version.previous = previous
        version.renamed = renamed
        return version

    def is_at(self, other: Version) -> bool:
        """Return whether both are the very same state, not only the same number."""
        return (self, self.incarnation, self.operation_id) == (other, other.incarnation, other.operation_id)

    def in_epoch(self, epoch: int) -> Version:
        """Return the same version in another epoch."""
        if epoch == self.epoch:
            return self
        return Version(self, self.incarnation, self.operation_id, epoch, self.previous, self.renamed)

    def __repr__(self) -> str:
        return f"<Version {int(self)}, epoch {self.epoch}, operation {self.operation_id[:8]}>"

    __str__ = int.__repr__

    def __reduce__(self) -> tuple[object, ...]:
        fields = (self.incarnation, self.operation_id, self.epoch, self.previous, dict(self.renamed))
        return type(self), (int(self), *fields)
