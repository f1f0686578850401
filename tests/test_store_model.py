"""The three stores and a model that is written from their docstrings, driven with the same random rules."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass, field, replace

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from pycontext import (
    ConflictError,
    ContextError,
    FencedError,
    SessionGoneError,
    UnknownBlockError,
    UnknownSessionError,
    VersionGoneError,
)
from stores import WAITING, block, home_of, package, texts

IDS = st.sampled_from(["a", "b", "c", "d"])
CLIENTS = st.sampled_from([0, 1, 2])
# Blocks that come, ids of them being different.
NEW = st.lists(st.tuples(IDS, st.sampled_from(["one", "two"])), min_size=1, max_size=3, unique_by=lambda pair: pair[0])


@dataclass(frozen=True)
class State:
    """A session at one version."""

    life: int
    version: int
    epoch: int
    owner: str
    blocks: tuple[tuple[str, str], ...]

    def find(self, id):
        return next((at for at, pair in enumerate(self.blocks) if pair[0] == id), None)


@dataclass
class Client:
    """What one store has seen of the session: where it stood, and where its blocks are known, those.

    `held` is a package that was loaded or saved, by what it was then, and how it was changed since.
    """

    seen: State | None = None
    knows: bool = False
    held: State | None = None
    changes: list[tuple[str, str]] = field(default_factory=list)

    def forget(self):
        self.seen, self.knows = None, False

    def sees(self, state):
        self.seen, self.knows = state, True


class Model:
    """One session as plain values; every method does what the store does, or raises what it raises."""

    def __init__(self):
        self.state = None
        self.past = {}
        self.done = {}
        self.lives = itertools.count(1)

    def becomes(self, state):
        self.state = state
        self.past[state.version] = state
        return state

    def begin(self, client, blocks, version):
        if self.state is not None:
            raise ConflictError("", 0, self.state.version)
        self.past, self.done = {}, {}
        client.sees(self.becomes(State(next(self.lives), version, 0, "ann", tuple(blocks))))

    def look(self, client):
        """What every reading call begins with; to be told that a session is gone is to know nothing of it."""
        seen = client.seen
        if self.state is None or (seen is not None and seen.life != self.state.life):
            client.forget()
            raise UnknownSessionError if seen is None else SessionGoneError
        client.sees(self.state)

    def write(self, client, operation, change, expected=None):
        """A write by a client that has seen what it has seen; `expected` is a state, None for any."""
        known = client.seen if expected is None else expected
        if self.state is None:
            raise UnknownSessionError if known is None else SessionGoneError
        if known is not None and known.life != self.state.life:
            raise SessionGoneError
        if known is not None and known.epoch < self.state.epoch:
            raise FencedError("")
        if expected is not None and expected.version != self.state.version:
            raise ConflictError("", 0, 0)
        before = self.state
        after = self.becomes(change(before))
        self.done[operation] = after
        if client.seen is None or client.seen == before:
            client.seen = after
        return after

    def append(self, client, operation, pairs):
        renamed = {}

        def change(state):
            blocks = list(state.blocks)
            for id, text in pairs:
                at = state.find(id)
                if at is None:
                    blocks.append((id, text))
                elif state.blocks[at][1] != text:
                    renamed[id] = f"{id}~{state.version + 1}"
                    blocks.append((renamed[id], text))
            return replace(state, version=state.version + 1, blocks=tuple(blocks))

        is_current = client.knows and client.seen == self.state
        after = self.write(client, operation, change)
        return after.version, after.epoch, renamed if is_current else {}

    def known(self, client):
        if not client.knows:
            self.look(client)
        return client.seen

    def put(self, client, operation, ids, change):
        known = self.known(client)
        if any(known.find(id) is None for id in ids):
            # Others may have written it.
            self.look(client)
            known = client.seen
        if any(known.find(id) is None for id in ids):
            raise UnknownBlockError
        after = self.write(client, operation, change, known)
        return after.version, after.epoch, {}

    def transfer(self, client, operation, to):
        known = self.known(client)
        change = lambda state: replace(state, version=state.version + 1, epoch=state.epoch + 1, owner=to)  # noqa: E731
        after = self.write(client, operation, change, known)
        return after.version, after.epoch, {}

    def save(self, client, operation):
        held = client.held
        version = held.version + max(1, len(client.changes))
        blocks = (*held.blocks, *client.changes)
        change = lambda state: replace(state, version=version, blocks=blocks)  # noqa: E731
        after = self.write(client, operation, change, held)
        client.sees(after)
        client.held, client.changes = after, []
        # What was kept before is not kept any more.
        self.past = {after.version: after}
        return after.version, after.epoch, {}

    def delete(self, client):
        was = self.state
        if was is not None and client.seen is not None and client.seen.life != was.life:
            raise SessionGoneError
        if was is not None and client.seen is not None and client.seen.epoch < was.epoch:
            raise FencedError("")
        client.forget()
        self.state, self.past = None, {}
        return was is not None


def outcome(call, *arguments):
    """What comes of a call: its value, or the class of its error."""
    try:
        return call(*arguments)
    except ContextError as error:
        return type(error)


def result(version):
    return int(version), version.epoch, dict(version.renamed)


class Machine(RuleBasedStateMachine):
    folder = url = None

    def __init__(self):
        super().__init__()
        self.model = Model()
        self.homes = [home_of(kind, tempfile.mkdtemp(dir=self.folder), lambda: self.url) for kind in WAITING]
        self.stores = [[home.open() for _ in range(3)] for home in self.homes]
        self.clients = [Client() for _ in range(3)]
        # The packages that `Client.held` is about, one of each home.
        self.held = [[None] * 3 for _ in self.homes]
        self.operations = itertools.count()
        self.writes = []

    def teardown(self):
        for home in self.homes:
            home.close()

    def check(self, client, expected, call):
        """All stores must come to what the model came to."""
        for number, stores in enumerate(self.stores):
            assert outcome(call, stores[client], number) == expected, WAITING[number]
        state = self.model.state
        for home in self.homes:
            with home.open() as store:
                if state is None:
                    assert outcome(store.load, "s") is UnknownSessionError
                    assert list(store.sessions()) == []
                else:
                    loaded = store.load("s")
                    assert tuple(texts(loaded)) == state.blocks
                    assert (loaded.version, loaded.epoch, loaded.agent_id) == (state.version, state.epoch, state.owner)

    def written(self, client, name, write, model):
        operation = f"{name} {next(self.operations)}"
        expected = outcome(model, operation)
        self.check(client, expected, lambda store, _: result(write(store, operation)))
        if isinstance(expected, tuple):
            self.writes.append((self.model.state.life, operation, write, expected[0]))

    @initialize(blocks=NEW)
    def first(self, blocks):
        self.begin(0, blocks, 1)

    @rule(client=CLIENTS, blocks=NEW, version=st.sampled_from([1, 5]))
    def begin(self, client, blocks, version):
        expected = outcome(self.model.begin, self.clients[client], blocks, version)

        def save(store, _):
            store.save(package(*(block(*pair) for pair in blocks), version=version))

        self.check(client, expected, save)

    @rule(client=CLIENTS, blocks=NEW)
    def append(self, client, blocks):
        self.written(
            client,
            "append",
            lambda store, operation: store.append("s", [block(*pair) for pair in blocks], operation_id=operation),
            lambda operation: self.model.append(self.clients[client], operation, blocks),
        )

    @rule(client=CLIENTS, id=IDS, text=st.sampled_from(["new", "newer"]))
    def update(self, client, id, text):
        def change(state):
            blocks = tuple((one, text if one == id else old) for one, old in state.blocks)
            return replace(state, version=state.version + 1, blocks=blocks)

        self.written(
            client,
            "update",
            lambda store, operation: store.update_block("s", block(id, text), operation_id=operation),
            lambda operation: self.model.put(self.clients[client], operation, [id], change),
        )

    @rule(client=CLIENTS, ids=st.lists(IDS, min_size=1, max_size=2, unique=True))
    def remove(self, client, ids):
        def change(state):
            blocks = tuple(pair for pair in state.blocks if pair[0] not in ids)
            return replace(state, version=state.version + 1, blocks=blocks)

        self.written(
            client,
            "remove",
            lambda store, operation: store.remove_blocks("s", ids, operation_id=operation),
            lambda operation: self.model.put(self.clients[client], operation, ids, change),
        )

    @rule(client=CLIENTS, to=st.sampled_from(["bob", "eve"]))
    def transfer(self, client, to):
        self.written(
            client,
            "transfer",
            lambda store, operation: store.transfer("s", to, operation_id=operation),
            lambda operation: self.model.transfer(self.clients[client], operation, to),
        )

    @rule(client=CLIENTS)
    def load(self, client):
        """What a client that may have seen anything reads is what there is."""
        one = self.clients[client]
        expected = outcome(self.model.look, one)
        if expected is None:
            one.held, one.changes = one.seen, []
            expected = one.seen.blocks

        def load(store, number):
            loaded = self.held[number][client] = store.load("s")
            return tuple(texts(loaded))

        self.check(client, expected, load)

    @rule(client=CLIENTS)
    def refresh(self, client):
        one = self.clients[client]
        before = one.seen.blocks if one.knows else ()
        expected = outcome(self.model.look, one)
        if expected is None:
            had, has = ([id for id, _ in blocks] for blocks in (before, one.seen.blocks))
            new, old = (id for id in has if id not in had), (id for id in had if id not in has)
            expected = (one.seen.version, one.seen.epoch, tuple(new), tuple(old), ())

        def refresh(store, _):
            news = store.refresh("s")
            return int(news.version), news.version.epoch, news.added, news.removed, news.lost

        self.check(client, expected, refresh)

    @precondition(lambda self: any(client.held for client in self.clients))
    @rule(client=CLIENTS, texts=st.lists(st.sampled_from(["x", "y"]), max_size=3))
    def save(self, client, texts):
        """A package that was loaded some time ago is changed and saved."""
        one = self.clients[client]
        if one.held is None:
            return
        pairs = [(f"saved {next(self.operations)}", text) for text in texts]
        one.changes += pairs
        for packages in self.held:
            for pair in pairs:
                packages[client].blocks.append(block(*pair))
        operation = f"save {next(self.operations)}"
        expected = outcome(self.model.save, one, operation)
        self.check(
            client,
            expected,
            lambda store, number: result(store.save(self.held[number][client], operation_id=operation)),
        )

    @rule(client=CLIENTS)
    def compact(self, client):
        """A snapshot in the place of the changes is no change, for whoever has seen whatever."""
        expected = outcome(self.model.look, self.clients[client])
        if expected is None:
            state = self.model.state
            expected, self.model.past = state.version, {state.version: state}
        self.check(client, expected, lambda store, _: int(store.compact("s")))

    @rule(client=CLIENTS, back=st.integers(0, 6))
    def load_earlier(self, client, back):
        state, one = self.model.state, self.clients[client]
        if state is None or state.version <= back or (one.seen is not None and one.seen.life != state.life):
            return
        version = state.version - back
        past = self.model.past.get(version)
        # The store may have made a snapshot of its own: then less is kept.
        expected = {VersionGoneError} if past is None else {past.blocks, VersionGoneError}
        for number, stores in enumerate(self.stores):
            found = outcome(lambda store: tuple(texts(store.load("s", at_version=version))), stores[client])
            assert found in expected, WAITING[number]
            if past is not None and stores[client].inquire("s").snapshot_version <= version:
                assert found == past.blocks, WAITING[number]

    @rule(client=CLIENTS)
    def delete(self, client):
        expected = outcome(self.model.delete, self.clients[client])
        self.check(client, expected, lambda store, _: store.delete("s"))

    @rule(client=CLIENTS)
    def crash(self, client):
        """A program ends without a word, and another one is in its place."""
        self.clients[client] = Client()
        for number, home in enumerate(self.homes):
            self.stores[number][client] = home.open()
            self.held[number][client] = None

    @precondition(lambda self: self.writes)
    @rule(client=CLIENTS, which=st.integers(0, 3))
    def repeat(self, client, which):
        """A write that somebody did is done again, by whoever: it is the one that was done."""
        life, operation, write, version = self.writes[-1 - which % len(self.writes)]
        state, one = self.model.state, self.clients[client]
        if state is None or state.life != life or (one.seen is not None and one.seen.life != life):
            return
        self.check(client, version, lambda store, _: int(write(store, operation)))
        # What a store makes of an old answer is its own affair until it looks again.
        self.load(client)


def test_the_stores_do_what_a_model_does(tmp_path, redis_server):
    machine = type("Machine", (Machine,), {"folder": tmp_path, "url": redis_server.url})
    # A history that fails is not made smaller: with three stores that takes minutes.
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, phases=(Phase.explicit, Phase.generate)
        ),
    )
