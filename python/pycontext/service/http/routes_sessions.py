"""Requests about conversations: begin, look, say something, hand over, end."""

from __future__ import annotations

import uuid
from typing import Any, Final

from pycontext.agents.offload import on_session
from pycontext.budget import LARGEST_BUDGET
from pycontext.errors import ConflictError, UnknownSessionError, ValidationError, shown
from pycontext.package import ContextPackage
from pycontext.service.http.body import Field
from pycontext.service.http.operation import Answer, Call, Operation, as_json
from pycontext.service.http.visit import look, session_values

__all__ = ["SESSION_OPERATIONS"]


async def _begin(call: Call) -> Answer:
    wanted = call.body.get("session_id")
    try:
        session_id = await call.coordinator.open_session(wanted)
    except ValidationError as error:
        if wanted is not None and await _is_there(call, wanted):
            raise ConflictError(f"session {shown(wanted)} exists", 0, 0) from error
        raise
    made = Call(call.namespace, call.coordinator, {"session_id": session_id}, {}, {}, call.backstage)
    values = await look(made, lambda package: session_values(made, package))
    return Answer(as_json(values), 201, {"Location": f"/v1/sessions/{session_id}"})


async def _is_there(call: Call, session_id: str) -> bool:
    try:
        await call.coordinator.package(session_id)
    except (UnknownSessionError, ValidationError):
        return False
    return True


async def _look(call: Call) -> Answer:
    return Answer(as_json(await look(call, lambda package: session_values(call, package))))


async def _delete(call: Call) -> Answer:
    coordinator, session_id = call.coordinator, call.session_id
    manager = coordinator.context_manager

    def forget(last: str) -> None:
        # The last part first: where this is stopped half-way the conversation is still found, and can be deleted again.
        number = int(last.partition("~")[2] or 0)
        for part in range(number, -1, -1):
            try:
                manager.delete_session(f"{session_id}~{part}" if part else session_id)
            except UnknownSessionError:
                # Earlier parts may have expired, or were only here.
                if part == number:
                    raise

    async with coordinator.concurrency.session_context(session_id):
        last = (await coordinator.package(session_id)).session_id
        if manager.store is not None:
            # What works on it in the background ends first.
            await coordinator.end_session(session_id)
        await on_session(manager, last, forget, last)
    return Answer(b"", 204)


async def _say(call: Call) -> Answer:
    message_id = call.body.get("message_id", str(uuid.uuid4()))
    with call.backstage.traffic.turn(call.namespace):
        reply = await call.coordinator.handle(
            call.session_id, call.body["message"], message_id=message_id, metadata=call.body.get("metadata")
        )
    values = {
        "session_id": call.session_id,
        "message_id": message_id,
        "agent": reply.agent,
        "text": reply.text,
        "data": None if reply.data is None else dict(reply.data),
    }
    return Answer(as_json(values))


async def _hand_over(call: Call) -> Answer:
    await call.coordinator.hand_over(call.session_id, call.body["to"])
    return await _look(call)


async def _prompt(call: Call) -> Answer:
    query, manager = call.query, call.coordinator.context_manager
    render = query.get("render", "openai")

    def choose(package: ContextPackage) -> bytes:
        selection = manager.select(
            package.session_id,
            query.get("budget"),
            policy=query.get("policy"),
            query=query.get("query"),
            render=render,
        )
        sent: dict[str, Any] = (
            {"text": selection.text()} if render == "text" else {"messages": selection.messages("openai")}
        )
        return as_json({**selection.to_dict(), **sent})

    return Answer(await look(call, choose))


_SESSION: Final = "/v1/sessions/{session_id}"

SESSION_OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/v1/sessions",
        name="beginSession",
        says="Begin a conversation.",
        handler=_begin,
        body=(Field(name="session_id", kind="string", says="Of the conversation; a random one where there is none."),),
        answers={201: "Session"},
        refusals=(400, 409, 413, 415),
    ),
    Operation(
        method="GET",
        path=_SESSION,
        name="getSession",
        says="How a conversation stands.",
        handler=_look,
        answers={200: "Session"},
        refusals=(400, 404),
    ),
    Operation(
        method="DELETE",
        path=_SESSION,
        name="deleteSession",
        says="Delete a conversation, in the store as well; it cannot be brought back.",
        handler=_delete,
        answers={204: ""},
        refusals=(400, 404, 409),
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/messages",
        name="sendMessage",
        says="Say something, and wait for the reply. The same message under the same id gets the same reply.",
        handler=_say,
        body=(
            Field(name="message", kind="string", says="What the user said.", is_required=True),
            Field(name="message_id", kind="string", says="Of this message; give one, to be able to send it again."),
            Field(name="metadata", kind="texts", says="Kept with the message."),
        ),
        answers={200: "Reply"},
        refusals=(400, 404, 409, 413, 415, 422, 502),
    ),
    Operation(
        method="POST",
        path=f"{_SESSION}/handoff",
        name="handOver",
        says="Let a conversation go on with another agent.",
        handler=_hand_over,
        body=(Field(name="to", kind="string", says="Name of the agent.", is_required=True),),
        answers={200: "Session"},
        refusals=(400, 404, 409, 413, 415, 422),
    ),
    Operation(
        method="GET",
        path=f"{_SESSION}/prompt",
        name="getPrompt",
        says="What would be sent of a conversation, and why; the agent's own prompt is not in it.",
        handler=_prompt,
        query=(
            Field(name="budget", kind="integer", says="Tokens.", least=1, most=min(LARGEST_BUDGET, 10**11)),
            Field(name="render", kind="string", says="The form.", choices=("openai", "text")),
            Field(name="policy", kind="string", says="Name of a policy."),
            Field(name="query", kind="string", says="What the blocks should be about."),
        ),
        answers={200: "Prompt"},
        refusals=(400, 404, 422),
    ),
)
