"""Work on sessions that the event loop does not wait for."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from pycontext.manager import ContextManager

__all__ = ["on_session"]

P = ParamSpec("P")
T = TypeVar("T")

# Characters that are counted in about a millisecond.
_LONG_TEXT: Final = 20_000
_MANY_BLOCKS: Final = 10_000
# More than there are cores only take the interpreter from the event loop. One pool a loop: a child process that begins
# a loop of its own has none of its parent's threads.
_THREADS: Final = min(max(os.cpu_count() or 1, 2), 8)
_POOLS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor]] = WeakKeyDictionary()


async def on_session(
    manager: ContextManager, session_id: str, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Do something to a session, in a thread where it may take long.

    That is where the manager has a store, which may have to be waited for, where a text is long, or where the session
    has many blocks. A thread cannot be stopped: who is cancelled meanwhile is so when it is done, and nobody finds the
    session half changed.
    """
    if not _takes_long(manager, session_id, args):
        return work(*args, **kwargs)
    loop = asyncio.get_running_loop()
    if loop not in _POOLS:
        _POOLS[loop] = ThreadPoolExecutor(_THREADS, thread_name_prefix="pycontext-session")
    context = contextvars.copy_context()
    task = loop.run_in_executor(_POOLS[loop], partial(context.run, work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            # Whoever is cancelled is not told; that it was seen keeps asyncio from complaining.
            task.exception()
        raise


def _takes_long(manager: ContextManager, session_id: str, args: tuple[object, ...]) -> bool:
    if manager.store is not None:
        return True
    if any(isinstance(value, str) and len(value) > _LONG_TEXT for value in args):
        return True
    package = manager.sessions.get(session_id)
    return package is not None and len(package.blocks) > _MANY_BLOCKS
