"""Who may work on which session now, and how many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, Final

from pycontext.budget import check_tokens
from pycontext.concurrency.holder import Holder
from pycontext.concurrency.operations import Operations
from pycontext.concurrency.turnstile import Turnstile
from pycontext.errors import BusyError, ContextError, ValidationError, shown
from pycontext.package import check_session_id

__all__ = ["ContextConcurrencyManager"]

_MOST: Final = 1_000_000
_LONGEST_SECONDS: Final = 86_400


class ContextConcurrencyManager:
    """Lets one task at a time work on a session, and so many at once on all of them.

    A task takes the session first and then one of the `max_concurrent_sessions` places, so that those who wait for a
    busy session do not keep others from an idle one. It has one place however many sessions it holds, and gives it back
    with the last of them; what is bounded is the number of tasks that hold sessions.

    Who came first goes first. Only a task that holds a session already goes before those who hold none: they may wait
    for its place. A task that enters again what it is in goes on at once.

    Tasks that wait for each other are found when the last of them begins to wait, and it gets `DeadlockError`. A child
    task is another task: a parent that awaits a child which waits for what the parent holds cannot be found, as nobody
    here sees the parent wait. Give `timeout_seconds` where that may be, or let the child work without entering.

    What was held or waited for is forgotten when nobody holds or waits for it any more. For one event loop; not to be
    used from other threads.

    Args:
        max_concurrent_sessions: tasks that hold sessions at once, 1 or more.
        max_concurrent_contexts: tasks that are in operations at once, 1 or more.

    Raises:
        ValidationError: a number is outside its limits.
    """

    def __init__(self, max_concurrent_sessions: int = 1000, max_concurrent_contexts: int = 5000) -> None:
        check_tokens("max_concurrent_sessions", max_concurrent_sessions, least=1, most=_MOST)
        check_tokens("max_concurrent_contexts", max_concurrent_contexts, least=1, most=_MOST)
        self.max_concurrent_sessions: Final = max_concurrent_sessions
        self.max_concurrent_contexts: Final = max_concurrent_contexts
        self._sessions: Final = Turnstile(max_concurrent_sessions)
        self._operations: Final = Operations(max_concurrent_contexts)
        self._holders: dict[asyncio.Task[Any], Holder] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def held(self) -> int:
        """How many sessions are held."""
        return self._sessions.held

    @property
    def operating(self) -> int:
        """How many tasks are in operations."""
        return self._operations.taken

    @property
    def waiting(self) -> int:
        """How many tasks wait, for a session or an operation."""
        return self._sessions.waiting + self._operations.waiting

    @asynccontextmanager
    async def session_context(
        self, session_id: str, *, timeout_seconds: float | None = None
    ) -> AsyncGenerator[None, None]:
        """Hold a session for as long as the block takes.

        Args:
            session_id: of the session.
            timeout_seconds: how long to wait for it; None for as long as it takes.

        Raises:
            ValidationError: an argument is outside its limits.
            DeadlockError: it would wait for tasks that wait for this one.
            BusyError: the time is up.
            ContextError: the manager is used in another event loop.
        """
        check_session_id(session_id)
        _check_timeout(timeout_seconds)
        holder = self._holder()
        try:
            entered = self._sessions.enter(session_id, holder)
            await _within(entered, timeout_seconds, f"session {shown(session_id)}")
            try:
                yield
            finally:
                self._sessions.leave(session_id, holder)
        finally:
            self._forget(holder)

    @asynccontextmanager
    async def context_operation(self, *, timeout_seconds: float | None = None) -> AsyncGenerator[None, None]:
        """Be one of those who are in an operation, for as long as the block takes.

        Args:
            timeout_seconds: how long to wait for a place; None for as long as it takes.

        Raises:
            ValidationError: `timeout_seconds` is outside its limits.
            DeadlockError: it would wait for tasks that wait for this one.
            BusyError: the time is up.
            ContextError: the manager is used in another event loop.
        """
        _check_timeout(timeout_seconds)
        holder = self._holder()
        try:
            await _within(self._operations.enter(holder), timeout_seconds, "an operation")
            try:
                yield
            finally:
                self._operations.leave(holder)
        finally:
            self._forget(holder)

    def cleanup_session(self, session_id: str) -> bool:
        """Return whether nothing is left of a session here; there is while somebody holds or waits for it.

        Nothing needs to be cleaned up: it goes with the last who held or waited. To have called this never lets a
        second one in.

        Raises:
            ValidationError: `session_id` is outside its limits.
        """
        check_session_id(session_id)
        return session_id not in self._sessions

    def _holder(self) -> Holder:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise ContextError(
                "a ContextConcurrencyManager serves one event loop, and this is another: make one for each"
            )
        task = asyncio.current_task()
        if task is None:
            raise ContextError("sessions are held by tasks, and this is none: use asyncio.create_task")
        return self._holders.setdefault(task, Holder(task))

    def _forget(self, holder: Holder) -> None:
        if not holder.sessions and not holder.operations and holder.waits_for is None:
            self._holders.pop(holder.task, None)


def _check_timeout(seconds: object) -> None:
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST_SECONDS:
        raise ValidationError(f"timeout_seconds {shown(seconds)} is neither None nor 0 to {_LONGEST_SECONDS}")


async def _within(entered: Awaitable[None], seconds: float | None, what: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            await entered
    except TimeoutError as error:
        raise BusyError(f"{what} was held by others for all of {seconds} s") from error
