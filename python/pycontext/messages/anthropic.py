"""Anthropic messages to blocks and back, without loss.

A message becomes one block, but a user message with results becomes several: every `tool_result` is a TOOL block that
references the block of its call, and what stands around them is a USER block. Their ids are `m3`, `m3.1`, `m3.2`, and
they know that they were one message. What a block keeps besides its text is JSON in the metadata:

- `anthropic.content`: the parts of a message whose content is a list, or of the piece that the block holds. Thinking,
  images and parts of unknown types are in there untouched.
- `anthropic.message`: the fields of the message, in order, `true` for the content; only where there is more than role
  and content, and for the role `system`.
- `anthropic.of`: the id of the first of several blocks.

A result is paired with its call by order of occurrence, as in the OpenAI adapter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pycontext.block import ContextBlock, ContextType
from pycontext.errors import ValidationError, shown
from pycontext.messages.arrangement import System, arrange
from pycontext.messages.calls import call_key
from pycontext.messages.fields import (
    SCORE_OF_TYPE,
    checked_dict,
    checked_list,
    checked_role,
    checked_str,
    dump,
    encode,
    pack,
)
from pycontext.messages.openai import waiting_in
from pycontext.messages.translation import CONTENT, MESSAGE, OF, part_slots

__all__ = ["from_blocks", "system_of", "to_blocks"]

_TYPE_OF_ROLE: Final = {"user": ContextType.USER, "assistant": ContextType.AGENT, "system": ContextType.SYSTEM}
_ROLE_OF_PART: Final = {"tool_use": "assistant", "tool_result": "user"}
# Fields without which a part could be neither read nor paired.
_STRINGS: Final = {"text": ("text",), "tool_use": ("id", "name"), "tool_result": ("tool_use_id",)}


def to_blocks(
    messages: Iterable[Mapping[str, Any]],
    *,
    system: System | None = None,
    start: int = 0,
    after: Sequence[ContextBlock] = (),
) -> list[ContextBlock]:
    """Turn Anthropic messages into blocks with the ids `m0`, `m1`, ..., and `m3.1`, ... for more of one message.

    Args:
        messages: the `messages` of a request, of any length.
        system: the `system` of the request, which becomes a SYSTEM block with the id `system`.
        start: number of the first message. Timestamps are these numbers: later messages are newer, and the same input
            gives the same blocks.
        after: blocks of the messages that these continue, so that results find the calls that wait there; they may
            come from another adapter.

    Returns:
        The blocks, in order.

    Raises:
        ValidationError: a message is no dict with a known role, its content is neither str nor a list of dicts with
            types, a call or a result stands in the wrong role or has no id, or a field is no JSON; the error says
            which one.
    """
    blocks: list[ContextBlock] = []
    if system is not None:
        try:
            said = system if isinstance(system, str) else _checked("parts", system, "system")
            blocks.append(_block("system", ContextType.SYSTEM, said, {}, start, []))
        except ValidationError as error:
            raise ValidationError(f"system: {error}") from None
    waiting = waiting_in(after)
    for index, message in enumerate(checked_list("messages", messages)):
        first = f"m{start + index}"
        try:
            for number, (kind, said, fields) in enumerate(_pieces(first, message)):
                block_id = f"{first}.{number}" if number else first
                references: list[str] = []
                if kind is ContextType.TOOL:
                    references = waiting.answer(block_id, call_key("tool", said[0]["tool_use_id"]))
                elif kind is ContextType.AGENT and isinstance(said, list):
                    calls = [part["id"] for part in said if part["type"] == "tool_use"]
                    waiting.call(block_id, [call_key("tool", call) for call in calls])
                blocks.append(_block(block_id, kind, said, fields, start + index, references))
        except ValidationError as error:
            raise ValidationError(f"messages[{index}]: {error}") from None
    return blocks


def from_blocks(blocks: Iterable[ContextBlock]) -> list[dict[str, Any]]:
    """Turn blocks into the `messages` of an Anthropic request.

    Blocks that came from messages become those messages again, several of one message merged; where a block's content
    was edited, the edit wins: it takes the place of the first text, and the other texts of the block go. Results stand
    directly behind their call, in one message and before what else is in it, whatever stood between. SYSTEM blocks are
    in `system_of`, and so is a message of the role `system` that no longer stands where the API takes one: behind a
    user message, and last or before the assistant. MEMORY, KNOWLEDGE and TOOL blocks without a call become user
    messages under a header such as `[MEMORY]`.

    Blocks of the OpenAI and Responses adapters are translated: texts, images, calls and results. Of calls with equal
    ids, which this API refuses, all but the last get new ones. Arguments that are no JSON object become the field
    `arguments` of one, and the text for a custom tool the field `input`. A refusal becomes text, other parts become
    texts that hold their JSON, a result whose call is not here goes under the header `[TOOL]`, and a message that says
    nothing is left out. Names of participants, reasoning and other fields of messages stay behind in the block.

    The list begins with whatever stays: no user turn is made up where an assistant's is the first.

    Raises:
        ValidationError: a metadata value under `anthropic.` or `openai.` is not JSON.
    """
    return arrange(blocks).messages


def system_of(blocks: Iterable[ContextBlock]) -> System | None:
    """Return the `system` of an Anthropic request: every SYSTEM block that `from_blocks` leaves out.

    Returns:
        What `to_blocks` was given where that is all; several are joined by blank lines, or as a list of parts where one
        of them is a list; None where there is none.

    Raises:
        ValidationError: a metadata value under `anthropic.` or `openai.` is not JSON.
    """
    system = arrange(blocks).system
    texts = [said for said in system if isinstance(said, str)]
    if len(texts) == len(system):
        return "\n\n".join(texts) if texts else None
    return [part for said in system for part in ([{"type": "text", "text": said}] if isinstance(said, str) else said)]


def _pieces(first: str, message: Any) -> Iterator[tuple[ContextType, Any, dict[str, str]]]:
    """What becomes of a message, block by block: the type, the text or the parts, and the fields of the message."""
    kind = checked_role(message, _TYPE_OF_ROLE)
    content = message.get("content")
    if not isinstance(content, str | list):
        raise ValidationError(f"content {shown(content)} is {type(content).__name__}, not str or list")
    metadata = {}
    if list(message) != ["role", "content"] or kind is ContextType.SYSTEM:
        for key, value in message.items():
            dump(key, None if key == "content" else value)
        metadata[MESSAGE] = encode({**message, "content": True})
    if isinstance(content, str):
        yield kind, content, metadata
        return
    runs = _runs(_checked("content", content, message["role"]))
    for parts in runs:
        if len(runs) > 1:
            metadata[OF] = encode(first)
        is_result = bool(parts) and parts[0]["type"] == "tool_result"
        yield ContextType.TOOL if is_result else kind, parts, metadata
        metadata = {}


def _checked(name: str, parts: Any, role: str) -> list[dict[str, Any]]:
    """The parts of a message or of the system, which must be what their types say."""
    if not isinstance(parts, list):
        raise ValidationError(f"{name} {shown(parts)} is {type(parts).__name__}, not str or list")
    for at, part in enumerate(parts):
        place = f"{name}[{at}]"
        kind = checked_dict(place, part)["type"]
        for key in _STRINGS.get(kind, ()):
            checked_str(f"{place}.{key}", part.get(key))
        owner = _ROLE_OF_PART.get(kind, role)
        if owner != role:
            raise ValidationError(f"{place}.type '{kind}' is for role '{owner}', not '{role}'")
        inner = part.get("content")
        if kind == "tool_result" and not isinstance(inner, str | list | None):
            raise ValidationError(f"{place}.content {shown(inner)} is {type(inner).__name__}, not str, list or null")
    return parts


def _runs(parts: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The parts of a message, every result by itself."""
    runs: list[list[dict[str, Any]]] = []
    for part in parts:
        if runs and "tool_result" not in (part["type"], runs[-1][-1]["type"]):
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs or [[]]


def _block(
    block_id: str, kind: ContextType, said: Any, fields: dict[str, str], timestamp: int, references: list[str]
) -> ContextBlock:
    content, metadata = said, fields
    if not isinstance(said, str):
        content, parts = pack("content", said, part_slots)
        metadata = fields | {CONTENT: parts}
    return ContextBlock(block_id, content, SCORE_OF_TYPE[kind], kind, metadata, timestamp, references=references)
