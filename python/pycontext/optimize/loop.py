"""A loop of one session, which several may wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

__all__ = ["SessionLoop"]


class SessionLoop:
    """A task that pauses between its rounds; it ends when it is stopped, or when the last who waits is cancelled.

    Args:
        run: what to do; it ends soon after `is_stopped` is True.
        interval_seconds: of every pause.
    """

    def __init__(self, run: Callable[[SessionLoop], Coroutine[Any, Any, None]], interval_seconds: float) -> None:
        self.is_stopped = False
        self._interval = interval_seconds
        self._waiting = 0
        self._pause: asyncio.Future[None] | None = None
        self._events = asyncio.get_running_loop()
        self._task = asyncio.create_task(run(self))

    def when_ended(self, call: Callable[[], object]) -> None:
        """Have a function called when the task has ended, however it did."""
        self._task.add_done_callback(lambda _task: call())

    async def join(self) -> None:
        """Wait for the end."""
        self._waiting += 1
        try:
            await asyncio.shield(self._task)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self.stop()

    async def ended(self) -> None:
        """Wait for the end, and raise nothing of what ended it."""
        await asyncio.wait({self._task})

    def stop(self) -> None:
        """Let it end after the round that it is in; may be called from any thread."""
        self.is_stopped = True
        # Where the event loop is closed, the task has ended.
        with suppress(RuntimeError):
            self._events.call_soon_threadsafe(self._wake)

    async def pause(self) -> None:
        """Wait for the next round, or until it is stopped."""
        if self.is_stopped:
            return
        # A timer and a future: what asyncio has for this makes a task in every round of every session.
        self._pause = self._events.create_future()
        timer = self._events.call_later(self._interval, self._wake)
        try:
            await self._pause
        finally:
            timer.cancel()
            self._pause = None

    def _wake(self) -> None:
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)
