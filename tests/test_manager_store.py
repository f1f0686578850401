"""Managers that share sessions through a store."""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing

import pytest
import zstandard

from pycontext import (
    BudgetExceededError,
    ConflictError,
    ContextBlock,
    ContextManager,
    ContextPackage,
    ContextType,
    FencedError,
    StoreUnavailableError,
    UnknownSessionError,
    ValidationError,
    handoff,
    open_store,
    transfer,
)

USER, AGENT, TOOL, MEMORY = ContextType.USER, ContextType.AGENT, ContextType.TOOL, ContextType.MEMORY


@pytest.fixture
def file(tmp_path):
    return f"sqlite:///{tmp_path}/sessions.db"


@pytest.fixture(params=["sqlite", "redis"])
def url(request):
    if request.param == "sqlite":
        return request.getfixturevalue("file")
    server = request.getfixturevalue("redis_server")
    server.mend()
    return server.url


def ids(manager, session="s"):
    return [block.id for block in manager.sessions[session].blocks]


def said(manager, session="s"):
    return [block.content for block in manager.sessions[session].blocks]


def two(url, max_tokens=10_000, **options):
    """Two managers that have opened one session."""
    one, other = (ContextManager(max_tokens, store=url, **options) for _ in range(2))
    one.create_session("agent", session_id="s")
    other.refresh("s")
    return one, other


def stored(path, table):
    """The messages in a table, as they were before they were compressed."""
    with closing(sqlite3.connect(path)) as db:
        for (body,) in db.execute(f"SELECT body FROM {table}"):
            message = body[16:-4]
            yield zstandard.decompress(message) if body[5] & 1 else message


def write_many(url, name, count, ready, go):
    """What each process does; a function of the module, so that a new interpreter finds it."""
    manager = ContextManager(100_000, store=url)
    manager.refresh("s")
    ready.release()
    go.wait(30)
    for number in range(count):
        manager.add_context("s", f"{name} says {number}", USER, block_id=f"{name}{number}")


def test_two_processes_that_write_to_one_session_end_with_the_same_blocks(url):
    ContextManager(100_000, store=url).create_session("agent", session_id="s")
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    writers = [context.Process(target=write_many, args=(url, name, 60, ready, go)) for name in "ab"]
    for writer in writers:
        writer.start()
    assert all(ready.acquire(timeout=60) for _ in writers)
    go.set()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    managers = [ContextManager(100_000, store=url) for _ in range(2)]
    for manager in managers:
        manager.refresh("s")
    assert managers[0].sessions["s"].blocks == managers[1].sessions["s"].blocks
    found = ids(managers[0])
    # Nothing is lost, nothing is there twice, and what each wrote is in its order.
    assert sorted(found) == sorted(f"{name}{number}" for name in "ab" for number in range(60))
    for name in "ab":
        assert [id for id in found if id.startswith(name)] == [f"{name}{number}" for number in range(60)]
    assert all(text == f"{id[0]} says {id[1:]}" for id, text in zip(found, said(managers[0]), strict=True))


def test_whoever_writes_reads_what_others_have_written_before(url):
    one, other = two(url)
    one.add_context("s", "first", USER)
    other.add_context("s", "second", USER)
    assert said(other) == ["first", "second"]
    assert said(one) == ["first"]
    assert one.refresh("s").blocks == other.sessions["s"].blocks
    assert one.sessions["s"].version == other.sessions["s"].version == open_store(url).load("s").version


def test_a_session_of_the_store_is_opened_when_it_is_asked_for(url):
    one = ContextManager(store=url)
    one.create_session("agent", session_id="s")
    one.add_context("s", "hello", USER)
    other = ContextManager(store=url)
    assert other.get_formatted_context("s") == one.get_formatted_context("s")
    assert list(other.sessions) == ["s"]
    with pytest.raises(UnknownSessionError):
        other.add_context("t", "hello", USER)
    with pytest.raises(UnknownSessionError):
        other.select("*")
    with pytest.raises(ValidationError, match="is the id of a session"):
        ContextManager(store=url).create_session("agent", session_id="s")


def test_an_id_that_another_has_taken_meanwhile_is_renamed_and_told(url):
    one, other = two(url)
    assert one.add_context("s", "mine", USER, block_id="x") == "x"
    assert other.add_context("s", "mine", USER, block_id="y") == "y"
    new = other.add_context("s", "also mine", USER, block_id="z")
    one.refresh("s")
    assert new == "z"
    two_more = ContextManager(store=url)
    two_more.refresh("s")
    one.add_context("s", "one's", USER, block_id="same")
    renamed = two_more.add_context("s", "the other's", USER, block_id="same")
    assert renamed != "same"
    assert two_more.get_block("s", renamed).content == "the other's"
    assert two_more.get_block("s", "same").content == "one's"


def test_what_is_pruned_is_pruned_for_all(url):
    one, other = two(url, max_tokens=600)
    for number in range(200):
        (one, other)[number % 2].add_context("s", f"some words of a longer turn {number} " * 3, USER)
    one.refresh("s")
    other.refresh("s")
    assert one.sessions["s"].blocks == other.sessions["s"].blocks
    assert 5 < len(ids(one)) < 100
    assert one.sessions["s"].blocks.total_cost("text") <= 600
    assert one.sessions["s"].blocks[-1].content.startswith("some words of a longer turn 199")


def test_a_prune_that_another_was_faster_than_is_done_on_what_he_wrote(url):
    one, other = two(url)
    for number in range(20):
        one.add_context("s", f"turn {number} " * 10, USER, relevance_score=0.5)
    other.add_context("s", "the last word", USER)
    selection = one.prune("s", 300)
    assert selection.dropped
    assert said(one)[-1] == "the last word"
    other.refresh("s")
    assert one.sessions["s"].blocks == other.sessions["s"].blocks
    fallen = selection.dropped[0].id
    assert one.get_block("s", fallen).content.startswith("turn")


def test_duplicates_that_fall_leave_the_same_references_everywhere(url):
    one, other = two(url)
    one.add_context("s", "a fact", MEMORY, 0.4, block_id="old")
    one.add_context("s", "a fact", MEMORY, 0.9, block_id="new")
    one.add_context("s", "an answer", AGENT, block_id="answer", references=["old"])
    one.prune("s", 5_000)
    other.refresh("s")
    assert ids(other) == ["new", "answer"]
    assert other.sessions["s"].blocks == one.sessions["s"].blocks
    assert other.get_block("s", "answer").references == ["new"]


def test_dropping_duplicates_at_once_is_written(url):
    one, other = two(url, duplicates="drop")
    one.add_context("s", "a fact", MEMORY, 0.4, block_id="old")
    one.add_context("s", "a fact", MEMORY, 0.9, block_id="new")
    other.refresh("s")
    assert ids(one) == ids(other) == ["new"]


def test_what_is_changed_by_hand_is_written_before_the_next_change(url):
    one, other = two(url)
    one.add_context("s", "draft", USER, block_id="x")
    other.refresh("s")
    held = one.sessions["s"].blocks[0]
    held.content = "final"
    other.add_context("s", "meanwhile", USER, block_id="y")
    one.add_context("s", "after", USER, block_id="z")
    other.refresh("s")
    assert dict(zip(ids(other), said(other), strict=True)) == {"x": "final", "y": "meanwhile", "z": "after"}
    assert one.sessions["s"].blocks == other.sessions["s"].blocks
    # The block that is held is live still.
    held.content = "really final"
    one.refresh("s")
    other.refresh("s")
    assert said(other)[0] == "really final"


def test_two_who_change_the_same_by_hand_are_told(url):
    one, other = two(url)
    one.add_context("s", "draft", USER, block_id="x")
    other.refresh("s")
    one.sessions["s"].blocks[0].content = "one"
    other.sessions["s"].blocks[0].content = "other"
    one.refresh("s")
    with pytest.raises(ConflictError, match="'x'"):
        other.refresh("s")
    assert said(one) == ["one"]
    assert said(other) == ["other"]


def test_changes_by_hand_of_other_blocks_go_together(url):
    one, other = two(url)
    for id in "xy":
        one.add_context("s", "draft", USER, block_id=id)
    other.refresh("s")
    one.get_block("s", "x").content = "one"
    other.get_block("s", "y").content = "other"
    for manager in (one, other, one):
        manager.refresh("s")
    assert said(one) == said(other) == ["one", "other"]


def test_a_removed_block_is_removed_for_all(url):
    one, other = two(url)
    one.add_context("s", "stays", USER, block_id="a")
    one.add_context("s", "goes", USER, block_id="b")
    other.add_context("s", "comes", USER, block_id="c")
    assert one.remove_block("s", "b").content == "goes"
    other.refresh("s")
    assert ids(one) == ids(other) == ["a", "c"]


def test_a_purged_block_is_nowhere(file, tmp_path):
    one, other = two(file, max_tokens=300)
    secret = "the secret word is qzvwkx"  # short enough to stand in the file as it is
    one.add_context("s", secret, MEMORY, 0.3, block_id="secret")
    for number in range(30):
        one.add_context("s", f"turn {number} is here now", USER)
    assert "secret" not in ids(one)
    assert one.get_block("s", "secret").content == secret
    one.purge_block("s", "secret")
    with pytest.raises(KeyError):
        one.get_block("s", "secret")
    other.refresh("s")
    assert b"qzvwkx" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    bodies = [body for table in ("snapshots", "changes") for body in stored(tmp_path / "sessions.db", table)]
    assert any(b"is here now" in body for body in bodies)
    assert not any(b"qzvwkx" in body for body in bodies)


def test_a_transfer_fences_the_old_owner_and_every_copy(url):
    one, other = two(url)
    one.add_context("s", "before", USER)
    other.refresh("s")
    one.transfer("s", "second")
    for manager in (one, other):
        with pytest.raises(FencedError, match="goes on"):
            manager.add_context("s", "too late", USER)
        assert said(manager) == ["before"]
    with pytest.raises(FencedError):
        one.transfer("s", "third")
    receiver = ContextManager(store=url)
    receiver.add_context("s", "after", USER)
    package = receiver.sessions["s"]
    assert (package.agent_id, package.epoch, package.sender) == ("second", 1, None)
    assert said(receiver) == ["before", "after"]
    assert [hint.session_id for hint in open_store(url).inbox("second")] == ["s"]
    # Who looks again goes on with what there is.
    assert one.refresh("s").agent_id == "second"
    one.add_context("s", "and again", USER)
    assert said(one) == ["before", "after", "and again"]


def test_a_package_that_was_transferred_by_itself_is_saved_over_its_parent(url):
    one, other = two(url)
    one.add_context("s", "before", USER)
    store = open_store(url)
    new = transfer(one.sessions["s"], to="second")
    store.save(new)
    other.close_session("s")
    assert other.refresh("s").agent_id == "second"
    with pytest.raises(FencedError):
        one.add_context("s", "too late", USER)


def test_of_many_who_want_the_work_one_gets_it(url):
    one, _ = two(url)
    one.transfer("s", "worker")
    workers = [open_store(url) for _ in range(4)]
    hints = [hint for worker in workers for hint in worker.inbox("worker", lease_seconds=0.001)]
    assert hints
    won = []
    for number, worker in enumerate(workers):
        worker.load("s")
        try:
            worker.transfer("s", f"worker-{number}", expect=hints[0].version)
            won.append(number)
        except ConflictError:
            pass
    assert won == [0]


def test_a_handoff_is_another_session_and_its_receiver_is_told(url):
    one, _ = two(url)
    one.add_context("s", "please help", USER)
    handed = handoff(one.sessions["s"], to="expert")
    store = open_store(url)
    store.save(handed.package)
    store.notify(handed.package)
    (hint,) = store.inbox("expert")
    assert (hint.sender, hint.session_id) == ("agent", handed.package.session_id)
    assert ContextManager(store=url).refresh(hint.session_id).blocks[0].content == "please help"


def test_a_block_that_can_never_fit_is_written_nowhere(url):
    one, other = two(url, max_tokens=50)
    one.add_context("s", "hello", USER)
    with pytest.raises(BudgetExceededError):
        one.add_context("s", "many words " * 100, ContextType.SYSTEM)
    with pytest.raises(ValidationError):
        one.add_context("s", "x", USER, 7.0)
    other.refresh("s")
    assert said(one) == said(other) == ["hello"]


def test_where_the_store_fails_nothing_changes_here(url, monkeypatch):
    store = open_store(url)
    manager = ContextManager(2_000, store=store)
    manager.create_session("agent", session_id="s")
    manager.add_context("s", "hello", USER, block_id="a")
    before = manager.export_session("s")

    def fail(*_, **__):
        raise StoreUnavailableError("down")

    for name in ("append", "save", "remove_blocks", "transfer", "delete"):
        monkeypatch.setattr(store, name, fail)
    for act in (
        lambda: manager.add_context("s", "lost", USER),
        lambda: manager.remove_block("s", "a"),
        lambda: manager.delete_session("s"),
        lambda: manager.transfer("s", "other"),
    ):
        with pytest.raises(StoreUnavailableError):
            act()
        assert manager.export_session("s") == before
    monkeypatch.undo()
    manager.add_context("s", "there", USER)
    assert open_store(url).load("s").blocks == manager.sessions["s"].blocks


def test_an_import_is_written(url):
    one = ContextManager(store=url)
    sent = ContextPackage("s", "sender", [ContextBlock("a", "from afar", 0.5, USER)], version=5)
    one.import_session(sent.to_bytes())
    other = ContextManager(store=url)
    assert other.refresh("s").blocks[0].origin == "peer"
    assert other.sessions["s"].version >= 5
    with pytest.raises(ConflictError):
        other.import_session(sent.to_bytes())
    sent.blocks.append(ContextBlock("b", "later", 0.5, USER))
    other.import_session(sent.to_bytes())
    one.refresh("s")
    assert said(one) == ["from afar", "later"]


def test_a_replay_is_known_to_every_manager(url):
    sent = ContextPackage("s", "sender", [ContextBlock("a", "from afar", 0.5, USER)], version=5).to_bytes()
    one = ContextManager(store=url)
    one.import_session(sent)
    one.delete_session("s")
    with pytest.raises(ConflictError, match="replay"):
        ContextManager(store=url).import_session(sent)
    # One's own may come back.
    ContextManager(store=url).import_session(sent, trust="self")


def test_a_session_that_was_deleted_is_gone_for_all(url):
    one, other = two(url)
    one.delete_session("s")
    assert list(one.sessions) == []
    with pytest.raises(UnknownSessionError, match="gone"):
        other.add_context("s", "hello", USER)
    with pytest.raises(UnknownSessionError):
        ContextManager(store=url).refresh("s")


def test_managers_that_count_otherwise_share_a_session(url):
    one = ContextManager(store=url)
    one.create_session("agent", session_id="s")
    one.add_context("s", "Straßenbahnhaltestelle", USER)
    other = ContextManager(store=url, counter="cl100k_base")
    other.add_context("s", "noch eine Straßenbahnhaltestelle", USER)
    one.refresh("s")
    for manager, encoding in ((one, "o200k_base"), (other, "cl100k_base")):
        package = manager.sessions["s"]
        assert package.counter == encoding
        assert [block.token_count for block in package.blocks] == [
            manager.counter.count(block.content) for block in package.blocks
        ]


def test_shadow_mode_removes_nothing_from_the_store(url):
    manager = ContextManager(100, store=url, shadow=True)
    manager.create_session("agent", session_id="s")
    for number in range(40):
        manager.add_context("s", f"turn {number} of many", USER)
    assert manager.shadow_report("s").looks
    assert len(open_store(url).load("s").blocks) == 40


def test_a_store_is_a_store_or_an_address():
    for store in (7, object(), "nowhere", "ftp://host"):
        with pytest.raises(ValidationError):
            ContextManager(store=store)
