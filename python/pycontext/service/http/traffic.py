"""The requests that are underway, and when there are no more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from pycontext.service.http.refusal import Refusal

__all__ = ["Traffic"]

# Cancelled requests answer at once, but for a thread that is at the store still.
_LAST_SECONDS: Final = 5.0


class Traffic:
    """Lets requests in, until it is closed; then those that are underway end, and nothing that was answered is lost.

    Args:
        most_turns: of a namespace at once; one that sends too many keeps no other from its turns.

    Attributes:
        is_ready: False from the moment at which the service is to stop: balancers send the next requests elsewhere.
        is_open: False when requests are refused.
    """

    def __init__(self, most_turns: int) -> None:
        self.is_ready = True
        self.is_open = True
        self._most_turns: Final = most_turns
        self._turns: Final[Counter[str]] = Counter()
        self._tasks: Final[set[asyncio.Task[Any]]] = set()
        self._given_up: Final[set[asyncio.Task[Any]]] = set()
        self._idle: Final = asyncio.Event()
        self._idle.set()

    @property
    def underway(self) -> int:
        """How many requests are worked on."""
        return len(self._tasks)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Be one of the requests that are underway.

        Raises:
            Refusal: the service stops, or stopped before this was done.
        """
        if not self.is_open:
            raise _stopping("the service stops")
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is worked on by a task")
        self._tasks.add(task)
        self._idle.clear()
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._given_up:
                raise
            # It was ours: the client is told, and the task ends as every other.
            task.uncancel()
            raise _stopping("the service stopped before there was an answer; what was said is kept") from None
        finally:
            self._tasks.discard(task)
            self._given_up.discard(task)
            if not self._tasks:
                self._idle.set()

    @contextmanager
    def turn(self, namespace: str) -> Iterator[None]:
        """Be one of the turns of a namespace.

        Raises:
            Refusal: there are too many.
        """
        if self._turns[namespace] >= self._most_turns:
            raise Refusal(503, "Busy", f"{self._most_turns} turns are underway", {"Retry-After": "1"})
        self._turns[namespace] += 1
        try:
            yield
        finally:
            self._turns[namespace] -= 1
            if not self._turns[namespace]:
                del self._turns[namespace]

    async def close(self, lead_seconds: float, grace_seconds: float) -> int:
        """Be not ready, then let nobody in, then wait for those who are in; return how many were cancelled.

        Args:
            lead_seconds: between being not ready and letting nobody in.
            grace_seconds: how long to wait.
        """
        self.is_ready = False
        if lead_seconds:
            await asyncio.sleep(lead_seconds)
        self.is_open = False
        try:
            async with asyncio.timeout(grace_seconds):
                await self._idle.wait()
        except TimeoutError:
            pass
        else:
            return 0
        late = set(self._tasks)
        self._given_up.update(late)
        for task in late:
            task.cancel()
        await asyncio.wait(late, timeout=_LAST_SECONDS)
        return len(late)


def _stopping(message: str) -> Refusal:
    return Refusal(503, "Stopping", f"{message}: send the request again", {"Retry-After": "1", "Connection": "close"})
