"""A session cut to a window, without what was wrong in the article."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import tiktoken_count
from pycontext import BudgetExceededError, ContextManager, ContextType, PluginError, UnknownSessionError
from pycontext.optimize import ContextWindowOptimizer

SYSTEM, USER, AGENT, MEMORY, KNOWLEDGE, TOOL = (
    ContextType.SYSTEM,
    ContextType.USER,
    ContextType.AGENT,
    ContextType.MEMORY,
    ContextType.KNOWLEDGE,
    ContextType.TOOL,
)


def manager_of(*blocks, **options):
    """A session `s` of blocks given as id, type, words and score, a millisecond apart."""
    manager = ContextManager(max_tokens=1_000_000, **options)
    manager.create_session("agent", session_id="s")
    for at, (block_id, kind, words, score) in enumerate(blocks):
        text = f"{block_id} " + "word " * words
        manager.add_context("s", text, kind, score, block_id=block_id, timestamp=1_000 + at)
    return manager


def cut(manager, max_tokens):
    return asyncio.run(ContextWindowOptimizer(manager).optimize_session("s", max_tokens))


def ids(manager):
    return manager.sessions["s"].blocks.ids()


def talk(count, words=10):
    return [(f"t{at}", (USER, AGENT)[at % 2], words, 0.5) for at in range(count)]


def test_a_session_that_is_not_there_is_an_error():
    with pytest.raises(UnknownSessionError, match="session 's' does not exist"):
        cut(ContextManager(), 100)


def test_the_agent_s_turns_have_room_beside_the_user_s():
    manager = manager_of(*talk(40))
    cut(manager, 200)
    kinds = [block.type for block in manager.sessions["s"].blocks]
    assert abs(kinds.count(USER) - kinds.count(AGENT)) <= 1
    assert kinds.count(AGENT) > 3


def test_room_that_the_other_blocks_leave_is_the_conversation_s():
    manager = manager_of(*talk(60))
    selection = cut(manager, 300)
    one = tiktoken_count("[AGENT]\nt10 " + "word " * 10)
    assert selection.tokens > 300 - 2 * one, "no turn more would have fitted"


def test_room_that_the_conversation_leaves_is_the_other_blocks():
    facts = [(f"m{at}", MEMORY, 10, 0.5) for at in range(40)]
    manager = manager_of(*facts, ("ask", USER, 3, 0.5))
    assert cut(manager, 300).tokens > 270


def test_other_blocks_have_their_part_whatever_the_conversation_needs():
    manager = manager_of(*[(f"m{at}", TOOL, 10, 0.5) for at in range(10)], *talk(60))
    cut(manager, 300)
    assert [id for id in ids(manager) if id.startswith("m")]


def test_the_newest_message_stays_and_older_ones_go():
    manager = manager_of(*talk(20, words=5), ("newest", AGENT, 80, 0.5))
    cut(manager, 110)
    assert "newest" in ids(manager)
    assert "t0" not in ids(manager)


def test_what_stays_is_in_its_order():
    manager = manager_of(("rule", SYSTEM, 3, 1.0), *talk(30), ("m", MEMORY, 5, 0.9), ("ask", USER, 5, 0.5))
    before = ids(manager)
    cut(manager, 200)
    after = ids(manager)
    assert len(after) < len(before)
    assert after == [id for id in before if id in set(after)]


def test_rules_that_do_not_fit_are_an_error_and_nothing_is_lost():
    manager = manager_of(("rule", SYSTEM, 500, 1.0), *talk(10))
    before = ids(manager)
    with pytest.raises(BudgetExceededError, match="budget of 100 tokens") as caught:
        cut(manager, 100)
    assert "rule" in caught.value.blockers
    assert ids(manager) == before


def test_what_fell_can_be_fetched():
    manager = manager_of(*talk(30))
    everything = ids(manager)
    cut(manager, 100)
    assert all(manager.get_block("s", id).content.startswith(f"{id} ") for id in everything)


BLOCKS = st.lists(
    st.tuples(st.sampled_from([USER, AGENT, MEMORY, KNOWLEDGE, TOOL]), st.integers(0, 30), st.floats(0.2, 1)),
    min_size=1,
    max_size=40,
)


@given(BLOCKS, st.integers(60, 600))
def test_the_text_fits_the_window_and_every_block_is_somewhere(blocks, room):
    manager = manager_of(*((f"b{at}", *block) for at, block in enumerate(blocks)), relevance_threshold=0)
    before = ids(manager)
    try:
        selection = cut(manager, room)
    except BudgetExceededError:
        assert ids(manager) == before
        return
    text = manager.select("s", 10**6, render="text").text()
    assert tiktoken_count(text) == selection.tokens <= room
    assert ids(manager) == selection.kept_ids
    assert all(manager.get_block("s", id) is not None for id in before)


class Slow:
    """A counter that counts only once the event loop has gone on."""

    name = "slow"
    exact = True

    def __init__(self):
        self.is_slow = False
        self.went_on = threading.Event()

    def count(self, text):
        return len(text.split())

    def count_batch(self, texts):
        if self.is_slow and not self.went_on.wait(timeout=20):
            raise PluginError("the event loop stands still")
        return [self.count(text) for text in texts]


def test_the_event_loop_goes_on():
    counter = Slow()
    manager = manager_of(*talk(20), counter=counter)
    manager.sessions["s"].blocks[0].content = "changed"
    counter.is_slow = True

    async def main():
        asyncio.get_running_loop().call_later(0.01, counter.went_on.set)
        return await ContextWindowOptimizer(manager).optimize_session("s", 60)

    assert asyncio.run(main()).tokens <= 60
