"""Tasks that wait, the first one to come first."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from pycontext.concurrency.holder import Holder, can_go_on
from pycontext.errors import DeadlockError

__all__ = ["Line"]


class Line:
    """Who waits for the same thing; who is cancelled is not in it any more."""

    def __init__(self) -> None:
        # Ordered by links: the first of a dict is found slowly when many before it are gone.
        self._waiters: Final[OrderedDict[asyncio.Future[None], Holder]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiters)

    async def wait(self, holder: Holder, waits_for: Callable[[], Iterable[Holder]], what: str) -> None:
        """Wait until `pop` returns this holder; it may be cancelled nevertheless, between that and its next step.

        Args:
            holder: that waits.
            waits_for: tells who must go on before it can, now.
            what: it waits for, as a message names it.

        Raises:
            DeadlockError: it would wait for ever.
        """
        future = asyncio.get_running_loop().create_future()
        holder.waits_for = waits_for
        try:
            if not can_go_on(holder):
                raise DeadlockError(
                    f"{what} is held by tasks that wait, perhaps for each other, for what this one holds"
                )
            self._waiters[future] = holder
            await future
        finally:
            holder.waits_for = None
            self._waiters.pop(future, None)

    def pop(self) -> Holder | None:
        """Take the first out of the line, wake it and return it; None where nobody waits."""
        while self._waiters:
            future, holder = self._waiters.popitem(last=False)
            # One that was cancelled has not run since, else it were gone.
            if not future.done():
                future.set_result(None)
                holder.waits_for = None
                return holder
        return None
