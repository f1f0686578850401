"""When a model is asked again, when it is not, and how long that may take."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontext.agents.anthropic_client import AnthropicClient
from pycontext.agents.client import LLMClient
from pycontext.agents.openai_client import OpenAIClient
from pycontext.agents.retrying import RetryingClient
from pycontext.errors import (
    AnswerError,
    LLMRefusedError,
    LLMTimeoutError,
    LLMUnavailableError,
    StoreUnavailableError,
    ValidationError,
)
from servers.llm import LLMServer, Reply, anthropic_events, openai_events


@dataclass
class Scripted:
    """Raises what it is told, each time the next, then answers. Time passes only here."""

    failures: list[BaseException] = field(default_factory=list)
    takes: float = 0.0
    now: float = 1_000.0
    calls: list[Any] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    async def generate(self, prompt, **options):
        self.calls.append((prompt, options))
        self.now += self.takes
        if len(self.calls) <= len(self.failures):
            raise self.failures[len(self.calls) - 1]
        return "Yes."

    async def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds

    def retrying(self, *, fraction=1.0, **settings):
        clocks = {"sleep": self.sleep, "random": lambda: fraction, "clock": lambda: self.now}
        return RetryingClient(self, **clocks, **settings)


class Hanging:
    """Answers after so many seconds, which it counts down."""

    def __init__(self, *seconds):
        self.seconds = list(seconds)
        self.cancelled = 0

    async def generate(self, _prompt, **_options):
        try:
            await asyncio.sleep(self.seconds.pop(0))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "Yes."


def unavailable(seconds=None):
    return LLMUnavailableError("overloaded", seconds)


def test_it_asks_again_with_the_same_prompt_and_options():
    scripted = Scripted([unavailable(), TimeoutError(), ConnectionResetError(), LLMTimeoutError("slow")])
    client = scripted.retrying(most_attempts=5)
    assert isinstance(client, LLMClient)
    assert asyncio.run(client.generate("hi", temperature=0)) == "Yes."
    assert scripted.calls == [("hi", {"temperature": 0})] * 5


def test_waits_double_up_to_the_longest_and_are_spread():
    scripted = Scripted([unavailable() for _ in range(6)])
    client = scripted.retrying(most_attempts=7, first_delay_seconds=0.5, longest_delay_seconds=6)
    asyncio.run(client.generate("hi"))
    assert scripted.waits == [0.5, 1, 2, 4, 6, 6]
    scripted = Scripted([unavailable(), unavailable()])
    asyncio.run(scripted.retrying(fraction=0.25).generate("hi"))
    assert scripted.waits == [0.125, 0.25]


def test_it_waits_as_long_as_the_provider_asks():
    scripted = Scripted([unavailable(40.0), unavailable(0.0), unavailable(0.3)])
    asyncio.run(scripted.retrying(longest_delay_seconds=2).generate("hi"))
    # Longer than our longest; never shorter than our own, where that is more.
    assert scripted.waits == [40, 1, 2]


def test_a_wait_that_ends_too_late_does_not_begin():
    scripted = Scripted([unavailable(121.0)])
    with pytest.raises(
        LLMUnavailableError, match="overloaded; gave up after 1 attempt in 0 s, asked to wait 121 s"
    ) as caught:
        asyncio.run(scripted.retrying().generate("hi"))
    assert scripted.waits == []
    assert caught.value.retry_after_seconds == 121
    assert caught.value.__cause__ is scripted.failures[0]


def test_the_last_error_says_how_often_and_how_long():
    scripted = Scripted([unavailable() for _ in range(9)], takes=2.0)
    with pytest.raises(LLMUnavailableError, match=r"^overloaded; gave up after 4 attempts in 11\.5 s$") as caught:
        asyncio.run(scripted.retrying().generate("hi"))
    assert len(scripted.calls) == 4
    assert caught.value.__cause__ is scripted.failures[3]
    assert not isinstance(caught.value, LLMTimeoutError)


def test_the_error_of_another_client_is_named_and_not_repeated():
    scripted = Scripted([ConnectionError("key sk-secret\nis wrong"), TimeoutError("sk-secret")])
    with pytest.raises(LLMUnavailableError, match=r"^ConnectionError; gave up after 1 attempt in 0 s$"):
        asyncio.run(scripted.retrying(most_attempts=1).generate("hi"))
    with pytest.raises(LLMTimeoutError, match=r"^TimeoutError; gave up after 1 attempt in 0 s$"):
        asyncio.run(scripted.retrying(most_attempts=1).generate("hi"))


@pytest.mark.parametrize(
    "error",
    [
        LLMRefusedError("no"),
        AnswerError("cut"),
        TypeError("unexpected keyword argument"),
        ValueError("x"),
        KeyError("x"),
        StoreUnavailableError("the store, not the model"),
        asyncio.CancelledError(),
    ],
)
def test_what_does_not_pass_is_raised_at_once_and_unchanged(error):
    scripted = Scripted([error])
    with pytest.raises(type(error)) as caught:
        asyncio.run(scripted.retrying().generate("hi"))
    if not isinstance(error, asyncio.CancelledError):  # which asyncio.run raises anew
        assert caught.value is error
    assert len(scripted.calls) == 1
    assert scripted.waits == []


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1, True, "soon"])
def test_a_wait_that_is_none_is_not_waited(seconds):
    scripted = Scripted([unavailable(seconds)])
    assert asyncio.run(scripted.retrying().generate("hi")) == "Yes."
    assert scripted.waits == [0.5]


def test_each_attempt_has_its_own_time_out():
    hanging = Hanging(30, 30, 0)
    client = RetryingClient(hanging, timeout_seconds=0.05, first_delay_seconds=0.001)
    assert asyncio.run(client.generate("hi")) == "Yes."
    assert hanging.cancelled == 2


def test_the_deadline_ends_an_attempt_as_well():
    hanging = Hanging(0.06, 30, 30)
    began = time.monotonic()
    client = RetryingClient(hanging, timeout_seconds=20, deadline_seconds=0.1, first_delay_seconds=0.001)
    assert asyncio.run(client.generate("hi")) == "Yes."
    with pytest.raises(LLMTimeoutError, match=r"no answer within 0\.\d+ s; gave up after 1 attempt in 0\.\d+ s"):
        asyncio.run(client.generate("hi"))
    assert time.monotonic() - began < 10
    assert hanging.cancelled == 1


@pytest.mark.parametrize("when", ["asking", "waiting"])
def test_cancellation_passes_at_once(when):
    async def cancelled():
        hanging = Hanging(30)
        scripted = Scripted([unavailable(60.0)])
        client = RetryingClient(hanging if when == "asking" else scripted)
        task = asyncio.create_task(client.generate("hi"))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 5
        assert hanging.cancelled == (when == "asking")
        assert len(scripted.calls) == (when == "waiting")

    asyncio.run(cancelled())


def test_a_deadline_of_the_caller_is_the_callers():
    """Its time-out passes as a cancellation, and is not taken for one of an attempt."""

    async def asked():
        hanging = Hanging(30, 30)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await RetryingClient(hanging).generate("hi")
        assert type(caught.value) is TimeoutError
        assert hanging.cancelled == 1

    asyncio.run(asked())


FAILURES = st.one_of(
    st.none().map(unavailable),
    st.floats(0, 200).map(unavailable),
    st.builds(TimeoutError),
    st.builds(ConnectionError),
    st.builds(LLMTimeoutError, st.just("slow")),
)


@given(
    failures=st.lists(FAILURES, max_size=12),
    fraction=st.floats(0, 1, exclude_max=True),
    takes=st.floats(0, 50),
    most=st.integers(1, 8),
    deadline=st.floats(0.1, 300),
    first=st.floats(0.001, 10),
    more=st.floats(0, 60),
)
def test_calls_and_waits_stay_in_their_bounds(failures, fraction, takes, most, deadline, first, more):
    scripted = Scripted(failures, takes=takes)
    client = scripted.retrying(
        fraction=fraction,
        most_attempts=most,
        timeout_seconds=1_000,
        deadline_seconds=deadline,
        first_delay_seconds=first,
        longest_delay_seconds=first + more,
    )
    began, left = scripted.now, None
    try:
        answer = asyncio.run(client.generate("hi"))
    except LLMUnavailableError as error:
        answer, left = None, error
    calls, waits = len(scripted.calls), scripted.waits
    assert 1 <= calls <= most
    assert len(waits) == calls - 1
    # Every attempt begins before the deadline.
    assert scripted.now - takes - began < deadline or calls == 1
    assert sum(waits) < deadline
    for number, (wait, failure) in enumerate(zip(waits, failures, strict=False)):
        asked = getattr(failure, "retry_after_seconds", None) or 0.0
        assert asked <= wait <= max(asked, min(first * 2**number, first + more))
    if left is None:
        assert answer == "Yes."
        assert calls == len(failures) + 1
    else:
        assert left.__cause__ is failures[calls - 1]
        assert f"gave up after {calls} attempt{'s' * (calls > 1)} in " in str(left)
        asked = getattr(failures[calls - 1], "retry_after_seconds", None) or 0.0
        soonest = max(asked, min(first * 2 ** (calls - 1), first + more) * fraction)
        assert calls == most or scripted.now - began + soonest >= deadline * 0.999_999


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"most_attempts": 0}, "most_attempts 0 is not a whole number from 1 to 100"),
        ({"most_attempts": 101}, "most_attempts 101 "),
        ({"most_attempts": True}, "most_attempts True "),
        ({"timeout_seconds": 0}, "timeout_seconds 0 "),
        ({"deadline_seconds": float("inf")}, "deadline_seconds inf "),
        ({"first_delay_seconds": -1}, "first_delay_seconds -1 "),
        ({"longest_delay_seconds": "1"}, "longest_delay_seconds '1' "),
        ({"longest_delay_seconds": 0.1}, "longest_delay_seconds 0.1 is below first_delay_seconds 0.5"),
    ],
)
def test_settings_that_are_none(settings, text):
    with pytest.raises(ValidationError, match=text):
        RetryingClient(Scripted(), **settings)
    with pytest.raises(ValidationError, match="client 7 has no generate"):
        RetryingClient(7)


def test_it_closes_what_it_asks():
    class Closing(Scripted):
        closed = 0

        async def aclose(self):
            self.closed += 1

    async def used(client):
        async with RetryingClient(client) as retrying:
            return await retrying.generate("hi")

    closing = Closing()
    assert asyncio.run(used(closing)) == "Yes."
    assert closing.closed == 1
    assert asyncio.run(used(Scripted())) == "Yes."  # which has nothing to close


@pytest.mark.parametrize("kind", [AnthropicClient, OpenAIClient])
def test_with_a_real_client_over_http(kind):
    """A limit of the rate, a broken stream, a server that hangs, then the answer; every attempt is a request."""
    is_anthropic = kind is AnthropicClient
    events = (anthropic_events if is_anthropic else openai_events)("All of it.")
    heard = []

    async def asked(server):
        url = server.url if is_anthropic else f"{server.url}/v1"
        made = kind("model-x", api_key="a-long-key", base_url=url, stream=True, on_text=heard.append)
        async with RetryingClient(made, timeout_seconds=1.0, first_delay_seconds=0.01) as client:
            return await client.generate("hi")

    with LLMServer() as server:
        server.script(
            Reply({}, status=429, headers={"retry-after-ms": "20"}),
            Reply(events=events, cut=5),
            Reply({}, delay=30),
            Reply(events=events),
        )
        assert asyncio.run(asked(server)) == "All of it."
        assert len(server.requests) == 4
        assert "".join(heard).endswith("All of it.")
        server.wait_for_drop()  # of the one that hung
