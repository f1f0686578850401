"""Spans of turns."""

from __future__ import annotations

import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from pycontext._core import __version__
from pycontext.service.tracing import TurnTracer
from reports import report_of

NOW = 1_700_000_000_000_000_000


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


def test_a_turn_is_a_span_that_took_as_long(provider, exporter):
    TurnTracer(provider, now_ns=lambda: NOW).turn_ended(report_of(seconds=1.25))
    (span,) = exporter.get_finished_spans()
    assert (span.end_time, span.end_time - span.start_time) == (NOW, 1_250_000_000)
    assert span.name == "invoke_agent intent_agent"
    assert span.status.status_code is StatusCode.UNSET
    assert (span.instrumentation_scope.name, span.instrumentation_scope.version) == ("pycontext", __version__)
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "intent_agent",
        "pycontext.outcome": "done",
        "pycontext.hops": 1,
        "pycontext.llm_calls": 2,
        "pycontext.tool_calls": 3,
        "pycontext.llm_seconds": 0.5,
        "pycontext.tool_seconds": 0.25,
        "pycontext.layer_seconds": 0.5,
        "pycontext.prompt_tokens": 700,
        "pycontext.session_tokens": 9000,
        "pycontext.left_out_blocks": 11,
    }


def test_a_failure_is_an_error_that_names_its_class_and_nothing_else(provider, exporter):
    TurnTracer(provider).turn_ended(report_of(outcome="failed", error="LLMTimeoutError"))
    (span,) = exporter.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "LLMTimeoutError")
    assert span.attributes["error.type"] == "LLMTimeoutError"
    assert span.events == ()


def test_who_was_cancelled_did_not_fail(provider, exporter):
    TurnTracer(provider).turn_ended(report_of(outcome="cancelled", error="CancelledError"))
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["pycontext.outcome"] == "cancelled"


def test_the_session_is_named_only_when_that_is_asked_for(provider, exporter):
    TurnTracer(provider).turn_ended(report_of())
    TurnTracer(provider, session_attribute=True).turn_ended(report_of())
    without, with_session = exporter.get_finished_spans()
    assert "session-of-ada" not in without.to_json()
    assert with_session.attributes["gen_ai.conversation.id"] == "session-of-ada"


def test_the_span_is_a_child_of_the_one_around_it(provider, exporter):
    with provider.get_tracer("tests").start_as_current_span("request") as request:
        TurnTracer(provider).turn_ended(report_of())
    assert exporter.get_finished_spans()[0].parent.span_id == request.get_span_context().span_id


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=r"pycontext-layer\[otel\]"):
        TurnTracer()
