"""Sessions that are open in a manager: one turn at a time in each, and not too many."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from pycontext.agents.offload import on_session
from pycontext.errors import ConflictError, StoreError, UnknownSessionError
from pycontext.manager import ContextManager

__all__ = ["OpenSession", "OpenSessions"]

_LOG: Final = logging.getLogger("pycontext.service")


@dataclass(slots=True, eq=False)
class OpenSession:
    """A session, and the manager in which it is open, None where it is in none."""

    session_id: str
    manager: ContextManager | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    """Those that hold the lock or wait for it."""

    async def move_to(self, manager: ContextManager) -> None:
        """Close it in the manager that has it, so that another one can go on with it from the store."""
        if self.manager is not manager:
            await self.close()
            self.manager = manager

    async def close(self) -> None:
        """Close it where it is open; in the store it stays.

        Raises:
            StoreError: what was changed by hand could not be written; it is still open.
            ConflictError: the same.
        """
        if self.manager is not None:
            try:
                await on_session(self.manager, self.session_id, self.manager.close_session, self.session_id)
            except UnknownSessionError:
                # It was deleted meanwhile.
                _LOG.debug("session %s was gone before it was closed", self.session_id)
            self.manager = None


class OpenSessions:
    """Lets one turn of a session be worked on at a time, and closes those that nobody has used for long.

    All that is in a session is in its store, so that it can be closed between any two turns.

    Args:
        most: sessions that stay open; more only while more are worked on.
    """

    def __init__(self, most: int) -> None:
        self._most: Final = most
        # By how long ago they were used.
        self._sessions: OrderedDict[str, OpenSession] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    @asynccontextmanager
    async def held(self, session_id: str) -> AsyncIterator[OpenSession]:
        """Hold a session for a turn."""
        session = self._sessions.setdefault(session_id, OpenSession(session_id))
        self._sessions.move_to_end(session_id)
        session.users += 1
        try:
            async with session.lock:
                yield session
        finally:
            session.users -= 1
            await self._close_idle()

    async def aclose(self) -> None:
        """Close all, each after the turns that are underway in it."""
        for session in list(self._sessions.values()):
            await self._close(session)

    async def _close_idle(self) -> None:
        while len(self._sessions) > self._most:
            idle = next((one for one in self._sessions.values() if not one.users), None)
            if idle is None or not await self._close(idle):
                return

    async def _close(self, session: OpenSession) -> bool:
        """Close a session and forget it, unless somebody wants it; return whether that worked."""
        session.users += 1
        try:
            async with session.lock:
                await session.close()
        except (StoreError, ConflictError) as error:
            _LOG.warning("session %s stays open: %s", session.session_id, error)
            self._sessions.move_to_end(session.session_id)
            return False
        finally:
            session.users -= 1
        if not session.users:
            del self._sessions[session.session_id]
        return True
