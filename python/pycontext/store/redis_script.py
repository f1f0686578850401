"""Requests as calls of the scripts in `scripts/`, and their replies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, cast

from pycontext.errors import StoreCorruptError, StoreError, UnsupportedFormatError, shown
from pycontext.store.hint import Hint
from pycontext.store.key import Key
from pycontext.store.request import (
    Append,
    Compact,
    Discard,
    Inquire,
    Listed,
    News,
    Refused,
    Replace,
    Reply,
    Request,
    Same,
    Scrub,
    Sync,
    Trim,
    Written,
)

__all__ = ["NOTIFY", "SETTLE", "TAKE", "Script", "hints_of", "reply_of", "script_of", "words_of"]

# What a script says of a session that is not as it should be, besides that it is at another version.
_REFUSED: Final = frozenset({"absent", "other", "exists", "fenced", "conflict", "behind", "trim"})


@dataclass(frozen=True, slots=True)
class Script:
    """A script of the server.

    Attributes:
        name: of its file.
        text: of its file.
        sha: by which the server knows it.
    """

    name: str
    text: str
    sha: str

    @classmethod
    def named(cls, name: str) -> Script:
        """Read a script."""
        text = (files("pycontext.store") / "scripts" / f"{name}.lua").read_text(encoding="utf-8")
        # How the server names scripts; nothing rests on it.
        return cls(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())


NOTIFY: Final = Script.named("notify")
TAKE: Final = Script.named("take")
SETTLE: Final = Script.named("settle")
_SCRIPTS: Final[dict[type[Request], Script]] = {
    Append: Script.named("append"),
    Replace: Script.named("replace"),
    Compact: Script.named("compact"),
    Trim: Script.named("trim"),
    # What is removed is gone; a file that the server appends to is its own affair.
    Scrub: Script.named("trim"),
    Sync: Script.named("sync"),
    Discard: Script.named("discard"),
    Inquire: Script.named("inquire"),
}


def script_of(request: Request) -> Script:
    """Return the script that does a request, whose fields are its arguments."""
    return _SCRIPTS[type(request)]


def words_of(script: Script, name: str, arguments: Iterable[str | int | bytes]) -> list[bytes]:
    """Return what follows EVALSHA, as bytes: redis-py looks at everything else for some time."""
    words = [script.sha.encode(), b"1", name.encode()]
    words += [word if isinstance(word, bytes) else str(word).encode() for word in arguments]
    return words


def reply_of(raw: Any, key: Key, request: Request) -> Reply:
    """Read what a script replied.

    Raises:
        StoreCorruptError: something else is at that key.
        UnsupportedFormatError: a later release wrote the session.
    """
    if isinstance(raw, bytes):
        word, *rest = raw.decode().split(" ", 5)
        if word == "ok":
            version, snapshot_version, epoch, incarnation, previous = rest
            return Written(int(version), int(snapshot_version), int(epoch), incarnation, previous)
        if word == "=":
            return Same()
        if word == "left":
            return int(rest[0])
        if word in _REFUSED:
            version, epoch, operation_id = raw.decode().split(" ", 3)[1:]
            return Refused(cast("Any", word), int(version), int(epoch), operation_id)
        if word == "format":
            raise UnsupportedFormatError(f"{key.name} has format {rest[-1]}, and this release reads 1")
        if word == "foreign":
            raise StoreCorruptError(f"{key.name} holds a hash that is no session of ours")
    elif isinstance(raw, list) and isinstance(request, Sync):
        return _news(raw)
    elif isinstance(raw, list) and isinstance(request, Inquire):
        return _listed(raw)
    raise StoreError(f"{key.name}: the server answers {shown(raw)}")


def hints_of(raw: list[bytes]) -> list[Hint]:
    """Read what take.lua replied."""
    texts = [text.decode() for text in raw]
    rows = zip(*(iter(texts),) * 5, strict=True)
    return [Hint(id, session, sender, int(version), int(epoch)) for id, session, sender, version, epoch in rows]


def _news(raw: list[Any]) -> News:
    incarnation, version, operation, epoch, snapshot_version, snapshot_operation, snapshot, *changes = raw
    return News(
        incarnation.decode(),
        int(version),
        operation.decode(),
        int(epoch),
        int(snapshot_version),
        snapshot_operation.decode(),
        # One that is not there is damaged.
        None if snapshot == b"" else snapshot or b"",
        [_change(change) for change in changes],
    )


def _change(raw: bytes) -> tuple[str, bytes]:
    """The operation and the bytes of a change; of one that is missing, nothing."""
    end = 1 + raw[0] if raw else 0
    return raw[1:end].decode(errors="replace"), raw[end:]


def _listed(raw: list[Any]) -> Listed:
    version, epoch, incarnation, snapshot_version, snapshot_bytes, age_ms, ttl_ms, memory, needless = raw
    changes = int(version) - int(snapshot_version)
    return Listed(
        int(version),
        int(epoch),
        incarnation.decode(),
        int(snapshot_version),
        int(snapshot_bytes),
        changes,
        int(age_ms),
        None if ttl_ms < 0 else int(ttl_ms),
        int(memory),
        int(needless),
    )
