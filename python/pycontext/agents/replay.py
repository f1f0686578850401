"""A model that says what was recorded."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pycontext.agents.client import Answer, Prompt, ToolCall
from pycontext.agents.turn import current_turn
from pycontext.errors import LLMRefusedError, ValidationError, shown
from pycontext.messages import openai

__all__ = ["ReplayClient"]


class ReplayClient:
    """Answers with the turns of a recorded conversation, and its tools with the recorded results.

    It remembers nothing: where a request stands in the recording is read from its last message that was recorded, so
    that a conversation goes on after a crash where it was. A message that was recorded several times is told apart by
    what stands before it, or, in a turn that a coordinator began under the id `m<number of the message>`, by that id.
    Where the recording goes on with somebody else, the answer is empty.

    Args:
        recordings: the OpenAI chat messages of a conversation, or conversations by session id.

    Attributes:
        schemas: none; recorded models knew their tools from elsewhere.

    Raises:
        ValidationError: a recording is no list of chat messages.
    """

    schemas: Final[Sequence[Mapping[str, Any]]] = ()

    def __init__(self, recordings: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        by_session = recordings if isinstance(recordings, Mapping) else {"": recordings}
        # Thousands of sessions may share a hundred conversations.
        distinct = {id(messages): messages for messages in by_session.values()}
        made = {key: _Recording(messages) for key, messages in distinct.items()}
        self._recordings: Final = {session_id: made[id(messages)] for session_id, messages in by_session.items()}

    async def generate(self, prompt: Prompt, **_options: Any) -> Answer:
        """Return what was answered to the last message of the prompt that was recorded.

        Raises:
            LLMRefusedError: nothing of the prompt was recorded, it fits several places, or it is text.
        """
        # As every model does, it lets others go on meanwhile.
        await asyncio.sleep(0)
        if isinstance(prompt, str):
            raise LLMRefusedError("a replay needs chat messages: render is not openai")
        turn = current_turn()
        return self._recording().answer(prompt, None if turn is None else turn.message_id)

    async def call(self, call: ToolCall, /) -> str:
        """Return the recorded result of a call.

        Raises:
            ValidationError: there is none.
        """
        return self._recording().result(call)

    def _recording(self) -> _Recording:
        turn = current_turn()
        found = self._recordings.get("" if turn is None else turn.session_id, self._recordings.get(""))
        if found is None:
            raise LLMRefusedError(f"nothing was recorded for session {shown(turn.session_id if turn else None)}")
        return found


class _Recording:
    """A conversation, and where each of its messages stands."""

    def __init__(self, messages: Sequence[Mapping[str, Any]]) -> None:
        # Says which message is none.
        openai.to_blocks(messages)
        self._messages: Final = _with_own_ids(messages)
        self._places: Final[dict[tuple[object, ...], list[int]]] = defaultdict(list)
        self._results: Final[dict[str, str]] = {}
        for place, message in enumerate(self._messages):
            self._places[_mark(message)].append(place)
            if message["role"] == "tool":
                self._results[message["tool_call_id"]] = message["content"] or ""

    def answer(self, prompt: list[dict[str, Any]], message_id: str | None) -> Answer:
        place = self._place(prompt, message_id)
        if place + 1 == len(self._messages) or self._messages[place + 1]["role"] != "assistant":
            return Answer("")
        message = self._messages[place + 1]
        calls = tuple(
            ToolCall(one["id"], one["function"]["name"], one["function"]["arguments"])
            for one in message.get("tool_calls") or ()
        )
        return Answer(message.get("content") or "", tool_calls=calls)

    def result(self, call: ToolCall) -> str:
        if call.id not in self._results:
            raise ValidationError(f"no result of call {shown(call.id)} of {shown(call.name)} was recorded")
        return self._results[call.id]

    def _place(self, prompt: list[dict[str, Any]], message_id: str | None) -> int:
        marks = [mark for message in prompt if message["role"] != "system" and (mark := _mark(message)) in self._places]
        if not marks:
            raise LLMRefusedError("nothing of the prompt was recorded")
        places = self._within(self._places[marks[-1]], message_id)
        if len(places) > 1:
            runs = [self._run(place, marks) for place in places]
            places = [place for place, run in zip(places, runs, strict=True) if run == max(runs)]
        if len(places) != 1:
            raise LLMRefusedError(f"the prompt fits {len(places)} places of the recording")
        return places[0]

    def _within(self, places: list[int], message_id: str | None) -> list[int]:
        """Those places that are in the turn that began with a message."""
        if message_id is None or not message_id.startswith("m") or not message_id[1:].isdecimal():
            return places
        first = end = int(message_id[1:])
        while end + 1 < len(self._messages) and self._messages[end + 1]["role"] != "user":
            end += 1
        return [place for place in places if first <= place <= end][-1:] or places

    def _run(self, place: int, marks: list[tuple[object, ...]]) -> int:
        """How many messages before a place are those of the prompt."""
        run = 0
        while run < min(place + 1, len(marks)) and _mark(self._messages[place - run]) == marks[-1 - run]:
            run += 1
        return run


def _with_own_ids(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages, with an id of its own for each call: clients repeat them."""
    own: list[dict[str, Any]] = []
    waiting: dict[str, list[str]] = defaultdict(list)
    taken: set[str] = set()
    for place, message in enumerate(messages):
        copy = dict(message)
        if copy.get("tool_calls"):
            copy["tool_calls"] = [dict(call) for call in copy["tool_calls"]]
            for number, call in enumerate(copy["tool_calls"]):
                name = call["id"] if call["id"] not in taken else f"{call['id']}.{place}.{number}"
                waiting[call["id"]].append(name)
                taken.add(name)
                call["id"] = name
        if copy["role"] == "tool":
            names = waiting[copy["tool_call_id"]]
            copy["tool_call_id"] = names.pop(0) if names else copy["tool_call_id"]
        own.append(copy)
    return own


def _mark(message: Mapping[str, Any]) -> tuple[object, ...]:
    """What a message is recognised by."""
    calls = tuple((one["id"], one["function"]["name"]) for one in message.get("tool_calls") or ())
    return message["role"], message.get("content") or "", message.get("tool_call_id"), calls
