"""What LangChain's agents send to a model when the middleware prunes, and what they keep."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest
from langchain.agents.structured_output import ToolStrategy
from langchain.tools import tool
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, Field

from conftest import tiktoken_count
from pycontext import Budget
from pycontext.adapters.langchain import PruneMiddleware
from pycontext.errors import BudgetExceededError, PluginError, ValidationError
from pycontext.selection import Reason
from reference import count_messages

PROMPT = "You are a careful clerk of a phone company. Answer in one sentence."
ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}
THREAD = {"configurable": {"thread_id": "one"}}


@tool
def look_up(customer: str) -> str:
    """Look up what a customer pays, and for what."""
    return f"{customer} pays for " + " and ".join(f"line {number} of plan {customer}" for number in range(30))


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It rains in {city}. " * 20


class Scripted(GenericFakeChatModel):
    """Says what it was told to say, and remembers what it was shown."""

    seen: list[list] = Field(default_factory=list)
    tools: list = Field(default_factory=list)

    def bind_tools(self, tools, **_options):
        self.tools = list(tools)
        return self

    def _generate(self, messages, *args, **options):
        self.seen.append(list(messages))
        return super()._generate(messages, *args, **options)


class Final(BaseModel):
    """What the clerk found."""

    monthly_price_in_euros: float = Field(description="what the customer pays in a month")


def call(name, number, **arguments):
    return {"name": name, "args": arguments, "id": f"{name}_{number}", "type": "tool_call"}


def turn(number):
    """A turn with parallel calls, one with a single call, and the answer."""
    return [
        AIMessage("", tool_calls=[call("look_up", number, customer=f"c{number}"), call("weather", number, city="Ulm")]),
        AIMessage("One more.", tool_calls=[call("weather", number + 100, city="Zürich")]),
        AIMessage(f"Customer c{number} pays for thirty lines, and it rains."),
    ]


def script(turns):
    return Scripted(messages=iter([message for number in range(turns) for message in turn(number)]))


def agent_of(model, *middleware, **options):
    options = {"system_prompt": PROMPT, "checkpointer": InMemorySaver(), **options}
    return create_agent(model, [look_up, weather], middleware=middleware, **options)


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """What runs an agent."""

    def asked(agent, text):
        question = {"messages": [HumanMessage(text)]}
        if request.param == "sync":
            return agent.invoke(question, THREAD)
        return asyncio.run(agent.ainvoke(question, THREAD))

    return asked


def as_chat(message):
    """A message as OpenAI has it, without LangChain's conversion."""
    chat = {"role": ROLES[message.type], "content": message.content}
    calls = [(each["name"], json.dumps(each["args"])) for each in getattr(message, "tool_calls", [])]
    calls += [(each["name"], each["args"]) for each in getattr(message, "invalid_tool_calls", [])]
    if calls:
        chat["tool_calls"] = [{"function": {"name": name, "arguments": arguments}} for name, arguments in calls]
    return chat


def tokens_of(messages):
    return count_messages([as_chat(message) for message in messages])


def schema_tokens(model):
    schemas = [{"name": each.name, "description": each.description, **each.args} for each in model.tools]
    return tiktoken_count(json.dumps(schemas, separators=(",", ":")))


def plain(messages):
    return [message.model_dump(exclude={"id"}) for message in messages]


def check_whole(messages):
    """Every call has its result right behind it, and every result its call."""
    waiting = []
    for message in messages:
        if isinstance(message, ToolMessage):
            assert message.tool_call_id in waiting
            waiting.remove(message.tool_call_id)
            continue
        assert waiting == []
        waiting = [each["id"] for each in getattr(message, "tool_calls", [])]
    assert waiting == []


def test_the_model_sees_what_fits_and_the_state_keeps_everything(ask):
    budget, receipts = 1500, []
    model, whole = script(6), script(6)
    agent = agent_of(model, PruneMiddleware(budget, on_selection=receipts.append))
    unpruned = agent_of(whole)
    for number in range(6):
        ask(agent, f"What about customer c{number}?")
        ask(unpruned, f"What about customer c{number}?")
    kept = agent.get_state(THREAD).values["messages"]
    assert plain(kept) == plain(unpruned.get_state(THREAD).values["messages"])
    assert len(kept) == 6 * 7
    assert len(model.seen) == len(whole.seen) == len(receipts) == 18
    for seen, before, selection in zip(model.seen, whole.seen, receipts, strict=True):
        assert tokens_of(seen) == selection.tokens
        assert tokens_of(seen) + schema_tokens(model) <= budget
        check_whole(seen)
        assert seen[0] == SystemMessage(PROMPT)
        assert plain([seen[-1]]) == plain([before[-1]])
        # They are messages of the state, in its order.
        ids = [message.id for message in kept]
        places = [ids.index(message.id) for message in seen[1:]]
        assert places == sorted(set(places))
    assert tokens_of(whole.seen[-1]) > 2 * budget
    assert any(isinstance(message, ToolMessage) for message in model.seen[-1])


def test_system_message_and_schemas_count(ask):
    def seen(budget):
        model, receipts = script(2), []
        agent = agent_of(model, PruneMiddleware(budget, on_selection=receipts.append))
        for number in range(2):
            ask(agent, f"What about customer c{number}?")
        return model, receipts[-1]

    model, selection = seen(100_000)
    overhead = 100_000 - selection.available
    assert overhead >= schema_tokens(model)
    assert selection.kept_ids[0] == "system"
    assert not selection.exact
    needed = overhead + tokens_of(model.seen[-1])
    assert [len(messages) for messages in seen(needed)[0].seen] == [2, 5, 7, 9, 12, 14]
    assert len(seen(needed - 1)[0].seen[-1]) < 14
    # What the caller has reserved and noted counts besides.
    room = seen(Budget(100_000, reserve_output=500, overhead=70))[1].available
    assert room == selection.available - 570


@pytest.mark.parametrize("form", [Final, ToolStrategy(Final), Final.model_json_schema()])
def test_the_schema_of_structured_output_counts(form):
    def overhead(**options):
        model = Scripted(messages=iter([AIMessage("", tool_calls=[call("Final", 1, monthly_price_in_euros=3.5)])]))
        receipts = []
        agent = agent_of(model, PruneMiddleware(5000, on_selection=receipts.append), **options)
        agent.invoke({"messages": [HumanMessage("What does c1 pay?")]}, THREAD)
        return 5000 - receipts[0].available

    plain = script(1)
    receipts = []
    agent_of(plain, PruneMiddleware(5000, on_selection=receipts.append)).invoke({"messages": ["hi"]}, THREAD)
    schema = tiktoken_count(json.dumps(Final.model_json_schema(), separators=(",", ":")))
    assert overhead(response_format=form) - (5000 - receipts[0].available) >= schema


def test_a_budget_that_cannot_hold_what_must_stay_is_an_error(ask):
    model = script(1)
    agent = agent_of(model, PruneMiddleware(Budget(400)))
    with pytest.raises(BudgetExceededError) as caught:
        ask(agent, "word " * 400)
    assert caught.value.blockers == ["m0"]
    assert model.seen == []
    with pytest.raises(ValidationError, match="leaves -"):
        ask(agent_of(script(1), PruneMiddleware(40)), "hi")


def test_errors_of_plugins_and_callbacks_surface(ask):
    class Broken:
        name, exact = "broken", True

        def count(self, _text):
            raise OSError

        count_batch = count

    def refuse(_selection):
        raise RuntimeError("no more")

    with pytest.raises(PluginError, match="broken"):
        ask(agent_of(script(1), PruneMiddleware(5000, counter=Broken())), "hi")
    with pytest.raises(RuntimeError, match="no more"):
        ask(agent_of(script(1), PruneMiddleware(5000, on_selection=refuse)), "hi")


@pytest.mark.parametrize("wrong", [{"budget": 0}, {"policy": "best"}, {"counter": "words"}])
def test_wrong_arguments_are_errors_at_once(wrong):
    with pytest.raises(ValidationError):
        PruneMiddleware(**{"budget": 1000, **wrong})


@pytest.mark.parametrize("policy", ["recent", "evidence", "window", "cache"])
def test_the_policy_is_the_callers(policy):
    model, receipts = script(3), []
    agent = agent_of(model, PruneMiddleware(900, policy=policy, on_selection=receipts.append))
    for number in range(3):
        agent.invoke({"messages": [HumanMessage(f"What about customer c{number}?")]}, THREAD)
    assert [each.policy for each in receipts] == [policy] * 9
    for seen in model.seen:
        check_whole(seen)
        assert tokens_of(seen) + schema_tokens(model) <= 900


def test_messages_stay_the_agents_own_objects():
    texts = [HumanMessage(f"number {number} " * 40) for number in range(20)]
    answers = [AIMessage([{"type": "text", "text": f"yes, {number}"}]) for number in range(20)]
    messages = [message for pair in zip(texts, answers, strict=True) for message in pair]
    messages.append(HumanMessage("and now?"))
    request = ModelRequest(model=script(1), messages=messages, state={"messages": messages})
    sent = []
    assert PruneMiddleware(600).wrap_model_call(request, lambda each: sent.append(each) or "answer") == "answer"
    places = [next(at for at, own in enumerate(messages) if own is each) for each in sent[0].messages]
    assert places == sorted(places)
    assert 1 < len(places) < 41
    assert places[-1] == 40
    assert request.messages is messages
    assert request.state["messages"] is messages
    assert len(messages) == 41


def test_an_invalid_call_counts_and_its_result_stays_with_it():
    # JSON, but no object.
    arguments = json.dumps(["customer"] * 30)
    broken = {"name": "look_up", "args": arguments, "id": "bad", "error": None, "type": "invalid_tool_call"}
    messages = [
        HumanMessage("hi"),
        AIMessage("", invalid_tool_calls=[broken]),
        ToolMessage("that was no object", tool_call_id="bad"),
        HumanMessage("try again"),
    ]
    request = ModelRequest(model=script(1), messages=messages)
    for expected in (messages, [messages[0], messages[3]]):
        sent, receipts = [], []
        PruneMiddleware(tokens_of(expected), on_selection=receipts.append).wrap_model_call(request, sent.append)
        assert sent[0].messages == expected
        assert receipts[0].tokens == tokens_of(expected)


def test_a_result_whose_call_is_gone_falls():
    messages = [ToolMessage("sunny", tool_call_id="gone"), HumanMessage("hi")]
    sent, receipts = [], []
    middleware = PruneMiddleware(1000, on_selection=receipts.append)
    middleware.wrap_model_call(ModelRequest(model=script(1), messages=messages), sent.append)
    assert sent[0].messages == messages[1:]
    assert receipts[0].reasons == [Reason.ORPHAN, Reason.PINNED]


def test_a_message_that_is_two_is_an_error():
    results = [{"type": "tool_result", "tool_use_id": name, "content": "sunny"} for name in "ab"]
    request = ModelRequest(model=script(1), messages=[HumanMessage("hi"), HumanMessage(results)])
    with pytest.raises(ValidationError, match=r"^messages\[1\] holds 2 messages of OpenAI's, not 1$"):
        PruneMiddleware(1000).wrap_model_call(request, print)


def test_tools_of_a_provider_count_as_they_are():
    receipts = []
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    request = ModelRequest(model=script(1), messages=[HumanMessage("hi")], tools=[search])
    PruneMiddleware(1000, on_selection=receipts.append).wrap_model_call(request, lambda each: each)
    assert 1000 - receipts[0].available >= tiktoken_count(json.dumps(search, separators=(",", ":")))


def test_a_middleware_before_it_is_counted():
    class Longer(AgentMiddleware):
        def wrap_model_call(self, request, handler):
            return handler(request.override(system_message=SystemMessage("Be brief. " * 200)))

    receipts = []
    agent = agent_of(script(1), Longer(), PruneMiddleware(5000, on_selection=receipts.append))
    agent.invoke({"messages": [HumanMessage("hi")]}, THREAD)
    assert receipts[0].tokens > 600


def test_one_instance_serves_many_runs_at_once():
    receipts = []
    middleware = PruneMiddleware(900, on_selection=receipts.append)

    async def run(number):
        model = script(3)
        agent = agent_of(model, middleware)
        for _ in range(3):
            await agent.ainvoke({"messages": [HumanMessage(f"What about customer c{number}?")]}, THREAD)
        return model

    async def runs():
        return await asyncio.gather(*(run(number) for number in range(8)))

    models = asyncio.run(runs())
    for model in models:
        for seen in model.seen:
            check_whole(seen)
            assert tokens_of(seen) + schema_tokens(model) <= 900
    assert sorted(each.tokens for each in receipts) == sorted(tokens_of(s) for model in models for s in model.seen)


def test_without_langchain_it_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "pycontext.adapters.langchain")
    monkeypatch.setitem(sys.modules, "langchain.agents.middleware", None)
    with pytest.raises(ImportError, match=r"^PruneMiddleware needs pip install 'pycontext-layer\[langchain\]': "):
        import_module("pycontext.adapters.langchain")
