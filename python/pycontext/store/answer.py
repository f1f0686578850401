"""What a log answers, and the errors that refusals mean."""

from __future__ import annotations

from typing import Any

from pycontext.errors import (
    ConflictError,
    ContextError,
    FencedError,
    SessionGoneError,
    UnknownSessionError,
    shown,
)
from pycontext.store.key import Key
from pycontext.store.replica import Replica
from pycontext.store.request import (
    News,
    Refused,
    Reply,
    Written,
)
from pycontext.store.version import Version

__all__ = ["check_same", "news_of", "refusal_of", "written_of"]


def check_same(replica: Replica, head: Version | None, reply: Reply) -> None:
    """Raise what a reply to `Sync` means where the session is gone, or is not the one that was seen."""
    if isinstance(reply, Refused) or (
        isinstance(reply, News) and head is not None and reply.incarnation != head.incarnation
    ):
        # Said once: who loads it then again has been told that it is another session.
        replica.forget()
        raise refusal_of(reply, replica.key, head, None)


def refusal_of(refused: Refused | News, key: Key, head: Version | None, expected: Version | None) -> ContextError:
    """Return the error that a refusal means."""
    name = shown(key.session_id)
    was = head if expected is None else expected
    at = 0 if was is None else int(was)
    if isinstance(refused, News):
        refused = Refused("other", refused.version, refused.epoch, refused.operation_id)
    if refused.why == "absent":
        if was is None:
            return UnknownSessionError(f"session {name} does not exist")
        return SessionGoneError(f"session {name} was at version {at}, and is gone: it expired or was removed")
    if refused.why == "other":
        return SessionGoneError(
            f"session {name} was at version {at}, and is another one now, at version {refused.version}: "
            "it expired or was removed, and was begun anew"
        )
    if refused.why == "fenced":
        return FencedError(
            f"session {name} goes on in epoch {refused.epoch}: what belongs to an earlier one is refused",
            at,
            refused.version,
        )
    if refused.why == "exists":
        return ConflictError(
            f"session {name} is there, at version {refused.version}: load it first, or say what to expect",
            0,
            refused.version,
        )
    return ConflictError(
        f"session {name} is at version {refused.version} by operation {shown(refused.operation_id[:8])}, not at {at}",
        at,
        refused.version,
    )


def written_of(reply: Any) -> Written:
    """Return the answer to a write that was done.

    Raises:
        ContextError: it is another answer, which a log must not give.
    """
    if not isinstance(reply, Written):
        raise ContextError(f"a log answers {shown(reply)}, which is no written")
    return reply


def news_of(reply: Any) -> News:
    """Return the answer to a question for all that is new.

    Raises:
        ContextError: it is another answer, which a log must not give.
    """
    if not isinstance(reply, News):
        raise ContextError(f"a log answers {shown(reply)}, which are no news")
    return reply
