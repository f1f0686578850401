"""What a request that is refused is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pycontext.errors import (
    AnswerError,
    BudgetExceededError,
    BusyError,
    ConflictError,
    ContextError,
    DeadlockError,
    HopLimitError,
    LLMError,
    LLMRefusedError,
    LLMTimeoutError,
    LLMUnavailableError,
    PrivilegeError,
    StoreError,
    UnknownBlockError,
    UnknownSessionError,
    ValidationError,
)

__all__ = ["Refusal", "refusal_of"]

_LONGEST_RETRY_SECONDS: Final = 3600

# The first class that fits decides. What a client may do about it is said in our words where the words of the error
# are those of a provider, a store or our own machinery: they may name addresses, accounts and keys.
_STATUS: Final[tuple[tuple[type[ContextError], int, str | None], ...]] = (
    (BudgetExceededError, 422, None),
    (PrivilegeError, 403, None),
    (UnknownSessionError, 404, None),
    (UnknownBlockError, 404, None),
    (ConflictError, 409, None),
    (LLMTimeoutError, 504, "the model did not answer in time; the message is in the session"),
    (LLMUnavailableError, 503, "the model is not available; the message is in the session"),
    (LLMRefusedError, 502, "the model refused the request; the message is in the session"),
    (AnswerError, 502, "the model gave no answer that can be used; the message is in the session"),
    (LLMError, 502, "there is no answer of the model; the message is in the session"),
    (HopLimitError, 502, "agents hand the turn on and on; the message is in the session"),
    (StoreError, 503, "the store did not do what was asked; send the request again under the same id"),
    (BusyError, 503, "others hold the session; send the request again"),
    (DeadlockError, 503, "others hold the session; send the request again"),
    (ValidationError, 400, None),
)


# Not frozen: what passes an exception on writes its traceback.
@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818  # it is no error of ours
    """A request that is refused.

    Attributes:
        status: of HTTP.
        type: what kind it is, for programs.
        message: one line, for people.
        headers: of the response.
        more: what else is in the error, for programs.
    """

    status: int
    type: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """Return the body of the response."""
        return {"error": {"type": self.type, "message": self.message, **self.more}}


def refusal_of(error: ContextError) -> Refusal | None:
    """Return what a client is told of an error, None where it is our own."""
    for kind, status, message in _STATUS:
        if isinstance(error, kind):
            headers = {"Retry-After": _retry_after(error)} if status == 503 else {}
            more: dict[str, Any] = {}
            if isinstance(error, BudgetExceededError):
                more = {"needed": error.needed, "available": error.available}
            return Refusal(status, type(error).__name__, str(error) if message is None else message, headers, more)
    return None


def _retry_after(error: ContextError) -> str:
    seconds = error.retry_after_seconds if isinstance(error, LLMUnavailableError) else None
    if seconds is None or not math.isfinite(seconds):
        return "1"
    return str(min(max(math.ceil(seconds), 1), _LONGEST_RETRY_SECONDS))
