"""The adapter for Ray Data, with Ray itself; run by test_engines.py."""

from __future__ import annotations

import logging

import pytest
import ray
import ray.data

from batch_reference import pruned_rows
from engine_rows import BAD, OPTIONS, conversations
from pycontext.adapters.ray_data import prune

BUDGET = 700
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


@pytest.fixture(scope="module", autouse=True)
def _cluster():
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100_000_000,
        _node_ip_address="127.0.0.1",
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.mark.parametrize("options", OPTIONS)
def test_every_row_is_what_one_machine_makes_of_it(options):
    table = conversations()
    dataset = ray.data.from_arrow([table.slice(0, 90), table.slice(90, 100), table.slice(190)])
    out = prune(dataset, BUDGET, batch_size=40, **options).take_all()
    want = pruned_rows(table.to_pylist(), BUDGET, **options)
    by_key = {row["key"]: row for row in want}
    assert len(out) == len(want)
    for row in out:
        other = by_key[row["key"]]
        assert row["other"] == other["other"]
        left = None if row["messages"] is None else [bare(each) for each in row["messages"]]
        assert left == (None if other["messages"] is None else [bare(each) for each in other["messages"]])


def bare(message):
    """What Ray makes of lists are arrays."""
    calls = message["tool_calls"]
    return {**message, "tool_calls": None if calls is None else [dict(call) for call in calls]}


def test_what_cannot_fit_is_left_out_null_or_whole():
    table = conversations(60)
    for overflow in ("drop", "null", "keep"):
        out = prune(ray.data.from_arrow(table), 30, on_overflow=overflow).take_all()
        want = pruned_rows(table.to_pylist(), 30, on_overflow=overflow)
        assert sorted(row["key"] for row in out) == sorted(row["key"] for row in want)
        assert sum(row["messages"] is None for row in out) == sum(row["messages"] is None for row in want)


def test_a_row_that_is_no_conversation_is_told():
    with pytest.raises(Exception, match="role nobody is not one of system"):
        prune(ray.data.from_arrow(BAD), BUDGET).take_all()
