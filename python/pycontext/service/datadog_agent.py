"""Points on their way to an agent of Datadog: DogStatsD over UDP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pycontext.service.point import Point

try:
    from datadog.dogstatsd.base import DogStatsd
except ImportError as cause:
    raise ImportError("ProductionMonitor needs datadog: pip install 'pycontext-layer[datadog]'") from cause

__all__ = ["DatadogAgent"]

_KINDS: Final = {"count": "c", "distribution": "d"}


class DatadogAgent:
    """Sends points to an agent; for one thread.

    Args:
        host: of the agent.
        port: of the agent.
        sample_rate: what part of all the points are; the agent scales counts up by it.
    """

    def __init__(self, host: str, port: int, sample_rate: float) -> None:
        self._sample_rate: Final = sample_rate
        # No thread, no metrics of its own, and not among those that a fork looks after.
        self._client: Final = DogStatsd(host=host, port=port, disable_telemetry=True, track_instance=False)

    def send(self, points: Sequence[Point]) -> None:
        """Send points, as many in a datagram as it takes.

        Raises:
            OSError: they could not be sent; that nobody listens is known only sometimes.
        """
        client = self._client
        client.open_buffer()
        try:
            # The public methods would draw lots once more, for each value.
            taken = [
                client._report(  # noqa: SLF001
                    point.name, _KINDS[point.kind], point.value, list(point.tags), self._sample_rate, sampling=False
                )
                for point in points
            ]
            taken.append(client.flush())
        finally:
            client.close_buffer()
        if not all(taken):
            raise OSError("a datagram was not taken")

    def close(self) -> None:
        """Close the socket."""
        self._client.close_socket()
