"""What a LangChain user writes for `pycontext prune`: trim_messages with a tiktoken counter, one by one.

Run as a program: IN.jsonl BUDGET OUT.jsonl [plain|remember]. `remember` keeps the count of each message, because
trim_messages asks for the same messages again and again; `plain` is the counter as the documentation shows it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import tiktoken
from langchain_core.messages import BaseMessage, convert_to_messages, convert_to_openai_messages, trim_messages


def message_counter() -> Callable[[BaseMessage], int]:
    encoding = tiktoken.get_encoding("o200k_base")

    def count(message: BaseMessage) -> int:
        tokens = 4 + len(encoding.encode_ordinary(str(message.content)))
        for call in getattr(message, "tool_calls", []):
            tokens += len(encoding.encode_ordinary(call["name"] + json.dumps(call["args"])))
        return tokens

    return count


def list_counter(*, remember: bool) -> Callable[[Sequence[BaseMessage]], int]:
    count = message_counter()
    if not remember:
        return lambda messages: sum(count(message) for message in messages)
    # Messages live as long as their conversation, and their ids may come again after it: the message is kept.
    known: dict[int, tuple[BaseMessage, int]] = {}

    def remembered(message: BaseMessage) -> int:
        entry = known.get(id(message))
        if entry is None or entry[0] is not message:
            entry = known[id(message)] = (message, count(message))
        return entry[1]

    return lambda messages: sum(remembered(message) for message in messages)


def main(source: str, budget: str, target: str, mode: str = "plain") -> None:
    counter = list_counter(remember=mode == "remember")
    with Path(source).open(encoding="utf-8") as lines, Path(target).open("w", encoding="utf-8") as out:
        for line in lines:
            conversation = json.loads(line)
            kept = trim_messages(
                convert_to_messages(conversation["messages"]),
                max_tokens=int(budget),
                token_counter=counter,
                strategy="last",
                start_on="human",
                include_system=True,
            )
            conversation["messages"] = convert_to_openai_messages(kept)
            out.write(json.dumps(conversation, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
