"""Kept blocks as chat messages, in plain Python: a message of the role, or a user message under a header."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benches.synthetic import PlainBlock
from pycontext import ContextBlock, ContextType

ROLES = {ContextType.SYSTEM: "system", ContextType.USER: "user", ContextType.AGENT: "assistant"}
# By the number of the type: to hash a type runs a Python method.
ROLE = [ROLES.get(kind) for kind in ContextType]
HEADER = [f"[{kind.name}]\n" for kind in ContextType]


def messages(blocks: Sequence[ContextBlock | PlainBlock], rows: Iterable[int]) -> list[dict[str, str]]:
    """No text in here starts a line with a bracket, so that nothing is escaped."""
    made = []
    for row in rows:
        block = blocks[row]
        kind = block.type._value_
        if role := ROLE[kind]:
            made.append({"role": role, "content": block.content})
        else:
            made.append({"role": "user", "content": HEADER[kind] + block.content})
    return made
