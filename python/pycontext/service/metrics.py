"""What Prometheus may know of turns."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final, Self

from pycontext.agents.turn import TurnReport
from pycontext.errors import ContextError, ValidationError, shown
from pycontext.service.endpoint import Endpoint
from pycontext.service.labels import Labels

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["MetricsCollector"]

_LOG: Final = logging.getLogger("pycontext.service.metrics")

# Seconds. The layer takes microseconds, models take minutes.
_LAYER_BUCKETS: Final = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)  # fmt: skip
_TURN_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_TOKEN_BUCKETS: Final = tuple(250.0 * 2**power for power in range(13))

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


class MetricsCollector:
    """Counts and measures turns for Prometheus; an `Observer`.

    Everything is in base units and begins with `pycontext_`. Labels are the agent's role, the outcome and the class of
    an error, at most 100 of each; no session id and nothing of what was said is in it.

    Args:
        prometheus_endpoint: the address that `start` serves, such as "127.0.0.1:9464" or
            "http://0.0.0.0:9464/metrics", of this machine: Prometheus comes and asks, nothing is pushed. None to serve
            nothing; an application then answers with `render`.
        registry: where the metrics are registered; None for one of its own.

    Raises:
        ValidationError: the address is not one of this machine, or the registry has such metrics already.
        ImportError: the extra `metrics` is not installed.
    """

    def __init__(self, prometheus_endpoint: str | None = None, *, registry: CollectorRegistry | None = None) -> None:
        try:
            import prometheus_client as client  # noqa: PLC0415  # an extra
            from prometheus_client.exposition import choose_encoder  # noqa: PLC0415
        except ImportError as cause:
            raise ImportError(
                "MetricsCollector needs prometheus-client: pip install 'pycontext-layer[metrics]'"
            ) from cause
        self._client: Final = client
        self._encoder: Final = choose_encoder
        self._endpoint: Final = None if prometheus_endpoint is None else Endpoint.of(prometheus_endpoint)
        self.registry: Final = client.CollectorRegistry() if registry is None else registry
        self._agents: Final = Labels()
        self._errors: Final = Labels()
        self._lock: Final = Lock()
        self._served: tuple[Any, Thread] | None = None

        def counter(name: str, says: str, *labels: str) -> client.Counter:
            return client.Counter(f"pycontext_{name}", says, labels, registry=self.registry)

        def histogram(name: str, says: str, buckets: tuple[float, ...]) -> client.Histogram:
            return client.Histogram(f"pycontext_{name}", says, ("agent",), buckets=buckets, registry=self.registry)

        try:
            self._turns: Final = counter("turns", "Turns that ended.", "agent", "outcome")
            self._failures: Final = counter("errors", "Turns that ended with an error, by its class.", "error")
            self._hops: Final = counter("hops", "How often turns went on to another agent.", "agent")
            self._llm_calls: Final = counter("llm_calls", "Requests to models.", "agent")
            self._tool_calls: Final = counter("tool_calls", "Tools that were called.", "agent")
            self._left_out: Final = counter("left_out_blocks", "Blocks that were left out of requests.", "agent")
            self._seconds: Final = histogram("turn_seconds", "From the message to the reply.", _TURN_BUCKETS)
            self._llm_seconds: Final = histogram("llm_seconds", "Waiting for models, a turn.", _TURN_BUCKETS)
            self._tool_seconds: Final = histogram("tool_seconds", "Waiting for tools, a turn.", _TURN_BUCKETS)
            self._layer_seconds: Final = histogram("layer_seconds", "All other time of a turn.", _LAYER_BUCKETS)
            self._prompt_tokens: Final = histogram("prompt_tokens", "Tokens of the requests of a turn.", _TOKEN_BUCKETS)
            self._session_tokens: Final = histogram(
                "session_tokens", "Tokens of the requests, had nothing been left out.", _TOKEN_BUCKETS
            )
        except ValueError as error:
            raise ValidationError("registry has metrics of another MetricsCollector already") from error

    @property
    def endpoint(self) -> str | None:
        """The host and port that `start` serves, None where it serves none."""
        return None if self._endpoint is None else str(self._endpoint)

    @property
    def address(self) -> str | None:
        """The host and port that are served, None where nothing is."""
        if self._served is None or self._endpoint is None:
            return None
        return str(Endpoint(self._endpoint.host, self._served[0].server_port))

    def turn_ended(self, report: TurnReport, /) -> None:
        """Count a turn."""
        agent = self._agents.of(report.agent)
        self._turns.labels(agent, report.outcome).inc()
        if report.error is not None:
            self._failures.labels(self._errors.of(report.error)).inc()
        self._hops.labels(agent).inc(report.hops)
        self._llm_calls.labels(agent).inc(report.llm_calls)
        self._tool_calls.labels(agent).inc(report.tool_calls)
        self._left_out.labels(agent).inc(report.left_out)
        self._seconds.labels(agent).observe(report.seconds)
        self._llm_seconds.labels(agent).observe(report.llm_seconds)
        self._tool_seconds.labels(agent).observe(report.tool_seconds)
        self._layer_seconds.labels(agent).observe(report.layer_seconds)
        self._prompt_tokens.labels(agent).observe(report.prompt_tokens)
        self._session_tokens.labels(agent).observe(report.session_tokens)

    def watch(self, name: str, function: Callable[[], float], says: str = "") -> None:
        """Have a gauge `pycontext_<name>` that asks for its value when somebody scrapes.

        Args:
            name: small letters, digits and _, its unit at the end, at most 64 characters.
            function: returns the value, from any thread; where it raises, that is logged and the value is NaN.
            says: the help text.

        Raises:
            ValidationError: the name is outside its limits or taken.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValidationError(f"name {shown(name)} is not 1 to 64 small letters, digits and _, a letter first")

        def value() -> float:
            try:
                return float(function())
            except Exception:  # noqa: BLE001  # a caller's function can fail in any way
                # One gauge must not cost the others.
                _LOG.exception("the gauge pycontext_%s has no value", name)
                return float("nan")

        try:
            self._client.Gauge(f"pycontext_{name}", says or name, registry=self.registry).set_function(value)
        except ValueError as error:
            raise ValidationError(f"name {shown(name)} is the name of a metric") from error

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics as Prometheus reads them, and their content type.

        Args:
            accept: of the request's header, for OpenMetrics; "" for the text format.
        """
        encode, content_type = self._encoder(accept)
        return encode(self.registry), content_type

    def start(self) -> None:
        """Serve the metrics at the endpoint, in a thread, until `stop`; may block for a look-up of the host's name.

        Raises:
            ContextError: there is no endpoint.
            OSError: it cannot be served, as when the port is in use.
        """
        if self._endpoint is None:
            raise ContextError("there is no prometheus_endpoint to serve: render() gives what an application answers")
        with self._lock:
            if self._served is not None:
                return
            try:
                self._served = self._client.start_http_server(self._endpoint.port, self._endpoint.host, self.registry)
            except OSError as error:
                raise OSError(error.errno, f"prometheus_endpoint {self._endpoint}: {error.strerror}") from error

    def stop(self) -> None:
        """Serve no longer and free the port; what was counted stays. Blocks for up to half a second."""
        with self._lock:
            if self._served is None:
                return
            server, thread = self._served
            self._served = None
            server.shutdown()
            server.server_close()
            thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
