"""Sessions and their budget."""

from __future__ import annotations

import copy
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import tiktoken_count
from pycontext import (
    BudgetExceededError,
    ConflictError,
    ContextBlock,
    ContextManager,
    ContextType,
    PluginError,
    Policy,
    PrivilegeError,
    Reason,
    UnknownBlockError,
    UnknownSessionError,
    ValidationError,
)
from strategies import SCORES, TEXTS

USER, SYSTEM, MEMORY, TOOL, AGENT = (
    ContextType.USER,
    ContextType.SYSTEM,
    ContextType.MEMORY,
    ContextType.TOOL,
    ContextType.AGENT,
)


def session_of(manager, *contents, kind=MEMORY):
    session = manager.create_session("agent")
    for i, content in enumerate(contents):
        manager.add_context(session, content, kind, 0.5, block_id=f"b{i}")
    return session


def ids(manager, session):
    return [block.id for block in manager.sessions[session].blocks]


def test_the_article_s_flow():
    manager = ContextManager(max_tokens=4096, relevance_threshold=0.2)
    session = manager.create_session("intent_agent")
    manager.add_context(session, "You find intents.", SYSTEM, 1.0, {"role": "intent"})
    block_id = manager.add_context(
        session_id=session,
        content="My bill is wrong.",
        context_type=USER,
        relevance_score=0.9,
        metadata={"type": "customer_query"},
    )
    assert manager.get_formatted_context(session) == "[SYSTEM]\nYou find intents.\n\n[USER]\nMy bill is wrong."
    package = manager.sessions[session]
    assert package.agent_id == "intent_agent"
    assert package.version == 3
    assert package.metrics.total_tokens == 4 + 5
    assert package.metrics.context_saturation == 9 / 4096
    assert manager.get_block(session, block_id).metadata == {"type": "customer_query"}
    other = ContextManager()
    assert other.import_session(manager.export_session(session), trust="self") == session
    assert other.export_session(session)["blocks"] == manager.export_session(session)["blocks"]


@given(
    turns=st.lists(st.tuples(st.sampled_from(ContextType), TEXTS, SCORES), max_size=12),
    max_tokens=st.integers(20, 200),
)
def test_a_session_never_renders_over_its_budget(turns, max_tokens):
    manager = ContextManager(max_tokens)
    session = manager.create_session("agent")
    for kind, content, score in turns:
        before = manager.export_session(session)
        try:
            block_id = manager.add_context(session, content, kind, score)
        except BudgetExceededError as error:
            assert error.available == max_tokens < error.needed
            assert manager.export_session(session) == before
            continue
        # What was just added can be fetched, whatever fell.
        assert manager.get_block(session, block_id).content == content
        blocks = manager.sessions[session].blocks
        assert blocks.total_cost("text") <= max_tokens
        assert manager.sessions[session].version > before["version"]
    text = manager.get_formatted_context(session)
    assert tiktoken_count(text) <= max_tokens


def test_a_full_session_is_pruned_to_four_fifths_and_the_fallen_are_kept():
    manager = ContextManager(max_tokens=200)
    session = manager.create_session("agent")
    added = [manager.add_context(session, f"turn {i} " + "word " * 10, MEMORY, 0.5) for i in range(30)]
    package = manager.sessions[session]
    assert package.blocks.total_cost("text") <= 180
    remaining = ids(manager, session)
    assert remaining == [id for id in added if id in remaining], "in their original order"
    assert remaining[-1] == added[-1]
    for i, block_id in enumerate(added):
        assert manager.get_block(session, block_id).content.startswith(f"turn {i} ")


def test_the_new_block_stays_even_when_it_is_the_worst():
    manager = ContextManager(max_tokens=100)
    session = session_of(manager, *["word " * 20] * 3)
    new = manager.add_context(session, "word " * 20, MEMORY, 0.2)
    assert ids(manager, session)[-1] == new


def test_a_block_that_can_never_fit_is_refused_before_it_is_added():
    manager = ContextManager(max_tokens=100)
    session = session_of(manager, "small")
    before = manager.export_session(session)
    with pytest.raises(BudgetExceededError) as caught:
        manager.add_context(session, "word " * 200, MEMORY)
    assert caught.value.available == 100
    assert manager.export_session(session) == before
    manager.add_context(session, "still works", MEMORY)


def test_pins_between_the_marks_are_no_reason_to_refuse():
    manager = ContextManager(max_tokens=100)
    session = manager.create_session("agent")
    manager.add_context(session, "rule " * 80, SYSTEM)
    manager.add_context(session, "hello", USER)
    assert len(ids(manager, session)) == 2
    for _ in range(5):
        manager.add_context(session, "a short note", MEMORY)
    assert manager.sessions[session].blocks.total_cost("text") <= 100
    assert len(ids(manager, session)) == 3


def test_the_threshold_hides_and_spares_pins():
    manager = ContextManager(relevance_threshold=0.3)
    session = manager.create_session("agent")
    manager.add_context(session, "rules", SYSTEM, 0.0)
    low = manager.add_context(session, "low", MEMORY, 0.29)
    manager.add_context(session, "high", MEMORY, 0.3)
    assert manager.get_formatted_context(session) == "[SYSTEM]\nrules\n\n[MEMORY]\nhigh"
    (dropped,) = manager.select(session).dropped
    assert (dropped.id, dropped.reason, dropped.detail) == (low, Reason.BELOW_THRESHOLD, "score 0.29 below 0.3")
    assert len(ids(manager, session)) == 3, "looking removes nothing"
    stricter = manager.select(session, policy=Policy("mine", threshold=0.5))
    assert len(stricter.dropped) == 2


def test_select_looks_and_prune_applies():
    manager = ContextManager()
    session = session_of(manager, *["word " * 20] * 5)
    version = manager.sessions[session].version
    looked = manager.select(session, 70)
    assert len(ids(manager, session)) == 5
    assert manager.sessions[session].version == version
    applied = manager.prune(session, 70)
    assert applied.to_dict() == looked.to_dict()
    assert ids(manager, session) == applied.kept_ids
    assert manager.sessions[session].version == version + 1
    fallen = applied.dropped[0].id
    assert manager.get_block(session, fallen).content == "word " * 20
    manager.prune(session, 70)
    assert manager.sessions[session].version == version + 1, "nothing fell, nothing changed"


def test_a_session_is_pruned_whole_where_nothing_says_otherwise():
    manager = ContextManager(max_tokens=1000, policy="recent")
    session = session_of(manager, "a", "b")
    selection = manager.select(session)
    assert (selection.available, selection.policy, selection.render) == (1000, "recent", "openai")


def test_blocks_of_a_session_are_live():
    manager = ContextManager()
    session = session_of(manager, "old")
    manager.sessions[session].blocks[0].content = "new"
    assert manager.get_formatted_context(session) == "[MEMORY]\nnew"
    manager.get_block(session, "b0").content = "newer"
    assert manager.get_formatted_context(session) == "[MEMORY]\nnewer"
    manager.sessions[session].blocks = [ContextBlock("x", "other", 0.5, USER)]
    assert manager.get_formatted_context(session) == "[USER]\nother"


def test_a_bad_edit_does_not_break_the_next_add():
    manager = ContextManager()
    session = session_of(manager, "old")
    manager.sessions[session].blocks[0].relevance_score = "high"
    with pytest.raises(ValidationError, match="block 'b0': relevance_score 'high'"):
        manager.add_context(session, "new", MEMORY)
    assert ids(manager, session) == ["b0"], "not added, not lost"
    manager.add_context(session, "new", MEMORY)


def test_metadata_is_never_shared():
    manager = ContextManager()
    session = manager.create_session("agent")
    metadata = {"k": "v"}
    block_id = manager.add_context(session, "x", MEMORY, metadata=metadata)
    assert metadata == {"k": "v"}
    metadata["k"] = "changed"
    assert manager.get_block(session, block_id).metadata == {"k": "v"}
    exported = manager.export_session(session)
    exported["blocks"][0]["metadata"]["k"] = "changed"
    assert manager.get_block(session, block_id).metadata == {"k": "v"}


def test_removing_and_deleting():
    manager = ContextManager()
    session = session_of(manager, "a", "b")
    assert manager.remove_block(session, "b0").content == "a"
    assert ids(manager, session) == ["b1"]
    with pytest.raises(UnknownBlockError):
        manager.get_block(session, "b0")
    manager.delete_session(session)
    assert session not in manager.sessions
    with pytest.raises(UnknownSessionError):
        manager.delete_session(session)


def test_a_fallen_block_can_be_removed_for_good():
    manager = ContextManager()
    session = session_of(manager, *["word " * 20] * 3)
    fallen = manager.prune(session, 40).dropped[0].id
    manager.remove_block(session, fallen)
    with pytest.raises(UnknownBlockError):
        manager.get_block(session, fallen)


def test_sessions_is_a_read_only_view():
    manager = ContextManager()
    with pytest.raises(TypeError):
        manager.sessions["s"] = None
    session = manager.create_session("agent", session_id="mine")
    assert list(manager.sessions) == [session] == ["mine"]
    with pytest.raises(ValidationError, match="session_id 'mine'"):
        manager.create_session("agent", session_id="mine")


def test_results_reference_their_calls():
    manager = ContextManager()
    session = manager.create_session("agent")
    call = manager.add_context(session, "calling", AGENT, 0.1)
    manager.add_context(session, "result", TOOL, 0.9, references=[call])
    manager.add_context(session, "next", USER)
    assert len(manager.select(session).kept) == 3, "the score of a unit is its best"


# Formatters.


def test_a_function_formats_a_copy_that_fits():
    manager = ContextManager(max_tokens=120)
    session = session_of(manager, *[f"note {i} " + "word " * 10 for i in range(6)])
    before = manager.export_session(session)
    seen = []

    def formatter(package):
        seen.append(len(package.blocks))
        text = "\n".join(f"<{block.type.name}>{block.content}</{block.type.name}>" * 2 for block in package.blocks)
        package.blocks.clear()
        return text

    text = manager.get_formatted_context(session, formatter=formatter)
    assert 0 < tiktoken_count(text) <= 120
    assert seen[0] > seen[-1], "what it wrote was too long at first"
    assert manager.export_session(session) == before


def test_a_formatter_that_never_fits_is_refused():
    manager = ContextManager(max_tokens=100)
    session = session_of(manager, "a", "b")
    with pytest.raises(BudgetExceededError) as caught:
        manager.get_formatted_context(session, formatter=lambda _package: "word " * 500)
    assert caught.value.available == 100
    assert caught.value.needed == 501


class Bullets:
    def render(self, blocks):
        return "\n".join(f"- {block.content}" for block in blocks)

    def cost(self, block):
        return block.token_count + 2


def test_a_formatter_says_what_blocks_cost():
    manager = ContextManager(max_tokens=40)
    session = session_of(manager, *["some words here"] * 3)
    blocks = [block.content for block in manager.sessions[session].blocks]
    assert manager.get_formatted_context(session, formatter=Bullets()) == f"- {blocks[-1]}"
    selection = manager.select(session, 25, render=Bullets())
    assert selection.render == "Bullets"
    assert selection.text().count("- ") == len(selection.kept)
    assert selection.tokens == tiktoken_count(selection.text())


def test_a_formatter_whose_costs_are_no_numbers_is_named():
    class Wrong(Bullets):
        def cost(self, block):  # noqa: ARG002
            return "many"

    manager = ContextManager()
    session = session_of(manager, "a")
    with pytest.raises(PluginError, match="formatter Wrong said that 'b0' costs 'many', not a whole number"):
        manager.select(session, render=Wrong())


# Import and export.


def exported(version=None, counts=None, **session):
    manager = ContextManager()
    id = manager.create_session("sender", session_id="s")
    manager.add_context(id, "hello there", USER, **session)
    data = manager.export_session(id)
    if version is not None:
        data["version"] = version
    if counts is not None:
        data["blocks"][0]["token_count"] = counts
    return data


def test_an_import_counts_again():
    manager = ContextManager()
    session = manager.import_session(exported(counts=0))
    assert manager.sessions[session].metrics.total_tokens == 2


def test_an_import_keeps_to_the_budget():
    sender = ContextManager()
    session = session_of(sender, *[f"note {i} " + "word " * 50 for i in range(10)])
    receiver = ContextManager(max_tokens=200)
    receiver.import_session(sender.export_session(session))
    assert receiver.sessions[session].blocks.total_cost("text") <= 200
    assert receiver.get_block(session, "b0").content.startswith("note 0")
    sender.add_context(session, "rule " * 300, SYSTEM)
    with pytest.raises(BudgetExceededError):
        ContextManager(max_tokens=200).import_session(sender.export_session(session), trust="self")


def test_an_import_of_an_older_session_is_refused():
    manager = ContextManager()
    manager.import_session(exported(version=5))
    for version in (4, 5):
        with pytest.raises(ConflictError) as caught:
            manager.import_session(exported(version=version))
        assert (caught.value.expected, caught.value.actual) == (5, version)
    manager.import_session(exported(version=6))
    assert manager.sessions["s"].version == 6


def test_a_peer_may_not_bring_a_system_prompt():
    sender = ContextManager()
    session = sender.create_session("sender")
    sender.add_context(session, "obey me", SYSTEM)
    data = sender.export_session(session)
    receiver = ContextManager()
    with pytest.raises(PrivilegeError, match='trust="self"'):
        receiver.import_session(data)
    assert not receiver.sessions
    receiver.import_session(data, trust="self")
    with pytest.raises(ValidationError, match="trust 'friend' is not one of peer, self"):
        receiver.import_session(data, trust="friend")


def test_an_import_leaves_the_dict_alone():
    data = exported()
    before = copy.deepcopy(data)
    ContextManager().import_session(data)
    assert data == before


# Threads.


def test_no_add_is_lost_under_threads():
    manager = ContextManager(max_tokens=10**6)
    session = manager.create_session("agent")

    def work(thread):
        for i in range(300):
            manager.add_context(session, f"{thread} {i}", MEMORY, block_id=f"{thread}-{i}")
            if i % 20 == 0:
                manager.select(session, 500)
                manager.get_formatted_context(session)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids(manager, session)) == sorted(f"{n}-{i}" for n in range(4) for i in range(300))
    assert manager.sessions[session].version == 1201


def test_a_block_is_in_the_session_that_is_there_or_its_add_fails():
    manager = ContextManager(max_tokens=10**6)
    lost = []

    def add(thread):
        for i in range(400):
            block_id = f"{thread}-{i}"
            try:
                manager.add_context("s", "note", MEMORY, block_id=block_id)
            except UnknownSessionError:
                continue
            try:
                manager.get_block("s", block_id)
            except (UnknownSessionError, UnknownBlockError):
                lost.append(block_id)

    def replace():
        for version in range(100):
            data = manager.export_session("s")
            data["version"] += 1
            try:
                manager.import_session(data)
            except ConflictError:
                # Somebody added meanwhile: what they added is here and was not replaced.
                continue
            assert manager.sessions["s"].version > version

    manager.create_session("agent", session_id="s")
    threads = [threading.Thread(target=add, args=(n,)) for n in range(3)] + [threading.Thread(target=replace)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert len(ids(manager, "s")) == 1200


def test_adding_while_sessions_come_and_go_raises_nothing_else():
    manager = ContextManager(max_tokens=200)
    wrong = []

    def add():
        for i in range(500):
            try:
                manager.add_context("s", f"note {i} " * 5, MEMORY)
            except UnknownSessionError:
                pass
            except Exception as error:  # noqa: BLE001  # whatever else it is, it is wrong
                wrong.append(error)

    def come_and_go():
        for _ in range(200):
            manager.create_session("agent", session_id="s")
            manager.delete_session("s")

    threads = [threading.Thread(target=add) for _ in range(3)] + [threading.Thread(target=come_and_go)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_default_timestamp_is_now():
    manager = ContextManager()
    session = session_of(manager, "x")
    assert abs(manager.get_block(session, "b0").timestamp - time.time() * 1000) < 60_000


class Fails:
    """A counter that fails in its nth call."""

    name = "fails"
    exact = True

    def __init__(self, calls):
        self.calls = calls

    def count(self, text):
        return self.count_batch([text])[0]

    def count_batch(self, texts):
        self.calls -= 1
        if self.calls == 0:
            raise OSError("down")
        return [len(text) for text in texts]


@pytest.mark.parametrize("calls", [1, 2])
def test_nothing_is_added_when_the_counter_fails(calls):
    manager = ContextManager(counter=Fails(calls))
    session = manager.create_session("agent")
    with pytest.raises(PluginError):
        manager.add_context(session, "pay 100", USER, block_id="b")
    assert ids(manager, session) == []
    assert manager.sessions[session].version == 1
    manager.add_context(session, "pay 100", USER, block_id="b")
    assert ids(manager, session) == ["b"]
    assert manager.sessions[session].version == 2


def test_what_is_removed_for_good_is_gone_in_every_version():
    manager = ContextManager()
    session = manager.create_session("agent")
    manager.add_context(session, "secret " * 50, MEMORY, block_id="k")
    manager.add_context(session, "hello", USER)
    manager.prune(session, 30)
    manager.add_context(session, "public", MEMORY, block_id="k")
    assert manager.remove_block(session, "k").content == "public"
    with pytest.raises(UnknownBlockError):
        manager.get_block(session, "k")


def test_a_fallen_block_is_a_copy():
    manager = ContextManager()
    session = session_of(manager, *["word " * 20] * 3)
    fallen = manager.prune(session, 40).dropped[0].id
    manager.get_block(session, fallen).content = None
    assert manager.get_block(session, fallen).content == "word " * 20


def test_sessions_can_be_walked_while_they_come_and_go():
    manager = ContextManager()
    for _ in range(3):
        manager.create_session("agent")
    for session in manager.sessions:
        manager.create_session("agent")
        manager.delete_session(session)
    assert len(manager.sessions) == 3
    assert repr(manager.sessions) == "<3 sessions>"


@pytest.mark.parametrize("block_id", [7, None, "\ud800", ["b0"]])
def test_what_cannot_be_an_id_is_of_no_block(block_id):
    manager = ContextManager()
    session = session_of(manager, "a")
    for method in (manager.get_block, manager.remove_block):
        with pytest.raises(UnknownBlockError):
            method(session, block_id)


def test_a_slow_formatter_keeps_nobody_waiting_and_may_use_the_session():
    manager = ContextManager()
    session = session_of(manager, "a", "b")
    added = threading.Event()

    def formatter(package):
        worker = threading.Thread(target=lambda: (manager.add_context(session, "c", MEMORY), added.set()))
        worker.start()
        assert added.wait(timeout=10)
        manager.add_context(session, "d", MEMORY)
        return " ".join(block.content for block in package.blocks)

    assert manager.get_formatted_context(session, formatter) == "a b"
    assert len(ids(manager, session)) == 4


def test_an_import_that_has_to_be_pruned_is_no_newer_for_it():
    manager = ContextManager(max_tokens=60)
    manager.import_session(exported(version=5))
    data = exported(version=5)
    data["blocks"] = [{**data["blocks"][0], "id": f"b{i}", "content": "word " * 10} for i in range(10)]
    with pytest.raises(ConflictError) as caught:
        manager.import_session(data)
    assert (caught.value.expected, caught.value.actual) == (5, 5)


def test_an_import_may_not_freeze_a_session():
    with pytest.raises(ValidationError, match="version 2147483649 is not"):
        ContextManager().import_session(exported(version=2**31 + 1))


def test_references_name_the_copy_that_stays_after_a_prune():
    manager = ContextManager()
    session = manager.create_session("agent")
    for name, score in (("old", 0.4), ("new", 0.6)):
        manager.add_context(session, "the same", MEMORY, score, block_id=name)
    manager.add_context(session, "as I said", USER, block_id="u", references=["old"])
    manager.prune(session)
    assert ids(manager, session) == ["new", "u"]
    assert manager.get_block(session, "u").references == ["new"]


def test_a_slow_formatter_of_a_prune_keeps_nobody_waiting():
    manager = ContextManager()
    session = session_of(manager, "a " * 40, "b " * 40)
    added = threading.Event()

    def formatter(blocks):
        worker = threading.Thread(target=lambda: (manager.add_context(session, "c", MEMORY), added.set()))
        worker.start()
        assert added.wait(timeout=10)
        return " ".join(block.content for block in blocks)

    selection = manager.prune(session, 50, render=formatter)
    assert selection.tokens <= 50
    assert selection.render == "formatter"
    assert len(selection.kept_ids) == 1
    assert len(ids(manager, session)) == 2, "what fell is gone, and what came meanwhile is there"


def test_a_prune_of_a_session_that_was_replaced_meanwhile_is_made_anew():
    manager = ContextManager()
    session = session_of(manager, "a " * 40, "b " * 40)
    newer = manager.export_session(session)
    newer = {**newer, "version": 99, "blocks": [{**block, "id": f"new-{block['id']}"} for block in newer["blocks"]]}
    looks = []

    def formatter(blocks):
        if not looks:
            manager.import_session(newer)
        looks.append([block.id for block in blocks])
        return " ".join(block.content for block in blocks)

    selection = manager.prune(session, 50, render=formatter)
    assert selection.kept_ids == ids(manager, session) == looks[-1]
    assert selection.kept_ids[0].startswith("new-")


def test_a_large_system_prompt_leaves_its_session_a_history():
    manager = ContextManager(max_tokens=400)
    session = manager.create_session("agent")
    manager.add_context(session, "rule " * 320, SYSTEM)
    counts = []
    for i in range(60):
        manager.add_context(session, f"turn {i}", USER, 0.5)
        counts.append(len(ids(manager, session)))
    assert min(counts[10:]) >= 4


def test_the_threshold_is_kept_to_wherever_a_session_is_cut():
    low = {"id": "low", "content": "low", "relevance_score": 0.1, "type": "MEMORY"}
    high = [{"id": f"b{i}", "content": "word " * 10, "relevance_score": 0.5, "type": "MEMORY"} for i in range(9)]
    manager = ContextManager(max_tokens=60)
    manager.import_session({"session_id": "s", "agent_id": "a", "blocks": [low, *high]})
    assert "low" not in ids(manager, "s")
    session = session_of(manager)
    manager.add_context(session, "low", MEMORY, 0.1, block_id="low")
    manager.add_context(session, "word " * 52, USER, 0.5, block_id="u")
    assert ids(manager, session) == ["u"]
    session = session_of(manager)
    manager.add_context(session, "low", MEMORY, 0.1)
    manager.add_context(session, "hi", USER)
    assert manager.get_formatted_context(session, lambda p: ",".join(b.content for b in p.blocks)) == "hi"


def test_an_import_is_measured_against_the_managers_budget():
    manager = ContextManager(max_tokens=100)
    manager.import_session(exported())
    metrics = manager.sessions["s"].metrics
    assert metrics.context_saturation == metrics.total_tokens / 100


def test_a_function_sees_the_version_of_the_session():
    manager = ContextManager()
    session = session_of(manager, "a", "b")
    version = manager.sessions[session].version
    seen = []
    manager.get_formatted_context(session, lambda package: str(seen.append(package.version)))
    assert seen[0] == version > 1


def test_no_budget_is_not_a_budget_of_none():
    manager = ContextManager()
    session = session_of(manager, "a")
    with pytest.raises(ValidationError, match="max_tokens 0"):
        manager.select(session, 0)


def test_the_smallest_budget_refuses_by_name():
    manager = ContextManager(max_tokens=1)
    with pytest.raises(BudgetExceededError):
        manager.add_context(manager.create_session("a"), "x", USER)
