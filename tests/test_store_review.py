"""What a review of stores and managers found: each test failed once."""

from __future__ import annotations

import pytest

from pycontext import ContextManager, ContextType, open_store

USER = ContextType.USER


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/sessions.db"


def two(store):
    """Two managers over one store, or one address, that have opened one session."""
    one, other = ContextManager(store=store), ContextManager(store=store)
    one.create_session("agent", session_id="s")
    other.refresh("s")
    return one, other


@pytest.mark.parametrize("is_shared", [True, False])
def test_an_id_that_is_taken_is_told_by_a_store_that_knew_it(url, is_shared):
    store = open_store(url)
    one, other = two(store if is_shared else url)
    one.add_context("s", "of one", USER, block_id="x")
    id = other.add_context("s", "of the other", USER, block_id="x")
    assert id != "x"
    assert other.get_block("s", id).content == "of the other"
    assert other.get_block("s", "x").content == "of one"
    store.close()
