"""What the model is asked, as turns of the user."""

from __future__ import annotations

from collections.abc import Sequence

from pycontext.errors import ValidationError, shown

__all__ = ["Query", "turns_of"]

Query = str | Sequence[str]
"""One turn of the user, or several with the newest last."""


def turns_of(query: Query) -> list[str]:
    """Return the turns of a query, the newest last.

    Raises:
        ValidationError: it is neither a str nor a sequence with one at least.
    """
    if isinstance(query, str):
        turns = [query]
    elif isinstance(query, list | tuple) and query and all(isinstance(turn, str) for turn in query):
        turns = list(query)
    else:
        raise ValidationError(f"query {shown(query)} is neither a str nor a list of one str at least")
    for turn in turns:
        try:
            turn.encode()
        except UnicodeEncodeError:
            raise ValidationError(f"query {shown(turn)} holds a lone surrogate") from None
    return turns
