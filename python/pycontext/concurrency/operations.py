"""The places of operations."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from pycontext.concurrency.holder import Holder
from pycontext.concurrency.line import Line

__all__ = ["Operations"]


class Operations:
    """So many tasks may be in operations at once, each however deep.

    Args:
        places: how many.
    """

    def __init__(self, places: int) -> None:
        self._places: Final = places
        self._inside: Final[OrderedDict[Holder, None]] = OrderedDict()
        self._line: Final = Line()

    @property
    def taken(self) -> int:
        """How many tasks are inside."""
        return len(self._inside)

    @property
    def waiting(self) -> int:
        """How many tasks wait."""
        return len(self._line)

    async def enter(self, holder: Holder) -> None:
        """Take a place, or go one deeper.

        Raises:
            DeadlockError: it would wait for ever.
        """
        if holder.operations:
            holder.operations += 1
        elif len(self._inside) < self._places:
            self._take(holder)
        else:
            try:
                await self._line.wait(holder, lambda: self._inside, "every operation")
            except BaseException:
                # It was let in and cancelled before it knew: the place is for the next one.
                if holder in self._inside:
                    self.leave(holder)
                raise

    def leave(self, holder: Holder) -> None:
        """Go one up; whoever was as deep as one gives the place to the next in line."""
        holder.operations -= 1
        if holder.operations:
            return
        del self._inside[holder]
        if (following := self._line.pop()) is not None:
            self._take(following)

    def _take(self, holder: Holder) -> None:
        self._inside[holder] = None
        holder.operations = 1
