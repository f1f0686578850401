"""The article's relevance calculator, and scores that are written into a session and put back."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from pycontext import (
    BlockSet,
    ContextBlock,
    ContextManager,
    ContextType,
    ContextualRelevanceCalculator,
    PluginError,
    UnknownBlockError,
    UnknownSessionError,
    ValidationError,
)

FACTS = {
    "refund": "Refunds are paid within fourteen days.",
    "hours": "The shop opens at nine.",
    "empty": "",
    "stop": "it is what it is",
    "tokyo": "東京都に住んでいます",
}


def facts():
    return [ContextBlock(id, text, 1.0, ContextType.MEMORY, timestamp=0) for id, text in FACTS.items()]


def manager(**options):
    made = ContextManager(**options)
    session = made.create_session("a")
    made.add_context(session, "You help with a refund.", ContextType.SYSTEM, 0.1, block_id="system")
    for block in facts():
        made.add_context(session, block.content, block.type, 0.8, block_id=block.id)
    made.add_context(session, "Hello.", ContextType.USER, 0.9, block_id="first")
    made.add_context(session, "When is the refund paid?", ContextType.USER, 0.9, block_id="last")
    return made, session


def scores_of(made, session):
    blocks = made.sessions[session].blocks
    return dict(zip(blocks.ids(), blocks.scores.tolist(), strict=True))


class Fixed:
    def __init__(self, result):
        self.result = result

    def score(self, _query, blocks):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result if isinstance(self.result, list) else np.full(len(blocks), self.result)


def test_what_shares_words_is_relevant_and_nothing_is_changed():
    blocks = facts()
    found = ContextualRelevanceCalculator().calculate_relevance("refund days", blocks)
    assert list(found) == list(FACTS)
    assert found["refund"] > 0
    assert [found[id] for id in ("hours", "empty", "stop", "tokyo")] == [0.0] * 4
    assert [block.relevance_score for block in blocks] == [1.0] * 5
    assert ContextualRelevanceCalculator().calculate_relevance("x", []) == {}


def test_texts_without_blanks_are_found_and_endings_do_not_matter():
    calculator = ContextualRelevanceCalculator()
    assert calculator.calculate_relevance("東京", facts())["tokyo"] > 0
    assert calculator.calculate_relevance("refunding", facts())["refund"] > 0


@pytest.mark.parametrize("query", ["what is it", "", "?!", "absent"])
def test_a_query_that_says_nothing_is_relevant_to_nothing_and_writes_nothing(query):
    calculator = ContextualRelevanceCalculator()
    assert set(calculator.calculate_relevance(query, facts()).values()) == {0.0}
    made, session = manager()
    before = scores_of(made, session)
    assert calculator.update_relevance_scores(query, made, session) == {}
    assert scores_of(made, session) == before


def test_ids_that_are_there_twice_are_refused():
    with pytest.raises(ValidationError, match="refund"):
        ContextualRelevanceCalculator().calculate_relevance("x", [facts()[0], facts()[0]])


def test_errors_of_a_scorer_are_raised_and_nothing_is_written():
    made, session = manager()
    before = scores_of(made, session)
    for result in (RuntimeError("down"), 2.0, [0.1]):
        calculator = ContextualRelevanceCalculator(Fixed(result))
        with pytest.raises(PluginError, match="scorer Fixed"):
            calculator.update_relevance_scores("refund", made, session)
    assert scores_of(made, session) == before
    with pytest.raises(ValidationError, match="scorer 7 is int, not a Scorer"):
        ContextualRelevanceCalculator(7)


def test_an_update_writes_leaves_what_is_pinned_and_can_be_taken_back():
    made, session = manager()
    before = scores_of(made, session)
    calculator = ContextualRelevanceCalculator()
    found = calculator.calculate_relevance("refund", made.sessions[session].blocks)
    written = calculator.update_relevance_scores("refund", made, session)
    after = scores_of(made, session)
    assert written == {id: before[id] for id in before if id not in ("system", "last")}
    assert (after["system"], after["last"]) == (before["system"], 0.9)
    assert after["refund"] == pytest.approx(0.3 + 0.7 * found["refund"])
    assert after["hours"] == pytest.approx(0.3)
    # Queries do not add up.
    calculator.update_relevance_scores("shop", made, session)
    calculator.update_relevance_scores("refund", made, session)
    assert scores_of(made, session) == after
    assert made.set_scores(session, written).keys() == written.keys()
    assert scores_of(made, session) == before


def test_the_threshold_of_the_manager_hides_nothing_after_an_update():
    made, session = manager(relevance_threshold=0.2)
    ContextualRelevanceCalculator().update_relevance_scores("refund", made, session)
    assert not made.select(session).dropped


def test_a_set_is_read_once_however_many_queries_come():
    blocks = BlockSet(facts())
    calculator = ContextualRelevanceCalculator()
    calculator.calculate_relevance("refund", blocks)
    index = blocks.nbytes
    calculator.calculate_relevance("shop", blocks)
    assert blocks.nbytes == index
    assert index > BlockSet(facts()).nbytes, "the index stays with the set"


def test_sessions_and_blocks_that_are_not_there_are_named():
    made, session = manager()
    before = scores_of(made, session)
    with pytest.raises(UnknownSessionError, match="nowhere"):
        ContextualRelevanceCalculator().update_relevance_scores("refund", made, "nowhere")
    with pytest.raises(UnknownSessionError, match="nowhere"):
        made.set_scores("nowhere", {})
    with pytest.raises(UnknownBlockError, match="absent"):
        made.set_scores(session, {"refund": 0.1, "absent": 0.1})
    for bad in (1.5, -0.1, float("nan"), "high", None, True):
        with pytest.raises(ValidationError, match=r"score of 'refund' .* is not a number from 0 to 1"):
            made.set_scores(session, {"hours": 0.1, "refund": bad})
    assert scores_of(made, session) == before


def test_another_manager_on_the_same_store_sees_what_was_written(tmp_path):
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    made, session = manager(store=url)
    written = ContextualRelevanceCalculator().update_relevance_scores("refund", made, session)
    assert written
    other = ContextManager(store=url)
    assert other.get_block(session, "hours").relevance_score == pytest.approx(0.3)
    assert scores_of(other, session) == scores_of(made, session)
    # A session that is only in the store is found there.
    third = ContextManager(store=url)
    assert ContextualRelevanceCalculator().update_relevance_scores("shop", third, session).keys() == written.keys()


def test_a_session_may_change_while_a_scorer_takes_its_time():
    made, session = manager()
    began, goes_on = threading.Event(), threading.Event()
    asked = []

    class Slow:
        def score(self, _query, blocks):
            asked.append(len(blocks))
            began.set()
            assert goes_on.wait(10)
            return np.ones(len(blocks))

    calculator = ContextualRelevanceCalculator(Slow())
    thread = threading.Thread(target=calculator.update_relevance_scores, args=("refund", made, session))
    thread.start()
    assert began.wait(10)
    made.add_context(session, "A word more.", ContextType.MEMORY, 0.5, block_id="more")
    made.remove_block(session, "hours")
    goes_on.set()
    thread.join(10)
    assert asked == [8, 8], "once more, because a block was gone"
    after = scores_of(made, session)
    assert after["refund"] == after["more"] == 1.0
    assert "hours" not in after


def test_the_turns_of_a_conversation_are_handed_to_a_scorer_that_wants_them():
    made, session = manager()
    told = []

    class Told(Fixed):
        def score_turns(self, turns, blocks):
            told.append(list(turns))
            return np.zeros(len(blocks))

    calculator = ContextualRelevanceCalculator(Told(0.0))
    blocks = made.sessions[session].blocks
    calculator.calculate_relevance("When is the refund paid?", blocks)
    calculator.calculate_relevance("Other?", blocks)
    calculator.calculate_relevance(["one", "two"], blocks)
    assert told == [["Hello.", "When is the refund paid?"], ["Other?"], ["one", "two"]]
