"""Whether the stores answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from pycontext.errors import StoreError, UnknownSessionError
from pycontext.store.base import ContextStore

__all__ = ["Readiness"]

_LOG: Final = logging.getLogger("pycontext.service")

# A session that nobody has: to look for it takes one read.
_NOBODYS: Final = "readiness"


class Readiness:
    """Asks stores whether they are there; all who want to know at the same time wait for one question.

    Args:
        stores: that must answer.
        seconds: how long they may take.
    """

    def __init__(self, stores: Iterable[ContextStore], seconds: float) -> None:
        self._stores: Final = list(stores)
        self._seconds: Final = seconds
        self._asked: asyncio.Task[bool] | None = None

    async def is_ready(self) -> bool:
        """Return whether all stores answer."""
        # A store that hangs holds one thread, however often it is asked after.
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._ask())
        asked = self._asked
        done, _ = await asyncio.wait([asked], timeout=self._seconds)
        return bool(done) and not asked.cancelled() and asked.result()

    async def _ask(self) -> bool:
        answers = await asyncio.gather(*(asyncio.to_thread(_answers, store) for store in self._stores))
        return all(answers)


def _answers(store: ContextStore) -> bool:
    try:
        store.inquire(_NOBODYS)
    except UnknownSessionError:
        return True
    except StoreError as error:
        _LOG.warning("not ready: %s", error)
        return False
    except Exception:  # noqa: BLE001  # a store of somebody else can fail in any way
        _LOG.exception("not ready: the store failed")
        return False
    return True
