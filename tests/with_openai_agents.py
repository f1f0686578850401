"""What OpenAI's Agents SDK sends to a model when the filter prunes, and what a run and its session keep."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module
from itertools import pairwise

import pytest
from agents import Agent, AgentOutputSchema, FunctionTool, RunConfig, Runner, SQLiteSession, Usage, function_tool
from agents.items import ModelResponse
from agents.mcp import MCPServer
from agents.models.interface import Model
from agents.run import CallModelData, ModelInputData
from mcp.types import Tool
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
)
from pydantic import BaseModel

from conftest import tiktoken_count
from pycontext import Budget
from pycontext.adapters.openai_agents import prune_input
from pycontext.errors import BudgetExceededError, PluginError, ValidationError
from pycontext.selection import Reason
from reference import count_messages

PROMPT = "You are a careful clerk of a phone company. Answer in one sentence."


@function_tool
def look_up(customer: str) -> str:
    """Look up what a customer pays, and for what."""
    return f"{customer} pays for " + " and ".join(f"line {number} of plan {customer}" for number in range(30))


@function_tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It rains in {city}. " * 20


class Final(BaseModel):
    """What the clerk found."""

    monthly_price_in_euros: float
    reason_of_the_price: str


class Scripted(Model):
    """Says what it was told to say, and remembers what it was shown."""

    def __init__(self, outputs):
        self.outputs = iter(outputs)
        self.seen = []
        self.tools = []

    def say(self, instructions, items, tools):
        self.seen.append((instructions, list(items)))
        self.tools = tools
        return next(self.outputs)

    async def get_response(self, **request):
        output = self.say(request["system_instructions"], request["input"], request["tools"])
        return ModelResponse(output=output, usage=Usage(), response_id=None)

    async def stream_response(self, instructions, items, _settings, tools, *_others, **_options):
        response = Response(
            id="r",
            created_at=0,
            model="m",
            object="response",
            output=self.say(instructions, items, tools),
            parallel_tool_calls=True,
            tool_choice="auto",
            tools=[],
        )
        yield ResponseCompletedEvent(response=response, sequence_number=0, type="response.completed")


def call(name, number, **arguments):
    return ResponseFunctionToolCall(
        call_id=f"{name}_{number}", name=name, arguments=json.dumps(arguments), type="function_call"
    )


def said(text, number):
    content = [ResponseOutputText(annotations=[], text=text, type="output_text")]
    return ResponseOutputMessage(
        id=f"msg_{number}", content=content, role="assistant", status="completed", type="message"
    )


def thought(number):
    return ResponseReasoningItem(id=f"rs_{number}", summary=[], type="reasoning", encrypted_content="gAAA" * 20)


def turn(number, *, thinks=False):
    """A turn with parallel calls, one with words and a single call, and the answer."""
    return [
        [thought(number)] * thinks
        + [call("look_up", number, customer=f"c{number}"), call("weather", number, city="Ulm")],
        [said("One more.", f"{number}a"), call("weather", number + 100, city="Bonn")],
        [said(f"Customer c{number} pays for thirty lines, and it rains.", f"{number}b")],
    ]


def script(turns, **options):
    return Scripted([output for number in range(turns) for output in turn(number, **options)])


def agent_of(model, **options):
    return Agent(**{"name": "clerk", "instructions": PROMPT, "model": model, "tools": [look_up, weather], **options})


def config(cut=None):
    return RunConfig(call_model_input_filter=cut, tracing_disabled=True)


async def run(agent, text, cut=None, **options):
    return await Runner.run(agent, text, run_config=config(cut), **options)


async def stream(agent, text, cut=None, **options):
    result = Runner.run_streamed(agent, text, run_config=config(cut), **options)
    async for _ in result.stream_events():
        pass
    return result


@pytest.fixture(params=[run, stream], ids=["whole", "stream"])
def ask(request):
    """What runs an agent."""
    return request.param


def is_words(item):
    return item.get("type", "message") == "message"


def as_chat(instructions, items):
    """Items as chat messages, without the adapter's conversion."""
    chat = [{"role": "system", "content": instructions}] if instructions else []
    is_open = False
    for item in items:
        if item.get("type") == "function_call_output":
            chat.append({"role": "tool", "content": item["output"]})
        elif is_words(item) and item["role"] == "user":
            chat.append({"role": "user", "content": item["content"]})
        elif is_words(item):
            chat.append({"role": "assistant", "content": "\n".join(part["text"] for part in item["content"])})
        else:
            if not is_open:
                chat.append({"role": "assistant", "content": None})
            chat[-1].setdefault("tool_calls", []).append({"function": item})
        is_open = chat[-1]["role"] == "assistant"
    return chat


def tokens_of(seen):
    return count_messages(as_chat(*seen))


def schema_tokens(tools):
    schemas = [[each.name, each.description, each.params_json_schema] for each in tools]
    return tiktoken_count(json.dumps(schemas, separators=(",", ":")))


def check_whole(items):
    """Every call has its result before anybody else speaks, and every result its call."""
    waiting = []
    for item in items:
        if item.get("type") == "function_call":
            waiting.append(item["call_id"])
        elif item.get("type") == "function_call_output":
            waiting.remove(item["call_id"])
        else:
            assert waiting == []
    assert waiting == []


def places_of(items, among):
    """Where items stand among others, by what they say."""
    texts = [json.dumps(item, sort_keys=True) for item in among]
    return [texts.index(json.dumps(item, sort_keys=True)) for item in items]


def filtered(cut, items, agent=None, instructions=None):
    data = CallModelData(ModelInputData(items, instructions), agent or agent_of(None, tools=[]), None)
    return asyncio.run(cut(data))


def test_the_model_sees_what_fits_and_the_session_keeps_everything(ask):
    budget, receipts = 1500, []
    model, whole = script(6), script(6)

    async def talk(model, cut):
        session = SQLiteSession("one")
        for number in range(6):
            result = await ask(agent_of(model), f"What about customer c{number}?", cut, session=session)
            assert [each.type for each in result.new_items].count("tool_call_output_item") == 3
        items = await session.get_items()
        session.close()
        return items, result.to_input_list()

    kept, last = asyncio.run(talk(model, prune_input(budget, on_selection=receipts.append)))
    assert (kept, last) == asyncio.run(talk(whole, None))
    assert len(kept) == 6 * 9
    assert len(model.seen) == len(whole.seen) == len(receipts) == 18
    for seen, before, selection in zip(model.seen, whole.seen, receipts, strict=True):
        assert seen[0] == before[0] == PROMPT
        assert tokens_of(seen) == selection.tokens
        assert tokens_of(seen) + schema_tokens(model.tools) <= budget
        check_whole(seen[1])
        places = places_of(seen[1], before[1])
        assert places == sorted(set(places))
        assert places[-1] == len(before[1]) - 1
    assert tokens_of(whole.seen[-1]) > 2 * budget
    assert any(item.get("type") == "function_call_output" for item in model.seen[-1][1])


def test_run_sync_prunes_as_well():
    model = script(1)
    filled = [{"role": "user", "content": "so much " * 30} for _ in range(20)]
    cut = prune_input(1000)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        result = Runner.run_sync(agent_of(model), [*filled, {"role": "user", "content": "hi"}], run_config=config(cut))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    assert len(result.to_input_list()) == 29
    for seen in model.seen:
        check_whole(seen[1])
        assert tokens_of(seen) + schema_tokens(model.tools) <= 1000


def test_instructions_and_schemas_count():
    def last(budget, **options):
        model, receipts = script(2), []

        async def talk():
            session = SQLiteSession("one")
            for number in range(2):
                cut = prune_input(budget, on_selection=receipts.append)
                await run(agent_of(model, **options), f"What about customer c{number}?", cut, session=session)
            session.close()

        asyncio.run(talk())
        return model, receipts[-1]

    model, selection = last(100_000)
    overhead = 100_000 - selection.available
    assert overhead >= schema_tokens(model.tools)
    assert selection.kept_ids[0] == "instructions"
    needed = overhead + tokens_of(model.seen[-1])
    assert len(last(needed)[0].seen[-1][1]) == 17
    assert len(last(needed - 1)[0].seen[-1][1]) < 17
    # What the caller has reserved and noted counts besides.
    assert last(Budget(100_000, reserve_output=500, overhead=70))[1].available == selection.available - 570
    assert last(100_000, instructions=None)[1].kept_ids[0] == "m0"


def test_reasoning_stays_with_its_calls():
    model = script(4, thinks=True)

    async def talk():
        session = SQLiteSession("one")
        for number in range(4):
            await run(agent_of(model), f"What about customer c{number}?", prune_input(1500), session=session)
        session.close()

    asyncio.run(talk())
    for _, items in model.seen:
        for item, following in pairwise(items):
            if item.get("type") == "reasoning":
                assert following["call_id"] == f"look_up_{item['id'].removeprefix('rs_')}"
        thinks = sum(item.get("type") == "reasoning" for item in items)
        assert thinks == sum(item.get("name") == "look_up" for item in items)
    assert 0 < sum(item.get("type") == "reasoning" for item in model.seen[-1][1]) < 4


def test_items_stay_the_runs_own_objects():
    items = [{"role": "user", "content": f"number {number} " * 20} for number in range(20)]
    items += [{"type": "function_call", "call_id": name, "name": "look_up", "arguments": "{}"} for name in "ab"]
    items += [{"type": "function_call_output", "call_id": name, "output": f"result {name}"} for name in "ba"]
    before = [dict(item) for item in items]
    result = filtered(prune_input(500), items, instructions=PROMPT)
    places = [next(at for at, own in enumerate(items) if own is each) for each in result.input]
    assert places[-5:] == [19, 20, 21, 22, 23]
    assert 5 < len(places) < 24
    assert items == before
    assert result.instructions == PROMPT


def test_a_budget_that_cannot_hold_what_must_stay_is_an_error(ask):
    model = script(1)
    with pytest.raises(BudgetExceededError) as caught:
        asyncio.run(ask(agent_of(model), "word " * 400, prune_input(400)))
    assert caught.value.blockers == ["m0"]
    assert model.seen == []
    with pytest.raises(ValidationError, match="leaves -"):
        asyncio.run(ask(agent_of(model), "hi", prune_input(40)))


def test_errors_of_plugins_and_callbacks_surface(ask):
    class Broken:
        name, exact = "broken", True

        def count(self, _text):
            raise OSError

        count_batch = count

    def refuse(_selection):
        raise RuntimeError("no more")

    with pytest.raises(PluginError, match="broken"):
        asyncio.run(ask(agent_of(script(1)), "hi", prune_input(5000, counter=Broken())))
    with pytest.raises(RuntimeError, match="no more"):
        asyncio.run(ask(agent_of(script(1)), "hi", prune_input(5000, on_selection=refuse)))


@pytest.mark.parametrize("wrong", [{"budget": 0}, {"policy": "best"}, {"counter": "words"}])
def test_wrong_arguments_are_errors_at_once(wrong):
    with pytest.raises(ValidationError):
        prune_input(**{"budget": 1000, **wrong})


@pytest.mark.parametrize("policy", ["recent", "evidence", "window", "cache"])
def test_the_policy_is_the_callers(policy):
    receipts = []
    filtered(prune_input(1000, policy=policy, on_selection=receipts.append), [{"role": "user", "content": "hi"}])
    assert [each.policy for each in receipts] == [policy]


def test_a_conversation_that_the_provider_keeps_is_an_error(ask):
    # The second request would hold the results alone, and the provider has their calls.
    model, receipts = script(1), []
    with pytest.raises(ValidationError, match="a conversation that the provider keeps is not cut"):
        asyncio.run(ask(agent_of(model), "hi", prune_input(5000, on_selection=receipts.append), conversation_id="c"))
    assert len(model.seen) == len(receipts) == 1


def test_a_result_whose_call_a_session_cut_off_falls():
    receipts = []
    output = {"type": "function_call_output", "call_id": "gone", "output": "sunny"}
    rest = [{"role": "assistant", "content": "It is sunny."}, {"role": "user", "content": "hi"}]
    assert filtered(prune_input(1000, on_selection=receipts.append), [output, *rest]).input == rest
    assert receipts[0].reasons == [Reason.ORPHAN, Reason.KEPT, Reason.PINNED]


class Server(MCPServer):
    """Has one tool."""

    name = "server"

    async def list_tools(self, *_):
        return [Tool(name="price", description="say what it costs " * 20, input_schema={"type": "object"})]

    async def nothing(self, *_):
        raise NotImplementedError

    connect = cleanup = call_tool = list_prompts = get_prompt = nothing


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"handoffs": [Agent(name="billing", handoff_description="knows bills " * 20)]}, "knows bills " * 20),
        ({"output_type": Final}, json.dumps(Final.model_json_schema()["properties"], separators=(",", ":"))),
        ({"output_type": AgentOutputSchema(Final)}, "monthly_price_in_euros"),
        ({"mcp_servers": [Server()]}, "say what it costs " * 20),
        ({"output_type": str}, ""),
    ],
)
def test_handoffs_output_types_and_tools_of_servers_count(options, expected):
    receipts = []
    cut = prune_input(2000, on_selection=receipts.append)
    filtered(cut, [{"role": "user", "content": "hi"}], agent_of(None, tools=[], **options))
    assert 2000 - receipts[0].available >= tiktoken_count(expected)
    assert (receipts[0].available == 2000) == (not expected)


def test_tools_that_are_switched_off_do_not_count():
    receipts = []
    off = FunctionTool("off", "is off", {"type": "object", "properties": {}}, None, is_enabled=False)
    cut = prune_input(2000, on_selection=receipts.append)
    filtered(cut, [{"role": "user", "content": "hi"}], agent_of(None, tools=[off]))
    assert receipts[0].available == 2000


def test_one_filter_serves_many_runs_at_once():
    receipts = []
    cut = prune_input(900, on_selection=receipts.append)

    async def talk(number):
        model = script(1)
        filled = [{"role": "user", "content": f"so much {number} " * 20} for _ in range(20)]
        await run(agent_of(model), [*filled, {"role": "user", "content": f"And c{number}?"}], cut)
        return model

    async def talks():
        return await asyncio.gather(*(talk(number) for number in range(8)))

    seen = [each for model in asyncio.run(talks()) for each in model.seen]
    for each in seen:
        check_whole(each[1])
    assert sorted(each.tokens for each in receipts) == sorted(tokens_of(each) for each in seen)


def test_without_the_sdk_it_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "pycontext.adapters.openai_agents")
    monkeypatch.setitem(sys.modules, "agents", None)
    with pytest.raises(ImportError, match=r"^prune_input needs pip install 'pycontext-layer\[openai-agents\]': "):
        import_module("pycontext.adapters.openai_agents")
