"""Conversations in JSON lines: one a line, in constant memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

from pycontext.blockset import BlockSet
from pycontext.counter import TokenCounter
from pycontext.errors import ContextError, ValidationError
from pycontext.messages.openai import to_blocks

__all__ = ["BadLineError", "Conversation", "open_input", "read"]

_LINE_BYTES: Final = 64 << 20


class BadLineError(ContextError):
    """A line is no conversation; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One line of the input.

    Attributes:
        line: number of the line, from 1.
        id: as the line says, else the line's number.
        fields: the whole object.
        blocks: its messages.
    """

    line: int
    id: str
    fields: dict[str, Any]
    blocks: BlockSet


def open_input(path: str) -> BinaryIO:
    """Open a file, or standard input for `-`.

    Raises:
        OSError: the file cannot be opened.
    """
    return sys.stdin.buffer if path == "-" else Path(path).open("rb")


def read(
    stream: BinaryIO,
    name: str,
    *,
    counter: TokenCounter,
    on_bad: Callable[[BadLineError], None] | None = None,
    on_bytes: Callable[[int], object] = lambda _: None,
) -> Iterator[Conversation]:
    """Read conversations line by line; blank lines are passed over.

    Args:
        stream: where the lines come from.
        name: of the file, for messages.
        counter: what counts tokens.
        on_bad: is told of a bad line, and reading goes on; None raises it.
        on_bytes: is told the size of every line read.

    Raises:
        BadLineError: a line is no conversation, and `on_bad` is None.
    """
    number = 0
    while line := stream.readline(_LINE_BYTES + 1):
        number += 1
        size = len(line)
        is_whole = size <= _LINE_BYTES
        while not is_whole and not line.endswith(b"\n") and (line := stream.readline(_LINE_BYTES)):
            size += len(line)
        on_bytes(size)
        if not line.strip():
            continue
        try:
            if not is_whole:
                raise ValidationError(f"is {size} bytes, over {_LINE_BYTES}")
            yield _parse(number, line, counter)
        except ContextError as error:
            bad = BadLineError(f"{name}:{number}: {error}")
            if on_bad is None:
                raise bad from error
            on_bad(bad)


def _parse(number: int, line: bytes, counter: TokenCounter) -> Conversation:
    try:
        fields = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise ValidationError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValidationError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValidationError("not JSON: nested too deep") from None
    except ContextError:
        raise
    except ValueError as error:
        raise ValidationError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValidationError(f"{type(fields).__name__} is not an object with messages")
    messages = fields.get("messages")
    if not isinstance(messages, list):
        raise ValidationError(f"messages is {type(messages).__name__}, not a list")
    return Conversation(
        number,
        str(fields.get("id", number)),
        fields,
        BlockSet(to_blocks(messages), counter=counter),
    )


def _refuse(constant: str) -> NoReturn:
    raise ValidationError(f"not JSON: {constant}")
