"""Sessions in Redis: one server, one behind sentinels, or a cluster."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Lock
from typing import Any, Final

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.cluster import ClusterNode, RedisCluster
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.exceptions import NoScriptError, RedisError
    from redis.retry import Retry
    from redis.sentinel import MasterNotFoundError, Sentinel
except ImportError as cause:
    raise ImportError("stores in Redis need redis-py: pip install 'pycontext-layer[redis]'") from cause

from pycontext.store.advice import advice_of, client_advice, clock_advice, latency_advice, questions
from pycontext.store.breaker import Breaker, Patience
from pycontext.store.finding import Finding
from pycontext.store.hint import MOST_HINTS, Hint
from pycontext.store.key import PREFIX, Key, quoted
from pycontext.store.redis_address import Address, pool_of
from pycontext.store.redis_connections import Connections
from pycontext.store.redis_fault import FAULTS, fault_of, is_refused_tls
from pycontext.store.redis_script import NOTIFY, SETTLE, TAKE, Script, hints_of, reply_of, script_of, words_of
from pycontext.store.request import Reply, Request, Swept

__all__ = ["HINTS_MS", "RedisLog"]

_LOG: Final = logging.getLogger("pycontext.store")

HINTS_MS: Final = 7 * 86_400_000
"""An inbox that gets no hint for so long goes."""

_PINGS: Final = 200


class RedisLog:
    """A log in Redis; connections are made when they are needed.

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
        # The pools of the others look where the master is.
        is_single = self._address.kind == "single"
        self._connections: Final = Connections(client.connection_pool) if is_single else None
        self._breaker: Final = Breaker()
        self._lock: Final = Lock()
        self._is_greeted = False

    @property
    def name(self) -> str:
        """What messages call it."""
        return self._address.name

    def call(self, key: Key, request: Request) -> Reply:
        """Do a request."""
        return reply_of(self._run(script_of(request), key.name, request), key, request)

    def call_many(self, requests: list[tuple[Key, Request]]) -> list[Reply]:
        """Do requests in their order, all sent at once."""
        raw = self._patiently(lambda: self._pipelined(requests))
        replies = []
        for (key, request), found in zip(requests, raw, strict=True):
            again = found
            if isinstance(found, NoScriptError):
                again = self._run(script_of(request), key.name, request)
            elif isinstance(found, Exception):
                raise fault_of(found, self.name, key.name).error from found
            replies.append(reply_of(again, key, request))
        return replies

    def keys(self, namespace: str) -> Iterator[Key]:
        """Return the sessions of a namespace."""
        pattern = f"{PREFIX}:{{{quoted(namespace)}:*"
        seen: set[bytes] = set()
        names = self._patiently(lambda: list(self._client.scan_iter(match=pattern, count=1000)))
        for name in names:
            key = Key.named(name.decode(errors="replace"))
            # A name may come twice while the table of the server grows.
            if key is not None and name not in seen:
                seen.add(name)
                yield key

    def notify(self, inbox: str, hint: Hint) -> None:
        """Put a hint into an inbox."""
        self._run(NOTIFY, inbox, (hint.session_id, hint.sender, hint.version, hint.epoch, MOST_HINTS, HINTS_MS))

    def take(self, inbox: str, most: int, lease_ms: int) -> list[Hint]:
        """Take hints from an inbox; those that are not settled come again after the lease."""
        return hints_of(self._run(TAKE, inbox, (most, lease_ms)))

    def settle(self, inbox: str, hint_id: str) -> None:
        """Remove a hint."""
        self._run(SETTLE, inbox, (hint_id,))

    def remember(self, name: str, ttl_ms: int) -> bool:
        """Remember a name for some time, and return whether it was not known."""
        return bool(self._patiently(lambda: self._client.set(name, b"", nx=True, px=ttl_ms)))

    def forget(self, name: str) -> None:
        """Forget a name."""
        self._patiently(lambda: self._client.delete(name))

    def findings(self) -> list[Finding]:
        """Return what is worth knowing of the server, of a cluster of every master."""
        found = [client_advice(redis.__version__)]
        if self._address.kind != "cluster":
            return [*found, *self._patiently(lambda: self._findings_of({}))]
        return [*found, *self._patiently(self._findings_of_all)]

    def _findings_of_all(self) -> list[Finding]:
        return [
            replace(finding, value=f"{finding.value} at {node.name}")
            for node in self._client.get_primaries()
            for finding in self._findings_of({"target_nodes": node})
        ]

    def _findings_of(self, node: dict[str, Any]) -> list[Finding]:
        pings = []
        for _ in range(_PINGS):
            start = time.perf_counter()
            self._client.execute_command("PING", **node)
            pings.append((time.perf_counter() - start) * 1e3)
        before = time.time()
        seconds, micros = self._client.execute_command("TIME", **node)
        # The server looked at its clock somewhere on the way.
        ahead = seconds + micros / 1e6 - (before + time.time()) / 2
        return [*advice_of(self._told(node), self._address.kind), latency_advice(pings), clock_advice(ahead)]

    def sweep(self, namespace: str, *, is_dry: bool) -> Swept:  # noqa: ARG002  # the server does it
        """Nothing: what has expired the server removes itself."""
        return Swept(0, 0)

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.close()

    def _run(self, script: Script, name: str, arguments: tuple[Any, ...]) -> Any:
        return self._patiently(lambda: self._evaluated(script, name, arguments), name)

    def _evaluated(self, script: Script, name: str, arguments: tuple[Any, ...]) -> Any:
        try:
            return self._sent(words_of(script, name, arguments))
        except NoScriptError:
            # The server was restarted, or forgot all scripts.
            return self._client.execute_command("EVAL", script.text, 1, name, *arguments)

    def _sent(self, words: list[bytes]) -> Any:
        if self._connections is None:
            # A cluster knows the node, and sentinels know the master.
            return self._client.execute_command("EVALSHA", *words)
        return self._connections.call("EVALSHA", *words)

    def _pipelined(self, requests: list[tuple[Key, Request]]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipe:
            for key, request in requests:
                pipe.execute_command("EVALSHA", *words_of(script_of(request), key.name, request))
            return list(pipe.execute(raise_on_error=False))

    def _patiently(self, work: Callable[[], Any], key: str = "") -> Any:
        """Do work, again where that may help; every write has an operation id, so that none is done twice."""
        self._breaker.check()
        patience = Patience()
        while True:
            try:
                if not self._is_greeted:
                    self._greet()
                result = work()
            except FAULTS as error:
                fault = fault_of(error, self.name, key)
                wait = patience.wait() if fault.is_passing else None
                if wait is None:
                    if fault.is_down:
                        self._breaker.failed(fault.error)
                    raise fault.error from error
                time.sleep(wait)
            else:
                self._breaker.worked()
                return result

    def _greet(self) -> None:
        """Look once at how the server is set up, and warn of what may lose sessions."""
        with self._lock:
            if self._is_greeted:
                return
            self._client.ping()
            for finding in advice_of(self._told({}), self._address.kind):
                if finding.is_warning:
                    _LOG.warning("%s: %s", self.name, finding.text)
            self._is_greeted = True

    def _told(self, node: dict[str, Any]) -> dict[str, Any]:
        """What the server says of its settings; of a cluster, one of its nodes."""
        said = {}
        for question, command in questions():
            try:
                said[question] = self._client.execute_command(*command, **node)
            except RedisError as error:
                # Many may not ask for it; then nobody can warn.
                _LOG.debug("%s: %s is not told: %s", self.name, question, error)
        return said


class _TlsSentinel(Sentinel):
    """Sentinels that say when a certificate is refused; of those that it cannot reach redis-py may tell no more."""

    def discover_master(self, service_name: str) -> Any:
        """Return where the master is."""
        try:
            return super().discover_master(service_name)
        except MasterNotFoundError:
            for sentinel in self.sentinels:
                _check_tls(sentinel)
            raise


def _check_tls(sentinel: Any) -> None:
    try:
        sentinel.ping()
    except RedisConnectionError as error:
        if is_refused_tls(error):
            raise
    except FAULTS:
        pass  # it is said already that not all can be reached


def _clients(address: Address) -> tuple[Any, list[Any]]:
    """The client that is used, and those that it uses and does not close: of the sentinels."""
    once = Retry(NoBackoff(), 0)
    options = dict(address.options)
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.nodes]
        # Redirections are followed within one try; what goes wrong else is tried again by us, for as long as we like.
        return _LazyCluster(lambda: RedisCluster(startup_nodes=nodes, retry=once, **options)), []
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


class _LazyCluster:
    """A client of a cluster that is made, which asks the cluster for its slots, when it is first used."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self._client: Any = None
        self._lock = Lock()

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._make()
        return getattr(self._client, name)

    def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            self._client.close()
