"""One thing that the service does: how it is asked for, what it needs, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pycontext.agents.turn import TurnReport
from pycontext.service.http.body import Field

if TYPE_CHECKING:
    from pycontext.agents.coordinator import AgentCoordinator
    from pycontext.service.http.readiness import Readiness
    from pycontext.service.http.traffic import Traffic

__all__ = ["Answer", "Backstage", "Call", "Metrics", "Operation", "as_json"]

Access = Literal["key", "metrics", "none"]


class Metrics(Protocol):
    """What counts turns and can say so: `MetricsCollector` is one."""

    def turn_ended(self, report: TurnReport, /) -> None:
        """Take what is told of a turn."""
        ...

    def render(self) -> tuple[bytes, str]:
        """Return all metrics, and their content type."""
        ...


@dataclass(frozen=True, slots=True)
class Backstage:
    """What all requests share.

    Attributes:
        traffic: the requests that are underway.
        readiness: whether the stores answer.
        metrics: None where there are none.
        description: the document of OpenAPI.
    """

    traffic: Traffic
    readiness: Readiness
    metrics: Metrics | None
    description: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was let in and read.

    Attributes:
        namespace: whose it is.
        coordinator: of that namespace; of none where no key is asked for, and then not to be used.
        path: values in the path.
        query: values of the query.
        body: values of the body.
        backstage: what all requests share.
    """

    namespace: str
    coordinator: AgentCoordinator
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    backstage: Backstage

    @property
    def session_id(self) -> str:
        """The session that the path names."""
        return self.path["session_id"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back.

    Attributes:
        body: bytes, JSON unless `headers` say otherwise.
        status: of HTTP.
        headers: of the response.
    """

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that the service does; the router and the description are made of these.

    Attributes:
        method: of HTTP.
        path: with the names of its values in braces.
        name: unique, for generated clients.
        says: one sentence.
        handler: does it.
        access: "key" for a namespace's API key, "metrics" for that of the metrics, "none" for everybody.
        query: what may be in the query.
        body: what may be in the body.
        answers: names of schemas by status; "" for no body.
        refusals: statuses of errors besides those that any request may get.
    """

    method: Literal["DELETE", "GET", "POST"]
    path: str
    name: str
    says: str
    handler: Callable[[Call], Awaitable[Answer]]
    access: Access = "key"
    query: tuple[Field, ...] = ()
    body: tuple[Field, ...] = ()
    answers: Mapping[int, str]
    refusals: tuple[int, ...] = ()


def as_json(values: object) -> bytes:
    """Return values as JSON."""
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
