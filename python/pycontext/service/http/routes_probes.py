"""Requests of those who run the service: is it alive, is it ready, what does it count, what can it do."""

from __future__ import annotations

from typing import Final

from pycontext.service.http.operation import Answer, Call, Operation, as_json
from pycontext.service.http.refusal import Refusal

__all__ = ["PROBE_OPERATIONS"]


async def _health(_call: Call) -> Answer:  # as all handlers are
    return Answer(as_json({"status": "alive"}))


async def _ready(call: Call) -> Answer:
    backstage = call.backstage
    # Why not is nobody's business who has no key; it is in the log.
    if not backstage.traffic.is_ready or not await backstage.readiness.is_ready():
        raise Refusal(503, "NotReady", "not ready", {"Retry-After": "1"})
    return Answer(as_json({"status": "ready"}))


async def _metrics(call: Call) -> Answer:
    metrics = call.backstage.metrics
    if metrics is None:
        raise Refusal(404, "NotFound", "there are no metrics: the service was started without a metrics_collector")
    body, content_type = metrics.render()
    return Answer(body, headers={"Content-Type": content_type})


async def _describe(call: Call) -> Answer:
    return Answer(call.backstage.description)


PROBE_OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/health",
        name="getHealth",
        says="The process is alive.",
        handler=_health,
        access="none",
        answers={200: "Status"},
    ),
    Operation(
        method="GET",
        path="/ready",
        name="getReadiness",
        says="The service takes requests, and its stores answer.",
        handler=_ready,
        access="none",
        answers={200: "Status"},
        refusals=(503,),
    ),
    Operation(
        method="GET",
        path="/metrics",
        name="getMetrics",
        says="What was counted, for Prometheus.",
        handler=_metrics,
        access="metrics",
        answers={200: "Metrics"},
        refusals=(401, 403, 404),
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        name="getDescription",
        says="This description.",
        handler=_describe,
        access="none",
        answers={200: "Description"},
    ),
)
