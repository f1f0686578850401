"""What pycontext does with the same conversation in the three ways there are, and the floor under all who count."""

from __future__ import annotations

import json
import os
from typing import Any

from benches.request.peers import Peer, Request
from benches.request.rule import Message, encoding
from benches.request.transcript import all_texts
from pycontext import BlockSet, Chat, prune
from pycontext.messages.openai import to_blocks

OURS = "pycontext-layer"
# The last two are as fast as they are because of what was there before, so that a round has more than one.
AGAIN, LIVE = 3, 20


class Cold(Peer):
    """From chat messages to chat messages, which nobody has read before."""

    distribution = OURS

    def __init__(self, name: str, policy: str | None = None) -> None:
        super().__init__(name)
        self.policy = policy

    def fit(self, given: Any) -> Any:
        messages, budget = given
        chat = Chat()
        return chat.messages(chat.prune(messages, budget, policy=self.policy))


class Blocks(Cold):
    """The same by blocks that a program has in its hands in between."""

    def fit(self, given: Any) -> Any:
        messages, budget = given
        return prune(to_blocks(messages), budget, policy=self.policy).messages()


class Again(Peer):
    """The same with a conversation that was cut before, and one message more."""

    distribution = OURS
    steps = AGAIN

    def __init__(self, name: str, *, is_read_anew: bool = False) -> None:
        super().__init__(name)
        self.is_read_anew = is_read_anew

    def prepare(self, request: Request) -> Any:
        chat = Chat()
        chat.prune(request.messages, request.budget)
        sent = [request.messages + request.more[: step + 1] for step in range(self.steps)]
        return chat, [copied(messages) for messages in sent] if self.is_read_anew else sent, request.budget

    def fit(self, given: Any) -> Any:
        chat, sent, budget = given
        for messages in sent:
            kept = chat.messages(chat.prune(messages, budget))
        return kept


class Live(Peer):
    """One block more in a set that holds all, and a prune; the selection before it is let go first."""

    distribution = OURS
    steps = LIVE

    def prepare(self, request: Request) -> Any:
        blocks = BlockSet(to_blocks(request.messages))
        blocks.prune(request.budget)
        return blocks, request

    def fit(self, given: Any) -> Any:
        blocks, request = given
        selection = None
        for step in range(self.steps):
            selection = None
            blocks.append(to_blocks([request.more[step]], start=len(request.messages) + step)[0])
            selection = blocks.prune(request.budget)
        return selection

    def read(self, result: Any) -> list[Message]:
        return result.messages()


class Loop(Live):
    """The same as a loop has it: the selection before is still there, and the request is made."""

    def fit(self, given: Any) -> Any:
        blocks, request = given
        for step in range(self.steps):
            blocks.append(to_blocks([request.more[step]], start=len(request.messages) + step)[0])
            selection = blocks.prune(request.budget)
            selection.messages()
        return selection


class Floor(Peer):
    """tiktoken encodes all texts of the conversation, and no more."""

    distribution = "tiktoken"

    def prepare(self, request: Request) -> Any:
        return all_texts(request.messages)

    def fit(self, given: Any) -> Any:
        encode = encoding().encode_ordinary
        return [len(encode(text)) for text in given]


class Threaded(Floor):
    """The same with as many threads as there are processors."""

    def fit(self, given: Any) -> Any:
        return [len(ids) for ids in encoding().encode_ordinary_batch(given, num_threads=os.cpu_count() or 1)]


def copied(messages: list[Message]) -> list[Message]:
    """The same messages as other objects, as a service has them that is sent all of them with every request."""
    return json.loads(json.dumps(messages))
