"""A filter for OpenAI's Agents SDK that prunes what the model sees."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Awaitable, Callable
from typing import Any

from pycontext.block import ContextBlock, ContextType
from pycontext.blockset import prune
from pycontext.budget import Budget
from pycontext.counter import DEFAULT_ENCODING, TokenCounter, as_counter
from pycontext.errors import ValidationError
from pycontext.messages.responses import to_blocks
from pycontext.policy import Policy
from pycontext.selection import Reason, Selection

try:
    from agents import Agent, AgentOutputSchema, AgentOutputSchemaBase, FunctionTool, RunContextWrapper, handoff
    from agents.run import CallModelData, ModelInputData
except ImportError as cause:
    raise ImportError(f"prune_input needs pip install 'pycontext-layer[openai-agents]': {cause}") from cause

__all__ = ["prune_input"]

InputFilter = Callable[[CallModelData[Any]], Awaitable[ModelInputData]]


def prune_input(
    budget: Budget | int,
    *,
    policy: Policy | str | None = None,
    counter: str | TokenCounter = DEFAULT_ENCODING,
    on_selection: Callable[[Selection], None] | None = None,
) -> InputFilter:
    """Return a filter that prunes the input of every model call to a budget; the run and its session keep all of it.

    `RunConfig(call_model_input_filter=prune_input(8192))`. The model gets the run's own items, as they are. The
    instructions and the schemas of function tools, MCP tools, handoffs and the output type count against the budget;
    leave room in `Budget.overhead` for a stored prompt and for tools that the provider runs. An MCP server is asked for
    its tools once more a call, unless it has `cache_tools_list`. One filter may serve several runs at once.

    A block has the id `m0`, `m1`, ... of its first item's position in the input, the instructions have `instructions`.

    Args:
        budget: a `Budget`, or the tokens that a request may hold.
        policy: a `Policy` or the name of one; None for "relevance".
        counter: what counts tokens, by name or a plug-in.
        on_selection: is called with every selection, before the model is, to keep its receipt.

    Raises:
        ImportError: the extra `openai-agents` is not installed.
        ValidationError: an argument is outside its limits; in a run, the schemas leave nothing for items, an item is
            none of the API's, or the provider keeps the conversation, of which nothing can be cut here.
        BudgetExceededError: in a run, what must stay does not fit.
        PluginError: in a run, the counter raised or returned what it must not.
    """
    whole, chosen, counts = Budget.of(budget), Policy.of(policy), as_counter(counter)

    async def cut(data: CallModelData[Any]) -> ModelInputData:
        schemas = await _schemas(data)
        items, instructions = data.model_data.input, data.model_data.instructions

        def choose() -> tuple[list[ContextBlock], Selection]:
            blocks = to_blocks(items)
            room = _with_schemas(whole, schemas, counts)
            return blocks, prune([*_head(instructions), *blocks], room, policy=chosen, counter=counts)

        # Counting a long history takes a while, and the event loop is not to wait for it.
        blocks, selection = await to_thread(choose)
        if Reason.ORPHAN in selection.reasons and all(block.type is not ContextType.AGENT for block in blocks):
            raise ValidationError("input has results but no calls: a conversation that the provider keeps is not cut")
        if on_selection is not None:
            on_selection(selection)
        kept = _items(items, blocks, set(selection.kept_ids))
        return ModelInputData(input=kept, instructions=instructions)

    return cut


def _head(instructions: str | None) -> list[ContextBlock]:
    # The oldest of all, as if they were the first message.
    return [ContextBlock("instructions", instructions, 1.0, ContextType.SYSTEM, timestamp=0)] if instructions else []


def _items(items: list[Any], blocks: list[ContextBlock], kept: set[str]) -> list[Any]:
    """The run's own items of the blocks that stay: the SDK knows those that are still to be sent by identity."""
    # A block's id says where it begins, and it ends where the next one does.
    starts = [int(block.id.removeprefix("m")) for block in blocks]
    spans = zip(blocks, starts, [*starts[1:], len(items)], strict=True)
    return [item for block, start, end in spans if block.id in kept for item in items[start:end]]


async def _schemas(data: CallModelData[Any]) -> list[dict[str, Any]]:
    agent = data.agent
    tools = await agent.get_all_tools(RunContextWrapper(data.context))
    found = [
        _function(tool.name, tool.description, tool.params_json_schema)
        for tool in tools
        if isinstance(tool, FunctionTool)
    ]
    # Those that are switched off count as well: too much rather than too little.
    handoffs = [handoff(each) if isinstance(each, Agent) else each for each in agent.handoffs]
    found += [_function(each.tool_name, each.tool_description, each.input_json_schema) for each in handoffs]
    form = agent.output_type
    if form is not None:
        schema = form if isinstance(form, AgentOutputSchemaBase) else AgentOutputSchema(form)
        found += [] if schema.is_plain_text() else [_function(schema.name(), "", schema.json_schema())]
    return found


def _function(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "name": name, "description": description, "parameters": parameters}


def _with_schemas(budget: Budget, schemas: list[dict[str, Any]], counter: TokenCounter) -> Budget:
    if not schemas:
        return budget
    tokens, output, overhead = budget.max_tokens, budget.reserve_output, budget.overhead
    return Budget.for_tools(schemas, tokens, reserve_output=output, overhead=overhead, counter=counter)
