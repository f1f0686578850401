"""Agents: their prompt around a session, the budget, tools, answers in JSON, import and export."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import tiktoken_count
from models import Scripted, Stuck
from pycontext import (
    AnswerError,
    BudgetExceededError,
    ContextManager,
    ContextType,
    LLMUnavailableError,
    PluginError,
    ValidationError,
    get_counter,
)
from pycontext.agents import (
    Answer,
    ContextAwareAgent,
    ContextAwareIntentAgent,
    ContextAwareTechnicalAgent,
    FunctionTools,
    ToolCall,
    Turn,
)
from pycontext.tool_schemas import schema_tokens
from reference import count_messages

INTENT = {"primary_intent": "mms", "secondary_intents": ["refund"], "required_information": [], "confidence": 0.9}
DIAGNOSIS = {"root_cause": "APN", "recommended_solution": ["reset"], "alternative_solutions": [], "confidence": 1}


def said(agent):
    return [(block.type.name, block.content) for block in agent.context_manager.sessions[agent.session_id].blocks]


def test_a_turn_has_the_prompt_of_the_agent_first_and_what_is_asked_last():
    model = Scripted("hello")
    agent = ContextAwareAgent(model, "greeter", prompt="You greet.")

    async def turn():
        await agent.add_user_context("hi")
        return await agent.process_with_llm("in one word")

    assert asyncio.run(turn()) == "hello"
    assert model.prompts == [
        [
            {"role": "system", "content": "You greet."},
            {"role": "user", "content": "hi"},
            {"role": "user", "content": "in one word"},
        ]
    ]
    # What is asked besides is not kept, and the prompt of the agent is in no session.
    assert said(agent) == [("USER", "hi"), ("AGENT", "hello")]


@pytest.mark.parametrize("render", ["openai", "text"])
@settings(max_examples=60, deadline=None)
@given(
    system=st.text(max_size=60),
    texts=st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), max_size=12),
    asked=st.none() | st.text(max_size=60),
    budget=st.integers(1, 160),
    reserve=st.integers(0, 20),
)
def test_the_whole_request_is_within_the_budget_or_refused(render, system, texts, asked, budget, reserve):
    async def prompt():
        model = Scripted("x")
        manager = ContextManager(10_000)
        agent = ContextAwareAgent(model, "a", manager, prompt=system, render=render, reserve_output=reserve)
        session_id = await agent.initialize_session()
        for text in texts:
            await agent.add_user_context(text)
        tight = ContextManager(budget)
        tight.import_session(manager.export_session(session_id), trust="self")
        other = agent.for_manager(tight).for_session(session_id)
        turn = Turn("s", "a")
        with turn.underway():
            await other.process_with_llm(asked)
        return model.prompts[0], turn.prompt_tokens

    try:
        sent, tokens = asyncio.run(prompt())
    except BudgetExceededError as error:
        assert error.needed > error.available
        return
    counted = tiktoken_count(sent) if render == "text" else count_messages(sent)
    assert counted == tokens <= budget - reserve


def test_the_schemas_of_tools_count():
    schemas = [{"type": "function", "function": {"name": "look", "description": "word " * 300, "parameters": {}}}]
    model = Scripted("x")
    agent = ContextAwareAgent(model, "a", ContextManager(400), tools=FunctionTools({"look": str}, schemas), prompt="p")

    async def turn():
        for n in range(20):
            await agent.add_user_context(f"message number {n}")
        with (turn := Turn("s", "a")).underway():
            await agent.process_with_llm()
        return turn

    done = asyncio.run(turn())
    assert model.options == [{"tools": schemas}]
    counted = schema_tokens(schemas, get_counter("o200k_base"))
    assert done.prompt_tokens == count_messages(model.prompts[0]) + counted <= 400
    assert done.left_out > 0


def test_a_failure_of_the_model_leaves_nothing_behind_and_the_next_try_works():
    agent = ContextAwareAgent(Scripted(LLMUnavailableError("down"), 7, "up"), "a", prompt="p")

    async def turn():
        await agent.add_user_context("hi")
        with pytest.raises(LLMUnavailableError, match="down"):
            await agent.process_with_llm()
        with pytest.raises(PluginError, match="llm_client Scripted returned int, not str"):
            await agent.process_with_llm()
        assert said(agent) == [("USER", "hi")]
        return await agent.process_with_llm()

    assert asyncio.run(turn()) == "up"


def test_who_is_cancelled_leaves_nothing_behind():
    async def turn():
        model = Stuck()
        agent = ContextAwareAgent(model, "a", prompt="p")
        await agent.add_user_context("hi")
        task = asyncio.create_task(agent.process_with_llm())
        await model.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert model.given_up
        return said(agent)

    assert asyncio.run(turn()) == [("USER", "hi")]


def test_who_is_cancelled_while_a_thread_writes_waits_for_it(tmp_path):
    async def turn():
        manager = ContextManager(store=f"sqlite:///{tmp_path}/s.db")
        agent = ContextAwareAgent(Scripted(), "a", manager, prompt="p")
        await agent.initialize_session()
        task = asyncio.create_task(agent.add_user_context("hi"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Whatever it did, nobody is still at it, and store and session are alike.
        here = manager.sessions[agent.session_id].version
        assert manager.store.load(agent.session_id).version == here
        await agent.add_user_context("again")
        assert [block.content for block in manager.store.load(agent.session_id).blocks][-1] == "again"

    asyncio.run(turn())


def test_a_prompt_that_cannot_be_loaded_begins_no_session_and_is_loaded_again():
    class Late(ContextAwareAgent):
        tries = 0

        async def _load_role_prompt(self):
            Late.tries += 1
            await asyncio.sleep(0)
            if Late.tries == 1:
                raise OSError("no file")
            return "You came late."

    async def turn():
        model = Scripted("x")
        agent = Late(model, "late")
        with pytest.raises(OSError, match="no file"):
            await agent.add_user_context("hi")
        assert agent.session_id is None
        assert not agent.context_manager.sessions
        await agent.add_user_context("hi")
        await agent.process_with_llm()
        return model.prompts[0][0]

    assert asyncio.run(turn()) == {"role": "system", "content": "You came late."}
    assert Late.tries == 2


def test_two_first_calls_begin_one_session():
    async def turn():
        agent = ContextAwareAgent(Scripted(), "a", prompt="p")
        await asyncio.gather(*(agent.add_user_context(f"{n}") for n in range(10)))
        return agent

    agent = asyncio.run(turn())
    assert len(agent.context_manager.sessions) == 1
    assert sorted(said(agent)) == [("USER", f"{n}") for n in range(10)]


def test_an_agent_without_a_prompt_says_so():
    with pytest.raises(NotImplementedError, match="agent a has no prompt"):
        asyncio.run(ContextAwareAgent(Scripted(), "a").initialize_session())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"llm_client": object()}, "has no generate"),
        ({"render": "html"}, "render 'html' is not one of openai, text"),
        ({"reserve_output": -1}, "reserve_output -1"),
        ({"most_rounds": 0}, "most_rounds 0"),
        ({"prompt": 7}, "prompt of the agent is int"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(ValidationError, match=words):
        ContextAwareAgent(**{"llm_client": Scripted(), "agent_role": "a", **arguments})


def test_tools_are_called_and_their_results_stay_with_the_calls():
    calls = (ToolCall("c1", "add", '{"a": 1, "b": 2}'), ToolCall("c1b", "slow", "{}"))
    model = Scripted(Answer("let me see", tool_calls=calls), "three")

    async def slow():
        await asyncio.sleep(0)
        return "ready"

    tools = FunctionTools({"add": lambda a, b: {"sum": a + b}, "slow": slow})
    agent = ContextAwareAgent(model, "a", prompt="p", tools=tools)

    async def turn():
        await agent.add_user_context("1 + 2?")
        with (turn := Turn("s", "a")).underway():
            answer = await agent.process_with_llm()
        return answer, turn

    answer, done = asyncio.run(turn())
    assert answer == "three"
    assert (done.llm_calls, done.tool_calls) == (2, 2)
    sent = model.prompts[1]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool", "tool"]
    assert [one["id"] for one in sent[2]["tool_calls"]] == ["c1", "c1b"]
    assert [(one["tool_call_id"], one["content"]) for one in sent[3:]] == [("c1", '{"sum": 3}'), ("c1b", "ready")]
    blocks = agent.context_manager.sessions[agent.session_id].blocks
    assert blocks[2].references == blocks[3].references == [blocks[1].id]


def test_the_model_is_told_which_tool_failed_and_nothing_that_it_must_not_know(caplog):
    def burn():
        raise RuntimeError("password hunter2")

    calls = tuple(ToolCall(f"c{n}", name, text) for n, (name, text) in enumerate([
        ("burn", "{}"), ("nix", "{}"), ("burn", "no JSON"), ("burn", "[1]"), ("burn", '{"a": 1, "a": 2}'),
    ]))  # fmt: skip
    model = Scripted(Answer(tool_calls=calls), "sorry")
    agent = ContextAwareAgent(model, "a", prompt="p", tools=FunctionTools({"burn": burn}))

    async def turn():
        await agent.add_user_context("go")
        return await agent.process_with_llm()

    assert asyncio.run(turn()) == "sorry"
    errors = [json.loads(message["content"])["error"] for message in model.prompts[1] if message["role"] == "tool"]
    assert errors[0] == "RuntimeError"
    assert errors[1] == "there is no tool 'nix', only burn"
    assert all(error for error in errors[2:])
    assert "hunter2" not in json.dumps(model.prompts)
    assert "tool 'burn' failed: RuntimeError" in caplog.text


def test_a_model_that_calls_for_ever_is_stopped():
    call = Answer(tool_calls=(ToolCall("c", "look", "{}"),))
    model = Scripted(*[call] * 5)
    agent = ContextAwareAgent(model, "a", prompt="p", tools=FunctionTools({"look": lambda: "x"}), most_rounds=5)

    async def turn():
        await agent.add_user_context("go")
        await agent.process_with_llm()

    with pytest.raises(AnswerError, match="still calls tools after 5 rounds"):
        asyncio.run(turn())


def test_calls_that_nobody_made_are_made_by_who_goes_on():
    made = []
    tools = FunctionTools({"look": lambda n: made.append(n) or f"seen {n}"})
    calls = tuple(ToolCall(f"c{n}", "look", json.dumps({"n": n})) for n in range(3))
    model = Scripted(Answer(tool_calls=calls), "done")

    async def turn():
        agent = ContextAwareAgent(model, "a", prompt="p", tools=tools)
        await agent.add_user_context("go")
        # As far as it came: the calls and one result are there.
        await agent.process_with_llm()
        package = agent.context_manager.sessions[agent.session_id]
        del package.blocks[-2:]
        del package.blocks[-1]
        made.clear()
        model.answers.append("once more")
        again = agent.for_session(agent.session_id)
        assert await again.process_with_llm() == "once more"
        return [block.content for block in package.blocks]

    assert asyncio.run(turn())[-4:] == ["seen 0", "seen 1", "seen 2", "once more"]
    assert made == [1, 2]


@pytest.mark.parametrize(
    "wrapped",
    [json.dumps(INTENT), f"```json\n{json.dumps(INTENT)}\n```", f"```\n{json.dumps(INTENT, indent=2)}\n```\n"],
)
def test_an_intent_is_read_from_json(wrapped):
    agent = ContextAwareIntentAgent(Scripted(wrapped))
    assert asyncio.run(agent.analyze_intent("my pictures do not go out")) == INTENT
    assert [kind for kind, _ in said(agent)] == ["USER", "AGENT"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("no idea", "is no JSON"),
        ("[]", "answer is list, not a JSON object"),
        (json.dumps({**INTENT, "confidence": 1.5}), "confidence 1.5 is not a number from 0 to 1"),
        (json.dumps({**INTENT, "confidence": True}), "confidence True"),
        (json.dumps({**INTENT, "primary_intent": " "}), "primary_intent ' ' is not a string"),
        (json.dumps({**INTENT, "secondary_intents": [1]}), r"secondary_intents \[1\]"),
        ('{"primary_intent": "x"}', "answer has no key 'secondary_intents'"),
        ('{"primary_intent": NaN}', "is no JSON"),
        ("", "is no JSON"),
    ],
)
def test_a_wrong_answer_is_asked_for_once_more_and_then_an_error(bad, words):
    good = Scripted(bad, json.dumps(INTENT))
    agent = ContextAwareIntentAgent(good)
    assert asyncio.run(agent.analyze_intent("hm"))["primary_intent"] == "mms"
    assert [text for _, text in said(agent)] == ["hm", json.dumps(INTENT)]
    assert "That is not what was asked for" in good.prompts[1][-1]["content"]

    wrong = ContextAwareIntentAgent(Scripted(bad, bad))
    with pytest.raises(AnswerError, match=words):
        asyncio.run(wrong.analyze_intent("hm"))
    # Nothing is invented, and nothing wrong is kept.
    assert said(wrong) == [("USER", "hm")]


def test_a_wrong_answer_of_any_size_leaves_room_to_ask_once_more():
    agent = ContextAwareIntentAgent(Scripted("word " * 5_000, json.dumps(INTENT)), context_manager=ContextManager(600))
    assert asyncio.run(agent.analyze_intent("hm")) == INTENT


class Network:
    def __init__(self, fails=False):
        self.fails = fails

    async def get_customer_network_data(self, customer_id):
        return {"customer": customer_id, "line": "L1002"}

    async def run_diagnostics(self, customer_id):
        if self.fails:
            raise TimeoutError(customer_id)
        return {"signal": "good"}


def test_a_diagnosis_has_the_data_and_the_diagnostics_before_it():
    model = Scripted(json.dumps(DIAGNOSIS))
    agent = ContextAwareTechnicalAgent(model, Network())
    assert asyncio.run(agent.diagnose_issue("no pictures", "C1001"))["root_cause"] == "APN"
    kinds = [kind for kind, _ in said(agent)]
    assert kinds == ["USER", "MEMORY", "TOOL", "AGENT"]
    sent = json.dumps(model.prompts[0])
    assert "L1002" in sent
    assert "signal" in sent
    blocks = agent.context_manager.sessions[agent.session_id].blocks
    assert [block.metadata.get("customer_id") for block in blocks] == ["C1001", "C1001", "C1001", None]
    assert blocks[2].metadata["tool_name"] == "network_diagnostics"


def test_diagnostics_that_fail_are_an_error_and_nothing_was_added():
    agent = ContextAwareTechnicalAgent(Scripted(), Network(fails=True))
    with pytest.raises(TimeoutError, match="C1001"):
        asyncio.run(agent.diagnose_issue("no pictures", "C1001"))
    assert not agent.context_manager.sessions
    with pytest.raises(ValidationError, match="network_api is None"):
        asyncio.run(ContextAwareTechnicalAgent(Scripted(), None).diagnose_issue("x", "C1"))
    with pytest.raises(ValidationError, match="has no get_customer_network_data"):
        ContextAwareTechnicalAgent(Scripted(), object())


def test_metadata_of_the_caller_is_neither_shared_nor_changed():
    agent = ContextAwareAgent(Scripted(), "a", prompt="p")
    metadata = {"k": "v"}

    async def add():
        await agent.add_tool_context("result", "probe", metadata)
        await agent.add_memory_context("she likes mail", 0.7, metadata)

    asyncio.run(add())
    metadata["k"] = "changed"
    assert metadata == {"k": "changed"}
    blocks = agent.context_manager.sessions[agent.session_id].blocks
    assert blocks[0].metadata == {"k": "v", "tool_name": "probe"}
    assert blocks[1].type is ContextType.MEMORY


def test_the_receiver_of_a_context_runs_under_its_own_prompt():
    first = ContextAwareAgent(Scripted("a1"), "first", prompt="You are first.")

    async def begin():
        await first.add_user_context("hi")
        await first.process_with_llm()
        first.context_manager.add_context(first.session_id, "obey", ContextType.SYSTEM, block_id="s")

    asyncio.run(begin())
    model = Scripted("b1")
    second = ContextAwareAgent(model, "second", prompt="You are second.")
    assert second.import_context(first.export_context()) == ["s"]

    async def go_on():
        return await second.process_with_llm()

    assert asyncio.run(go_on()) == "b1"
    assert model.prompts[0][0] == {"role": "system", "content": "You are second."}
    assert [message["role"] for message in model.prompts[0]] == ["system", "user", "assistant"]


def test_agents_that_share_a_manager_go_on_with_the_same_session():
    manager = ContextManager()
    first = ContextAwareAgent(Scripted(), "first", manager, prompt="1")
    asyncio.run(first.add_user_context("hi"))
    second = ContextAwareAgent(Scripted("x"), "second", manager, prompt="2")
    assert second.import_context(first.export_context()) == []
    assert asyncio.run(second.process_with_llm()) == "x"
    assert said(first) == said(second) == [("USER", "hi"), ("AGENT", "x")]
    with pytest.raises(ValidationError, match="agent third has no session"):
        ContextAwareAgent(Scripted(), "third", prompt="3").export_context()
    with pytest.raises(ValidationError, match="context_data is str"):
        second.import_context("nothing")


def test_in_shadow_mode_everything_is_sent():
    manager = ContextManager(60, shadow=True)
    model = Scripted("x")
    agent = ContextAwareAgent(model, "a", manager, prompt="p")

    async def turn():
        for n in range(30):
            await agent.add_user_context(f"message number {n}")
        with (turn := Turn("s", "a")).underway():
            await agent.process_with_llm()
        return turn

    done = asyncio.run(turn())
    assert len(model.prompts[0]) == 31
    assert done.prompt_tokens == count_messages(model.prompts[0]) > 60
    assert done.left_out == 0


class Likes:
    def __init__(self, word):
        self.word = word
        self.asked = []

    def score(self, query, blocks):
        self.asked.append(query)
        return [float(self.word in block.content) for block in blocks]


def test_by_evidence_a_request_has_what_the_last_turn_of_the_user_is_about():
    manager = ContextManager(max_tokens=400)
    model = Scripted("ok", "ok")
    agent = ContextAwareAgent(model, "a", manager, prompt="Help.", reserve_output=300, policy="evidence")

    async def turn():
        for number in range(12):
            word = "refund" if number == 3 else f"filler{number}"
            await agent.add_memory_context(f"Note {number} is about {word}.", 0.5)
        await agent.add_user_context("What of my refunds?")
        await agent.process_with_llm()

    asyncio.run(turn())
    sent = [message["content"] for message in model.prompts[0]]
    assert any("about refund" in text for text in sent)
    assert count_messages(model.prompts[0]) <= 100


def test_a_scorer_is_asked_the_last_turn_of_the_user():
    likes = Likes("filler5.")
    manager = ContextManager(max_tokens=400)
    model = Scripted("ok")
    agent = ContextAwareAgent(model, "a", manager, prompt="Help.", reserve_output=320, scorer=likes)

    async def turn():
        for number in range(12):
            await agent.add_memory_context(f"Note {number} is about filler{number}.", 0.5)
        await agent.add_user_context("Well?")
        await agent.process_with_llm()

    asyncio.run(turn())
    assert set(likes.asked) == {"Well?"}
    assert any("filler5." in message["content"] for message in model.prompts[0])


@pytest.mark.parametrize("policy", ["recent", "relevance", "window"])
def test_a_scorer_under_a_policy_that_asks_nothing_is_refused(policy):
    with pytest.raises(ValidationError, match=f"scorer needs a policy that asks, and '{policy}' does not"):
        ContextAwareAgent(Scripted(), "a", scorer=Likes("x"), policy=policy)
