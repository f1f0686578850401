"""Histories of compare-and-set from several processes, and a checker: can one register have made them?"""

from __future__ import annotations

import itertools
import multiprocessing
import random
import time
from dataclasses import dataclass, replace

import pytest

from pycontext import ConflictError, open_store
from stores import block, package

PROCESSES, TURNS = 4, 60
FIRST = "nobody"


@dataclass(frozen=True)
class Call:
    """One call of one process.

    Attributes:
        start: nanoseconds of the clock of the machine before it.
        end: the same after it.
        kind: "read", "write", or "refused": a write that was told of another version.
        version: that was read, written or told of.
        value: that was read or written.
        expected: the version that a write was to replace.
    """

    start: int
    end: int
    kind: str
    version: int
    value: str = ""
    expected: int = 0


def violation(calls):
    """Say why no register with versions can have made a history, None where one can.

    Versions are unique: they are the only order in which the writes can have been done. So a history is linearizable
    where every version was written once, from the one before it, every read has the value of its version, and no call
    that began when another had ended was answered from before that one.
    """
    return next(itertools.chain(in_writes(calls), in_answers(calls), in_time(calls)), None)


def in_writes(calls):
    versions = sorted([1, *(call.version for call in calls if call.kind == "write")])
    if versions != list(range(1, len(versions) + 1)):
        yield f"the versions written were {versions}"
    for call in calls:
        if call.kind == "write" and call.version != call.expected + 1:
            yield f"version {call.version} was written over {call.expected}"


def in_answers(calls):
    values = {1: FIRST} | {call.version: call.value for call in calls if call.kind == "write"}
    for call in calls:
        if call.version not in values or (call.kind == "read" and values[call.version] != call.value):
            yield f"version {call.version} was never {call.value!r}"
        if call.kind == "refused" and call.version <= call.expected:
            yield f"a write over {call.expected} was refused at {call.version}"


def in_time(calls):
    latest = 1
    ended = iter(sorted(calls, key=lambda call: call.end))
    done = next(ended, None)
    for call in sorted(calls, key=lambda call: call.start):
        while done is not None and done.end < call.start:
            latest, done = max(latest, done.version), next(ended, None)
        if call.version < latest + (call.kind == "write"):
            yield f"a {call.kind} of version {call.version} began when version {latest} had been seen"


def play(url, number, gate, results):
    """Reads and writes as fast as it can, and says what it did."""
    dice = random.Random(number)
    calls = []
    with open_store(url) as store:
        gate.wait()
        for turn in range(TURNS):
            start = time.monotonic_ns()
            loaded = store.load("s")
            end = time.monotonic_ns()
            calls.append(Call(start, end, "read", loaded.version, loaded.blocks[0].content))
            if dice.random() < 0.6:
                # Some come with what they saw a while ago.
                time.sleep(dice.choice([0, 0, 0.002]))
                value, expected = f"{number}-{turn}", loaded.version
                start = time.monotonic_ns()
                try:
                    version = store.update_block("s", block("register", value), expect=expected)
                    calls.append(Call(start, time.monotonic_ns(), "write", int(version), value, expected))
                except ConflictError as error:
                    calls.append(Call(start, time.monotonic_ns(), "refused", error.actual, expected=error.expected))
    results.put(calls)


def history(url):
    with open_store(url) as store:
        store.save(package(block("register", FIRST)))
    spawn = multiprocessing.get_context("spawn")
    gate, results = spawn.Barrier(PROCESSES), spawn.Queue()
    processes = [spawn.Process(target=play, args=(url, number, gate, results)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    calls = [call for _ in processes for call in results.get(timeout=60)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return calls


@pytest.mark.parametrize("waiting_home", ["sqlite", "redis"], indirect=True)
def test_one_register_can_have_made_what_four_processes_saw(waiting_home):
    calls = history(waiting_home.url)
    assert violation(calls) is None
    kinds = [call.kind for call in calls]
    # There was a race: many won and many lost, and most looked at what another had written.
    assert min(kinds.count(kind) for kind in ("write", "refused")) > 5
    assert kinds.count("read") == PROCESSES * TURNS
    loaded = waiting_home.open().load("s")
    last = max((call for call in calls if call.kind == "write"), key=lambda call: call.version)
    assert (loaded.version, loaded.blocks[0].content) == (last.version, last.value)
    # The same history with one thing that is not true of it is refused.
    for name, wrong in tampered(calls):
        assert violation(wrong) is not None, name


def tampered(calls):
    """The history with one call that lies, in every way that the checker knows."""
    order = sorted(range(len(calls)), key=lambda at: calls[at].start)
    reads = [at for at in order if calls[at].kind == "read"]
    writes = sorted((at for at in order if calls[at].kind == "write"), key=lambda at: calls[at].version)
    refused = next(at for at in order if calls[at].kind == "refused")

    def changed(at, **fields):
        return [*calls[:at], replace(calls[at], **fields), *calls[at + 1 :]]

    yield "a read of the first version at the end", changed(reads[-1], version=1, value=FIRST)
    yield (
        "a read of the last version at the beginning",
        changed(reads[0], version=calls[writes[-1]].version, value=calls[writes[-1]].value),
    )
    yield "a read of what nobody wrote", changed(reads[-1], value="nonsense")
    yield "a read of a version to come", changed(reads[-1], version=10**6)
    yield "a write that took the place of nothing", changed(writes[-1], expected=1)
    yield "two writes of one version", [*calls, replace(calls[writes[3]], value="again")]
    yield "a write that is missing", [call for at, call in enumerate(calls) if at != writes[3]]
    yield "a write that was refused for nothing", changed(refused, version=calls[refused].expected)
    # Two that follow each other, confirmed the other way round.
    first, last = calls[writes[0]], calls[writes[-1]]
    swapped = changed(writes[0], start=last.end + 1, end=last.end + 2)
    assert first.version < last.version
    yield "a write that was done after what was done upon it", swapped


def test_the_checker_knows_what_is_possible():
    write = Call(0, 10, "write", 2, "x", 1)
    # Those that overlap may come in either order.
    assert violation([write, Call(5, 8, "read", 1, FIRST)]) is None
    assert violation([write, Call(5, 8, "read", 2, "x")]) is None
    assert violation([write, Call(11, 12, "read", 2, "x")]) is None
    assert violation([write, Call(11, 12, "read", 1, FIRST)]) is not None
    assert violation([write, Call(11, 12, "write", 3, "y", 2), Call(13, 14, "refused", 3, expected=2)]) is None
    assert violation([]) is None
