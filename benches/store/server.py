"""The one server of a run, which is the tests' own, and clients that do nothing but PING."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from benches.data import CACHE, ROOT
from pycontext.store.redis_address import Address

# How a server is found and started is known there, once.
sys.path.append(str(ROOT / "tests"))
# Every store that is opened here would warn of the same: nothing is persisted.
logging.getLogger("pycontext.store").setLevel(logging.ERROR)


@contextmanager
def running() -> Iterator[Any]:
    """A server on loopback that persists nothing and has no other client."""
    from servers.server import RedisServer  # noqa: PLC0415  # after the path is set

    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="redis-", dir=CACHE) as folder, RedisServer(Path(folder) / "server") as server:
        yield server


@contextmanager
def on_one_core(server: Any) -> Iterator[None]:
    """Keep this process, those that it starts, and the server on one core, where the system can do that.

    There an answer comes soonest, and a ratio to PING is at its worst. On two it depends on whether the other one has
    to be woken up, which takes longer than all that is compared here, and is another time in every run.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    for process in (0, server.pid):
        os.sched_setaffinity(process, {min(cores)})
    try:
        yield
    finally:
        for process in (0, server.pid):
            os.sched_setaffinity(process, cores)


def client(url: str) -> redis.Redis:
    """Plain redis-py, connected as our store is."""
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **Address.of(url).options)


def async_client(url: str) -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(url, retry=AsyncRetry(NoBackoff(), 0), **Address.of(url).options)
