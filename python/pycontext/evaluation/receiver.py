"""The other process of a handoff: reads every session of a store and says what it would send a model.

A program: `python -m pycontext.evaluation.receiver URL` writes one JSON object a session.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from pycontext.messages.openai import from_blocks
from pycontext.package import ContextPackage
from pycontext.store.url import open_store

__all__ = ["digest", "main", "seen"]


def main(url: str) -> None:
    """Write what is in a store to standard output."""
    with open_store(url) as store:
        for session_id in store.sessions():
            found = {"session": session_id, **seen(store.load(session_id))}
            sys.stdout.write(json.dumps(found) + "\n")


def seen(package: ContextPackage) -> dict[str, Any]:
    """Return what somebody who has a package sees: ids, a hash of every block, one of the rendered messages."""
    blocks = package.blocks
    return {
        "ids": blocks.ids(),
        "blocks": [each.hex() for each in blocks.exact_hashes()],
        "messages": digest(from_blocks(list(blocks))),
    }


def digest(messages: Iterable[Mapping[str, Any]]) -> str:
    """Return a hash of messages as they would be sent."""
    return hashlib.sha256(json.dumps(list(messages), ensure_ascii=False).encode()).hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:])
