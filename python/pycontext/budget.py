"""How many tokens a request may hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pycontext.counter import DEFAULT_ENCODING, TokenCounter, as_counter
from pycontext.errors import ValidationError, shown
from pycontext.tool_schemas import ToolFormat, schema_tokens

__all__ = ["Budget"]

LARGEST_BUDGET: Final = 2**53


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens of a whole request, and what of them the blocks may use.

    Attributes:
        max_tokens: tokens that the request may hold, 1 or more.
        reserve_output: tokens left free for the model's answer.
        overhead: tokens that the request holds besides the blocks, such as tool schemas.
        exact: False where `overhead` was estimated, so that what is selected says so; an estimate is an upper bound.

    Raises:
        ValidationError: a number is no whole number in its range, or nothing is left for the blocks.
    """

    max_tokens: int
    reserve_output: int = field(default=0, kw_only=True)
    overhead: int = field(default=0, kw_only=True)
    exact: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        check_tokens("max_tokens", self.max_tokens, least=1)
        check_tokens("reserve_output", self.reserve_output)
        check_tokens("overhead", self.overhead)
        if not isinstance(self.exact, bool):
            raise ValidationError(f"exact {shown(self.exact)} is neither True nor False")
        if self.available < 1:
            raise ValidationError(
                f"max_tokens {self.max_tokens} leaves {self.available} tokens for blocks after reserve_output "
                f"{self.reserve_output} and overhead {self.overhead}, not 1 or more"
            )

    @property
    def available(self) -> int:
        """Tokens that the blocks may use, as rendered."""
        return self.max_tokens - self.reserve_output - self.overhead

    @classmethod
    def for_tools(
        cls,
        tools: Iterable[Mapping[str, Any]],
        max_tokens: int,
        *,
        reserve_output: int = 0,
        overhead: int = 0,
        counter: str | TokenCounter = DEFAULT_ENCODING,
        format: ToolFormat = "openai",
    ) -> Budget:
        """Return a budget for a request with tools, whose schemas are part of it.

        Providers do not say how they write schemas: they are taken for an upper bound, and `exact` is False.

        Args:
            tools: schemas, in the form of OpenAI's or Anthropic's API.
            max_tokens: as for `Budget`.
            reserve_output: as for `Budget`.
            overhead: what the request holds besides blocks and schemas.
            counter: "o200k_base", another name that `get_counter` takes, or a plug-in.
            format: whose API the request is for.

        Raises:
            ValidationError: a tool is no dict with a JSON and a name, or nothing is left for the blocks.
            PluginError: the counter raised or returned what it must not.
        """
        check_tokens("overhead", overhead)
        schemas = schema_tokens(tools, as_counter(counter), format)
        return cls(max_tokens, reserve_output=reserve_output, overhead=overhead + schemas, exact=not schemas)

    @classmethod
    def of(cls, budget: Budget | int) -> Budget:
        """Return a budget for what a caller may write: a `Budget`, or its `max_tokens`."""
        return budget if isinstance(budget, Budget) else cls(budget)


def available_of(budget: Budget | int) -> int:
    """Tokens that blocks may use of what a caller may write: a `Budget`, or its `max_tokens`."""
    # Without making a `Budget`: it takes longer than the prune of a few blocks.
    if type(budget) is int and 0 < budget <= LARGEST_BUDGET:
        return budget
    return Budget.of(budget).available


def check_tokens(name: str, value: object, *, least: int = 0, most: int = LARGEST_BUDGET) -> None:
    """Raise `ValidationError` unless `value` is a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValidationError(f"{name} {shown(value)} is not a whole number from {least} to {most}")
