"""One path of the service: who may ask, how long it may take, and what becomes of errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pycontext.agents.coordinator import AgentCoordinator
from pycontext.errors import ContextError, shown
from pycontext.service.http.access import Access
from pycontext.service.http.body import fields_of, query_of, read_body
from pycontext.service.http.operation import Answer, Backstage, Call, Operation, as_json
from pycontext.service.http.refusal import Refusal, refusal_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

__all__ = ["Resource", "Rules", "refused", "response_of"]

_LOG: Final = logging.getLogger("pycontext.service")

_HEADERS: Final = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What all requests are held to.

    Attributes:
        access: knows the keys.
        tenants: coordinators by namespace.
        backstage: what all requests share.
        most_body_bytes: of a request.
        most_seconds: for a request.
    """

    access: Access
    tenants: Mapping[str, AgentCoordinator]
    backstage: Backstage
    most_body_bytes: int
    most_seconds: float


class Resource:
    """Answers the requests of one path, as an ASGI application.

    Args:
        operations: by method.
        rules: what requests are held to.
    """

    def __init__(self, operations: Mapping[str, Operation], rules: Rules) -> None:
        self._operations: Final = operations
        self._rules: Final = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        from starlette.requests import Request  # noqa: PLC0415  # an extra

        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except Refusal as refusal:
            answer = refused(refusal)
            if not scope.get("pycontext.is_read"):
                # What is left of a body that nobody reads is not taken for the next request.
                answer = Answer(answer.body, answer.status, {**answer.headers, "Connection": "close"})
        await response_of(answer)(scope, receive, send)

    async def _answer(self, request: Request) -> Answer:
        # HEAD is GET; a server sends no body then.
        method = "GET" if request.method == "HEAD" else request.method
        operation = self._operations.get(method)
        if operation is None:
            allowed = {"Allow": ", ".join(sorted(self._operations))}
            raise Refusal(405, "MethodNotAllowed", f"{shown(request.method)} is not for this path", allowed)
        namespace = self._let_in(request, operation)
        if operation.access != "key":
            # Probes are answered also while the service stops.
            return await self._done(request, operation, namespace)
        with self._rules.backstage.traffic.request():
            return await self._in_time(request, operation, namespace)

    def _let_in(self, request: Request, operation: Operation) -> str:
        """The namespace of a request that may be done."""
        access, headers = self._rules.access, request.headers
        if operation.access == "key":
            return access.namespace(headers.getlist("authorization"), headers.get("host"))
        if operation.access == "metrics":
            client = None if request.client is None else request.client.host
            access.check_metrics(headers.getlist("authorization"), headers.get("host"), client)
        return next(iter(self._rules.tenants))

    async def _in_time(self, request: Request, operation: Operation, namespace: str) -> Answer:
        seconds = self._rules.most_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._done(request, operation, namespace)
        except TimeoutError:
            if request.scope.get("pycontext.is_read"):
                raise Refusal(504, "Timeout", f"it took over {seconds} s; what was said is kept") from None
            raise Refusal(408, "Timeout", f"the body took over {seconds} s") from None

    async def _done(self, request: Request, operation: Operation, namespace: str) -> Answer:
        """Read a request and do what it asks for; every error becomes a refusal."""
        from starlette.requests import ClientDisconnect  # noqa: PLC0415  # an extra

        try:
            body = await read_body(request, self._rules.most_body_bytes) if operation.body else {}
            request.scope["pycontext.is_read"] = True
            call = Call(
                namespace,
                self._rules.tenants[namespace],
                request.path_params,
                query_of(request.query_params.multi_items(), operation.query),
                fields_of(body, operation.body),
                self._rules.backstage,
            )
            return await operation.handler(call)
        except Refusal:
            raise
        except ClientDisconnect:
            raise Refusal(400, "Disconnected", "the body ended before it was whole") from None
        except ContextError as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise _our_fault(operation) from error
            if refusal.status >= 500:
                _LOG.warning("%s: %s: %s", operation.name, type(error).__name__, error)
            raise refusal from error
        except Exception as error:
            raise _our_fault(operation) from error


def refused(refusal: Refusal) -> Answer:
    """Return what a refused request is sent."""
    return Answer(as_json(refusal.values()), refusal.status, refusal.headers)


def response_of(answer: Answer) -> Response:
    """Return the response of an answer."""
    from starlette.responses import Response  # noqa: PLC0415  # an extra

    return Response(answer.body, answer.status, {**_HEADERS, **answer.headers})


def _our_fault(operation: Operation) -> Refusal:
    """What is told of an error that nobody foresaw; the log has the rest."""
    _LOG.exception("%s failed", operation.name)
    return Refusal(500, "InternalError", "something went wrong here; it is in the log of the service")
