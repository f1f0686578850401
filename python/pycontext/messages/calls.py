"""Which result answers which call, in every format."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any


def call_key(role: str, name: object) -> str:
    """Return the name under which a result finds its call: legacy functions answer by name, tools by id."""
    return f"{role} {name!r}"


def calls_of(message: Mapping[str, Any]) -> list[str]:
    """Return the names under which the results of a chat message's calls will come."""
    calls = message.get("tool_calls")
    found = [call_key("tool", call.get("id")) for call in _dicts(calls)]
    function = message.get("function_call")
    return found + [call_key("function", call.get("name")) for call in _dicts([function])]


def chat_calls(chat: Mapping[str, Any]) -> list[Any]:
    """Return the calls of a chat message, a legacy function in the form of the others."""
    calls, function = chat.get("tool_calls"), chat.get("function_call")
    # A function answers by its name.
    legacy = [{"id": function.get("name"), "function": function}] if isinstance(function, dict) else []
    return (calls if isinstance(calls, list) else []) + legacy


def answered_by(message: Mapping[str, Any]) -> str:
    """Return the name under which the call of a chat result was noted."""
    if message["role"] == "function":
        return call_key("function", message.get("name"))
    return call_key("tool", message.get("tool_call_id"))


class Waiting:
    """Calls without a result yet; of equal names the last one is answered first."""

    def __init__(self) -> None:
        self._blocks: defaultdict[str, list[str]] = defaultdict(list)

    def copy(self) -> Waiting:
        """Return the same calls, to go on with apart."""
        other = Waiting()
        other._blocks.update({name: list(blocks) for name, blocks in self._blocks.items() if blocks})
        return other

    def call(self, block_id: str, names: Iterable[str]) -> None:
        """Note the calls of a block."""
        for name in names:
            self._blocks[name].append(block_id)

    def is_called(self, name: str) -> bool:
        """Return whether a call of that name waits."""
        return bool(self._blocks.get(name))

    def answer(self, block_id: str, name: str) -> list[str]:
        """Return the references of a result: the block that made its call."""
        blocks = self._blocks[name]
        # An id that no block has says that the call is not here.
        return [blocks.pop() if blocks else f"{block_id}.call"]

    def was_answered(self, name: str, references: Iterable[str]) -> None:
        """Take away calls whose result is known."""
        blocks = self._blocks[name]
        for call in references:
            if call in blocks:
                blocks.remove(call)


class CallIds:
    """Ids of calls as a request names them.

    A call of the provider's own keeps its id. One that another provider's client made gets an id that no other call of
    the request has, in the characters that every API takes: clients repeat ids, and some APIs refuse that.
    """

    def __init__(self, own: Iterable[str]) -> None:
        self._taken = set(own)
        self._open: dict[str, list[tuple[str, str]]] = {}

    def keep(self, block_id: str, ids: Iterable[str]) -> None:
        """Note calls that keep their ids."""
        self._open.setdefault(block_id, []).extend((each, each) for each in ids)

    def rename(self, block_id: str, ids: Iterable[str]) -> list[str]:
        """Return new ids for the calls of a block, in order; whoever is asked first keeps what it has."""
        pairs = [(each, self._free(each)) for each in ids]
        self._open.setdefault(block_id, []).extend(pairs)
        return [new for _, new in pairs]

    def answer(self, references: Iterable[str], call_id: str) -> tuple[str, str] | None:
        """Return the block and the new id of the call that a result answers, if it is here and not answered yet."""
        for block_id in references:
            pairs = self._open.get(block_id, [])
            for at, (old, new) in enumerate(pairs):
                if old == call_id:
                    del pairs[at]
                    return block_id, new
        return None

    def _free(self, call_id: str) -> str:
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", call_id) or "call"
        number, free = 2, name
        while free in self._taken:
            free = f"{name}_{number}"
            number += 1
        self._taken.add(free)
        return free


def _dicts(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
