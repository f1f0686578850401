"""Names of sessions and inboxes in a store."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple, Self
from urllib.parse import quote, unquote

from pycontext._core import check_id
from pycontext.errors import ValidationError, shown
from pycontext.package import check_session_id

__all__ = ["PREFIX", "Key", "check_namespace", "inbox_name", "quoted", "seen_name"]

PREFIX: Final = "pctx"

# All that is not quoted; a colon or a brace in a part would let two names be one, or end the slot of a cluster early.
_SAFE: Final = "@"
_NAME: Final = re.compile(r"pctx:\{([\w.@%-]*):([\w.@%-]+)\}", re.ASCII)


class Key(NamedTuple):
    """A session of a namespace.

    Attributes:
        namespace: keeps tenants or environments apart.
        session_id: of the session.
    """

    namespace: str
    session_id: str

    @classmethod
    def of(cls, namespace: str, session_id: str) -> Self:
        """Make the key of a session.

        Raises:
            ValidationError: `session_id` is none.
        """
        check_session_id(session_id)
        return cls(namespace, session_id)

    @classmethod
    def named(cls, name: str) -> Self | None:
        """Return the key that has that name, None where it is not the name of a session."""
        found = _NAME.fullmatch(name)
        return None if found is None else cls(unquote(found[1]), unquote(found[2]))

    @property
    def name(self) -> str:
        """What a store calls it: `pctx:{namespace:session}`; the braces keep it in one slot of a cluster."""
        return _name(*self)


@lru_cache(4096)
def _name(namespace: str, session_id: str) -> str:
    return f"{PREFIX}:{{{quoted(namespace)}:{quoted(session_id)}}}"


def inbox_name(namespace: str, agent_id: str) -> str:
    """Return what a store calls the inbox of an agent; no session has that name, for the colon in it.

    Raises:
        ValidationError: `agent_id` is none.
    """
    check_id("agent_id", agent_id)
    return f"{PREFIX}:{{{quoted(namespace)}:inbox:{quoted(agent_id)}}}"


def seen_name(key: Key, operation_id: str) -> str:
    """Return what a store calls the memory of an import; no session has that name.

    Raises:
        ValidationError: `operation_id` is none.
    """
    check_id("operation_id", operation_id)
    return f"{PREFIX}:{{{quoted(key.namespace)}:seen:{quoted(key.session_id)}:{quoted(operation_id)}}}"


def check_namespace(namespace: object) -> None:
    """Raise `ValidationError` unless a value is a namespace."""
    if not isinstance(namespace, str):
        raise ValidationError(f"namespace {shown(namespace)} is {type(namespace).__name__}, not str")
    check_id("namespace", namespace)


def quoted(part: str) -> str:
    """Return a part of a name with everything quoted that a name may not have."""
    # `quote` leaves `~` as it is, which names of ours do not have.
    return quote(part, safe=_SAFE).replace("~", "%7E")
