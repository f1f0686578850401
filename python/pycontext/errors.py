"""What the library refuses, and what it raises then.

What the library refuses is a `ContextError` with a message of one line; where a builtin exception fits, it is one as
well. A position that a list does not have is an `IndexError`, as for any list.
"""

from __future__ import annotations

from typing import Final


class ContextError(Exception):
    """The root of all errors of this library."""


class ValidationError(ContextError, ValueError):
    """A value is outside its limits; nothing was changed."""


class BudgetExceededError(ContextError, ValueError):
    """The blocks that must stay do not fit; nothing was changed.

    Attributes:
        needed: tokens that the pinned blocks need as rendered.
        available: tokens that there are.
        blockers: ids of the largest pinned blocks; without them the others would fit.
        smallest_budget: the `max_tokens` that would do.
    """

    def __init__(self, message: str, needed: int, available: int, blockers: list[str]) -> None:
        super().__init__(message, needed, available, blockers)
        self.needed: Final = needed
        self.available: Final = available
        self.blockers: Final = blockers
        self.smallest_budget = needed

    def beside(self, tokens: int) -> None:
        """Say that so many tokens of the budget are not for blocks."""
        if tokens:
            self.smallest_budget = self.needed + tokens
            text = f"{self.args[0]}; the smallest max_tokens that would do is {self.smallest_budget}"
            self.args = (text, *self.args[1:])

    def __str__(self) -> str:
        return str(self.args[0])


class BadLineError(ContextError):
    """A line or row of a file is no conversation; the message names file and line.

    Attributes:
        file: name of the file, as it was given.
        line: number of the line or row, from 1.
        reason: what is wrong with it.
    """

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(file, line, reason)
        self.file = file
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class UnknownSessionError(ContextError, KeyError, ValueError):
    """There is no session of that id."""

    # KeyError would show its argument as a repr.
    __str__ = Exception.__str__


class UnknownBlockError(ContextError, KeyError, ValueError):
    """The session has no block of that id, and none that fell is still remembered."""

    __str__ = Exception.__str__


class SessionGoneError(UnknownSessionError):
    """The session was in the store and is not any more: it expired, was evicted or deleted, and perhaps begun anew."""


class ConflictError(ContextError):
    """The session is not at the version that the writer thought, or not older than what was to replace it.

    Attributes:
        expected: the version that the writer thought of, or that had to be exceeded.
        actual: the version that there is, or that came.
    """

    def __init__(self, message: str, expected: int, actual: int) -> None:
        super().__init__(message, expected, actual)
        self.expected: Final = expected
        self.actual: Final = actual

    def __str__(self) -> str:
        return str(self.args[0])


class FencedError(ConflictError):
    """The session goes on under another owner: nothing changes here any more."""

    def __init__(self, message: str, expected: int = 0, actual: int = 0) -> None:
        super().__init__(message, expected, actual)


class PrivilegeError(ContextError, ValueError):
    """An import claims what its sender may not have."""


class SignatureError(ContextError, ValueError):
    """What was sealed does not hold, or a key is not for what is asked of it; nothing was read or written."""


class PluginError(ContextError):
    """A counter, scorer or formatter raised or returned what it must not; the cause is chained."""


class StoreError(ContextError):
    """A store did not do what was asked."""


class StoreUnavailableError(StoreError, ConnectionError):
    """The store does not answer, or says that it cannot now; whether a write was done is not known."""


class StoreTimeoutError(StoreUnavailableError, TimeoutError):
    """The store did not answer in time; whether a write was done is not known."""


class StoreBusyError(StoreUnavailableError):
    """Others held the store for too long; nothing was written."""


class StoreDeniedError(StoreError, PermissionError):
    """The store refuses this user or this program; nothing was written."""


class StoreFullError(StoreError):
    """The store has no room; nothing was written."""


class StoreCorruptError(StoreError):
    """What is in the store was not written by us, or is damaged; nothing was written."""


class CorruptPayloadError(StoreCorruptError):
    """The bytes of a stored session are damaged.

    Attributes:
        key: of the session in the store.
        field: "snapshot" or "change".
        version: that these bytes make.
    """

    def __init__(self, message: str, key: str, field: str, version: int) -> None:
        super().__init__(message)
        self.key: Final = key
        self.field: Final = field
        self.version: Final = version


class UnsupportedFormatError(StoreError):
    """A later release wrote this; nothing was written."""


class VersionGoneError(StoreError, LookupError):
    """The store does not keep that version any more.

    Attributes:
        version: that was asked for.
        oldest: that can be had.
    """

    def __init__(self, message: str, version: int, oldest: int) -> None:
        super().__init__(message)
        self.version: Final = version
        self.oldest: Final = oldest


class LLMError(ContextError):
    """A model's answer could not be had; the session is as it was before it was asked for."""


class LLMUnavailableError(LLMError, ConnectionError):
    """The provider does not answer, is overloaded or limits our rate: trying again may help.

    Attributes:
        retry_after_seconds: what the provider asks to wait; None where it says nothing.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds: Final = retry_after_seconds


class LLMTimeoutError(LLMUnavailableError, TimeoutError):
    """The provider did not answer in time."""


class LLMRefusedError(LLMError):
    """The provider refuses the request, or us; trying again does not help."""


class AnswerError(LLMError, ValueError):
    """The model answered something else than what was asked for, also after it was told so once."""


class HopLimitError(ContextError):
    """Agents hand a turn on and on; nobody answered it."""


class DeadlockError(ContextError, RuntimeError):
    """Tasks wait for sessions that the others of them hold; this one gave up."""


class BusyError(ContextError, TimeoutError):
    """Others held what was asked for until the time was up."""


def shown(value: object, width: int = 40) -> str:
    """A rejected value as a message repeats it: its repr on one line, cut; never an error of its own."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # a repr can fail in any way: numbers too long, nesting too deep, a caller's own
        text = f"<{type(value).__name__}>"
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= width else line[: width - 1] + "…"
