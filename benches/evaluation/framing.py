"""The framing model against recorded usage: by how much the provider's count rose in each step."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from benches.data import read_jsonl
from pycontext import BlockSet
from pycontext.messages.openai import to_blocks

REPLY = 3  # the start of the reply is in every request, so that it is in no difference


@dataclass
class Fit:
    """Steps of one kind."""

    steps: int = 0
    recorded: int = 0
    ours: int = 0
    exact: int = 0
    under: int = 0

    def take(self, recorded: int, ours: int) -> None:
        self.steps += 1
        self.recorded += recorded
        self.ours += ours
        self.exact += ours == recorded
        self.under += ours < recorded


def kind_of(messages: list[dict[str, Any]]) -> str:
    calls = sum(len(message.get("tool_calls") or []) for message in messages)
    return {0: "plain messages", 1: "one call and its result"}.get(calls, f"{calls} parallel calls and their results")


def fit() -> dict[str, Fit]:
    """The fit by kind of step, and of all."""
    fits: defaultdict[str, Fit] = defaultdict(Fit)
    for conversation in read_jsonl("usage/gpt-4.1-mini.jsonl"):
        for step in conversation["steps"]:
            ours = BlockSet(to_blocks(step["messages"])).total_cost("openai") - REPLY
            for kind in (kind_of(step["messages"]), "all"):
                fits[kind].take(step["prompt_tokens_added"], ours)
    fits["all"] = fits.pop("all")
    return dict(fits)
