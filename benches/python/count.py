"""`count_tokens_batch` against tiktoken on the texts of recorded conversations."""

from __future__ import annotations

import os

import tiktoken

from benches.data import missing, read_jsonl, tiktoken_cache
from benches.frame import Row, compare, race
from pycontext import count_tokens_batch

SOURCE = "conversations/airline.jsonl"
ROUNDS = 15


def run() -> tuple[list[Row], list[str]]:
    if problem := missing(SOURCE):
        return [], [f"count: {problem}"]
    os.environ["TIKTOKEN_CACHE_DIR"] = str(tiktoken_cache())
    encoding = tiktoken.get_encoding("o200k_base")
    texts = [m["content"] for line in read_jsonl(SOURCE) for m in line["messages"][1:] if m["content"]]
    if count_tokens_batch(texts).tolist() != [len(encoding.encode_ordinary(text)) for text in texts]:
        raise SystemExit("our counts and tiktoken's differ")
    times = race(
        {
            "pycontext": lambda _: count_tokens_batch(texts),
            "tiktoken": lambda _: [len(encoding.encode_ordinary(text)) for text in texts],
        },
        ROUNDS,
    )
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    return compare(f"count {megabytes:.1f} MB of messages", times, ours="pycontext"), []
