"""What Prometheus is told, over real HTTP."""

from __future__ import annotations

import math
import socket
import sys
import threading
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from pycontext.errors import ContextError, ValidationError
from pycontext.service.metrics import MetricsCollector
from reports import report_of

ARTICLES = "http://prometheus.monitoring:9090/metrics"


def scraped(collector):
    """What a scrape answers, as families by name."""
    with urllib.request.urlopen(f"http://{collector.address}/metrics", timeout=10) as answer:
        assert answer.status == 200
        return answer.read().decode()


def families(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(family, name, **labels):
    (sample,) = [sample for sample in family.samples if sample.name == name and sample.labels == labels]
    return sample.value


@pytest.fixture
def collector():
    with MetricsCollector("127.0.0.1:0") as made:
        yield made


def test_a_scrape_has_every_turn_in_base_units(collector):
    for _ in range(3):
        collector.turn_ended(report_of())
    collector.turn_ended(report_of(agent="technical_agent", outcome="failed", error="LLMTimeoutError", seconds=0.75))
    found = families(scraped(collector))
    turns = found["pycontext_turns"]
    assert turns.type == "counter"
    assert value(turns, "pycontext_turns_total", agent="intent_agent", outcome="done") == 3
    assert value(turns, "pycontext_turns_total", agent="technical_agent", outcome="failed") == 1
    assert value(found["pycontext_errors"], "pycontext_errors_total", error="LLMTimeoutError") == 1
    for name, count in {"hops": 3, "llm_calls": 6, "tool_calls": 9, "left_out_blocks": 33}.items():
        assert value(found[f"pycontext_{name}"], f"pycontext_{name}_total", agent="intent_agent") == count
    sums = {
        "turn_seconds": 3.75,
        "llm_seconds": 1.5,
        "tool_seconds": 0.75,
        "layer_seconds": 1.5,
        "prompt_tokens": 2100,
        "session_tokens": 27000,
    }
    for name, total in sums.items():
        family = found[f"pycontext_{name}"]
        assert family.type == "histogram"
        assert value(family, f"pycontext_{name}_sum", agent="intent_agent") == total
        assert value(family, f"pycontext_{name}_count", agent="intent_agent") == 3
    # What is not time of models or tools: 0.75 - 0.5 - 0.25.
    assert value(found["pycontext_layer_seconds"], "pycontext_layer_seconds_sum", agent="technical_agent") == 0
    assert all(name.startswith("pycontext_") for name in found)


def test_the_layers_own_time_is_told_apart_from_50_microseconds_on(collector):
    for layer_seconds in (0.00004, 0.00009, 0.3, 20):
        collector.turn_ended(report_of(seconds=layer_seconds, llm_seconds=0, tool_seconds=0))
    buckets = {
        sample.labels["le"]: sample.value
        for sample in families(scraped(collector))["pycontext_layer_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    bounds = sorted(map(float, buckets))
    assert (bounds[0], bounds[-2], bounds[-1]) == (0.00005, 10, math.inf)
    counts = {float(bound): count for bound, count in buckets.items()}
    assert (counts[0.00005], counts[0.0001], counts[0.5], counts[10], counts[math.inf]) == (1, 2, 3, 3, 4)


def test_labels_are_roles_outcomes_and_classes_and_no_session_is_named(collector):
    collector.turn_ended(report_of(session_id="session-of-ada", outcome="failed", error="AnswerError"))
    text = scraped(collector)
    assert "session-of-ada" not in text
    labels = {key for family in families(text).values() for sample in family.samples for key in sample.labels}
    assert labels == {"agent", "outcome", "error", "le"}


def test_a_flood_of_agents_or_errors_is_one_more_of_each(collector):
    for n in range(150):
        collector.turn_ended(report_of(agent=f"agent{n}", outcome="failed", error=f"Error{n}"))
    collector.turn_ended(report_of(agent="agent7"))
    collector.turn_ended(report_of(agent="a" * 101))
    found = families(scraped(collector))
    totals = {
        (sample.labels["agent"], sample.labels["outcome"]): sample.value
        for sample in found["pycontext_turns"].samples
        if sample.name.endswith("_total")
    }
    assert len({agent for agent, _ in totals}) == 101
    assert totals["other", "failed"] == 50
    assert totals["other", "done"] == 1
    assert totals["agent7", "done"] == 1
    assert value(found["pycontext_errors"], "pycontext_errors_total", error="other") == 50


def test_stop_frees_the_port_and_keeps_what_was_counted():
    collector = MetricsCollector("127.0.0.1:0")
    assert collector.address is None
    collector.start()
    collector.start()
    address = collector.address
    collector.turn_ended(report_of())
    collector.stop()
    collector.stop()
    assert collector.address is None
    assert not [thread for thread in threading.enumerate() if "serve_forever" in thread.name]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://{address}/metrics", timeout=10)
    again = MetricsCollector(address)
    with again:
        assert again.address == address
    with collector:
        assert "pycontext_turns_total" in scraped(collector)


def test_a_port_in_use_is_an_error_that_names_the_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"prometheus_endpoint 127\.0\.0\.1:{port}"):
            MetricsCollector(f"127.0.0.1:{port}").start()


def test_two_collectors_do_not_clash_but_in_one_registry():
    first, second = MetricsCollector(), MetricsCollector()
    first.turn_ended(report_of())
    assert b"intent_agent" in first.render()[0]
    assert b"intent_agent" not in second.render()[0]
    registry = CollectorRegistry()
    Counter("own", "The application's own.", registry=registry)
    shared = MetricsCollector(registry=registry)
    assert {"own", "pycontext_turns"} <= families(shared.render()[0].decode()).keys()
    with pytest.raises(ValidationError, match="registry"):
        MetricsCollector(registry=registry)


def test_without_an_endpoint_nothing_is_served_and_an_application_answers_itself():
    collector = MetricsCollector()
    collector.turn_ended(report_of())
    with pytest.raises(ContextError, match=r"render\(\)"):
        collector.start()
    body, content_type = collector.render()
    assert content_type.startswith("text/plain; version=0.0.4")
    assert "pycontext_turns" in families(body.decode())
    body, content_type = collector.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


def test_a_watched_gauge_is_asked_at_every_scrape_and_may_fail_alone(collector, caplog):
    values = iter([3, 4])
    collector.watch("sessions_live", lambda: next(values), "Sessions that are held.")
    collector.watch("broken_seconds", lambda: 1 / 0)
    first, second = families(scraped(collector)), families(scraped(collector))
    assert value(first["pycontext_sessions_live"], "pycontext_sessions_live") == 3
    assert first["pycontext_sessions_live"].documentation == "Sessions that are held."
    assert value(second["pycontext_sessions_live"], "pycontext_sessions_live") == 4
    assert math.isnan(value(first["pycontext_broken_seconds"], "pycontext_broken_seconds"))
    assert "pycontext_broken_seconds has no value" in caplog.text
    for name in ("", "Live", "a-b", "a" * 65, 5, "turns"):
        with pytest.raises(ValidationError, match="name"):
            collector.watch(name, lambda: 0)


@pytest.mark.parametrize(
    "text",
    [
        ARTICLES,
        "prometheus:9090",
        "http://pushgateway:9091/metrics/job/pycontext",
        "http://192.0.2.7:9090/metrics",
        "[2001:db8::7]:9090",
        "https://metrics.example.com:443/metrics",
        "http://127.0.0.1:9091/metrics/job/pycontext",
        "http://localhost:9090/api/v1/write",
    ],
)
def test_an_address_to_push_to_is_refused_with_what_to_write_instead(text):
    with pytest.raises(ValidationError) as refused:
        MetricsCollector(text)
    message = str(refused.value)
    assert message.startswith("prometheus_endpoint ")
    assert 'Prometheus scrapes us: give the address to serve, such as "127.0.0.1:9464"' in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "text",
    ["", "9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "https://127.0.0.1:9464/metrics",
     "http://127.0.0.1:9464/metrics?x=1", "127.0.0.1:9464\n", "::1:9464", 9464, b"127.0.0.1:9464"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValidationError, match=r"^prometheus_endpoint .*$"):
        MetricsCollector(text)


def test_a_password_is_not_repeated():
    with pytest.raises(ValidationError) as refused:
        MetricsCollector("http://ada:secret@127.0.0.1:9464/metrics")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["127.0.0.1:0", "localhost:0", "http://0.0.0.0:0/metrics", "HTTP://LOCALHOST:0/"])
def test_addresses_of_this_machine_are_served(text):
    with MetricsCollector(text) as collector:
        port = collector.address.rpartition(":")[2]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert answer.status == 200


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"pycontext-layer\[metrics\]"):
        MetricsCollector()
