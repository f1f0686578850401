"""Several agents: routes, transfers and handoffs through stores, crashes, many sessions at once."""

from __future__ import annotations

import asyncio
import json

import pytest

from models import Echo, Scripted, Stuck
from pycontext import (
    ContextManager,
    ContextType,
    DistributedContextStore,
    HopLimitError,
    LLMUnavailableError,
    UnknownSessionError,
    ValidationError,
    open_store,
)
from pycontext.agents import (
    AgentCoordinator,
    Answer,
    ContextAwareAgent,
    ContextAwareIntentAgent,
    FunctionTools,
    Receiver,
    Reply,
    ToolCall,
    by_intent,
)


def intent(goal, **more):
    return json.dumps(
        {"primary_intent": goal, "secondary_intents": [], "required_information": [], "confidence": 0.8, **more}
    )


class Team:
    """An intent agent, a technical and a billing one, over a store."""

    def __init__(self, store=None, *, intents=(), technical=None, billing=None, tools=None, **options):
        self.manager = ContextManager(4_000, store=store)
        self.intent_model = intents if hasattr(intents, "generate") else Scripted(*intents)
        self.technical_model = technical or Echo()
        self.billing_model = billing or Echo()
        self.reports = []
        manager = self.manager
        self.coordinator = AgentCoordinator(
            {
                "intent": ContextAwareIntentAgent(self.intent_model, context_manager=manager),
                "technical": ContextAwareAgent(
                    self.technical_model, "tech", manager, prompt="You repair.", tools=tools
                ),
                "billing": ContextAwareAgent(self.billing_model, "bill", manager, prompt="You bill."),
            },
            manager,
            observers=[self],
            **options,
        )

    def turn_ended(self, report):
        self.reports.append(report)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/s.db"


def contents(package):
    return [(block.type.name, block.content) for block in package.blocks]


@pytest.mark.parametrize("with_store", [False, True])
def test_a_turn_goes_to_the_agent_that_it_is_for_and_stays_with_it(url, with_store):
    team = Team(url if with_store else None, intents=[intent("Billing: a wrong charge")])

    async def talk():
        coordinator = team.coordinator
        session = await coordinator.open_session("s")
        first = await coordinator.handle(session, "I was charged twice", message_id="a")
        second = await coordinator.handle(session, "in May", metadata={"customer_id": "C1"})
        return first, second, await coordinator.package(session)

    first, second, package = asyncio.run(talk())
    assert first == Reply("you said I was charged twice", "billing", "s") or first.text.startswith("you said")
    assert (first.agent, second.agent, second.text) == ("billing", "billing", "you said in May")
    assert (package.agent_id, package.epoch) == ("bill", 1)
    assert [kind for kind, _ in contents(package)] == ["USER", "MEMORY", "AGENT", "USER", "AGENT"]
    assert [(report.agent, report.outcome, report.hops, report.llm_calls) for report in team.reports] == [
        ("billing", "done", 1, 2),
        ("billing", "done", 0, 1),
    ]
    assert all(report.layer_seconds >= 0 for report in team.reports)


def test_each_agent_runs_under_its_own_prompt_and_none_is_stored(url):
    technical = Scripted("try again")
    team = Team(url, intents=[intent("technical_support")], technical=technical)

    async def talk():
        await team.coordinator.open_session("s")
        await team.coordinator.handle("s", "no signal")

    asyncio.run(talk())
    assert team.intent_model.prompts[0][0]["content"] != technical.prompts[0][0]["content"] == "You repair."
    # What the first agent found is told, and the request still ends with the user's side.
    assert [message["role"] for message in technical.prompts[0]] == ["system", "user", "user"]
    with open_store(url) as store:
        stored = store.load("s")
    assert all(block.type is not ContextType.SYSTEM for block in stored.blocks)
    assert stored.agent_id == "tech"


def test_a_message_that_comes_again_is_answered_as_before(url):
    team = Team(url, intents=[intent("billing")])

    async def talk():
        await team.coordinator.open_session("s")
        first = await team.coordinator.handle("s", "hello", message_id="a")
        again = await team.coordinator.handle("s", "hello", message_id="a")
        with pytest.raises(ValidationError, match="message_id 'a' is that of another message"):
            await team.coordinator.handle("s", "something else", message_id="a")
        return first, again, contents(await team.coordinator.package("s"))

    first, again, blocks = asyncio.run(talk())
    assert first == again
    assert len(blocks) == 3


class Crash(BaseException):
    """What no error handling sees, as a process that is killed."""


class Dies:
    """Answers through another model until the call that kills the process."""

    def __init__(self, model, calls):
        self.model, self.calls = model, calls

    async def generate(self, prompt, **options):
        if self.calls == 0:
            raise Crash
        self.calls -= 1
        return await self.model.generate(prompt, **options)


def scripts():
    """A technical agent that looks something up and then answers."""
    return Scripted(Answer(tool_calls=(ToolCall("c1", "look", "{}"),)), "the antenna")


def where_it_may_die():
    """Before the intent, before the technical agent's first and second question, and in its tool."""
    return ["intent", "first", "second", "tool"]


@pytest.mark.parametrize("place", where_it_may_die())
@pytest.mark.parametrize("door", ["resume", "again"])
def test_after_a_crash_another_process_goes_on_from_the_store(url, place, door):
    made = []

    def look():
        made.append(place)
        if place == "tool" and len(made) == 1:
            raise Crash
        return "broken"

    tools = FunctionTools({"look": look})
    script = scripts()
    intents = Dies(Scripted(intent("technical")), 0) if place == "intent" else [intent("technical")]
    calls = {"first": 0, "second": 1}.get(place, 9)
    team = Team(url, intents=intents, technical=Dies(script, calls), tools=tools)

    async def die():
        await team.coordinator.open_session("s")
        await team.coordinator.handle("s", "no signal", message_id="a")

    # A task group wraps what it cannot pass on.
    with pytest.raises((Crash, BaseExceptionGroup)):
        asyncio.run(die())

    rest = Scripted(*script.answers) if place in ("second", "tool") else scripts()
    other = Team(url, intents=[intent("technical")], technical=rest, tools=tools)

    async def go_on():
        if door == "resume":
            return await other.coordinator.resume("s")
        return await other.coordinator.handle("s", "no signal", message_id="a")

    reply = asyncio.run(go_on())
    assert (reply.text, reply.agent) == ("the antenna", "technical")
    with open_store(url) as store:
        package = store.load("s")
    assert [kind for kind, _ in contents(package)] == ["USER", "MEMORY", "AGENT", "TOOL", "AGENT"]
    assert package.agent_id == "tech"
    # What was done is not done again but for what nobody knows to be done.
    assert len(made) == (2 if place == "tool" else 1)


def test_nothing_is_left_to_resume(url):
    team = Team(url, intents=[intent("billing")])

    async def talk():
        await team.coordinator.open_session("s")
        nothing = await team.coordinator.resume("s")
        reply = await team.coordinator.handle("s", "hello")
        return nothing, reply, await team.coordinator.resume("s"), len((await team.coordinator.package("s")).blocks)

    nothing, reply, resumed, size = asyncio.run(talk())
    assert nothing is None
    assert resumed == reply
    assert size == 3


def test_a_turn_that_failed_goes_on_when_the_model_is_back(url):
    team = Team(url, intents=[intent("technical")], technical=Scripted(LLMUnavailableError("down"), "fixed"))

    async def talk():
        await team.coordinator.open_session("s")
        with pytest.raises(LLMUnavailableError):
            await team.coordinator.handle("s", "no signal")
        return await team.coordinator.resume("s")

    assert asyncio.run(talk()).text == "fixed"
    assert [(one.outcome, one.error) for one in team.reports] == [("failed", "LLMUnavailableError"), ("done", None)]


def test_who_may_not_see_everything_gets_a_handoff(url):
    billing = Scripted("refunded", "bye")
    rule = Receiver(allow={ContextType.USER}, redact=["hunter2"], budget=500)

    def team(model):
        return Team(url, intents=[intent("billing")], billing=model, receivers={"billing": rule})

    async def talk():
        one = team(billing)
        await one.coordinator.open_session("s")
        reply = await one.coordinator.handle("s", "my password is hunter2, refund me", message_id="a")
        return reply, await one.coordinator.package("s")

    reply, package = asyncio.run(talk())
    assert (reply.text, reply.session_id) == ("refunded", "s")
    assert package.session_id == "s~1"
    assert package.hops == 1
    sent = json.dumps(billing.prompts)
    assert "hunter2" not in sent
    assert "refund me" in sent
    with open_store(url) as store:
        assert b"hunter2" not in store.load("s~1").to_bytes()
        assert store.load("s").agent_id == "intent_agent"

    async def later():
        other = team(billing)
        # The old id leads to where the conversation is now.
        return await other.coordinator.handle("s", "thanks"), (await other.coordinator.package("s")).session_id

    reply, current = asyncio.run(later())
    assert (reply.text, current) == ("bye", "s~1")
    with pytest.raises(UnknownSessionError, match="is a part of one"):
        asyncio.run(team(billing).coordinator.handle("s~1", "let me in"))


def test_a_turn_that_changes_hands_for_ever_is_stopped():
    manager = ContextManager()

    class PassOn(ContextAwareAgent):
        async def respond(self, **_options):
            return Reply("", self.role, self.session_id, to={"a": "b", "b": "a"}[self.role])

    agents = {name: PassOn(Echo(), name, manager, prompt=name) for name in "ab"}
    coordinator = AgentCoordinator(agents, manager, max_hops=3)

    async def talk():
        await coordinator.open_session("s")
        await coordinator.handle("s", "hm")

    with pytest.raises(HopLimitError, match="session 's': the turn changed hands 3 times"):
        asyncio.run(talk())


def test_an_agent_gets_a_turn_back(url):
    class NotMine(ContextAwareAgent):
        async def respond(self, **_options):
            return Reply("", self.role, self.session_id, to="intent")

    manager = ContextManager(store=url)
    intents = Scripted(intent("technical"), intent("billing"))
    agents = {
        "intent": ContextAwareIntentAgent(intents, context_manager=manager),
        "technical": NotMine(Echo(), "tech", manager, prompt="Not mine."),
        "billing": ContextAwareAgent(Echo(), "bill", manager, prompt="You bill."),
    }
    coordinator = AgentCoordinator(agents, manager)

    async def talk():
        await coordinator.open_session("s")
        first = await coordinator.handle("s", "refund", message_id="m0")
        return first, await coordinator.handle("s", "refund", message_id="m0"), await coordinator.package("s")

    first, again, package = asyncio.run(talk())
    assert first == again
    assert (first.agent, first.text) == ("billing", "you said refund")
    assert [block.id for block in package.blocks] == ["m0", "m0.intent", "m0.intent.2", "m0.billing"]


def test_sessions_go_on_at_the_same_time_and_the_turns_of_one_after_the_other(url):
    team = Team(url, intents=[intent("billing")] * 40)

    async def talk():
        coordinator = team.coordinator
        names = [await coordinator.open_session(f"s{n}") for n in range(40)]
        for name in names:
            await coordinator.hand_over(name, "billing")
        replies = await asyncio.gather(
            *(
                coordinator.handle(name, f"{name} says {turn}", message_id=f"{turn}")
                for name in names
                for turn in range(5)
            )
        )
        return names, replies, [contents(await coordinator.package(name)) for name in names]

    names, replies, packages = asyncio.run(talk())
    assert [reply.text for reply in replies] == [f"you said {name} says {n}" for name in names for n in range(5)]
    for name, blocks in zip(names, packages, strict=True):
        expected = [text for n in range(5) for text in (f"{name} says {n}", f"you said {name} says {n}")]
        assert [text for _, text in blocks] == expected


def test_who_is_cancelled_lets_the_next_one_in():
    stuck = Stuck()
    team = Team(intents=[intent("technical")], technical=stuck)

    async def talk():
        coordinator = team.coordinator
        await coordinator.open_session("s")
        task = asyncio.create_task(coordinator.handle("s", "no signal"))
        await stuck.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await coordinator.hand_over("s", "billing")
        reply = await coordinator.handle("s", "hello?")
        await coordinator.aclose()
        return reply

    assert asyncio.run(talk()).text == "you said hello?"
    assert [report.outcome for report in team.reports] == ["cancelled", "done"]


def test_another_coordinator_that_took_the_session_is_found_out(url):
    async def talk():
        one, two = Team(url, intents=[intent("technical")]), Team(url)
        await one.coordinator.open_session("s")
        await one.coordinator.handle("s", "no signal")
        await two.coordinator.hand_over("s", "billing")
        # What this one knows of the session is over; it goes on where the session is now.
        there = await one.coordinator.handle("s", "hello?", message_id="b")
        return there, await two.coordinator.handle("s", "and now?")

    there, later = asyncio.run(talk())
    assert (there.agent, there.text, later.text) == ("billing", "you said hello?", "you said and now?")
    with open_store(url) as store:
        said = [text for kind, text in contents(store.load("s")) if kind == "USER"]
    assert said == ["no signal", "hello?", "and now?"]


def test_sessions_that_had_no_turn_for_long_are_closed_and_found_again(url):
    team = Team(url, intents=[intent("billing")] * 10, keep_live=3)

    async def talk():
        for n in range(10):
            await team.coordinator.open_session(f"s{n}")
            await team.coordinator.handle(f"s{n}", f"hello {n}")
        assert len(team.manager.sessions) == 3
        return await team.coordinator.handle("s0", "still there?")

    assert asyncio.run(talk()).text == "you said still there?"


def test_an_observer_that_fails_breaks_nothing(caplog):
    class Broken:
        def turn_ended(self, _report):
            raise ZeroDivisionError

    team = Team(intents=[intent("billing")])
    team.coordinator.add_observer(Broken())

    async def talk():
        await team.coordinator.open_session("s")
        return await team.coordinator.handle("s", "hi")

    assert asyncio.run(talk()).text
    assert "observer Broken failed" in caplog.text


def test_the_optimizer_works_on_open_sessions_only(url):
    class Optimizer:
        def __init__(self):
            self.at_work = {}

        async def start_optimization_loop(self, session_id):
            stop = self.at_work[session_id] = asyncio.Event()
            await stop.wait()
            del self.at_work[session_id]

        def stop_optimization_loop(self, session_id=None):
            for name in [session_id] if session_id else list(self.at_work):
                self.at_work[name].set()

    optimizer = Optimizer()
    team = Team(url, intents=[intent("billing")], optimizer=optimizer, receivers={"billing": Receiver()})

    async def talk():
        coordinator = team.coordinator
        await coordinator.open_session("s")
        await coordinator.open_session("t")
        await asyncio.sleep(0)
        assert set(optimizer.at_work) == {"s", "t"}
        await coordinator.handle("s", "refund")
        await asyncio.sleep(0.01)
        assert set(optimizer.at_work) == {"s~1", "t"}
        await coordinator.end_session("t")
        await asyncio.sleep(0.01)
        assert set(optimizer.at_work) == {"s~1"}
        await coordinator.aclose()
        assert not optimizer.at_work

    asyncio.run(talk())


def test_what_a_coordinator_refuses(url):
    manager = ContextManager()
    agent = ContextAwareAgent(Echo(), "a", manager, prompt="p")
    with pytest.raises(ValidationError, match="agents are none"):
        AgentCoordinator({}, manager)
    with pytest.raises(ValidationError, match="agent 'a' has another context_manager"):
        AgentCoordinator({"a": agent}, ContextManager())
    with pytest.raises(ValidationError, match="agent 'a' has the role 'a' of another"):
        AgentCoordinator({"a": agent, "b": ContextAwareAgent(Echo(), "a", manager, prompt="p")}, manager)
    with pytest.raises(ValidationError, match="agent 'nobody' is not one of a"):
        AgentCoordinator({"a": agent}, manager, routes={"word": "nobody"})
    with pytest.raises(ValidationError, match="agent 'nobody' is not one of a"):
        AgentCoordinator({"a": agent}, manager, receivers={"nobody": Receiver()})
    with pytest.raises(ValidationError, match="max_hops 0"):
        AgentCoordinator({"a": agent}, manager, max_hops=0)
    with pytest.raises(ValidationError, match="has no word"):
        by_intent({"--": "a"}, "a")
    coordinator = AgentCoordinator({"a": agent}, manager, url)
    assert manager.store is not None
    with pytest.raises(ValidationError, match="the manager has a store already"):
        AgentCoordinator({"a": agent}, manager, f"{url}2")

    async def refuse():
        with pytest.raises(UnknownSessionError):
            await coordinator.handle("nobody", "hi")
        with pytest.raises(ValidationError, match="has a ~"):
            await coordinator.open_session("a~1")
        await coordinator.open_session("s")
        with pytest.raises(ValidationError, match="is the id of a session"):
            await coordinator.open_session("s")
        with pytest.raises(ValidationError, match="agent 'nobody' is not one of a"):
            await coordinator.hand_over("s", "nobody")
        before = (await coordinator.package("s")).version
        with pytest.raises(ValidationError, match="agent 'a' has session 's' already"):
            await coordinator.hand_over("s", "a")
        assert (await coordinator.package("s")).version == before

    asyncio.run(refuse())


def test_the_wiring_of_the_article_runs(redis_server):
    store = DistributedContextStore(redis_server.url, ttl=60)
    manager = ContextManager(max_tokens=8192)
    technical = ContextAwareAgent(Echo(), "technical_agent", manager, prompt="You repair.")
    agents = {"intent": ContextAwareIntentAgent(Scripted(intent("x")), "intent_agent", manager), "technical": technical}
    coordinator = AgentCoordinator(agents=agents, context_manager=manager, context_store=store)

    async def talk():
        session = await coordinator.open_session()
        return session, await coordinator.handle(session, "no signal")

    session, reply = asyncio.run(talk())
    assert reply.agent == "technical"
    package = store.retrieve_session(session)
    assert package.agent_id == "technical_agent"
    assert [text for _, text in contents(package)][::2] == ["no signal", reply.text]


@pytest.mark.parametrize(
    ("goal", "to"),
    [("technical_support", "t"), ("Report a Technical-issue", "t"), ("pay bill", "b"), ("other", "f"), ("", "f")],
)
def test_routes_by_words(goal, to):
    route = by_intent({"technical": "t", "pay bill": "b"}, "f")
    assert route({"primary_intent": goal}) == to
    assert route({}) == "f"
