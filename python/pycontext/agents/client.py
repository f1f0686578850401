"""What a model is to an agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

__all__ = ["Answer", "LLMClient", "Prompt", "ToolCall", "Usage"]

# OpenAI chat messages, or the text form.
Prompt = str | list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants to have called.

    Attributes:
        id: that the result must name.
        name: of the tool.
        arguments: JSON, as the model wrote it; it may be invalid.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What the provider counted.

    Attributes:
        input_tokens: of the request, cached ones included.
        output_tokens: of the answer.
        cached_tokens: of the request, read from the provider's cache.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0


class Answer(str):
    """What a model said: a str that also knows the calls it wants made, and what it cost.

    Attributes:
        tool_calls: in the order in which the model made them.
        usage: None where the provider did not say.
    """

    __slots__ = ("tool_calls", "usage")

    tool_calls: tuple[ToolCall, ...]
    usage: Usage | None

    def __new__(cls, text: str = "", *, tool_calls: tuple[ToolCall, ...] = (), usage: Usage | None = None) -> Self:
        """Make an answer."""
        self = super().__new__(cls, text)
        self.tool_calls = tool_calls
        self.usage = usage
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[str], Mapping[str, Any]]:
        return (str(self),), {"tool_calls": self.tool_calls, "usage": self.usage}


@runtime_checkable
class LLMClient(Protocol):
    """Asks a model.

    What may pass is raised as `LLMUnavailableError`, what will not as `LLMRefusedError`; a `RetryingClient` around it
    sees to the first.
    """

    async def generate(self, prompt: Prompt, **options: Any) -> str:
        """Return the model's answer: a str, or an `Answer` where there is more to say.

        Args:
            prompt: chat messages in OpenAI's form, or text.
            options: the provider's own, such as `tools` or `max_tokens`.

        Raises:
            LLMError: there is no answer.
        """
        ...
