"""Hints that a session waits for an agent: at least once, and of those who take the session one wins."""

from __future__ import annotations

import time

import pytest

from pycontext import ConflictError, StoreUnavailableError, ValidationError, handoff
from stores import block, package


def begun(home, *sessions):
    store = home.open()
    for session in sessions:
        store.save(package(block("a"), session_id=session))
    return store


def said(hint):
    return hint.session_id, hint.sender, hint.version, hint.epoch


def test_a_transfer_tells_the_new_owner(home):
    store = begun(home, "s")
    version = store.transfer("s", "bob")
    other = home.open()
    assert other.inbox("ann") == []
    (hint,) = other.inbox("bob")
    assert (hint.session_id, hint.version, hint.epoch) == ("s", version, 1)
    # It is taken, by whoever was first, until it is settled or the lease is over.
    assert other.inbox("bob") == store.inbox("bob") == []
    other.settle("bob", hint)
    other.settle("bob", hint)
    assert home.open().inbox("bob") == []


def test_a_package_is_announced(home):
    store = begun(home, "s")
    given = handoff(store.load("s"), to="bob").package
    store.save(given)
    store.notify(given)
    (hint,) = home.open().inbox("bob")
    assert said(hint) == (given.session_id, "ann", given.version, given.epoch)


def test_a_hint_that_is_not_settled_comes_again(home):
    store = begun(home, "s", "t")
    store.transfer("s", "bob")
    store.transfer("t", "bob")
    first, second = store.inbox("bob", lease_seconds=0.2)
    store.settle("bob", first)
    assert home.open().inbox("bob") == []
    time.sleep(0.3)
    (again,) = home.open().inbox("bob", lease_seconds=0.2)
    assert again == second
    # A lease holds for as long as it was taken for, whatever others ask for.
    time.sleep(0.3)
    assert store.inbox("bob", lease_seconds=60) == [second]
    time.sleep(0.1)
    assert home.open().inbox("bob", lease_seconds=0.05) == []


def test_a_lease_may_be_very_long(home):
    store = begun(home, "s")
    store.transfer("s", "bob")
    assert len(store.inbox("bob", lease_seconds=100 * 365 * 86_400)) == 1
    assert store.inbox("bob", lease_seconds=0.001) == []


def test_hints_come_in_order_and_no_more_than_asked_for(home):
    sessions = [f"s{number}" for number in range(7)]
    store = begun(home, *sessions)
    for session in sessions:
        store.transfer(session, "bob")
    found = [store.inbox("bob", most=3), store.inbox("bob", most=1), store.inbox("bob"), store.inbox("bob")]
    assert [len(hints) for hints in found] == [3, 1, 3, 0]
    assert [hint.session_id for hints in found for hint in hints] == sessions
    assert len({hint.id for hints in found for hint in hints}) == 7


def test_what_comes_later_does_not_wait_for_a_lease(home):
    store = begun(home, "s", "t")
    store.transfer("s", "bob")
    assert len(store.inbox("bob")) == 1
    store.transfer("t", "bob")
    assert [hint.session_id for hint in store.inbox("bob")] == ["t"]


def test_two_workers_and_one_winner(home):
    store = begun(home, "s")
    store.transfer("s", "pool")
    workers = [home.open(), home.open()]
    # The lease of the first is over before it has begun to work.
    hints = []
    for worker in workers:
        hints += worker.inbox("pool", lease_seconds=0.05)
        time.sleep(0.1)
    assert hints[0] == hints[1]
    seen = [worker.refresh("s").version for worker in workers]
    assert [int(version) for version in seen] == [hints[0].version] * 2
    won = workers[1].transfer("s", "worker 1", expect=seen[1])
    with pytest.raises(ConflictError):
        workers[0].transfer("s", "worker 0", expect=seen[0])
    assert won.epoch == hints[0].epoch + 1
    assert store.load("s").agent_id == "worker 1"
    workers[1].settle("pool", hints[1])
    time.sleep(0.1)
    assert store.inbox("pool") == []


def test_inboxes_of_agents_and_namespaces_are_apart(home):
    # Names that would be one if marks were written as they are.
    places = [
        ("a", "b:c"),
        ("a:b", "c"),
        ("a", "inbox:b"),
        ("a:inbox", "b"),
        ("{a}", "b"),
        ("a", "{b}"),
        ("a", "b%3Ac"),
    ]
    for namespace, agent in places:
        store = home.open(namespace=namespace)
        store.save(package(session_id="s"))
        store.transfer("s", agent)
        store.delete("s")
    for namespace, agent in places:
        store = home.open(namespace=namespace)
        assert [hint.session_id for hint in store.inbox(agent)] == ["s"]
        assert store.inbox(agent) == []
        # No inbox is taken for a session.
        assert list(store.sessions()) == []


def test_a_hint_outlives_its_session(home):
    store = begun(home, "s")
    store.transfer("s", "bob")
    store.purge("s")
    (hint,) = store.inbox("bob")
    assert hint.session_id == "s"
    store.settle("bob", hint)


@pytest.mark.parametrize("most", [0, -1, True, 1.5, "3", None])
def test_some_hints_are_asked_for(home, most):
    store = begun(home, "s")
    store.transfer("s", "bob")
    with pytest.raises(ValidationError, match="most"):
        store.inbox("bob", most=most)
    assert len(store.inbox("bob")) == 1


@pytest.mark.parametrize("lease", [0, -1, float("nan"), True, "60", None])
def test_a_lease_is_a_number_of_seconds(home, lease):
    with pytest.raises(ValidationError, match="lease_seconds"):
        home.open().inbox("bob", lease_seconds=lease)


@pytest.mark.parametrize("agent", ["", "a\nb", 7, None, "x" * 257])
def test_an_inbox_is_that_of_an_agent(home, agent):
    store = begun(home, "s")
    store.transfer("s", "bob")
    (hint,) = store.inbox("bob")
    for call in (
        lambda: store.inbox(agent),
        lambda: store.settle(agent, hint),
        lambda: store.transfer("s", agent),
    ):
        with pytest.raises(ValidationError):
            call()
    assert store.inquire("s").version == 2


def test_what_is_announced_is_a_package(home):
    store = begun(home, "s")
    for call in (lambda: store.notify("s"), lambda: store.settle("bob", "1"), lambda: store.settle("bob", None)):
        with pytest.raises(ValidationError):
            call()


def test_an_agent_that_was_not_told_has_the_session_all_the_same(waiting_home, caplog, monkeypatch):
    store = begun(waiting_home, "s")

    def refuse(*_):
        raise StoreUnavailableError("nobody is there")

    monkeypatch.setattr(store._log, "notify", refuse)  # noqa: SLF001  # there is no other way to have one part fail
    assert store.transfer("s", "bob").epoch == 1
    assert "session s waits for 'bob', who was not told: nobody is there" in caplog.text
    assert store.load("s").agent_id == "bob"
