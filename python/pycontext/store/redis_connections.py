"""Connections to Redis that are at hand."""

from __future__ import annotations

import os
import time
from typing import Any, Final

from redis.exceptions import ResponseError

__all__ = ["Connections"]

# So long a connection is used without its pool, which looks whether it is still good.
_SECONDS: Final = 1.0


class Connections:
    """Connections of a pool that are kept for the next call: to borrow one and give it back takes as long as the call.

    Safe to use from several threads, and in a process that was forked.

    Args:
        pool: of redis-py; it closes them with its own.
    """

    def __init__(self, pool: Any) -> None:
        self._pool: Final = pool
        self._process = 0
        # With when each was borrowed; the one that was used last is used next.
        self._idle: list[tuple[float, Any]] = []

    def call(self, *words: Any) -> Any:
        """Send a command and return the answer, as redis-py does, without its retries and its measuring."""
        borrowed, connection = self._take()
        is_clean = False
        try:
            connection.send_command(*words)
            answer = connection.read_response()
            is_clean = True
        except ResponseError:
            is_clean = True
            raise
        finally:
            if not is_clean:
                # Nobody else reads the answer that was for this call.
                connection.disconnect()
            self._idle.append((borrowed, connection))
        return answer

    def _take(self) -> tuple[float, Any]:
        now = time.monotonic()
        if self._process != os.getpid():
            # Those of the process before the fork are its own.
            self._idle, self._process = [], os.getpid()
        try:
            borrowed, connection = self._idle.pop()
        except IndexError:
            return now, self._pool.get_connection()
        if now - borrowed < _SECONDS:
            return borrowed, connection
        self._pool.release(connection)
        return now, self._pool.get_connection()
