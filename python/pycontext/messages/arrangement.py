"""The messages of an Anthropic request: which block stands in which of them.

The API wants the result of every call in the message behind it, before all else in that message; ids that no two calls
share; and a message of the role `system` only behind a user message, and last or before the assistant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from pycontext.block import ContextBlock, ContextType
from pycontext.messages.calls import CallIds
from pycontext.messages.fields import checked_blocks
from pycontext.messages.openai import under_header
from pycontext.messages.piece import Piece, read

System = str | list[dict[str, Any]]
Message = dict[str, Any]


class Request(NamedTuple):
    """Messages, and what stands before them."""

    messages: list[Message]
    system: list[System]


def arrange(blocks: Iterable[ContextBlock]) -> Request:
    """Put blocks into the messages and the system of a request.

    Raises:
        ValidationError: a metadata value under `anthropic.` or `openai.` is not JSON.
    """
    pieces = [read(block) for block in checked_blocks(blocks)]
    results = _paired(pieces)
    is_placed = {id(result) for answers in results.values() for result in answers}
    messages: list[Message] = []
    system: list[System] = []
    # Where the pieces of an original message are put together.
    home: dict[str, Message] = {}
    for piece in pieces:
        if id(piece) in is_placed or not (piece.is_own or piece.content):
            continue
        if piece.block.type is ContextType.SYSTEM and piece.fields.get("role") != "system":
            system.append(piece.content)
            continue
        _put([piece], messages, home)
        if piece.calls() and (answers := results.pop(piece.block.id, None)):
            # Results of one call stand in one message, whatever messages they came from.
            home |= dict.fromkeys((each.of for each in answers if each.of), _put(answers, messages, {}))
    return Request(_seated(messages, system), system)


def _put(pieces: list[Piece], messages: list[Message], home: dict[str, Message]) -> Message:
    """Write pieces as one message, that of their original where it is there already."""
    first, *others = pieces
    message = home.get(first.of) if first.of else None
    if message is None:
        message = first.message()
        messages.append(message)
        if first.of:
            home[first.of] = message
    else:
        first.join(message)
    for other in others:
        other.join(message)
    return message


def _paired(pieces: list[Piece]) -> dict[str, list[Piece]]:
    """The results of every block that makes calls, named as the request names them."""
    ids = CallIds(call["id"] for piece in pieces if piece.is_own for call in piece.calls())
    # From the end: the last of equal ids is kept, and with it a call whose result has still to come.
    for piece in reversed(pieces):
        calls = piece.calls()
        if piece.is_own:
            ids.keep(piece.block.id, [call["id"] for call in calls])
            continue
        for call, new in zip(calls, ids.rename(piece.block.id, [call["id"] for call in calls]), strict=True):
            call["id"] = new
    results: defaultdict[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        if piece.answers is None:
            continue
        found = ids.answer(piece.block.references, piece.answers)
        if found is not None:
            piece.content[0]["tool_use_id"] = found[1]
            results[found[0]].append(piece)
        elif not piece.is_own:
            piece.content = under_header(piece.block.type, piece.block.content, piece.block.origin)
    return results


def _seated(messages: list[Message], system: list[System]) -> list[Message]:
    """Move messages of the role `system` that the API would refuse where they stand to the others before them all."""
    seated: list[Message] = []
    for at, message in enumerate(messages):
        is_followed = at + 1 == len(messages) or messages[at + 1]["role"] == "assistant"
        # Without content it changes options alone, and may stand anywhere.
        if message["role"] != "system" or message["content"] == [] or (is_followed and _may_follow(seated)):
            seated.append(message)
        else:
            system.append(message["content"])
    return seated


def _may_follow(messages: list[Message]) -> bool:
    """Whether a message of the role `system` may come next: behind the user, or a tool that the server runs."""
    if not messages or messages[-1]["role"] == "user":
        return bool(messages)
    content = messages[-1]["content"]
    last = content[-1].get("type", "") if isinstance(content, list) and content else ""
    return messages[-1]["role"] == "assistant" and (last == "server_tool_use" or last.endswith("_tool_result"))
