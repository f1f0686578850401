"""The service, listening; needs the extra `service`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Generator, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from pycontext.agents.coordinator import AgentCoordinator
from pycontext.budget import check_tokens
from pycontext.errors import ValidationError, shown
from pycontext.service.http.access import Access, is_loopback
from pycontext.service.http.app import Coordinators, check_seconds, make_app, tenants_of
from pycontext.service.http.operation import Metrics
from pycontext.service.metrics import MetricsCollector

if TYPE_CHECKING:
    import uvicorn

    from pycontext.service.http.traffic import Traffic

__all__ = ["Service", "start_service"]

_LOG: Final = logging.getLogger("pycontext.service")

_BACKLOG: Final = 2048
# Of responses that are being sent when everything is answered.
_SENDING_SECONDS: Final = 5


class Service:
    """A service that listens; made by `start_service`.

    Attributes:
        url: where it listens.
    """

    def __init__(
        self,
        url: str,
        server: uvicorn.Server,
        serving: asyncio.Task[None],
        traffic: Traffic,
        coordinators: Iterable[AgentCoordinator],
        collector: MetricsCollector | None,
        *,
        lead_seconds: float,
        grace_seconds: float,
    ) -> None:
        self.url: Final = url
        self._server: Final = server
        self._serving: Final = serving
        self._traffic: Final = traffic
        self._coordinators: Final = list(coordinators)
        self._collector: Final = collector
        self._lead_seconds: Final = lead_seconds
        self._grace_seconds: Final = grace_seconds
        self._stopping: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Wait until the service has stopped."""
        await asyncio.wait([self._serving])
        if self._stopping is not None:
            await asyncio.shield(self._stopping)

    async def stop(self) -> None:
        """Stop, and lose nothing: be not ready, refuse what comes, end what is underway, then close.

        What takes longer than the grace is cancelled, and its client told to send it again: no such request was
        answered, and what was said in it is kept. Whoever calls this again waits for the same end; to be cancelled
        meanwhile does not stop it.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def serve_until_signal(self, *signals: signal.Signals) -> None:
        """Wait for one of the signals, SIGTERM and SIGINT where none are named, and stop.

        Only in the main thread; until then the signals do nothing else.
        """
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        chosen = signals or (signal.SIGTERM, signal.SIGINT)
        before = {one: signal.getsignal(one) for one in chosen}
        for one in chosen:
            loop.add_signal_handler(one, told.set)
        try:
            waiting = [asyncio.create_task(told.wait()), asyncio.create_task(self.wait())]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waiting:
                    task.cancel()
            await self.stop()
        finally:
            for one, handler in before.items():
                loop.remove_signal_handler(one)
                signal.signal(one, handler)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return f"<Service at {self.url}>"

    async def _stop(self) -> None:
        cancelled = await self._traffic.close(self._lead_seconds, self._grace_seconds)
        if cancelled:
            _LOG.warning("%d requests took longer than %s s and were cancelled", cancelled, self._grace_seconds)
        self._server.should_exit = True
        await asyncio.wait([self._serving])
        for coordinator in self._coordinators:
            try:
                # Turns that do not come over HTTP may be underway as well.
                async with asyncio.timeout(self._grace_seconds):
                    await coordinator.aclose()
            except TimeoutError:
                _LOG.warning("a coordinator is not closed: turns are underway after %s s", self._grace_seconds)
        if self._collector is not None:
            # Last, so that what was done to the end can be scraped.
            await asyncio.to_thread(self._collector.stop)


async def start_service(
    coordinator: Coordinators,
    metrics_collector: Metrics | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    api_keys: Mapping[str, str] | None = None,
    metrics_key: str | None = None,
    max_body_bytes: int = 1 << 20,
    most_seconds: float = 60.0,
    most_turns: int = 1000,
    ready_seconds: float = 2.0,
    lead_seconds: float = 0.0,
    grace_seconds: float = 30.0,
) -> Service:
    """Serve coordinators over HTTP, and return when the service listens.

    It speaks HTTP without TLS: to other machines it belongs behind a proxy that does.

    Args:
        coordinator: as in `make_app`.
        metrics_collector: as in `make_app`; one that has a `prometheus_endpoint` of its own serves that as well.
        host: to listen at.
        port: to listen at; 0 for any that is free.
        api_keys: as in `make_app`; None only where `host` is this machine seen from itself.
        metrics_key: as in `make_app`.
        max_body_bytes: as in `make_app`.
        most_seconds: as in `make_app`.
        most_turns: as in `make_app`.
        ready_seconds: as in `make_app`.
        lead_seconds: when it stops, between being not ready and refusing requests: as long as balancers need to see it.
        grace_seconds: when it stops, for requests that are underway.

    Raises:
        ValidationError: an argument is outside its limits.
        OSError: it cannot listen there.
        ImportError: the extra `service` is not installed.
    """
    check_tokens("port", port, most=65_535)
    check_seconds("lead_seconds", lead_seconds, least=0)
    check_seconds("grace_seconds", grace_seconds)
    if not isinstance(host, str):
        raise ValidationError(f"host {shown(host)} is {type(host).__name__}, not str")
    # Looked at before anything listens.
    Access(api_keys, metrics_key)
    if api_keys is None and not is_loopback(host):
        raise ValidationError(f"host {shown(host)} is for others to reach: give api_keys, or listen at 127.0.0.1")
    tenants = tenants_of(coordinator, api_keys)
    listener = await _listen(host, port)
    try:
        app = make_app(
            coordinator,
            metrics_collector,
            api_keys=api_keys,
            metrics_key=metrics_key,
            max_body_bytes=max_body_bytes,
            most_seconds=most_seconds,
            most_turns=most_turns,
            ready_seconds=ready_seconds,
        )
        server, listening = _server(app)
        collector = await _started(metrics_collector)
    except BaseException:
        listener.close()
        raise
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    heard = asyncio.create_task(listening.wait())
    try:
        await asyncio.wait([serving, heard], return_when=asyncio.FIRST_COMPLETED)
    finally:
        heard.cancel()
        if not listening.is_set():
            serving.cancel()
            listener.close()
            if collector is not None:
                await asyncio.to_thread(collector.stop)
    if serving.done():
        await serving
    at, taken = listener.getsockname()[:2]
    url = f"http://[{at}]:{taken}" if ":" in at else f"http://{at}:{taken}"
    _LOG.info("serving %d namespaces at %s", len(tenants), url)
    return Service(
        url,
        server,
        serving,
        app.state.traffic,
        tenants.values(),
        collector,
        lead_seconds=lead_seconds,
        grace_seconds=grace_seconds,
    )


async def _started(collector: Metrics | None) -> MetricsCollector | None:
    """The collector, if it has an address of its own that nobody serves yet; it is served now."""
    if not isinstance(collector, MetricsCollector) or collector.endpoint is None or collector.address is not None:
        return None
    await asyncio.to_thread(collector.start)
    return collector


async def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens, so that a port which is taken is an error here and not the end of the program."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, kind, _, _, address = found[0]
    # Named as TCP: on such sockets only asyncio sends small responses at once, on others they wait 40 ms.
    listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _server(app: object) -> tuple[uvicorn.Server, asyncio.Event]:
    """A server that leaves signals alone, and an event for when it listens."""
    try:
        import uvicorn  # noqa: PLC0415  # an extra
    except ImportError as cause:
        raise ImportError("start_service needs uvicorn: pip install 'pycontext-layer[service]'") from cause
    listening = asyncio.Event()

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            listening.set()

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # Starlette is such an application
        # What is tested; others may be installed.
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        # Paths have ids of sessions.
        access_log=False,
        # What a header says of where a request comes from is not believed.
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_SENDING_SECONDS,
    )
    return Server(config), listening
