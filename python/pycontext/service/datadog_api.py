"""Points on their way to Datadog itself: its HTTPS API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from pycontext.service.point import Point

try:
    from datadog.api.http_client import resolve_http_client
except ImportError as cause:
    raise ImportError("ProductionMonitor needs datadog: pip install 'pycontext-layer[datadog]'") from cause

__all__ = ["DatadogApi"]

_TIMEOUT_SECONDS: Final = 10


class DatadogApi:
    """Sends points to the API; for one thread.

    The module `datadog.api` keeps one key for the whole program; this uses its HTTP client alone.

    Args:
        key: of the account; it is in the header of requests and nowhere else.
        address: "https://" and the host.
        sample_rate: what part of all the points are; counts are scaled up by it.
        interval_seconds: how long counts are gathered.
    """

    def __init__(self, key: str, address: str, sample_rate: float, interval_seconds: float) -> None:
        self._address: Final = address
        self._sample_rate: Final = sample_rate
        self._interval: Final = max(round(interval_seconds), 1)
        self._client: Final = resolve_http_client()
        # The connection is not kept: the next request is seconds away.
        self._headers: Final = {"DD-API-KEY": key, "Content-Type": "application/json", "Connection": "close"}

    def send(self, points: Sequence[Point]) -> None:
        """Send points, those of one metric and the same tags together.

        Raises:
            OSError: the API did not take them.
        """
        if not points:
            return
        groups: dict[tuple[str, str, tuple[str, ...]], list[Point]] = {}
        for point in points:
            groups.setdefault((point.kind, point.name, point.tags), []).append(point)
        at = round(points[-1].at)
        counts = [
            {
                "metric": name,
                "type": "count",
                "interval": self._interval,
                "points": [[at, sum(point.value for point in group) / self._sample_rate]],
                "tags": list(tags),
            }
            for (kind, name, tags), group in groups.items()
            if kind == "count"
        ]
        distributions = [
            {"metric": name, "points": [[at, [point.value for point in group]]], "tags": list(tags)}
            for (kind, name, tags), group in groups.items()
            if kind == "distribution"
        ]
        if counts:
            self._post("series", counts)
        if distributions:
            self._post("distribution_points", distributions)

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _post(self, path: str, series: list[dict[str, Any]]) -> None:
        # Some answers that are errors come back as if they were none.
        answer = self._client.request(
            method="POST",
            url=f"{self._address}/api/v1/{path}",
            headers=dict(self._headers),
            params={},
            data=json.dumps({"series": series}),
            timeout=_TIMEOUT_SECONDS,
            proxies=None,
            verify=True,
            max_retries=0,
        )
        status = getattr(answer, "status_code", None) or answer.status
        if status >= 300:
            raise OSError(f"{self._address} answers {status} to {path}")
