"""Blocks of recorded conversations, with ids of their own, as many as are asked for."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from benches.data import read_jsonl
from pycontext import ContextBlock
from pycontext.messages.openai import to_blocks

SOURCE = "conversations/airline.jsonl"


def recorded(most: int, *, first: int = 0) -> list[ContextBlock]:
    """Conversation after conversation from the `first` message of each on, and all of them again where they end."""
    conversations = [to_blocks(row["messages"][first:]) for row in read_jsonl(SOURCE)]
    blocks: list[ContextBlock] = []
    for number in count():
        for block in conversations[number % len(conversations)]:
            own = [f"{number}.{id}" for id in block.references]
            blocks.append(replace(block, id=f"{number}.{block.id}", references=own, timestamp=len(blocks)))
            if len(blocks) == most:
                return blocks
    raise AssertionError
