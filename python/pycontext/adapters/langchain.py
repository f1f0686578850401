"""A middleware for LangChain's agents that prunes what the model sees."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from pycontext.block import ContextBlock
from pycontext.blockset import prune
from pycontext.budget import Budget
from pycontext.counter import DEFAULT_ENCODING, TokenCounter, as_counter
from pycontext.errors import ValidationError
from pycontext.messages.openai import to_blocks
from pycontext.policy import Policy
from pycontext.selection import Selection

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
    from langchain.agents.structured_output import AutoStrategy, ProviderStrategy, ToolStrategy
    from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
    from langchain_core.utils.function_calling import convert_to_openai_tool
except ImportError as cause:
    raise ImportError(f"PruneMiddleware needs pip install 'pycontext-layer[langchain]': {cause}") from cause

__all__ = ["PruneMiddleware"]


class PruneMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Prunes the messages of every model call to a budget; the agent's state keeps all of them.

    `create_agent(model, tools, middleware=[PruneMiddleware(8192)])`. The model gets the agent's own message objects, as
    they are. The system message and the schemas of tools and of structured output count against the budget. Put it
    last: what a middleware behind it adds is not counted. One instance may serve several runs at once.

    A block has the id `m0`, `m1`, ... of the message at that position of the request, the system message has `system`.

    Args:
        budget: a `Budget`, or the tokens that a request may hold.
        policy: a `Policy` or the name of one; None for "relevance".
        counter: what counts tokens, by name or a plug-in.
        on_selection: is called with every selection, before the model is, to keep its receipt.

    Raises:
        ImportError: the extra `langchain` is not installed.
        ValidationError: an argument is outside its limits; in a run, the schemas leave nothing for messages, or a
            message has no single counterpart among OpenAI's.
        BudgetExceededError: in a run, what must stay does not fit.
        PluginError: in a run, the counter raised or returned what it must not.
    """

    def __init__(
        self,
        budget: Budget | int,
        *,
        policy: Policy | str | None = None,
        counter: str | TokenCounter = DEFAULT_ENCODING,
        on_selection: Callable[[Selection], None] | None = None,
    ) -> None:
        super().__init__()
        self.budget: Final = Budget.of(budget)
        self.policy: Final = Policy.of(policy)
        self.counter: Final = as_counter(counter)
        self.on_selection: Final = on_selection

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Call the model with the messages that fit."""
        return handler(self._cut(request, self._choose(request)))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Call the model with the messages that fit; the event loop goes on while they are counted."""
        return await handler(self._cut(request, await to_thread(self._choose, request)))

    def _choose(self, request: ModelRequest[Any]) -> Selection:
        budget = _with_schemas(self.budget, _schemas(request), self.counter)
        return prune(_blocks(request), budget, policy=self.policy, counter=self.counter)

    def _cut(self, request: ModelRequest[Any], selection: Selection) -> ModelRequest[Any]:
        if self.on_selection is not None:
            self.on_selection(selection)
        first = 0 if request.system_message is None else 1
        kept = [request.messages[row - first] for row in selection.indices.tolist() if row >= first]
        return request.override(messages=kept)


def _blocks(request: ModelRequest[Any]) -> list[ContextBlock]:
    """One block for each message, behind that of the system message."""
    found = to_blocks(_chat(request.messages))
    if len(found) != len(request.messages):
        raise ValidationError(f"messages became {len(found)} blocks, not {len(request.messages)}")
    if request.system_message is None:
        return found
    return [replace(block, id="system") for block in to_blocks(_chat([request.system_message]))] + found


def _chat(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    chat: list[dict[str, Any]] = []
    for at, message in enumerate(messages):
        found = convert_to_openai_messages([message])
        if len(found) != 1:
            raise ValidationError(f"messages[{at}] holds {len(found)} messages of OpenAI's, not 1")
        if isinstance(message, AIMessage) and message.invalid_tool_calls:
            # Models are sent them as well, and a result may answer one; the conversion leaves them out.
            found[0]["tool_calls"] = [*found[0].get("tool_calls", []), *map(_invalid_call, message.invalid_tool_calls)]
        chat += found
    return chat


def _invalid_call(call: Any) -> dict[str, Any]:
    function = {"name": call["name"] or "", "arguments": call["args"] or ""}
    return {"type": "function", "id": call["id"], "function": function}


def _schemas(request: ModelRequest[Any]) -> list[dict[str, Any]]:
    # What is a dict already is sent as it is, and may be a provider's own tool.
    found = [tool if isinstance(tool, dict) else convert_to_openai_tool(tool) for tool in request.tools]
    form = request.response_format
    if form is None:
        return found
    # Whichever strategy the agent takes later, it sends this schema.
    schema = form.schema if isinstance(form, AutoStrategy | ProviderStrategy | ToolStrategy) else form
    specs = ToolStrategy(schema).schema_specs
    return found + [_function(each.name, each.description, each.json_schema) for each in specs]


def _function(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _with_schemas(budget: Budget, schemas: list[dict[str, Any]], counter: TokenCounter) -> Budget:
    if not schemas:
        return budget
    tokens, output, overhead = budget.max_tokens, budget.reserve_output, budget.overhead
    return Budget.for_tools(schemas, tokens, reserve_output=output, overhead=overhead, counter=counter)
