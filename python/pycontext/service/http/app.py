"""The service as an ASGI application; needs the extra `service`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from pycontext.agents.coordinator import AgentCoordinator
from pycontext.budget import check_tokens
from pycontext.errors import ValidationError, shown
from pycontext.service.http.access import DEFAULT_NAMESPACE, Access
from pycontext.service.http.openapi import describe
from pycontext.service.http.operation import Backstage, Metrics, Operation, as_json
from pycontext.service.http.readiness import Readiness
from pycontext.service.http.refusal import Refusal
from pycontext.service.http.resource import Resource, Rules, refused, response_of
from pycontext.service.http.routes_blocks import BLOCK_OPERATIONS
from pycontext.service.http.routes_probes import PROBE_OPERATIONS
from pycontext.service.http.routes_sessions import SESSION_OPERATIONS
from pycontext.service.http.traffic import Traffic

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["OPERATIONS", "Coordinators", "check_seconds", "make_app", "tenants_of"]

OPERATIONS: Final = (*SESSION_OPERATIONS, *BLOCK_OPERATIONS, *PROBE_OPERATIONS)

Coordinators = AgentCoordinator | Mapping[str, AgentCoordinator]


def make_app(
    coordinator: Coordinators,
    metrics_collector: Metrics | None = None,
    *,
    api_keys: Mapping[str, str] | None = None,
    metrics_key: str | None = None,
    max_body_bytes: int = 1 << 20,
    most_seconds: float = 60.0,
    most_turns: int = 1000,
    ready_seconds: float = 2.0,
) -> Starlette:
    """Return the service as an application, for a server of your own; `start_service` brings one.

    Its `state.traffic` is what knows of the requests that are underway.

    Args:
        coordinator: what answers, under the namespace "default"; or one for each namespace, each with a manager and a
            store of its own, so that no id of one means anything to another.
        metrics_collector: is told of all turns from now on, and answers for /metrics; None for no metrics.
        api_keys: namespaces by key. None serves the namespace "default" to whoever asks for it by a name of this
            machine: for development.
        metrics_key: opens /metrics. None opens it to who asks from this machine, without a key; behind a proxy of this
            machine, that is everybody whom the proxy lets through.
        max_body_bytes: of a request.
        most_seconds: for a request, body and turn included.
        most_turns: of a namespace at once.
        ready_seconds: for the stores to answer when readiness is asked for.

    Raises:
        ValidationError: an argument is outside its limits, or namespaces share what they must not.
        ImportError: the extra `service` is not installed.
    """
    try:
        from starlette.applications import Starlette  # noqa: PLC0415  # an extra
        from starlette.exceptions import HTTPException  # noqa: PLC0415
        from starlette.routing import Route  # noqa: PLC0415
    except ImportError as cause:
        raise ImportError("the service needs starlette: pip install 'pycontext-layer[service]'") from cause
    check_tokens("max_body_bytes", max_body_bytes, least=1)
    check_tokens("most_turns", most_turns, least=1)
    check_seconds("most_seconds", most_seconds)
    check_seconds("ready_seconds", ready_seconds)
    access = Access(api_keys, metrics_key)
    tenants = tenants_of(coordinator, api_keys)
    stores = [one.context_manager.store for one in tenants.values()]
    backstage = Backstage(
        Traffic(most_turns),
        Readiness([store for store in stores if store is not None], ready_seconds),
        metrics_collector,
        as_json(describe(OPERATIONS, _version())),
    )
    rules = Rules(access, tenants, backstage, max_body_bytes, most_seconds)
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    app = Starlette(
        routes=[Route(path, Resource(operations, rules)) for path, operations in by_path.items()],
        exception_handlers={HTTPException: _unknown_path},
    )
    app.router.redirect_slashes = False
    app.state.traffic = backstage.traffic
    if metrics_collector is not None:
        for one in tenants.values():
            one.add_observer(metrics_collector)
    return app


def tenants_of(coordinator: Coordinators, api_keys: Mapping[str, str] | None) -> dict[str, AgentCoordinator]:
    """Return the coordinators by namespace.

    Raises:
        ValidationError: a key opens no namespace, or two namespaces share a manager or a store.
    """
    tenants = dict(coordinator) if isinstance(coordinator, Mapping) else {DEFAULT_NAMESPACE: coordinator}
    for namespace, one in tenants.items():
        if not isinstance(one, AgentCoordinator):
            raise ValidationError(f"coordinator of {shown(namespace)} is {type(one).__name__}, not an AgentCoordinator")
    opened = {DEFAULT_NAMESPACE} if api_keys is None else set(api_keys.values())
    for namespace in sorted(opened, key=str):
        if namespace not in tenants:
            raise ValidationError(f"namespace {shown(namespace)} has no coordinator: api_keys opens what is not there")
    seen: dict[int, str] = {}
    for namespace, one in tenants.items():
        manager = one.context_manager
        for shared in filter(None, (manager, manager.store)):
            other = seen.setdefault(id(shared), namespace)
            if other != namespace:
                raise ValidationError(
                    f"namespaces {shown(other)} and {shown(namespace)} share a {type(shared).__name__}: "
                    "sessions of one would be those of the other"
                )
    return tenants


def check_seconds(name: str, value: object, *, least: float = 0.001) -> None:
    """Raise `ValidationError` unless a value is a number of seconds, at most a day."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 86_400:
        raise ValidationError(f"{name} {shown(value)} is not a number from {least} to 86400")


async def _unknown_path(_request: Request, error: Exception) -> Response:
    """What Starlette says of paths that it does not know, in our form."""
    status = getattr(error, "status_code", 404)
    return response_of(refused(Refusal(status, "NotFound", "there is no such path: GET /openapi.json has all")))


def _version() -> str:
    try:
        return version("pycontext-layer")
    except PackageNotFoundError:
        return "0"
