"""Conversations in JSON lines: one a line, in constant memory."""

from __future__ import annotations

import codecs
import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from pycontext.blockset import BlockSet
from pycontext.counter import TokenCounter
from pycontext.errors import BadLineError, ContextError, ValidationError
from pycontext.messages.openai import to_blocks
from pycontext.strict_json import parse

__all__ = ["Conversation", "open_input", "read"]

_LINE_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Conversation:
    """One line of the input.

    Attributes:
        file: name of the file, as it was given.
        line: number of the line, from 1.
        id: as the line says, else the line's number.
        fields: the whole object.
        blocks: its messages.
    """

    file: str
    line: int
    id: str
    fields: dict[str, Any]
    blocks: BlockSet


@contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """Open a file, or standard input for `-`, which is not closed.

    Raises:
        OSError: the file cannot be opened.
    """
    if path != "-":
        with Path(path).open("rb") as stream:
            yield stream
    elif sys.stdin is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "-")
    else:
        yield sys.stdin.buffer


def read(
    stream: BinaryIO,
    file: str,
    *,
    counter: TokenCounter,
    on_bad: Callable[[BadLineError], None] | None = None,
    on_bytes: Callable[[int], object] = lambda _: None,
) -> Iterator[Conversation]:
    """Read conversations line by line; blank lines are passed over.

    Args:
        stream: where the lines come from.
        file: its name, for messages.
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
        rest = line
        while not is_whole and not rest.endswith(b"\n") and (rest := stream.readline(_LINE_BYTES)):
            size += len(rest)
        on_bytes(size)
        if is_whole and not line.strip():
            continue
        try:
            if not is_whole:
                raise ValidationError(f"is {size} bytes, over {_LINE_BYTES}")
            fields = _parse(line, is_first=number == 1)
            blocks = BlockSet(to_blocks(fields["messages"]), counter=counter)
        except ContextError as error:
            bad = BadLineError(file, number, str(error))
            if on_bad is None:
                raise bad from error
            on_bad(bad)
            continue
        named = fields.get("id")
        yield Conversation(file, number, str(number if named is None else named), fields, blocks)


def _parse(line: bytes, *, is_first: bool) -> dict[str, Any]:
    # A byte order mark is how some programs begin a file.
    fields = parse(line.removeprefix(codecs.BOM_UTF8) if is_first else line)
    if not isinstance(fields, dict):
        raise ValidationError(f"{type(fields).__name__} is not an object with messages")
    if "messages" not in fields:
        raise ValidationError("key 'messages' is missing")
    if not isinstance(fields["messages"], list):
        raise ValidationError(f"messages is {type(fields['messages']).__name__}, not a list")
    return fields
