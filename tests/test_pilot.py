"""A pilot: sessions keep to their arm, shadow comes first, and nobody loses a session."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
from rich.console import Console

from pycontext import (
    BudgetExceededError,
    ContextManager,
    ContextType,
    DistributedContextStore,
    LLMRefusedError,
    LLMUnavailableError,
    StoreUnavailableError,
    ValidationError,
    open_store,
)
from pycontext.agents import ContextAwareAgent, current_turn
from pycontext.service.arm import Arm, Split
from pycontext.service.comparison import Verdict
from pycontext.service.pilot import start_pilot

MANAGED, BASELINE = Arm.MANAGED, Arm.BASELINE
LONG = "the line was down again this morning and nobody came to look at it, "


class Model:
    """Answers at once, and remembers what it was asked."""

    def __init__(self, fail=lambda _: None, wait=None):
        self.prompts, self.fail, self.wait, self.was_asked = [], fail, wait, asyncio.Event()

    async def generate(self, prompt):
        session = current_turn().session_id
        self.was_asked.set()
        self.prompts.append((session, [message["content"] for message in prompt]))
        if self.wait is not None:
            await self.wait.wait()
        await asyncio.sleep(0)
        if (error := self.fail(session)) is not None:
            raise error
        return f"answer {len(self.prompts)}"

    def asked(self, session):
        return [texts for name, texts in self.prompts if name == session]


class Monitor:
    def __init__(self, error=None):
        self.records, self.error = [], error

    def record(self, report, *, arm):
        self.records.append((report, arm))
        if self.error is not None:
            raise self.error


def agent_of(model, max_tokens=400, **options):
    return ContextAwareAgent(model, "helper", ContextManager(max_tokens), prompt="You help.", **options)


def watched(managers, model, max_tokens=400):
    """The same, and the managers that it is put over."""

    class Agent(ContextAwareAgent):
        def for_manager(self, context_manager):
            managers.append(context_manager)
            return super().for_manager(context_manager)

    return Agent(model, "helper", ContextManager(max_tokens), prompt="You help.")


def ids_of(arm, number, ratio=0.5, experiment="pilot"):
    """Sessions of that arm."""
    split = Split(experiment, ratio)
    found = [f"s{i}" for i in range(number * 30) if split.arm_of(f"s{i}") is arm]
    return found[:number]


def shown(report):
    console = Console(width=160, file=io.StringIO())
    console.print(report)
    return console.file.getvalue()


def run(model, work, *, ratio=0.5, store="memory://", monitor=None, **options):
    """Have a pilot, and do something with it; live at once unless said otherwise."""
    options = {"shadow_turns": 0, **options}
    agent = options.pop("agent", None) or agent_of(model)

    async def main():
        async with await start_pilot(agent, store, ratio, monitor, **options) as pilot:
            return await work(pilot), pilot.report()

    return asyncio.run(main())


async def talk(pilot, session, turns, start=0):
    """Turns of a session; errors of the model and of the layer are counted."""
    failed = 0
    for turn in range(start, start + turns):
        try:
            await pilot.handle(session, f"turn {turn}: {LONG * 3}")
        except (LLMRefusedError, LLMUnavailableError, BudgetExceededError):
            failed += 1
    return failed


def test_managed_sessions_keep_to_the_budget_and_the_others_send_everything():
    (managed,), (baseline,) = ids_of(MANAGED, 1), ids_of(BASELINE, 1)
    model, monitor = Model(), Monitor()

    async def work(pilot):
        for session in (managed, baseline):
            await talk(pilot, session, 12)

    _, report = run(model, work, monitor=monitor)
    tokens = {arm: [turn.prompt_tokens for turn, told in monitor.records if told == arm] for arm in Arm}
    assert len(tokens["managed"]) == len(tokens["baseline"]) == 12
    assert max(tokens["managed"]) <= 400
    assert tokens["baseline"] == sorted(tokens["baseline"])
    assert tokens["baseline"][-1] > 600
    assert model.asked(baseline)[-1][1].startswith("turn 0: ")
    assert len(model.asked(baseline)[-1]) == 1 + 12 + 11
    assert not model.asked(managed)[-1][1].startswith("turn 0: ")
    sums = report.arms
    assert (sums[MANAGED].sessions, sums[MANAGED].turns, sums[MANAGED].errors) == (1, 12, 0)
    assert sums[MANAGED].prompt_tokens == sum(tokens["managed"]) < sums[BASELINE].prompt_tokens
    assert sums[BASELINE].prompt_tokens == sums[BASELINE].session_tokens
    assert 0 < sums[MANAGED].layer_seconds <= sums[MANAGED].seconds


def test_all_turns_of_a_session_are_in_one_arm_in_every_process():
    monitor = Monitor()

    async def work(pilot):
        await asyncio.gather(*(talk(pilot, f"s{i}", 4) for i in range(40)))
        return [pilot.arm_of(f"s{i}") for i in range(40)]

    arms, report = run(Model(), work, monitor=monitor)
    told = {f"s{i}": set() for i in range(40)}
    for turn, arm in monitor.records:
        told[turn.session_id].add(arm)
    assert [told[f"s{i}"] for i in range(40)] == [{arm.value} for arm in arms]
    assert arms == [Split("pilot", 0.5).arm_of(f"s{i}") for i in range(40)]
    assert report.arms[MANAGED].sessions == arms.count(MANAGED) > 10
    assert report.arms[BASELINE].sessions == arms.count(BASELINE) > 10
    assert report.arms[MANAGED].turns + report.arms[BASELINE].turns == 160


def test_turns_of_one_session_wait_for_each_other():
    async def work(pilot):
        await asyncio.gather(*(pilot.handle("s", f"message {i}") for i in range(10)))

    model = Model()
    run(model, work, agent=agent_of(model, 10_000))
    last = model.asked("s")[-1]
    assert last[1::2] == [f"message {i}" for i in range(10)]
    assert last[2::2] == [f"answer {i}" for i in range(1, 10)]


def test_in_shadow_all_sessions_are_in_the_baseline_and_what_would_be_is_said():
    model, monitor = Model(), Monitor()
    (managed,) = ids_of(MANAGED, 1)

    async def work(pilot):
        await talk(pilot, managed, 10)
        return pilot.arm_of(managed)

    arm, report = run(model, work, monitor=monitor, shadow_turns=None)
    assert arm is BASELINE
    assert {told for _, told in monitor.records} == {"baseline"}
    assert len(model.asked(managed)[-1]) == 1 + 10 + 9
    shadow = report.shadow
    assert (report.state, shadow.turns, shadow.in_a_row) == ("shadow", 10, 10)
    assert (shadow.refused, shadow.errors) == (0, 0)
    assert 0 < shadow.would_be_tokens < shadow.session_tokens
    assert shadow.would_be_tokens <= 10 * 400
    assert report.arms[BASELINE].turns == report.arms[MANAGED].turns == 0


def test_it_goes_live_after_so_many_turns_in_which_managing_would_have_worked():
    (managed,) = ids_of(MANAGED, 1)
    states = []

    async def work(pilot):
        async def turn(session, text):
            await pilot.handle(session, text)
            states.append(pilot.report().state)

        await turn(managed, "hello")
        await turn(managed, "hello")
        # Would be refused: counted from 0 again.
        await turn("other", "word " * 500)
        for _ in range(3):
            await turn(managed, "hello")
        return pilot.arm_of(managed)

    arm, report = run(Model(), work, shadow_turns=3)
    assert states == ["shadow"] * 5 + ["live"]
    assert arm is MANAGED
    assert (report.shadow.refused, report.shadow.turns) == (1, 6)


def test_a_model_that_fails_does_not_keep_a_pilot_in_shadow():
    model = Model(lambda _: LLMUnavailableError("away"))
    failed, report = run(model, lambda pilot: talk(pilot, "s", 3), shadow_turns=3)
    assert failed == 3
    assert report.state == "live"
    assert report.shadow.errors == 0


def test_go_live_needs_no_turn_and_a_session_that_was_sent_whole_is_then_cut():
    model = Model()
    (managed,) = ids_of(MANAGED, 1)
    monitor = Monitor()

    async def work(pilot):
        await talk(pilot, managed, 10)
        pilot.go_live()
        pilot.go_live()
        await talk(pilot, managed, 1, start=10)

    _, report = run(model, work, shadow_turns=None, monitor=monitor)
    before, after = model.asked(managed)[-2:]
    assert len(before) == 20
    assert len(after) < 20
    tokens = [turn.prompt_tokens for turn, _ in monitor.records]
    assert tokens[-2] > 400 >= tokens[-1]
    assert report.arms[MANAGED].turns == 1
    # It did not begin live: it is not compared.
    assert (report.arms[MANAGED].sessions, report.pairs) == (0, 0)


def test_stop_sends_all_to_the_baseline_and_no_session_is_lost():
    model, managers = Model(), []
    (managed,), (baseline,) = ids_of(MANAGED, 1), ids_of(BASELINE, 1)

    async def work(pilot):
        for session in (managed, baseline):
            await talk(pilot, session, 3)
        before = pilot.report()
        pilot.stop("enough")
        pilot.stop("twice")
        assert pilot.arm_of(managed) is BASELINE
        for session in (managed, baseline):
            await talk(pilot, session, 12, start=3)
        # Nothing stays open where nobody will ask for it.
        assert sorted(len(manager.sessions) for manager in managers) == [0, 2]
        with pytest.raises(ValidationError, match="experiment 'pilot' was stopped: start one of another name"):
            pilot.go_live()
        return before

    before, report = run(model, work, agent=watched(managers, model))
    for session in (managed, baseline):
        last = model.asked(session)[-1]
        assert sum(text.startswith("turn ") for text in last) >= 13
        # What was said last in the managed arm is there, and nothing falls any more.
        assert last[-2 * 12 - 3 + 2].startswith("turn 2: ")
    assert (report.state, report.reason) == ("stopped", "enough")
    assert report.arms == before.arms


def test_a_session_goes_on_in_another_process(tmp_path):
    store = f"sqlite:///{tmp_path}/sessions.db"
    model = Model()
    (managed,) = ids_of(MANAGED, 1)
    run(model, lambda pilot: talk(pilot, managed, 1), store=store)
    _, report = run(model, lambda pilot: talk(pilot, managed, 1, start=1), store=store)
    texts = model.asked(managed)[-1]
    assert [text.partition(":")[0] for text in texts] == ["You help.", "turn 0", "answer 1", "turn 1"]
    assert (report.arms[MANAGED].turns, report.arms[MANAGED].sessions) == (1, 0)


@pytest.mark.parametrize("kind", ["store", "distributed"])
def test_a_store_that_was_given_stays_open(kind, tmp_path):
    url = f"sqlite:///{tmp_path}/sessions.db"
    given = open_store(url) if kind == "store" else DistributedContextStore(url)
    run(Model(), lambda pilot: talk(pilot, "s", 2), store=given)
    store = given if kind == "store" else given.store
    assert [block.type for block in store.load("s").blocks] == [ContextType.USER, ContextType.AGENT] * 2
    assert store.load("s").agent_id == "helper"


def test_a_session_that_expired_begins_anew():
    store, model = open_store("memory://"), Model()

    async def work(pilot):
        await talk(pilot, "s", 2)
        store.delete("s")
        await talk(pilot, "s", 1, start=2)

    run(model, work, store=store)
    assert [text.partition(":")[0] for text in model.asked("s")[-1]] == ["You help.", "turn 2"]


def test_a_monitor_that_fails_breaks_no_turn(caplog):
    monitor = Monitor(RuntimeError("no agent"))
    failed, report = run(Model(), lambda pilot: talk(pilot, "s", 3), monitor=monitor)
    assert failed == 0
    assert len(monitor.records) == 3
    assert report.arms[MANAGED].turns + report.arms[BASELINE].turns == 3
    assert caplog.text.count("the monitor failed") == 3


def test_a_monitor_gives_the_experiment_its_name():
    monitor = Monitor()
    monitor.experiment_name = "shorter prompts"
    assert run(Model(), lambda pilot: talk(pilot, "s", 1), monitor=monitor)[1].experiment == "shorter prompts"
    _, report = run(Model(), lambda pilot: talk(pilot, "s", 1), monitor=monitor, experiment="mine")
    assert report.experiment == "mine"


def test_errors_of_the_managed_arm_stop_it_at_a_look():
    managed = set(ids_of(MANAGED, 200))
    model = Model(lambda session: LLMRefusedError("no such call") if session in managed else None)

    async def work(pilot):
        for i in range(100):
            await talk(pilot, f"s{i}", 1)
            if pilot.report().state == "stopped":
                return i
        return None

    sessions, report = run(model, work, guardrail=1_000)
    assert sessions < 80
    assert (report.state, report.looked_at) == ("stopped", 20)
    assert report.reason == "managed turns fail more often, by 1 to 1 a turn"
    errors = report.differences[0]
    assert (errors.metric, errors.verdict) == ("errors", Verdict.HIGHER)
    assert report.arms[MANAGED].errors == report.arms[MANAGED].turns


def test_errors_of_both_arms_stop_nothing():
    model = Model(lambda session: LLMRefusedError("no") if int(session[1:]) % 2 else None)

    async def work(pilot):
        for i in range(150):
            await talk(pilot, f"s{i}", 1)

    _, report = run(model, work)
    assert report.looked_at >= 45
    assert report.state == "live"
    assert report.differences[0].verdict is Verdict.NOT_SHOWN


def test_the_guardrail_stops_before_there_is_anything_to_compare():
    sessions = ids_of(MANAGED, 12)
    model = Model(lambda _: LLMRefusedError("no"))

    async def work(pilot):
        states = []
        for session in sessions[:5]:
            # One session that fails again and again is still one.
            await talk(pilot, session, 3)
            states.append(pilot.report().state)
        return states

    states, report = run(model, work, guardrail=5)
    assert states == ["live"] * 4 + ["stopped"]
    assert report.reason == "guardrail: 5 managed sessions failed one after the other"
    assert report.differences[0].verdict is Verdict.TOO_FEW


def test_neither_a_model_that_is_away_nor_failures_between_successes_trip_the_guardrail():
    sessions = ids_of(MANAGED, 12)
    away = Model(lambda _: LLMUnavailableError("away"))
    assert run(away, lambda pilot: all_of(pilot, sessions), guardrail=3)[1].state == "live"
    third = Model(lambda session: None if sessions.index(session) % 3 == 2 else LLMRefusedError("no"))
    _, report = run(third, lambda pilot: all_of(pilot, sessions), guardrail=3)
    assert (report.state, report.arms[MANAGED].errors) == ("live", 8)


def test_a_store_that_is_away_for_a_while_does_not_end_a_pilot():
    class Store:
        """Is away when it is told so."""

        def __init__(self):
            self.store, self.is_away = open_store("memory://"), False

        def __getattr__(self, name):
            if self.is_away:
                raise StoreUnavailableError("away")
            return getattr(self.store, name)

    store, sessions = Store(), ids_of(MANAGED, 6)

    async def work(pilot):
        store.is_away = True
        for session in sessions:
            with pytest.raises(StoreUnavailableError):
                await pilot.handle(session, "hello")
        store.is_away = False
        await talk(pilot, sessions[0], 1)

    _, report = run(Model(), work, store=store, guardrail=3)
    assert (report.state, report.arms[MANAGED].errors, report.arms[MANAGED].turns) == ("live", 6, 7)


def test_both_arms_have_the_settings_of_the_agents_own_manager():
    managers, own = [], ContextManager(300, 0.1, duplicates="drop", policy="window", originals_bytes=500)

    class Agent(ContextAwareAgent):
        def for_manager(self, context_manager):
            managers.append(context_manager)
            return super().for_manager(context_manager)

    run(Model(), nothing, agent=Agent(Model(), "helper", own, prompt="You help."))
    names = ("max_tokens", "relevance_threshold", "counter", "policy", "duplicates", "originals_bytes")
    assert len(managers) == 2
    for manager in managers:
        assert [getattr(manager, name) for name in names] == [getattr(own, name) for name in names]
    assert sorted(manager.shadow for manager in managers) == [False, True]


def test_a_pilot_over_redis_loses_no_session(redis_server):
    (managed,), (baseline,) = ids_of(MANAGED, 1), ids_of(BASELINE, 1)
    model, store = Model(), DistributedContextStore(redis_server.url, ttl=60)

    async def live(pilot):
        await asyncio.gather(talk(pilot, managed, 8), talk(pilot, baseline, 8))
        pilot.stop()
        await talk(pilot, managed, 1, start=8)

    async def again(pilot):
        await asyncio.gather(talk(pilot, managed, 1, start=9), talk(pilot, baseline, 1, start=8))

    assert run(model, live, store=store)[1].state == "stopped"
    run(model, again, store=redis_server.url, most_open=1)
    assert len(model.asked(baseline)[-1]) == 1 + 9 + 8
    for turn, texts in enumerate(model.asked(managed)):
        assert texts[-1].startswith(f"turn {turn}: ")
    assert store.store.load(managed).blocks[-1].content.startswith("answer ")


async def nothing(_):
    return None


async def all_of(pilot, sessions):
    for session in sessions:
        await talk(pilot, session, 1)


def test_fewer_tokens_are_found_and_what_is_alike_is_not_called_different():
    async def work(pilot):
        for start in range(0, 60, 6):
            await asyncio.gather(*(talk(pilot, f"s{i}", 12) for i in range(start, start + 6)))

    _, report = run(Model(), work)
    by_name = {one.metric: one for one in report.differences}
    tokens, errors = by_name["prompt_tokens"], by_name["errors"]
    assert tokens.verdict is Verdict.LOWER
    assert tokens.low <= tokens.managed - tokens.baseline <= tokens.high < 0
    assert (errors.verdict, errors.low, errors.high) == (Verdict.NOT_SHOWN, 0, 0)


def test_a_cancelled_turn_is_neither_done_nor_failed():
    async def work(pilot):
        task = asyncio.create_task(pilot.handle("s", "hello"))
        await model.was_asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        model.wait = None
        await pilot.handle("s", "hello again")

    model = Model(wait=asyncio.Event())
    _, report = run(model, work)
    (sums,) = [sums for sums in report.arms.values() if sums.turns]
    assert (sums.turns, sums.errors, sums.cancelled) == (1, 0, 1)
    assert model.asked("s")[-1] == ["You help.", "hello", "hello again"]


def test_sessions_that_nobody_uses_are_closed_and_go_on_from_the_store():
    model, managers = Model(), []

    async def work(pilot):
        for start in range(3):
            await asyncio.gather(*(talk(pilot, f"s{i}", 1, start=start) for i in range(30)))
            assert sum(len(manager.sessions) for manager in managers) <= 4

    run(model, work, agent=watched(managers, model, 10_000), most_open=4)
    for i in range(30):
        texts = model.asked(f"s{i}")[-1]
        assert [text.partition(":")[0].partition(" ")[0] for text in texts[1:]] == ["turn", "answer"] * 2 + ["turn"]


def test_closing_waits_for_turns_and_takes_no_more(tmp_path):
    url = f"sqlite:///{tmp_path}/sessions.db"
    gate = asyncio.Event()
    model = Model(wait=gate)

    async def main():
        pilot = await start_pilot(agent_of(model), url, 0.5, shadow_turns=0)
        first = asyncio.create_task(pilot.handle("s", "one"))
        second = asyncio.create_task(pilot.handle("s", "two"))
        await model.was_asked.wait()
        closing = asyncio.create_task(pilot.aclose())
        await asyncio.sleep(0)
        with pytest.raises(ValidationError, match="pilot 'pilot' is closed"):
            await pilot.handle("t", "three")
        assert not closing.done()
        gate.set()
        assert (await first).text == "answer 1"
        with pytest.raises(ValidationError, match="pilot 'pilot' is closed"):
            await second
        await closing
        await pilot.aclose()

    asyncio.run(main())
    assert [block.content for block in open_store(url).load("s").blocks] == ["one", "answer 1"]


def test_the_report_is_json_and_a_table():
    async def work(pilot):
        await all_of(pilot, [f"s{i}" for i in range(80)])
        return pilot.report()

    report, _ = run(Model(), work, shadow_turns=2)
    data = json.loads(json.dumps(report.to_dict()))
    assert data["state"] == "live"
    assert data["arms"]["managed"]["a_turn"]["errors"] == 0
    assert [one["metric"] for one in data["differences"]] == ["errors", "prompt_tokens", "seconds", "layer_seconds"]
    assert data["differences"][0]["verdict"] == "no difference shown"
    assert data["shadow"]["turns"] == 2
    text = shown(report)
    for words in ("pilot pilot: live", "no difference shown", "layer seconds", "in shadow: 2 turns", "next look at "):
        assert words in text


def test_an_empty_report_says_that_there_is_nothing():
    _, report = run(Model(), nothing)
    assert {one.verdict for one in report.differences} == {Verdict.TOO_FEW}
    assert report.to_dict()["arms"]["managed"]["a_turn"]["seconds"] is None
    assert shown(report).count("too few sessions") == 4


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan"), True, "0.5"])
def test_a_traffic_ratio_is_a_number_from_0_to_1(ratio):
    with pytest.raises(ValidationError, match=r"traffic_ratio .* is not a number from 0 to 1"):
        asyncio.run(start_pilot(agent_of(Model()), "memory://", ratio))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"agent": "a"}, "agent 'a' is str, not ContextAwareAgent"),
        ({"monitor": 3}, "monitor 3 has no record"),
        ({"store": 7}, "store 7 is int, not a ContextStore or an address"),
        ({"store": "ftp://x"}, "url has scheme 'ftp'"),
        ({"experiment": ""}, "experiment '' is not a printable str"),
        ({"shadow_turns": -1}, "shadow_turns -1 is not a whole number"),
        ({"risk": 1}, "risk 1 is not a number above 0"),
        ({"guardrail": 0}, "guardrail 0 is not a whole number from 1"),
        ({"most_open": 0}, "most_open 0 is not a whole number from 1"),
    ],
)
def test_arguments_outside_their_limits_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        run(Model(), nothing, **options)


@pytest.mark.parametrize(("session", "message"), [("a b", "hello"), (7, "hello"), ("s", 7), ("s", None)])
def test_a_turn_that_is_none_is_refused_and_counted_nowhere(session, message):
    async def work(pilot):
        with pytest.raises(ValidationError):
            await pilot.handle(session, message)

    _, report = run(Model(), work)
    assert all(sums.turns == 0 for sums in report.arms.values())
