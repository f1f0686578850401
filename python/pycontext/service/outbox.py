"""What is sent by a thread, so that nobody waits for it."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

__all__ = ["Outbox"]

_LOG: Final = logging.getLogger("pycontext.service.outbox")

# So long nothing is tried after it failed.
_PAUSE_SECONDS: Final = 10.0

T = TypeVar("T")


class Outbox(Generic[T]):
    """Holds items until its thread has sent them; what finds no room or cannot be sent is dropped and counted.

    The thread begins with the first item and ends with `close`. That sending fails is logged when it begins to. A child
    process begins with none: what waits is sent by its parent.

    Args:
        send: sends items in their order; raises where it could not.
        to: where it sends to, as the log names it.
        capacity: items that may wait.
        every_seconds: how long items are gathered before they are sent.
    """

    def __init__(self, send: Callable[[list[T]], None], to: str, *, capacity: int, every_seconds: float) -> None:
        self._send: Final = send
        self._to: Final = to
        self._capacity: Final = capacity
        self._every_seconds: Final = every_seconds
        self._is_closed = False
        self._has_failed = False
        self._begin()
        _ALL.add(self)

    def _begin(self) -> None:
        """Have nothing, and no thread."""
        self._changed = Condition()
        self._items: deque[T] = deque()
        self._thread: Thread | None = None
        self._is_sending = False
        self._is_hurried = False
        self.sent = 0
        self.dropped = 0

    def put(self, item: T) -> None:
        """Have an item sent; does not wait."""
        with self._changed:
            if self._is_closed or len(self._items) >= self._capacity:
                self.dropped += 1
                return
            self._items.append(item)
            if self._thread is None or not self._thread.is_alive():
                # A daemon: a program that forgets to close still ends.
                self._thread = Thread(target=self._run, name="pycontext-outbox", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, timeout_seconds: float) -> bool:
        """Send what is here now and return whether that was done, or failed, in time."""
        with self._changed:
            self._is_hurried = bool(self._items)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._items and not self._is_sending, timeout_seconds)

    def close(self, timeout_seconds: float) -> bool:
        """Send what is here, take nothing any more, and return whether the thread ended in time."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            return True
        thread.join(timeout_seconds)
        return not thread.is_alive()

    def _run(self) -> None:
        while (items := self._gather()) is not None:
            try:
                self._send(items)
            except Exception as error:  # noqa: BLE001  # networks and libraries fail in any way, and no turn may
                if not self._has_failed:
                    _LOG.warning("nothing is sent to %s, %d dropped: %s", self._to, len(items), error)
                done, dropped = False, len(items)
            else:
                if self._has_failed:
                    _LOG.info("what comes is sent to %s again", self._to)
                done, dropped = True, 0
            with self._changed:
                self.sent += len(items) - dropped
                self.dropped += dropped
                self._has_failed = not done
                self._is_sending = False
                self._changed.notify_all()

    def _gather(self) -> list[T] | None:
        """Return what is to be sent now; None when that was all."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_closed)
            wait = _PAUSE_SECONDS if self._has_failed else self._every_seconds
            end = time.monotonic() + wait
            while not self._is_hurried and not self._is_closed and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
            self._is_hurried = False
            if not self._items:
                return None
            items = list(self._items)
            self._items.clear()
            self._is_sending = True
            return items


# Those of this process, for its children: the lock may be held by a thread that a child does not have.
_ALL: Final[WeakSet[Outbox[Any]]] = WeakSet()


def _after_fork() -> None:
    for outbox in list(_ALL):
        outbox._begin()  # noqa: SLF001  # of this module


# Windows forks no process.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
