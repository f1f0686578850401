"""Who gets a turn, by what the customer wants; and what an agent may see of another's session."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pycontext.block import ContextType
from pycontext.budget import Budget
from pycontext.errors import ValidationError, shown
from pycontext.handoff import Redact

__all__ = ["Receiver", "Route", "by_intent"]

# From the values of an analysis to the name of an agent; None where the agent that made it keeps the turn.
Route = Callable[[Mapping[str, Any]], str | None]

_WORD: Final = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Receiver:
    """What an agent gets that may not see everything: a handoff instead of the session itself.

    Attributes:
        budget: as in `pycontext.handoff`, as are the others.
        allow: types that may travel; None for all but SYSTEM.
        tools: names of the tools that the agent has; None leaves all exchanges as they are.
        redact: what to take out.
        metadata: keys that travel.
    """

    budget: Budget | int | None = None
    allow: Collection[ContextType] | None = None
    tools: Collection[str] | None = None
    redact: Redact | None = None
    metadata: Collection[str] = ()


def by_intent(routes: Mapping[str, str], fallback: str) -> Route:
    """Return a route that looks for words in `primary_intent`.

    Args:
        routes: names of agents by word; the first word that the intent has decides. Of an underscore, space or hyphen
            makes no difference.
        fallback: who gets what no word fits.

    Raises:
        ValidationError: there is no word to look for in one of `routes`.
    """
    words = {key: _words(key) for key in routes}
    if empty := [key for key, found in words.items() if not found]:
        raise ValidationError(f"routes: {shown(empty[0])} has no word")

    def route(data: Mapping[str, Any]) -> str:
        intent = _words(str(data.get("primary_intent", "")))
        for key, name in routes.items():
            if words[key] <= intent:
                return name
        return fallback

    return route


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
