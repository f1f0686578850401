"""The servers that tests ask for by name, and what is said of tests that had to do without a program."""

from __future__ import annotations

import pytest

from browser import CHROMIUM
from servers.cluster import Cluster
from servers.pair import SentinelSet
from servers.proxy import Proxy
from servers.server import NO_TLS_REASON, SKIP_REASON, RedisServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """One server for all tests, empty at the start of each; whoever wants other settings starts his own."""
    with RedisServer(tmp_path_factory.mktemp("redis") / "server") as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory):
    """One cluster for all tests, whole and empty at the start of each."""
    with Cluster(tmp_path_factory.mktemp("cluster") / "nodes") as cluster:
        yield cluster


@pytest.fixture
def sentinel(tmp_path):
    """A pair and its sentinel, for one test."""
    with SentinelSet(tmp_path / "sentinel") as made:
        yield made


@pytest.fixture
def proxy(redis_server):
    """A way to `redis_server`, for one test."""
    with Proxy(redis_server) as made:
        yield made


@pytest.fixture(autouse=True)
def _mended(request):
    """What all tests share is as new for each; an autouse fixture, because hypothesis allows no other of that scope."""
    for name in ("redis_server", "redis_cluster"):
        if name in request.fixturenames:
            request.getfixturevalue(name).mend()


def pytest_terminal_summary(terminalreporter):
    for reason in (SKIP_REASON, NO_TLS_REASON, CHROMIUM.skip_reason):
        left_out = [report for report in terminalreporter.stats.get("skipped", []) if reason in str(report.longrepr)]
        if left_out:
            tests = f"{len(left_out)} test{'s' * (len(left_out) > 1)}"
            terminalreporter.write_line(f"NOT TESTED: {tests}: {reason}", yellow=True, bold=True)
