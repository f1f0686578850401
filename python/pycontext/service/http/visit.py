"""Work on the live session of a conversation, for one request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pycontext.agents.offload import on_session
from pycontext.errors import UnknownSessionError
from pycontext.package import ContextPackage
from pycontext.service.http.operation import Call

__all__ = ["agent_name", "change", "look", "session_values"]

T = TypeVar("T")


async def look(call: Call, work: Callable[[ContextPackage], T]) -> T:
    """Return what `work` finds in a session, without waiting for a turn that is underway.

    Raises:
        UnknownSessionError: there is no such conversation.
    """
    try:
        return await _on(call, work)
    except UnknownSessionError:
        # It went on in another session meanwhile, or there is none: whoever holds it knows.
        return await change(call, work)


async def change(call: Call, work: Callable[[ContextPackage], T]) -> T:
    """Do something to a session when no turn is underway there.

    Raises:
        UnknownSessionError: there is no such conversation.
    """
    async with call.coordinator.concurrency.session_context(call.session_id):
        return await _on(call, work)


def session_values(call: Call, package: ContextPackage) -> dict[str, Any]:
    """Return how a session stands."""
    metrics = package.metrics
    return {
        "session_id": call.session_id,
        "agent": agent_name(call, package),
        "version": package.version,
        "blocks": len(package.blocks),
        "tokens": metrics.total_tokens,
        "metrics": {
            "total_tokens": metrics.total_tokens,
            "context_saturation": metrics.context_saturation,
            "type_distribution": metrics.type_distribution,
        },
    }


def agent_name(call: Call, package: ContextPackage) -> str:
    """Return the name under which the coordinator has the agent of a session."""
    agents = call.coordinator.agents.items()
    return next((name for name, agent in agents if agent.role == package.agent_id), package.agent_id)


async def _on(call: Call, work: Callable[[ContextPackage], T]) -> T:
    package = await call.coordinator.package(call.session_id)
    return await on_session(call.coordinator.context_manager, package.session_id, work, package)
