"""What Datadog may know of an experiment."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Protocol, Self
from urllib.parse import urlsplit

from pycontext.agents.turn import TurnReport
from pycontext.errors import ValidationError, shown
from pycontext.policy import check_fraction
from pycontext.service.labels import Labels
from pycontext.service.outbox import Outbox
from pycontext.service.point import Point, points_of
from pycontext.service.sampling import fraction_of

__all__ = ["ProductionMonitor"]

_MOST_WAITING: Final = 10_000
# The API keeps counts of ten seconds; an agent gathers them itself.
_API_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 15.0

_TAG: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,199}")
_NO_TAG: Final = re.compile(r"[^A-Za-z0-9_./-]")
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,99}")
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_KEY: Final = re.compile(r"[!-~]{1,200}")


class _Way(Protocol):
    def send(self, points: Sequence[Point]) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Told:
    report: TurnReport
    arm: str
    at: float


class ProductionMonitor:
    """Tells Datadog of turns; an `Observer`.

    Without a key, DogStatsD datagrams go to an agent; with one, HTTPS requests go to the API. A thread sends them: a
    turn waits for nothing, and what cannot be sent or waits in too large a number is dropped and counted.

    Metrics are `pycontext.turns`, `hops`, `llm_calls`, `tool_calls`, `left_out_blocks` and `errors`, which are counts,
    and `turn_seconds`, `llm_seconds`, `tool_seconds`, `layer_seconds`, `prompt_tokens` and `session_tokens`, which are
    distributions. Their tags are `experiment`, `arm`, `agent` and `outcome`, for errors the class, and `tags`. No
    session id and nothing of what was said is in them.

    Args:
        datadog_api_key: None or "" for an agent.
        experiment_name: 1 to 100 letters, digits and _ . / -.
        sample_rate: part of the sessions that is told of, each as a whole, from 0 to 1; counts are scaled up by it,
            and so are distributions by an agent, but not by the API.
        host: of the agent.
        port: of the agent, 1 to 65535.
        site: of Datadog that has the account, such as "datadoghq.eu".
        api_host: address of the API where it is not the site's, "https://..."; http on this machine alone.
        tags: to be added to every point, each "key:value".
        flush_seconds: how long is gathered before it is sent, 0 to 3600; None for 10 with a key, else 0.

    Raises:
        ValidationError: an argument is outside its limits.
        ImportError: the extra `datadog` is not installed.
    """

    def __init__(
        self,
        datadog_api_key: str | None = None,
        experiment_name: str = "pycontext",
        sample_rate: float = 1.0,
        *,
        host: str = "127.0.0.1",
        port: int = 8125,
        site: str = "datadoghq.com",
        api_host: str | None = None,
        tags: Sequence[str] = (),
        flush_seconds: float | None = None,
    ) -> None:
        # The key is in no message, whatever is wrong with it.
        if datadog_api_key and not (isinstance(datadog_api_key, str) and _KEY.fullmatch(datadog_api_key)):
            raise ValidationError("datadog_api_key is not a str of 1 to 200 printable characters without spaces")
        _check(experiment_name, "experiment_name", _NAME, "1 to 100 letters, digits and _ . / -")
        check_fraction("sample_rate", sample_rate)
        _check(host, "host", _HOST, "the name or address of a host")
        if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65_535:
            raise ValidationError(f"port {shown(port)} is not a whole number from 1 to 65535")
        if isinstance(tags, str):
            raise ValidationError(f"tags {shown(tags)} is one str, not several")
        for tag in tags:
            _check(tag, "tags:", _TAG, "1 to 200 letters, digits and _ . : / -, a letter first")
        seconds = (_API_SECONDS if datadog_api_key else 0.0) if flush_seconds is None else flush_seconds
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 3600:
            raise ValidationError(f"flush_seconds {shown(seconds)} is neither None nor 0 to 3600")
        address = _address(site, api_host)
        self.experiment_name: Final = experiment_name
        self.sample_rate: Final = sample_rate
        self._tags: Final = (f"experiment:{experiment_name}", *tags)
        self._agents: Final = Labels()
        self._arms: Final = Labels(10)
        self._errors: Final = Labels()
        self._way: Final = _way(datadog_api_key, address, host, port, sample_rate, seconds)
        to = address if datadog_api_key else f"{host}:{port}"
        self._outbox: Final = Outbox(self._send, to, capacity=_MOST_WAITING, every_seconds=seconds)

    @property
    def sent(self) -> int:
        """Turns that were sent; a datagram that nobody took may be among them."""
        return self._outbox.sent

    @property
    def dropped(self) -> int:
        """Turns that were to be sent and were not."""
        return self._outbox.dropped

    def is_sampled(self, session_id: str) -> bool:
        """Return whether turns of a session are told of."""
        return fraction_of(session_id, self.experiment_name) < self.sample_rate

    def turn_ended(self, report: TurnReport, /) -> None:
        """Tell of a turn of the arm "managed"."""
        self.record(report)

    def record(self, report: TurnReport, arm: str = "managed") -> None:
        """Tell of a turn, where its session is sampled; does not wait.

        Args:
            report: of the turn.
            arm: of the experiment, at most 10.
        """
        if self.is_sampled(report.session_id):
            self._outbox.put(_Told(report, arm, time.time()))

    def flush(self, timeout_seconds: float = _CLOSE_SECONDS) -> bool:
        """Send what waits and return whether that was done, or given up, in time; blocks."""
        return self._outbox.flush(timeout_seconds)

    def close(self, timeout_seconds: float = _CLOSE_SECONDS) -> bool:
        """Send what waits, end the thread, and return whether it ended in time; blocks."""
        ended = self._outbox.close(timeout_seconds)
        if ended:
            self._way.close()
        return ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, told: list[_Told]) -> None:
        self._way.send([point for one in told for point in self._points(one)])

    def _points(self, told: _Told) -> list[Point]:
        report = told.report
        tags = (
            *self._tags,
            f"arm:{_value(self._arms, told.arm)}",
            f"agent:{_value(self._agents, report.agent)}",
            f"outcome:{report.outcome}",
        )
        error = None if report.error is None else _value(self._errors, report.error)
        return points_of(report, tags, error, told.at)


def _value(labels: Labels, value: str) -> str:
    # A comma or a line end would begin another tag, or another metric.
    return labels.of(_NO_TAG.sub("_", value))


def _check(value: object, name: str, form: re.Pattern[str], says: str) -> None:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValidationError(f"{name} {shown(value)} is not {says}")


def _address(site: object, api_host: str | None) -> str:
    if api_host is None:
        _check(site, "site", _HOST, "the name of a host")
        return f"https://api.{site}"
    _check(api_host, "api_host", re.compile(r"https?://[A-Za-z0-9._:\[\]-]+/?"), "an address such as https://host")
    parts = urlsplit(api_host)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ValidationError(f"api_host {shown(api_host)} is http on another machine, which would show the key to all")
    return api_host.removesuffix("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _way(key: str | None, address: str, host: str, port: int, sample_rate: float, seconds: float) -> _Way:
    if key:
        from pycontext.service.datadog_api import DatadogApi  # noqa: PLC0415  # an extra

        return DatadogApi(key, address, sample_rate, seconds)
    from pycontext.service.datadog_agent import DatadogAgent  # noqa: PLC0415  # an extra

    return DatadogAgent(host, port, sample_rate)
