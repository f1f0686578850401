"""Sessions in Redis, for those who await."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

try:
    import redis.asyncio as redis
    from redis.asyncio.cluster import ClusterNode, RedisCluster
    from redis.asyncio.retry import Retry
    from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.exceptions import NoScriptError, RedisError
except ImportError as cause:
    raise ImportError("stores in Redis need redis-py: pip install 'pycontext-layer[redis]'") from cause

from pycontext.store.advice import advice_of, questions
from pycontext.store.breaker import Breaker, Patience
from pycontext.store.hint import MOST_HINTS, Hint
from pycontext.store.key import PREFIX, Key, quoted
from pycontext.store.redis import HINTS_MS
from pycontext.store.redis_address import Address, pool_of
from pycontext.store.redis_fault import FAULTS, fault_of, is_refused_tls
from pycontext.store.redis_script import NOTIFY, SETTLE, TAKE, Script, hints_of, reply_of, script_of, words_of
from pycontext.store.request import Reply, Request

__all__ = ["AsyncRedisLog"]

_LOG: Final = logging.getLogger("pycontext.store")


class AsyncRedisLog:
    """A log in Redis for one event loop; connections are made when they are needed.

    A task that is cancelled in the middle of a call drops its connection: nobody reads the answer that was for it.

    Args:
        url: of the server, the sentinels or the cluster.

    Raises:
        ValidationError: it is no address.
    """

    def __init__(self, url: str) -> None:
        self._address: Final = Address.of(url)
        client, others = _clients(self._address)
        self._client: Final[Any] = client
        self._clients: Final[list[Any]] = [client, *others]
        self._breaker: Final = Breaker()
        self._is_greeted = False

    @property
    def name(self) -> str:
        """What messages call it."""
        return self._address.name

    async def call(self, key: Key, request: Request) -> Reply:
        """Do a request."""
        return reply_of(await self._run(script_of(request), key.name, request), key, request)

    async def call_many(self, requests: list[tuple[Key, Request]]) -> list[Reply]:
        """Do requests in their order, all sent at once."""
        raw = await self._patiently(lambda: self._pipelined(requests))
        replies = []
        for (key, request), found in zip(requests, raw, strict=True):
            again = found
            if isinstance(found, NoScriptError):
                again = await self._run(script_of(request), key.name, request)
            elif isinstance(found, Exception):
                raise fault_of(found, self.name, key.name).error from found
            replies.append(reply_of(again, key, request))
        return replies

    async def keys(self, namespace: str) -> AsyncIterator[Key]:
        """Return the sessions of a namespace."""
        pattern = f"{PREFIX}:{{{quoted(namespace)}:*"

        async def scan() -> list[bytes]:
            return [name async for name in self._client.scan_iter(match=pattern, count=1000)]

        # A name may come twice while the table of the server grows.
        for name in dict.fromkeys(await self._patiently(scan)):
            key = Key.named(name.decode(errors="replace"))
            if key is not None:
                yield key

    async def notify(self, inbox: str, hint: Hint) -> None:
        """Put a hint into an inbox."""
        values = (hint.session_id, hint.sender, hint.version, hint.epoch, MOST_HINTS, HINTS_MS)
        await self._run(NOTIFY, inbox, values)

    async def take(self, inbox: str, most: int, lease_ms: int) -> list[Hint]:
        """Take hints from an inbox; those that are not settled come again after the lease."""
        return hints_of(await self._run(TAKE, inbox, (most, lease_ms)))

    async def settle(self, inbox: str, hint_id: str) -> None:
        """Remove a hint."""
        await self._run(SETTLE, inbox, (hint_id,))

    async def remember(self, name: str, ttl_ms: int) -> bool:
        """Remember a name for some time, and return whether it was not known."""
        return bool(await self._patiently(lambda: self._client.set(name, b"", nx=True, px=ttl_ms)))

    async def forget(self, name: str) -> None:
        """Forget a name."""
        await self._patiently(lambda: self._client.delete(name))

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.aclose()

    async def _run(self, script: Script, name: str, arguments: tuple[Any, ...]) -> Any:
        return await self._patiently(lambda: self._evaluated(script, name, arguments), name)

    async def _evaluated(self, script: Script, name: str, arguments: tuple[Any, ...]) -> Any:
        try:
            return await self._sent(words_of(script, name, arguments))
        except NoScriptError:
            # The server was restarted, or forgot all scripts.
            return await self._client.execute_command("EVAL", script.text, 1, name, *arguments)

    async def _sent(self, words: list[bytes]) -> Any:
        """Call a script as redis-py does, without its retries, which are ours, and its measuring."""
        if self._address.kind == "cluster":
            return await self._client.execute_command("EVALSHA", *words)
        pool = self._client.connection_pool
        connection = await pool.get_connection()
        try:
            # Where one of the two fails or is cancelled, the connection is closed there.
            await connection.send_command("EVALSHA", *words)
            return await connection.read_response()
        finally:
            await pool.release(connection)

    async def _pipelined(self, requests: list[tuple[Key, Request]]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipe:
            for key, request in requests:
                pipe.execute_command("EVALSHA", *words_of(script_of(request), key.name, request))
            return list(await pipe.execute(raise_on_error=False))

    async def _patiently(self, work: Callable[[], Awaitable[Any]], key: str = "") -> Any:
        """Do work, again where that may help; every write has an operation id, so that none is done twice."""
        self._breaker.check()
        patience = Patience()
        while True:
            try:
                if not self._is_greeted:
                    await self._greet()
                result = await work()
            except FAULTS as error:
                fault = fault_of(error, self.name, key)
                wait = patience.wait() if fault.is_passing else None
                if wait is None:
                    if fault.is_down:
                        self._breaker.failed(fault.error)
                    raise fault.error from error
                await asyncio.sleep(wait)
            else:
                self._breaker.worked()
                return result

    async def _greet(self) -> None:
        """Look once at how the server is set up, and warn of what may lose sessions."""
        await self._client.ping()
        # Before the questions, so that no other task asks them too.
        self._is_greeted = True
        said = {}
        for question, command in questions():
            try:
                said[question] = await self._client.execute_command(*command)
            except RedisError as error:
                # Many may not ask for it; then nobody can warn.
                _LOG.debug("%s: %s is not told: %s", self.name, question, error)
        for finding in advice_of(said, self._address.kind):
            if finding.is_warning:
                _LOG.warning("%s: %s", self.name, finding.text)


class _ClusterNodes:
    """The nodes that the client of a cluster knows; it leaves them open when its last call failed."""

    def __init__(self, cluster: Any) -> None:
        self._cluster: Final = cluster

    async def aclose(self) -> None:
        """Close all connections to them."""
        for which in ("nodes_cache", "startup_nodes"):
            await self._cluster.nodes_manager.aclose(which)


class _TlsSentinel(Sentinel):
    """Sentinels that say when a certificate is refused; of those that it cannot reach redis-py may tell no more."""

    async def discover_master(self, service_name: str) -> Any:
        """Return where the master is."""
        try:
            return await super().discover_master(service_name)
        except MasterNotFoundError:
            for sentinel in self.sentinels:
                await _check_tls(sentinel)
            raise


async def _check_tls(sentinel: Any) -> None:
    try:
        await sentinel.ping()
    except RedisConnectionError as error:
        if is_refused_tls(error):
            raise
    except FAULTS:
        pass  # it is said already that not all can be reached


def _clients(address: Address) -> tuple[Any, list[Any]]:
    """The client that is used, and what it uses and does not close: sentinels, and nodes of a cluster."""
    once = Retry(NoBackoff(), 0)
    options = dict(address.options)
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.nodes]
        # Redirections are followed within one try; what goes wrong else is tried again by us, for as long as we like.
        cluster = RedisCluster(startup_nodes=nodes, retry=once, **options)
        return cluster, [_ClusterNodes(cluster)]
    if address.kind == "sentinel":
        login = {name: value for name, value in options.items() if name not in ("username", "password", "db")}
        kind = _TlsSentinel if "ssl" in options else Sentinel
        sentinel = kind(address.nodes, sentinel_kwargs={**login, "retry": once}, retry=once, **options)
        return sentinel.master_for(address.service), sentinel.sentinels
    pool = pool_of(redis.ConnectionPool, address, retry=once)
    # Bytes are what we write; an address may say otherwise for the rest of a program.
    pool.connection_kwargs["decode_responses"] = False
    # It closes its connections then; one that was given a pool leaves that to others.
    return redis.Redis.from_pool(pool), []
