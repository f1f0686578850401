"""What agents can do besides talking."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from pycontext.agents.client import ToolCall
from pycontext.errors import ContextError, ValidationError, shown
from pycontext.strict_json import parse

__all__ = ["FunctionTools", "Tools", "call_tool"]

_LOG: Final = logging.getLogger("pycontext.agents")


@runtime_checkable
class Tools(Protocol):
    """Answers the calls of models.

    Attributes:
        schemas: of the tools, in OpenAI's form; they are sent with every request.
    """

    @property
    def schemas(self) -> Sequence[Mapping[str, Any]]:
        """The tools, in OpenAI's form."""
        ...

    async def call(self, call: ToolCall, /) -> str:
        """Return the result of a call, as text.

        After a crash the same call may come again: whatever it changes should be done once per `call.id`.

        Raises:
            Exception: the tool failed; the model is told which error it was.
        """
        ...


class FunctionTools:
    """Tools that are functions, async or not, called with the arguments that the model gave.

    Args:
        functions: by name; what one returns and is no str is written as JSON.
        schemas: in OpenAI's form; None sends none, for models that know the tools from their prompt.

    Raises:
        ValidationError: what is to be called is no function.
    """

    def __init__(
        self, functions: Mapping[str, Callable[..., Any]], schemas: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        for name, function in functions.items():
            if not callable(function):
                raise ValidationError(f"tool {shown(name)} is {type(function).__name__}, not a function")
        self._functions: Final = dict(functions)
        self.schemas: Final[Sequence[Mapping[str, Any]]] = tuple(schemas or ())

    async def call(self, call: ToolCall, /) -> str:
        """Return what the function of that name returned.

        Raises:
            ValidationError: there is no such function, or the arguments are no JSON object.
        """
        function = self._functions.get(call.name)
        if function is None:
            raise ValidationError(f"there is no tool {shown(call.name)}, only {', '.join(self._functions) or 'none'}")
        arguments = parse(call.arguments or "{}")
        if not isinstance(arguments, dict):
            raise ValidationError(f"arguments of {shown(call.name)} are {type(arguments).__name__}, not an object")
        result = function(**arguments)
        if inspect.isawaitable(result):
            result = await result
        return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


async def call_tool(tools: Tools | None, call: ToolCall) -> str:
    """Return the result of a call; where the tool failed, what the model is told of it."""
    if tools is None:
        return _error(f"there is no tool {shown(call.name)}: the agent has none")
    try:
        result = await tools.call(call)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled the turn: something that the tool waited for was given up.
        _LOG.warning("tool %s failed: %s", shown(call.name), type(error).__name__)
        return _error(type(error).__name__)
    except Exception as error:  # noqa: BLE001  # a tool can fail in any way, and the model must learn that it did
        _LOG.warning("tool %s failed: %s", shown(call.name), type(error).__name__, exc_info=True)
        # The text of an error of ours is meant for readers; that of others may hold what is secret.
        return _error(str(error) if isinstance(error, ContextError) else type(error).__name__)
    return result if isinstance(result, str) else _error(f"the tool returned {type(result).__name__}, not text")


def _error(text: str) -> str:
    return json.dumps({"error": text}, ensure_ascii=False)
