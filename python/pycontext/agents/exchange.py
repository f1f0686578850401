"""Calls of tools and their results as blocks."""

from __future__ import annotations

from pycontext.agents.client import Answer, ToolCall
from pycontext.block import ContextBlock, ContextType
from pycontext.blockset import BlockSet
from pycontext.messages import openai

__all__ = ["answered", "called", "pending_calls"]

_CALL_SCORE = 0.9
_RESULT_SCORE = 0.8


def called(answer: Answer) -> ContextBlock:
    """Return the block of an answer that calls tools."""
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.tool_calls
    ]
    block = openai.to_blocks([{"role": "assistant", "content": str(answer) or None, "tool_calls": calls}])[0]
    block.relevance_score = _CALL_SCORE
    return block


def answered(block: ContextBlock, call: ToolCall, result: str) -> ContextBlock:
    """Return the block of the result of one of a block's calls."""
    message = {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": result}
    made = openai.to_blocks([message], after=[block])[0]
    made.relevance_score = _RESULT_SCORE
    made.metadata["tool_name"] = call.name
    return made


def pending_calls(blocks: BlockSet) -> tuple[ContextBlock | None, list[ToolCall]]:
    """Return the block that a session ends with, if it has calls without results, and these calls."""
    row = len(blocks) - 1
    if row < 0:
        return None, []
    last = blocks[row]
    if last.type is ContextType.TOOL and last.references:
        found = blocks.find(last.references[0])
        row = row if found is None else found
    block = blocks[row]
    if block.type is not ContextType.AGENT or "openai.tool_calls" not in block.metadata:
        return None, []
    message, *results = openai.from_blocks([block, *(one for one in blocks[row + 1 :] if block.id in one.references)])
    made = {result.get("tool_call_id") for result in results}
    calls = [
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message["tool_calls"]
        if call["id"] not in made
    ]
    return (block, calls) if calls else (None, [])
