"""OpenAI Responses items to blocks and back, without loss.

What the model writes before it waits for somebody is one AGENT block: its reasoning, its message and its calls, which
the API wants to see together. Every result is a TOOL block that references the block of its call, and every message of
the user or the system a block of its own. Items of unknown types go with what the model writes. The items of a block
are JSON in `openai.items`; a message of nothing but role and text, in this order, needs none.

A result is paired with its call by order of occurrence, as in the OpenAI adapter for chats. One whose call is named by
an `item_reference` alone belongs to the block of that reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pycontext.block import ContextBlock, ContextType
from pycontext.errors import ValidationError, shown
from pycontext.messages.calls import Waiting, call_key
from pycontext.messages.fields import SCORE_OF_TYPE, TYPE_OF_ROLE, checked_list, checked_role, checked_str, pack
from pycontext.messages.items import written
from pycontext.messages.openai import waiting_in
from pycontext.messages.translation import ITEM_TEXTS, ITEMS, answered_id, called_id, is_message, item_slots

__all__ = ["from_blocks", "to_blocks"]

_PLAIN_ROLES: Final = ("system", "user", "assistant")

Item = dict[str, Any]


def to_blocks(
    items: Iterable[Mapping[str, Any]], *, start: int = 0, after: Sequence[ContextBlock] = ()
) -> list[ContextBlock]:
    """Turn Responses items into blocks with the ids `m0`, `m1`, ...: the number of a block's first item.

    `instructions` are no item; a SYSTEM block or a developer message says the same.

    Args:
        items: the `input` of a request, of any length.
        start: number of the first item. Timestamps are these numbers: later items are newer, and the same input gives
            the same blocks.
        after: blocks of the items that these continue, so that results find the calls that wait there; they may come
            from another adapter. What the model wrote in one response belongs in one piece.

    Returns:
        The blocks, in order.

    Raises:
        ValidationError: an item is no dict, a message has no known role, its content or a result is of another type
            than the API's, or a field is no JSON; the error says which one.
    """
    blocks: list[ContextBlock] = []
    waiting = waiting_in(after)
    # The block whose `item_reference` may name calls that are not among the items.
    reference = next((block.id for block in reversed(after) if _refers(block.metadata.get(ITEMS, ""))), None)
    for index, kind, run in _runs(checked_list("items", items)):
        block_id = f"m{start + index}"
        try:
            references = _references(block_id, kind, run, waiting, reference)
            content, metadata = _packed(run)
            score = SCORE_OF_TYPE[kind]
            block = ContextBlock(block_id, content, score, kind, metadata, start + index, references=references)
        except ValidationError as error:
            raise ValidationError(f"items[{index}]: {error}") from None
        if _refers(metadata.get(ITEMS, "")):
            reference = block_id
        blocks.append(block)
    return blocks


def from_blocks(blocks: Iterable[ContextBlock]) -> list[dict[str, Any]]:
    """Turn blocks into Responses items.

    Blocks that came from items become those items again; where a block's content was edited, the edit wins: it takes
    the place of the first text, and the other texts of the block become empty. MEMORY, KNOWLEDGE and TOOL blocks
    without a call become user messages under a header such as `[MEMORY]`.

    Blocks of the adapters for chats and for Anthropic are translated: texts, images, calls and results. Of calls with
    equal ids all but the last get new ones. A refusal becomes text, other parts become texts that hold their JSON, a
    result whose call is not here goes under the header `[TOOL]`, and a message that says nothing is left out. Thinking,
    names of participants and other fields of messages stay behind in the block.

    Raises:
        ValidationError: a metadata value under `openai.` or `anthropic.` is not JSON.
    """
    return written(blocks)


def _runs(items: Iterable[Any]) -> Iterator[tuple[int, ContextType, list[Item]]]:
    """Items that are one block, with the number of the first and the type."""
    first = 0
    run: list[Item] = []
    for index, item in enumerate(items):
        try:
            kind = _kind(item)
        except ValidationError as error:
            raise ValidationError(f"items[{index}]: {error}") from None
        if run and (kind is not ContextType.AGENT or _is_finished(run, item)):
            yield first, ContextType.AGENT, run
            run = []
        if kind is not ContextType.AGENT:
            yield index, kind, [item]
            continue
        if not run:
            first = index
        run.append(item)
    if run:
        yield first, ContextType.AGENT, run


def _is_finished(run: list[Item], item: Item) -> bool:
    """Whether what the model wrote has ended: it spoke and called nobody, and begins to think or speak again."""
    begins = is_message(item) or item.get("type") == "reasoning"
    return begins and any(is_message(each) for each in run) and all(called_id(each) is None for each in run)


def _kind(item: Any) -> ContextType:
    if not isinstance(item, Mapping):
        raise ValidationError(f"{shown(item)} is {type(item).__name__}, not a dict")
    kind = item.get("type")
    if kind is not None:
        checked_str("type", kind)
    if kind == "message" or is_message(item):
        content = item.get("content")
        if not isinstance(content, str | list):
            raise ValidationError(f"content {shown(content)} is {type(content).__name__}, not str or list")
        _check_parts("content", content)
        return checked_role(item, TYPE_OF_ROLE)
    if answered_id(item) is None:
        return ContextType.AGENT
    output = item.get("output")
    if not isinstance(output, str | list | dict | None):
        raise ValidationError(f"output {shown(output)} is {type(output).__name__}, not str, list, dict or null")
    _check_parts("output", output)
    return ContextType.TOOL


def _check_parts(name: str, parts: Any) -> None:
    for at, part in enumerate(parts if isinstance(parts, list) else []):
        if not isinstance(part, dict):
            raise ValidationError(f"{name}[{at}] {shown(part)} is {type(part).__name__}, not a dict")
        if part.get("type") in ITEM_TEXTS:
            checked_str(f"{name}[{at}].text", part.get("text"))


def _references(
    block_id: str, kind: ContextType, run: list[Item], waiting: Waiting, reference: str | None
) -> list[str]:
    """What a block references; the calls of what the model wrote wait from now on."""
    if kind is ContextType.AGENT:
        calls = (called_id(item) for item in run)
        waiting.call(block_id, [call_key("tool", call) for call in calls if call is not None])
    if kind is not ContextType.TOOL:
        return []
    key = call_key("tool", answered_id(run[0]))
    return [reference] if reference is not None and not waiting.is_called(key) else waiting.answer(block_id, key)


def _packed(run: list[Item]) -> tuple[str, dict[str, str]]:
    """The readable text of items, and the items where they are more than that."""
    content, items = pack("item", [dict(item) for item in run], item_slots)
    (first, *others) = run
    is_plain = not others and list(first) == ["role", "content"] and first["role"] in _PLAIN_ROLES
    return content, {} if is_plain and isinstance(first["content"], str) else {ITEMS: items}


def _refers(items: str) -> bool:
    return '"item_reference"' in items
