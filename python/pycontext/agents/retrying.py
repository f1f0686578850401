"""A model that is asked again where that may help."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from random import random as any_fraction
from typing import Any, Final, Self

from pycontext.agents.client import LLMClient, Prompt
from pycontext.agents.seconds import check_seconds
from pycontext.budget import check_tokens
from pycontext.errors import ContextError, LLMTimeoutError, LLMUnavailableError, ValidationError, shown

__all__ = ["RetryingClient"]

_MOST_ATTEMPTS: Final = 100


class RetryingClient:
    """Asks a client again when its provider does not answer, is overloaded or limits our rate.

    Before the n-th retry it waits a random part of `first_delay_seconds` times 2 to the power of n - 1, so that clients
    which failed together do not come back together (exponential backoff with full jitter, M. Brooker, 2015), and at
    least as long as the provider asks. What is refused, an answer that is none, a bug and a cancellation pass at once.

    Args:
        client: who is asked.
        most_attempts: 1 to 100, the first one included.
        timeout_seconds: of one attempt.
        deadline_seconds: of all attempts and waits; no wait begins that would end after it.
        first_delay_seconds: most that the first wait takes, unless the provider asks for more.
        longest_delay_seconds: most that any wait takes, unless the provider asks for more.
        sleep: waits so many seconds.
        random: returns a number from 0 to below 1.
        clock: returns seconds, which never go back.

    Raises:
        ValidationError: an argument is outside its limits.
    """

    # tenacity would make this no simpler: a wait that the error asks for, an end that looks at the wait to come and a
    # time-out of each attempt would be three callbacks of ours, around a loop of its own.
    def __init__(
        self,
        client: LLMClient,
        *,
        most_attempts: int = 4,
        timeout_seconds: float = 60.0,
        deadline_seconds: float = 120.0,
        first_delay_seconds: float = 0.5,
        longest_delay_seconds: float = 30.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = any_fraction,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not isinstance(client, LLMClient):
            raise ValidationError(f"client {shown(client)} has no generate")
        check_tokens("most_attempts", most_attempts, least=1, most=_MOST_ATTEMPTS)
        check_seconds("timeout_seconds", timeout_seconds)
        check_seconds("deadline_seconds", deadline_seconds)
        check_seconds("first_delay_seconds", first_delay_seconds)
        check_seconds("longest_delay_seconds", longest_delay_seconds)
        if longest_delay_seconds < first_delay_seconds:
            text = f"longest_delay_seconds {longest_delay_seconds:g} is below first_delay_seconds"
            raise ValidationError(f"{text} {first_delay_seconds:g}")
        self.client: Final = client
        self.most_attempts: Final = most_attempts
        self.timeout_seconds: Final = timeout_seconds
        self.deadline_seconds: Final = deadline_seconds
        self.first_delay_seconds: Final = first_delay_seconds
        self.longest_delay_seconds: Final = longest_delay_seconds
        self._sleep: Final = sleep
        self._random: Final = random
        self._clock: Final = clock

    async def generate(self, prompt: Prompt, **options: Any) -> str:
        """Return the client's answer.

        Args:
            prompt: as the client takes it.
            options: likewise.

        Raises:
            LLMUnavailableError: no attempt had an answer; says how many there were and in how many seconds. It is an
                `LLMTimeoutError` where the last one took too long.
            LLMError: what else the client raises.
        """
        began = self._clock()
        end = began + self.deadline_seconds
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(prompt, options, end - self._clock())
            except (LLMUnavailableError, TimeoutError, ConnectionError) as error:
                if isinstance(error, ContextError) and not isinstance(error, LLMUnavailableError):
                    raise  # of a store, say: asking the model again does not help
                asked = _asked_wait(error)
                wait = max(self._backoff(attempt), asked or 0.0)
                now = self._clock()
                if attempt == self.most_attempts or now + wait >= end:
                    raise _last(error, attempt, now - began, asked) from error
            await self._sleep(wait)

    async def aclose(self) -> None:
        """Close the client, where it can be closed."""
        close = getattr(self.client, "aclose", None)
        if close is not None:
            await close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _attempt(self, prompt: Prompt, options: dict[str, Any], left: float) -> str:
        seconds = min(self.timeout_seconds, left)
        try:
            async with asyncio.timeout(seconds) as limit:
                return await self.client.generate(prompt, **options)
        except TimeoutError as error:
            if limit.expired() and not isinstance(error, ContextError):
                raise LLMTimeoutError(f"no answer within {seconds:.3g} s") from error
            raise

    def _backoff(self, attempt: int) -> float:
        # The power is bounded by the number of attempts: no overflow.
        return float(min(self.first_delay_seconds * 2.0 ** (attempt - 1), self.longest_delay_seconds) * self._random())


def _asked_wait(error: Exception) -> float | None:
    """What the provider asks to wait; a client of somebody else may put anything there."""
    seconds = getattr(error, "retry_after_seconds", None)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return float(seconds) if math.isfinite(seconds) and seconds >= 0 else None


def _last(error: Exception, attempts: int, seconds: float, asked: float | None) -> LLMUnavailableError:
    # Another client's error may have several lines, or a key: its name is enough, and it is chained.
    said = str(error) if isinstance(error, ContextError) else type(error).__name__
    text = f"{said}; gave up after {attempts} attempt{'s' * (attempts > 1)} in {seconds:.3g} s"
    if asked is not None:
        text += f", asked to wait {asked:.3g} s"
    return (LLMTimeoutError if isinstance(error, TimeoutError) else LLMUnavailableError)(text, asked)
