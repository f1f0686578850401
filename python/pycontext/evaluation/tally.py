"""Tokens of a chat request, counted once more: not by what chose the messages."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pycontext import _core
from pycontext.counter import DEFAULT_ENCODING, count_tokens

__all__ = ["Tally"]

REPLY: Final = 3
_MESSAGE: Final = 4
_CALL: Final = 9
_CALLS: Final = 21

# The name under which tiktoken keeps the vocabulary that it has downloaded; it checks what it finds there.
_FILE: Final = "fb374d419588a4632f3f557e76b4b70aebbca790"
_SETTING: Final = "TIKTOKEN_CACHE_DIR"
_TEXTS: Final = 1 << 17


class Tally:
    """Counts chat messages by the framing of docs/framing.md, with tiktoken where it is installed.

    Attributes:
        counter: what counts texts: "tiktoken" with its version, else "pycontext", which then counts itself.
        is_independent: whether that is not the library's own counter.
    """

    def __init__(self) -> None:
        found = _tiktoken()
        self.is_independent: Final = found is not None
        self.counter, count = found or ("pycontext", count_tokens)
        self._count: Final[Callable[[str], int]] = lru_cache(_TEXTS)(count)

    def text(self, text: str) -> int:
        """Tokens of one text."""
        return self._count(text)

    def messages(self, messages: Sequence[Mapping[str, Any]]) -> int:
        """Tokens of a request with these messages, the start of the reply included; 0 without messages."""
        return REPLY + sum(map(self._message, messages)) if messages else 0

    def _message(self, message: Mapping[str, Any]) -> int:
        content = message.get("content") or ""
        calls = [call["function"] for call in message.get("tool_calls") or []]
        tokens = self._count(content) + (_MESSAGE if content or not calls else 0)
        if message["role"] != "tool" and "name" in message:
            tokens += 1 + self._count(message["name"])
        if len(calls) == 1:
            tokens += 2 * self._count(calls[0]["name"]) + self._count(_compact(calls[0]["arguments"])) + _CALL
        elif calls:
            uses = ",".join(
                f'{{"recipient_name":"functions.{call["name"]}","parameters":{_compact(call["arguments"])}}}'
                for call in calls
            )
            tokens += self._count(f'{{"tool_uses":[{uses}]}}') + max(1, _CALLS - 4 * len(calls))
        return tokens


def _compact(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), separators=(",", ":"), ensure_ascii=False)
    except ValueError:
        return arguments


def _tiktoken() -> tuple[str, Callable[[str], int]] | None:
    """What counts with tiktoken, and its name; None where it is not installed."""
    try:
        import tiktoken  # noqa: PLC0415  # of the benchmarks only
    except ImportError:
        return None
    before = os.environ.get(_SETTING)
    with tempfile.TemporaryDirectory() as folder:
        # The vocabulary of the wheel instead of a download; tiktoken refuses it unless it is the published one.
        tokens = enumerate(_core.vocabulary(DEFAULT_ENCODING))
        (Path(folder) / _FILE).write_bytes(b"".join(base64.b64encode(t) + b" %d\n" % rank for rank, t in tokens))
        os.environ[_SETTING] = folder
        try:
            encoding = tiktoken.get_encoding(DEFAULT_ENCODING)
        finally:
            if before is None:
                del os.environ[_SETTING]
            else:
                os.environ[_SETTING] = before
    return f"tiktoken {tiktoken.__version__}", lambda text: len(encoding.encode_ordinary(text))
