"""Stores: sessions in memory, in a file, or in Redis."""

from pycontext.store.base import AsyncContextStore, ContextStore
from pycontext.store.distributed import DistributedContextStore
from pycontext.store.hint import Hint
from pycontext.store.operations import Refresh
from pycontext.store.request import Listed
from pycontext.store.url import open_async_store, open_store
from pycontext.store.version import Version

__all__ = [
    "AsyncContextStore",
    "ContextStore",
    "DistributedContextStore",
    "Hint",
    "Listed",
    "Refresh",
    "Version",
    "open_async_store",
    "open_store",
]
