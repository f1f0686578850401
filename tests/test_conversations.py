"""Conversations that several processes share, that outlive what a handoff left, or that nobody has use for now."""

from __future__ import annotations

import asyncio

import pytest

from models import Scripted
from pycontext import ContextManager, ContextType, StoreUnavailableError, ValidationError, open_store
from pycontext.agents import AgentCoordinator, ContextAwareAgent, Receiver
from test_coordinator import Team, contents, intent, url

__all__ = ["url"]


def two(store, **options):
    """The same agents twice, as in two processes."""
    return [Team(store, intents=[intent("billing")] * 3, **options) for _ in range(2)]


def test_what_another_process_answered_is_not_answered_again(url):
    one, other = two(url)

    async def talk():
        await one.coordinator.open_session("s")
        await one.coordinator.handle("s", "first", message_id="a")
        await other.coordinator.handle("s", "second", message_id="b")
        said = await one.coordinator.handle("s", "third", message_id="c")
        # It has the session live, as it was before the third.
        again = await other.coordinator.handle("s", "third", message_id="c")
        resumed = await other.coordinator.resume("s")
        return said, again, resumed, contents(await one.coordinator.package("s"))

    said, again, resumed, blocks = asyncio.run(talk())
    assert said == again == resumed
    assert sum(kind == "USER" for kind, _ in blocks) == sum(kind == "AGENT" for kind, _ in blocks) == 3
    assert [report.llm_calls for report in other.reports] == [1, 0, 0]


def test_a_request_has_what_another_process_added(url):
    one, other = two(url, billing=Scripted("yes", "yes", "yes"))

    async def talk():
        await one.coordinator.open_session("s")
        await one.coordinator.handle("s", "first")
        await other.coordinator.handle("s", "second")
        await other.coordinator.add_context("s", "a note", ContextType.MEMORY)
        await one.coordinator.handle("s", "third")

    asyncio.run(talk())
    assert "second" in str(one.billing_model.prompts[-1])
    assert "a note" in str(one.billing_model.prompts[-1])


def test_a_handoff_in_another_process_is_noticed(url):
    one, other = two(url, receivers={"billing": Receiver(allow={ContextType.USER})})

    async def talk():
        await one.coordinator.open_session("s")
        await other.coordinator.add_context("s", "a note", ContextType.USER)
        await one.coordinator.handle("s", "hello")
        await other.coordinator.add_context("s", "another note", ContextType.USER)
        return await other.coordinator.handle("s", "and?"), contents(await other.coordinator.package("s"))

    reply, blocks = asyncio.run(talk())
    assert (reply.agent, reply.text) == ("billing", "you said and?")
    assert [text for _, text in blocks] == ["a note", "hello", "you said hello", "another note", "and?", reply.text]


def test_a_message_that_was_redacted_on_the_way_may_come_again(url):
    team = Team(url, intents=[intent("billing")], receivers={"billing": Receiver(redact=["4711"])})

    async def talk():
        await team.coordinator.open_session("s")
        first = await team.coordinator.handle("s", "my code is 4711", message_id="a")
        return first, await team.coordinator.handle("s", "my code is 4711", message_id="a")

    first, again = asyncio.run(talk())
    assert first == again
    assert "4711" not in first.text


def test_a_conversation_outlives_the_session_that_a_handoff_left(url):
    # As the store does with a session that nobody writes to any more.
    with open_store(url) as store:
        receivers = {"billing": Receiver()}
        one, other = two(store, receivers=receivers)

        async def talk():
            await one.coordinator.open_session("s")
            await one.coordinator.handle("s", "hello")
            store.delete("s")
            with pytest.raises(ValidationError, match="session_id 's' is the id of a session"):
                await other.coordinator.open_session("s")
            return await other.coordinator.handle("s", "still there?")

        assert asyncio.run(talk()).agent == "billing"


def test_sessions_without_a_turn_are_closed_as_well(url):
    team = Team(url, intents=[StoreUnavailableError("x")] * 9, keep_live=2)

    async def talk():
        for n in range(5):
            await team.coordinator.open_session(f"s{n}")
        assert len(team.manager.sessions) == 2
        for n in range(5):
            with pytest.raises(StoreUnavailableError):
                await team.coordinator.handle(f"s{n}", "hello")
        assert len(team.manager.sessions) == 2

    asyncio.run(talk())


def test_who_has_a_turn_does_not_wait_for_the_turn_of_another_to_close_it(url):
    go_on = asyncio.Event()

    class Model:
        async def generate(self, prompt, **_options):
            if prompt[-1]["content"] == "slow":
                await go_on.wait()
            return "done"

    manager = ContextManager(4_000, store=url)
    agent = ContextAwareAgent(Model(), "a", manager, prompt="You help.")

    async def talk():
        async with AgentCoordinator({"a": agent}, manager, keep_live=1) as coordinator:
            await coordinator.open_session("slow")
            slow = asyncio.create_task(coordinator.handle("slow", "slow"))
            await coordinator.open_session("fast")
            async with asyncio.timeout(20):
                assert (await coordinator.handle("fast", "fast")).text == "done"
            assert not slow.done()
            go_on.set()
            assert (await slow).text == "done"
            assert len(manager.sessions) == 1

    asyncio.run(talk())


def test_a_session_that_cannot_be_closed_costs_no_other_its_answer(url, caplog):
    team = Team(url, intents=[intent("billing")], keep_live=1)

    async def talk():
        await team.coordinator.open_session("s")
        team.manager.delete_session("s")
        await team.coordinator.open_session("t")
        return await team.coordinator.handle("t", "hello")

    assert asyncio.run(talk()).text == "you said hello"
    assert "session s could not be closed" in caplog.text


@pytest.mark.parametrize(
    ("message", "message_id", "error"),
    [
        (None, None, "message None is NoneType, not str"),
        ("hello", "m" * 250, "message_id with the agent's name 'm+… is 259 bytes, over 256"),
    ],
)
def test_what_cannot_be_answered_is_not_added(url, message, message_id, error):
    team = Team(url)

    async def talk():
        await team.coordinator.open_session("s")
        with pytest.raises(ValidationError, match=error):
            await team.coordinator.handle("s", message, message_id=message_id)
        return contents(await team.coordinator.package("s"))

    assert asyncio.run(talk()) == []


def test_what_the_user_said_is_never_taken_for_an_answer(url):
    team = Team(url, intents=[intent("billing")])

    async def talk():
        await team.coordinator.open_session("s")
        await team.coordinator.handle("s", "hello", message_id="a.billing")
        with pytest.raises(ValidationError, match="message_id 'a' begins that of another message"):
            await team.coordinator.handle("s", "and?", message_id="a")

    asyncio.run(talk())
