"""Where stores keep sessions in tests: several are opened on one place, and all bytes that are kept can be read."""

from __future__ import annotations

import asyncio
from dataclasses import fields, is_dataclass
from pathlib import Path

import redis

from pycontext import ContextBlock, ContextPackage, ContextType, _core, open_async_store, open_store
from pycontext.claims import Claims
from pycontext.limits import DEFAULT
from pycontext.store.async_store import AsyncStore
from pycontext.store.codec import Codec
from pycontext.store.memory import MemoryLog
from pycontext.store.operations import Operations
from pycontext.store.sync_store import Store
from pycontext.store.threaded import ThreadedLog
from pycontext.wire import associated

WAITING = ("memory", "sqlite", "redis")
KINDS = (*WAITING, *(f"{kind}, awaited" for kind in WAITING))


def block(id, content="word", **fields):
    return ContextBlock(id, content, **{"relevance_score": 0.5, "type": ContextType.USER, "timestamp": 1, **fields})


def package(*blocks, session_id="s", agent_id="ann", **header):
    return ContextPackage(session_id, agent_id, blocks, **header)


def texts(package):
    """Ids and contents in their order."""
    return [(block.id, block.content) for block in package.blocks]


class Awaited:
    """An async store for those who wait."""

    def __init__(self, store, runner):
        self.store = store
        self._runner = runner

    def sessions(self):
        async def collected():
            return [id async for id in self.store.sessions()]

        return self._runner.run(collected())

    def known(self, session_id):
        return self.store.known(session_id)

    def __getattr__(self, name):
        method = getattr(self.store, name)
        return lambda *arguments, **options: self._runner.run(method(*arguments, **options))


class Home:
    """A place that keeps sessions.

    Attributes:
        is_async: whether the stores that are opened here are async ones, made to wait.
    """

    def __init__(self, *, is_async):
        self.is_async = is_async
        self._stores = []
        self._runner = asyncio.Runner() if is_async else None

    def open(self, **options):
        """Open one more store, as another program would."""
        store = self._connected(**options)
        self._stores.append(store)
        return Awaited(store, self._runner) if self.is_async else store

    def close(self):
        while self._stores:
            closing = self._stores.pop().close()
            if self.is_async:
                self._runner.run(closing)
        if self.is_async:
            self._runner.close()

    def stored(self):
        """Every byte that is kept."""
        raise NotImplementedError

    def contents(self, key=None):
        """Every byte that is kept, and what is in the envelopes among them; each of those must open."""
        data = self.stored()
        pieces = [data]
        at = data.find(b"PCX1")
        while at >= 0:
            pieces.append(opened(data[at:], key))
            at = data.find(b"PCX1", at + 1)
        return b"\0".join(pieces)


def opened(data, key=None):
    """The message of the envelope that bytes begin with, encrypted or not."""
    said, body = (int.from_bytes(data[at : at + size], "little") for at, size in ((6, 2), (12, 4)))
    data = data[: 16 + body + said + 4]
    (is_zstd, is_encrypted, _), size, body, said, *_ = _core.open_envelope(data, DEFAULT)
    if is_encrypted:
        claims = Claims.from_bytes(said, signed=False, encrypted=True)
        body = key.decrypt(claims.nonce, body, associated((is_zstd, True, False), size, said))
    return _core.decompress(body, size) if is_zstd else body


class _Kept(MemoryLog):
    """A log that several stores use: it does not go with one of them."""

    def close(self):
        pass


class MemoryHome(Home):
    def __init__(self, *, is_async):
        super().__init__(is_async=is_async)
        self.log = _Kept()

    def _connected(
        self,
        *,
        namespace="default",
        ttl=None,
        durability="normal",  # noqa: ARG002  # of SQLite
        encrypt=None,
        keys=None,
        redact=None,
        counter=None,
        sessions=256,
        limits=DEFAULT,
    ):
        # As `open_store` does, but over a log that is there.
        operations = Operations(namespace, ttl, Codec(limits, encrypt, keys), redact, counter, sessions)
        return AsyncStore(ThreadedLog(self.log), operations) if self.is_async else Store(self.log, operations)

    def stored(self):
        return b"\0".join(_walked(vars(self.log)))


def _walked(value):
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, str):
        yield value.encode()
    elif isinstance(value, dict):
        yield from _walked([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _walked(one)
    elif is_dataclass(value):
        yield from _walked([getattr(value, field.name) for field in fields(value)])


class SqliteHome(Home):
    def __init__(self, folder, *, is_async):
        super().__init__(is_async=is_async)
        self.path = Path(folder) / "sessions.db"
        self.url = f"sqlite:///{self.path}"

    def _connected(self, **options):
        return (open_async_store if self.is_async else open_store)(self.url, **options)

    def stored(self):
        return b"\0".join(path.read_bytes() for path in sorted(self.path.parent.glob("sessions.db*")))


class RedisHome(Home):
    def __init__(self, url, *, is_async):
        super().__init__(is_async=is_async)
        self.url = url
        with redis.Redis.from_url(url) as client:
            client.flushall()

    def _connected(self, **options):
        return (open_async_store if self.is_async else open_store)(self.url, **options)

    def stored(self):
        pieces = []
        with redis.Redis.from_url(self.url) as client:
            for key in client.scan_iter():
                fields = client.hgetall(key) if client.type(key) == b"hash" else dict(client.xrange(key))
                pieces += [key, *_walked(list(fields.items()))]
        return b"\0".join(pieces)


class Doors(Home):
    """No place of its own: opens stores at addresses, all of them for those who wait or all for those who await."""

    def at(self, url, **options):
        return self.open(url=url, **options)

    def _connected(self, url, **options):
        return (open_async_store if self.is_async else open_store)(url, **options)


def home_of(kind, folder, redis_url):
    """Make a place of a kind.

    Args:
        kind: of `KINDS`.
        folder: for files.
        redis_url: called for the address of a server where one is needed.
    """
    name, _, awaited = kind.partition(", ")
    if name == "memory":
        return MemoryHome(is_async=bool(awaited))
    if name == "sqlite":
        return SqliteHome(folder, is_async=bool(awaited))
    return RedisHome(redis_url(), is_async=bool(awaited))
