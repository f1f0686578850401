"""The article's two deployments, wired as there, with the real parts."""

from __future__ import annotations

import asyncio
import json
import socket

import httpx
import pytest

from models import Scripted
from pycontext import ContextManager, DistributedContextStore, RealTimeContextOptimizer, ValidationError
from pycontext.agents import AgentCoordinator, ContextAwareIntentAgent, ContextAwareTechnicalAgent
from pycontext.service import MetricsCollector, ProductionMonitor, start_pilot, start_service

INTENT = json.dumps(
    {"primary_intent": "technical support", "secondary_intents": [], "required_information": [], "confidence": 0.9}
)


def test_the_service(redis_server):
    async def deployed():
        context_store = DistributedContextStore(redis_server.url)
        manager = ContextManager(max_tokens=8192)
        optimizer = RealTimeContextOptimizer(
            context_manager=manager, token_budget=4096, optimization_interval=0.05, relevance_decay_factor=0.98
        )
        intent_agent = ContextAwareIntentAgent(
            llm_client=Scripted(INTENT), agent_role="intent_agent", context_manager=manager
        )
        technical_agent = ContextAwareTechnicalAgent(
            llm_client=Scripted("Switch it off and on.", "Good."), network_api=None, context_manager=manager
        )
        coordinator = AgentCoordinator(
            agents={"intent": intent_agent, "technical": technical_agent},
            context_manager=manager,
            context_store=context_store,
            optimizer=optimizer,
        )
        with pytest.raises(ValidationError, match="Prometheus"):
            MetricsCollector(prometheus_endpoint="http://prometheus.monitoring:9090/metrics")
        metrics = MetricsCollector(prometheus_endpoint="127.0.0.1:0")
        async with await start_service(coordinator, metrics, port=0) as service, httpx.AsyncClient() as client:
            session = (await client.post(f"{service.url}/v1/sessions", json={})).json()["session_id"]
            replies = []
            for number, message in enumerate(["my router is dead", "thanks, it works"]):
                answer = await client.post(
                    f"{service.url}/v1/sessions/{session}/messages",
                    json={"message": message, "message_id": f"m{number}"},
                )
                assert answer.status_code == 200, answer.text
                replies.append(answer.json())
            shown = (await client.get(f"http://{metrics.address}/metrics")).text
            assert shown == (await client.get(f"{service.url}/metrics")).text
        assert metrics.address is None
        return session, replies, shown, context_store.retrieve_session(session)

    session, replies, shown, package = asyncio.run(deployed())
    assert [reply["text"] for reply in replies] == ["Switch it off and on.", "Good."]
    assert [reply["agent"] for reply in replies] == ["technical", "technical"]
    assert 'pycontext_turns_total{agent="technical",outcome="done"} 2.0' in shown
    assert session not in shown
    assert "router" not in shown
    assert package.agent_id == "technical_agent"
    assert [block.content for block in package.blocks][-2:] == ["thanks, it works", "Good."]


def test_the_pilot(redis_server):
    async def deployed(listener):
        context_store = DistributedContextStore(redis_server.url, ttl=1800)
        manager = ContextManager(max_tokens=4096)
        intent_agent = ContextAwareIntentAgent(
            llm_client=Scripted(*[INTENT] * 8), agent_role="intent_agent", context_manager=manager
        )
        monitor = ProductionMonitor(
            datadog_api_key=None, experiment_name="pycontext_pilot", sample_rate=1.0, port=listener.getsockname()[1]
        )
        pilot = await start_pilot(agent=intent_agent, context_store=context_store, traffic_ratio=0.5, monitor=monitor)
        async with pilot:
            for number in range(4):
                reply = await pilot.handle(f"s{number}", "my router is dead")
                assert reply.data["primary_intent"] == "technical support"
            pilot.go_live()
            for number in range(4, 8):
                await pilot.handle(f"s{number}", "my router is dead")
            report = pilot.report()
        await asyncio.to_thread(monitor.close)
        return report.to_dict()

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        report = asyncio.run(deployed(listener))
        told = listener.recv(65_536).decode()
    assert "experiment:pycontext_pilot" in told
    assert "router" not in told
    # Eight sessions show nothing, and it says so.
    assert "no difference" in json.dumps(report) or "too few" in json.dumps(report)
