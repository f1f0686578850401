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
    """

    def __init__(self, message: str, needed: int, available: int, blockers: list[str]) -> None:
        super().__init__(message, needed, available, blockers)
        self.needed: Final = needed
        self.available: Final = available
        self.blockers: Final = blockers

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownSessionError(ContextError, KeyError, ValueError):
    """There is no session of that id."""

    # KeyError would show its argument as a repr.
    __str__ = Exception.__str__


class UnknownBlockError(ContextError, KeyError, ValueError):
    """The session has no block of that id, and none that fell is still remembered."""

    __str__ = Exception.__str__


class ConflictError(ContextError):
    """The session here is not older than the one that was to replace it.

    Attributes:
        expected: the version that had to be exceeded.
        actual: the version that came.
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


def shown(value: object, width: int = 40) -> str:
    """A rejected value as a message repeats it: its repr on one line, cut; never an error of its own."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # a repr can fail in any way: numbers too long, nesting too deep, a caller's own
        text = f"<{type(value).__name__}>"
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= width else line[: width - 1] + "…"
