"""Shadow mode: the manager chooses and says what it would do, and changes nothing."""

from __future__ import annotations

import logging

import pytest

from pycontext import (
    BudgetExceededError,
    ContextManager,
    ContextType,
    Policy,
    ShadowReport,
    UnknownSessionError,
    ValidationError,
)

USER, MEMORY, TOOL = ContextType.USER, ContextType.MEMORY, ContextType.TOOL


def filled(number=40, **options):
    manager = ContextManager(max_tokens=200, shadow=True, **options)
    session = manager.create_session("agent", session_id="s")
    for i in range(number):
        manager.add_context(session, f"note {i} and more", MEMORY, (i % 10) / 10, block_id=f"b{i}", timestamp=i)
    return manager, session


def test_nothing_falls_and_what_would_is_said(caplog):
    caplog.set_level(logging.INFO, logger="pycontext.manager")
    manager, session = filled()
    blocks = manager.sessions[session].blocks
    assert [block.id for block in blocks] == [f"b{i}" for i in range(40)]
    report = manager.shadow_report(session)
    assert report.looks > 1
    assert report.refused == 0
    assert report.selection.tokens <= 200
    fell = set(report.selection.dropped_ids)
    assert fell
    assert "below_threshold" in report.selection.reasons
    assert all(manager.get_block(session, id).id == id for id in fell)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == report.looks
    assert lines[-1].startswith("shadow: session s would lose ")
    assert f"keep {report.selection.tokens} tokens" in lines[-1]


def test_it_looks_as_often_as_it_would_prune():
    real = ContextManager(max_tokens=2_000, policy="recent", relevance_threshold=0)
    shadow = ContextManager(max_tokens=2_000, policy="recent", relevance_threshold=0, shadow=True)
    prunes = 0
    for manager in (real, shadow):
        manager.create_session("agent", session_id="s")
    for i in range(1_000):
        before = len(real.sessions["s"].blocks)
        for manager in (real, shadow):
            manager.add_context("s", f"note {i} and more", MEMORY)
        prunes += len(real.sessions["s"].blocks) < before + 1
    assert prunes > 10
    assert abs(shadow.shadow_report("s").looks - prunes) <= 1


def test_a_block_that_would_be_refused_is_taken_and_counted(caplog):
    manager, session = filled(0)
    manager.add_context(session, "rule " * 300, ContextType.SYSTEM)
    manager.add_context(session, "hello", USER)
    assert len(manager.sessions[session].blocks) == 2
    assert manager.shadow_report(session) == ShadowReport(looks=0, refused=1, selection=None)
    assert "would be refused: budget of 200 tokens" in caplog.text
    with pytest.raises(BudgetExceededError):
        manager.select(session)


def test_prune_selects_and_removes_nothing():
    manager, session = filled(20)
    selection = manager.prune(session, 60)
    assert selection.dropped
    assert len(manager.sessions[session].blocks) == 20
    assert manager.shadow_report(session).selection is selection
    assert manager.select(session, 60).to_dict() == selection.to_dict()


def test_the_text_is_that_of_all_blocks():
    manager, session = filled(40)
    manager.add_context(session, "data", TOOL, 0.0, references=["nowhere"])
    text = manager.get_formatted_context(session)
    assert text.count("[MEMORY]") == 40
    assert text.endswith("[TOOL]\ndata"), "what would be left out is not"
    seen = []

    def ids(package):
        seen.append([block.id for block in package.blocks])
        return "text"

    class Lines:
        def cost(self, _block):
            return 1

        def render(self, blocks):
            return "\n".join(block.content for block in blocks)

    assert manager.get_formatted_context(session, ids) == "text"
    assert len(seen[0]) == 41
    assert len(manager.get_formatted_context(session, Lines()).splitlines()) == 41


def test_an_import_stays_as_large_as_it_came():
    big, session = filled(40)
    data = big.export_session(session)
    manager = ContextManager(max_tokens=100, shadow=True)
    manager.import_session(data)
    assert len(manager.sessions["s"].blocks) == 40
    assert manager.shadow_report("s").looks == 1


def test_duplicates_stay_as_well():
    manager, session = filled(0, duplicates="drop")
    for _ in range(3):
        manager.add_context(session, "the same", MEMORY)
    assert len(manager.sessions[session].blocks) == 3


def test_out_of_the_shadow_there_is_nothing_to_report():
    manager = ContextManager(max_tokens=50)
    session = manager.create_session("agent")
    for i in range(20):
        manager.add_context(session, f"note {i}", MEMORY, block_id=f"b{i}")
    manager.prune(session, 20)
    assert manager.shadow_report(session) == ShadowReport()
    with pytest.raises(UnknownSessionError):
        manager.shadow_report("nobody")


@pytest.mark.parametrize("shadow", [1, "yes", None])
def test_what_is_no_choice_is_refused(shadow):
    with pytest.raises(ValidationError, match=r"shadow .* is neither True nor False"):
        ContextManager(shadow=shadow)


@pytest.mark.parametrize("duplicates", [True, "merge", None])
def test_what_is_no_way_with_duplicates_is_refused(duplicates):
    with pytest.raises(ValidationError, match=r"duplicates .* is not one of keep, drop"):
        ContextManager(duplicates=duplicates)


def test_duplicates_go_as_they_come_where_that_is_asked():
    manager = ContextManager(duplicates="drop")
    session = manager.create_session("agent")

    def add(id, content, score, kind=MEMORY, **fields):
        return manager.add_context(session, content, kind, score, block_id=id, **fields)

    for id, content, score in (("a", "fact", 0.5), ("b", "other", 0.5), ("c", "fact", 0.9), ("d", "fact", 0.1)):
        assert add(id, content, score) == id
    add("u", "fact", 0.5, USER, references=["a"])
    assert [block.id for block in manager.sessions[session].blocks] == ["b", "c", "u"]
    assert manager.get_block(session, "a").content == "fact", "what fell is remembered"
    assert manager.get_block(session, "d").relevance_score == 0.1
    version = manager.sessions[session].version
    add("e", "fact", 0.2)
    assert manager.sessions[session].version > version


def test_the_manager_takes_time_and_policies():
    policy = Policy("mine", half_life_minutes={MEMORY: 1})
    manager = ContextManager(policy=policy, relevance_threshold=0)
    session = manager.create_session("agent")
    manager.add_context(session, "old", MEMORY, 0.8, block_id="a", timestamp=0)
    manager.add_context(session, "new", MEMORY, 0.5, block_id="b", timestamp=120_000)
    assert "score of 0.200" in manager.select(session).explain("a")
    assert "score of 0.800" in manager.select(session, now=0).explain("a")
    assert manager.prune(session, 14, now=0).kept_ids == ["a"]


def test_a_prune_that_cannot_fit_is_counted():
    manager, session = filled(0)
    manager.add_context(session, "rule " * 60, ContextType.SYSTEM)
    with pytest.raises(BudgetExceededError):
        manager.prune(session, 10)
    assert manager.shadow_report(session).refused == 1


def test_a_session_that_got_smaller_is_looked_at_when_it_has_grown_again():
    manager, session = filled(20)
    looks = manager.shadow_report(session).looks
    for i in range(20):
        manager.remove_block(session, f"b{i}")
    for i in range(20):
        manager.add_context(session, f"again {i} and more", MEMORY)
    assert manager.shadow_report(session).looks > looks
