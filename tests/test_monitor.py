"""What Datadog is told, by listeners on this machine."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import ssl
import sys
import threading
import warnings
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pycontext.errors import ValidationError
from pycontext.service.monitor import ProductionMonitor
from reports import report_of
from servers.certificates import Certificates

KEY = "0123456789abcdef-the-key"


class Agent:
    """A UDP socket that reads datagrams as an agent does."""

    def __init__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(5)
        self.port = self._socket.getsockname()[1]

    def lines(self, count):
        """So many metrics; then nothing more may be there."""
        found = []
        while len(found) < count:
            found += self._socket.recv(65536).decode().splitlines()
        assert len(found) == count
        self.silent()
        return [self._read(line) for line in found]

    def silent(self):
        self._socket.setblocking(False)
        try:
            with pytest.raises(BlockingIOError):
                self._socket.recv(65536)
        finally:
            self._socket.settimeout(5)

    def close(self):
        self._socket.close()

    @staticmethod
    def _read(line):
        name, _, rest = line.partition(":")
        value, kind, *fields = rest.split("|")
        rate = next((field[1:] for field in fields if field[0] == "@"), "1")
        tags = next(field[1:] for field in fields if field[0] == "#").split(",")
        return name, kind, float(value), float(rate), dict(tag.split(":", 1) for tag in tags)


@pytest.fixture
def agent():
    made = Agent()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """A machine that has its own tags or proxies would tell or ask others."""
    for name in ("DD_ENV", "DD_SERVICE", "DD_VERSION", "DD_ENTITY_ID", "DATADOG_TAGS", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Api:
    """An HTTP server that takes what Datadog's API takes.

    Args:
        certificates: to speak TLS with, None for plain HTTP.
    """

    def __init__(self, certificates=None):
        self.requests = []
        self.status = 202
        self.goes_on = threading.Event()
        self.goes_on.set()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.requests.append((self.path, dict(self.headers), body))
                api.goes_on.wait(20)
                answer = b'{"status": "ok"}' if api.status < 300 else b'{"errors": ["no"]}'
                self.send_response(api.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if certificates is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificates.server.certificate, certificates.server.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.scheme = "https"
        self.url = f"{self.scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def series(self):
        """All that was told, by name and tags."""
        found = {}
        for _, _, body in self.requests:
            for one in body["series"]:
                ((_, value),) = one["points"]
                found[one["metric"], tuple(one["tags"])] = value
        return found

    def close(self):
        self.goes_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def api():
    made = Api()
    yield made
    made.close()


def test_a_turn_is_datagrams_of_counts_and_distributions(agent):
    with ProductionMonitor(experiment_name="pilot", port=agent.port, tags=["region:eu"]) as monitor:
        monitor.turn_ended(report_of(outcome="failed", error="LLMTimeoutError"))
        lines = agent.lines(12)
    tags = {"experiment": "pilot", "arm": "managed", "agent": "intent_agent", "outcome": "failed", "region": "eu"}
    found = {name: (kind, value) for name, kind, value, rate, _ in lines if rate == 1}
    assert found == {
        "pycontext.turns": ("c", 1),
        "pycontext.hops": ("c", 1),
        "pycontext.llm_calls": ("c", 2),
        "pycontext.tool_calls": ("c", 3),
        "pycontext.left_out_blocks": ("c", 11),
        "pycontext.errors": ("c", 1),
        "pycontext.turn_seconds": ("d", 1.25),
        "pycontext.llm_seconds": ("d", 0.5),
        "pycontext.tool_seconds": ("d", 0.25),
        "pycontext.layer_seconds": ("d", 0.5),
        "pycontext.prompt_tokens": ("d", 700),
        "pycontext.session_tokens": ("d", 9000),
    }
    for name, *_, told in lines:
        assert told == tags | ({"error": "LLMTimeoutError"} if name == "pycontext.errors" else {})
    assert (monitor.sent, monitor.dropped) == (1, 0)


def test_sessions_are_sampled_as_a_whole_and_counts_scaled_up(agent):
    monitor = ProductionMonitor(port=agent.port, sample_rate=0.25, flush_seconds=0)
    sessions = [f"s{n}" for n in range(400)]
    sampled = [name for name in sessions if monitor.is_sampled(name)]
    assert 60 < len(sampled) < 140
    higher = ProductionMonitor(port=agent.port, sample_rate=0.5)
    assert {name for name in sessions if higher.is_sampled(name)} > set(sampled)
    other = ProductionMonitor(experiment_name="other", port=agent.port, sample_rate=0.25)
    assert [name for name in sessions if other.is_sampled(name)] != sampled
    for name in sessions[:40]:
        for _ in range(2):
            monitor.turn_ended(report_of(session_id=name))
    taken = sum(name in sampled for name in sessions[:40])
    lines = agent.lines(2 * taken * 11)
    assert {rate for *_, rate, _ in lines} == {0.25}
    assert Counter(name for name, *_ in lines)["pycontext.turns"] == 2 * taken
    assert all(made.close() for made in (monitor, higher, other))


@pytest.mark.parametrize(("rate", "told"), [(0, 0), (1, 11)])
def test_none_or_all_of_the_sessions(agent, rate, told):
    with ProductionMonitor(port=agent.port, sample_rate=rate) as monitor:
        monitor.turn_ended(report_of())
        assert monitor.flush()
        agent.lines(told)


def test_arms_are_told_apart_and_a_tag_cannot_become_two(agent):
    with ProductionMonitor(port=agent.port) as monitor:
        monitor.record(report_of(hops=0), arm="baseline")
        monitor.record(report_of(hops=0, agent="a,admin:yes|#x\npycontext.turns:5|c"), arm="managed")
        lines = agent.lines(20)
    assert {tags["arm"] for *_, tags in lines} == {"baseline", "managed"}
    assert {tags["agent"] for *_, tags in lines} == {"intent_agent", "a_admin_yes__x_pycontext.turns_5_c"}
    assert all("admin" not in tags for *_, tags in lines)


def test_a_flood_of_agents_is_one_more(agent):
    told = []
    with ProductionMonitor(port=agent.port) as monitor:
        for n in range(110):
            monitor.turn_ended(report_of(hops=0, agent=f"agent{n}"))
            # A few at a time: the socket of a listener holds only so much.
            if n % 10 == 9:
                told += {tags["agent"] for *_, tags in agent.lines(100)}
    assert sorted(told) == sorted([*(f"agent{n}" for n in range(100)), "other"])


def test_no_session_and_nothing_but_numbers_and_names_is_told(agent, api):
    with ProductionMonitor(port=agent.port) as monitor:
        monitor.turn_ended(report_of())
        lines = agent.lines(11)
    with ProductionMonitor(KEY, api_host=api.url) as monitor:
        monitor.turn_ended(report_of())
    assert "session-of-ada" not in repr(lines)
    assert "session-of-ada" not in repr(api.requests)
    assert len(api.requests) == 2


def test_with_a_key_the_api_gets_what_was_gathered(api):
    with ProductionMonitor(KEY, "pilot", 1.0, api_host=api.url + "/", tags=("region:eu",)) as monitor:
        for seconds in (1.25, 2.25):
            monitor.turn_ended(report_of(seconds=seconds))
        monitor.record(report_of(), arm="baseline")
        assert api.requests == []
    (counted, headers, counts), (spread, _, distributions) = api.requests
    assert (counted, spread) == ("/api/v1/series", "/api/v1/distribution_points")
    assert headers["DD-API-KEY"] == KEY
    assert {one["type"] for one in counts["series"]} == {"count"}
    assert {one["interval"] for one in counts["series"]} == {10}
    assert len(distributions["series"]) == 12
    found = api.series()
    tags = ("experiment:pilot", "region:eu", "arm:managed", "agent:intent_agent", "outcome:done")
    assert found["pycontext.turns", tags] == 2
    assert found["pycontext.left_out_blocks", tags] == 22
    assert found["pycontext.turn_seconds", tags] == [1.25, 2.25]
    baseline = tuple("arm:baseline" if tag == "arm:managed" else tag for tag in tags)
    assert found["pycontext.turns", baseline] == 1


def test_the_api_gets_counts_scaled_up(api):
    monitor = ProductionMonitor(KEY, sample_rate=0.5, api_host=api.url)
    session = next(name for name in (f"s{n}" for n in range(99)) if monitor.is_sampled(name))
    monitor.turn_ended(report_of(session_id=session))
    assert monitor.close()
    found = {name: value for (name, _), value in api.series().items()}
    assert found["pycontext.turns"] == 2
    assert found["pycontext.turn_seconds"] == [1.25]


def test_https_is_checked(tmp_path, monkeypatch, caplog):
    certificates = Certificates(tmp_path / "tls")
    api = Api(certificates)
    try:
        with ProductionMonitor(KEY, api_host=api.url) as stranger:
            stranger.turn_ended(report_of())
        assert (stranger.sent, stranger.dropped, api.requests) == (0, 1, [])
        assert "certificate" in caplog.text.lower()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.authority))
        with ProductionMonitor(KEY, api_host=api.url) as monitor:
            monitor.turn_ended(report_of())
        assert (monitor.sent, monitor.dropped, len(api.requests)) == (1, 0, 2)
    finally:
        api.close()


@pytest.mark.parametrize("status", [302, 403, 413, 500])
def test_an_api_that_refuses_is_logged_once_until_it_takes_again(api, caplog, status):
    caplog.set_level(logging.DEBUG)
    api.status = status
    with ProductionMonitor(KEY, api_host=api.url) as monitor:
        for _ in range(3):
            monitor.turn_ended(report_of())
            assert monitor.flush()
        api.status = 202
        monitor.turn_ended(report_of())
        assert monitor.flush()
        assert (monitor.sent, monitor.dropped) == (1, 3)
        told = [record for record in caplog.records if record.name.startswith("pycontext")]
        assert [record.levelname for record in told] == ["WARNING", "INFO"]
        assert api.url in told[0].getMessage()
        assert KEY not in caplog.text
        assert KEY not in repr(monitor)


def test_an_api_that_is_down_breaks_nothing(caplog):
    caplog.set_level(logging.DEBUG)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monitor = ProductionMonitor(KEY, api_host=f"http://127.0.0.1:{port}")
    monitor.turn_ended(report_of())
    assert monitor.close()
    assert (monitor.sent, monitor.dropped) == (0, 1)
    assert KEY not in caplog.text
    monitor.turn_ended(report_of())
    assert monitor.dropped == 2


def test_an_api_that_hangs_keeps_no_turn_waiting_and_what_finds_no_room_is_counted(api):
    api.goes_on.clear()
    monitor = ProductionMonitor(KEY, api_host=api.url, flush_seconds=0)
    monitor.turn_ended(report_of())
    while not api.requests:
        threading.Event().wait(0.005)
    # The thread is in a request; the first one's place is free again.
    for _ in range(10_005):
        monitor.turn_ended(report_of())
    assert monitor.dropped == 5
    assert not monitor.flush(0.01)
    api.goes_on.set()
    assert monitor.close()
    assert (monitor.sent, monitor.dropped) == (10_001, 5)


def test_an_agent_that_is_not_there_breaks_nothing(agent, caplog):
    port = agent.port
    agent.close()
    with ProductionMonitor(port=port) as monitor, ProductionMonitor(host="no-such-host.invalid") as nowhere:
        for _ in range(4):
            monitor.turn_ended(report_of())
            assert monitor.flush()
        nowhere.turn_ended(report_of())
        assert nowhere.flush()
        assert monitor.sent + monitor.dropped == 4
        assert nowhere.dropped == 1
    told = [record.getMessage() for record in caplog.records if record.name == "pycontext.service.outbox"]
    assert sum("no-such-host.invalid:8125" in line for line in told) == 1


def test_no_thread_before_the_first_turn_and_none_after_close(agent):
    def threads():
        return [thread for thread in threading.enumerate() if thread.name == "pycontext-outbox"]

    monitor = ProductionMonitor(port=agent.port)
    assert threads() == []
    monitor.turn_ended(report_of())
    assert len(threads()) == 1
    assert monitor.close()
    assert monitor.close()
    assert threads() == []
    agent.lines(11)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.parametrize("holds_lock", [True, False])
def test_a_child_process_waits_for_nothing_of_its_parent_and_sends_what_is_its_own(agent, holds_lock):
    monitor = ProductionMonitor(port=agent.port, flush_seconds=0 if holds_lock else 3600)
    monitor.turn_ended(report_of())
    if holds_lock:
        agent.lines(11)
    # What a thread may hold at the moment of a fork; no test could wait for that moment.
    lock = monitor._outbox._changed  # noqa: SLF001
    is_held, done = threading.Event(), threading.Event()

    def hold():
        with lock:
            is_held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    if holds_lock:
        holder.start()
        is_held.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        # Nothing of pytest's may run here: whatever happens, this ends; so does a wait for ever.
        signal.alarm(20)
        monitor.record(report_of(), arm="child")
        os._exit(0 if monitor.close() and monitor.sent == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    done.set()
    if holds_lock:
        holder.join()
    assert {tags["arm"] for *_, tags in agent.lines(11)} == {"child"}
    assert monitor.close()
    if not holds_lock:
        assert {tags["arm"] for *_, tags in agent.lines(11)} == {"managed"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("experiment_name", ""),
        ("experiment_name", "a,b"),
        ("experiment_name", 5),
        ("sample_rate", 1.5),
        ("sample_rate", float("nan")),
        ("sample_rate", True),
        ("host", "a b"),
        ("port", 0),
        ("port", 65_536),
        ("port", "8125"),
        ("site", "datadoghq.com/x"),
        ("api_host", "http://api.example.com"),
        ("api_host", "ftp://127.0.0.1"),
        ("api_host", "https://api.example.com/path"),
        ("tags", "region:eu"),
        ("tags", ["a|b"]),
        ("tags", [5]),
        ("flush_seconds", -1),
        ("flush_seconds", float("inf")),
    ],
)
def test_arguments_outside_their_limits_are_refused(name, value):
    with pytest.raises(ValidationError, match=rf"^{name}.* .*$"):
        ProductionMonitor(**{name: value})


@pytest.mark.parametrize("key", ["a key", f"{KEY}\n", f"{KEY}é", "k" * 201, 5, b"0123456789"])
def test_a_bad_key_is_not_repeated(key):
    with pytest.raises(ValidationError) as refused:
        ProductionMonitor(key)
    assert str(refused.value) == "datadog_api_key is not a str of 1 to 200 printable characters without spaces"


@pytest.mark.parametrize("key", [None, KEY])
def test_without_the_extra_the_error_names_it(monkeypatch, key):
    for name in [name for name in sys.modules if re.match(r"datadog\b|pycontext\.service\.datadog_", name)]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("datadog", "datadog.dogstatsd.base", "datadog.api.http_client"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pycontext-layer\[datadog\]"):
        ProductionMonitor(key)
