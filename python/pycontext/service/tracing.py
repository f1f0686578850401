"""A span of OpenTelemetry for every turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pycontext._core import __version__
from pycontext.agents.turn import TurnReport

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

__all__ = ["TurnTracer"]


class TurnTracer:
    """Makes a span of each turn when it has ended; an `Observer`.

    The span is a child of the one that is current where the turn was worked on. Attributes follow the conventions for
    generative AI where there is one, and begin with `pycontext.` elsewhere; nothing of what was said is in them.

    Args:
        tracer_provider: None for the global one.
        session_attribute: True to add the session's id, which may tell who spoke.
        now_ns: the clock, nanoseconds since the epoch.

    Raises:
        ImportError: the extra `otel` is not installed.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        *,
        session_attribute: bool = False,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        try:
            from opentelemetry import trace  # noqa: PLC0415  # an extra
        except ImportError as cause:
            raise ImportError("TurnTracer needs opentelemetry-api: pip install 'pycontext-layer[otel]'") from cause
        self._trace: Final = trace
        self._tracer: Final = trace.get_tracer("pycontext", __version__, tracer_provider)
        self._session_attribute: Final = session_attribute
        self._now_ns: Final = now_ns

    def turn_ended(self, report: TurnReport, /) -> None:
        """Make the span of a turn, which ends now and began so long ago as the turn took."""
        end = self._now_ns()
        span = self._tracer.start_span(
            f"invoke_agent {report.agent}",
            attributes=self._attributes(report),
            start_time=end - round(report.seconds * 1e9),
        )
        if report.outcome == "failed":
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, report.error))
        span.end(end)

    def _attributes(self, report: TurnReport) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": report.agent,
            "pycontext.outcome": report.outcome,
            "pycontext.hops": report.hops,
            "pycontext.llm_calls": report.llm_calls,
            "pycontext.tool_calls": report.tool_calls,
            "pycontext.llm_seconds": report.llm_seconds,
            "pycontext.tool_seconds": report.tool_seconds,
            "pycontext.layer_seconds": report.layer_seconds,
            "pycontext.prompt_tokens": report.prompt_tokens,
            "pycontext.session_tokens": report.session_tokens,
            "pycontext.left_out_blocks": report.left_out,
        }
        if report.error is not None:
            attributes["error.type"] = report.error
        if self._session_attribute:
            attributes["gen_ai.conversation.id"] = report.session_id
        return attributes
