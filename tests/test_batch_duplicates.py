"""Conversations that say nearly the same: found by sketches, held against all pairs compared exactly."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pycontext
from pycontext import ValidationError, _core
from pycontext.batch import prune_files
from pycontext.batch.duplicates import Duplicates

TRACES = Path(pycontext.__file__).parent / "data" / "telecom_traces.jsonl"


def words(text):
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def triples(chat):
    """Of all that is said but by the operator; runs of words do not go from one message to the next."""
    found = set()
    for message in chat:
        if message["role"] != "system":
            said = words(message["content"])
            found.update(tuple(said[at : at + 3]) for at in range(max(len(said) - 2, bool(said))))
    return found


def similar(one, other):
    return len(one & other) / max(len(one | other), 1)


def greedy(sets, threshold):
    """The exact answer: each that is like an earlier one that stays."""
    stays, falls = [], set()
    for at, mine in enumerate(sets):
        if mine and any(similar(mine, sets[other]) >= threshold for other in stays):
            falls.add(at)
        else:
            stays.append(at)
    return falls


def conversations(seed):
    """Texts of the recorded traces, and copies of them with words changed, in no order."""
    chance = random.Random(seed)
    system = {"role": "system", "content": "You are an agent of a telephone company. " * 200}
    vocabulary = [f"other{number}" for number in range(500)]
    texts = [
        message["content"]
        for line in TRACES.read_text(encoding="utf-8").splitlines()
        for message in json.loads(line)["messages"]
        if message.get("content")
    ]
    texts = [text for text in dict.fromkeys(texts) if len(words(text)) > 8]
    chats = []
    for number in range(60):
        own = [f"conversation{number} word{turn} said{chance.randrange(9)}" for turn in range(60)]
        said = [*own, *chance.sample(texts, 5)]
        chats.append([system, *({"role": "user", "content": text} for text in said)])
        for _ in range(3):
            rate = chance.choice([0.0, 0.01, 0.03, 0.06, 0.1, 0.2])
            copy = [
                " ".join(chance.choice(vocabulary) if chance.random() < rate else word for word in text.split())
                for text in said
            ]
            chats.append([system, *({"role": "user", "content": text} for text in copy)])
    chance.shuffle(chats)
    return chats


def lines_of(chats):
    return b"".join(json.dumps({"id": at, "messages": chat}).encode() + b"\n" for at, chat in enumerate(chats))


def fallen(tmp_path, data, threshold):
    with Duplicates(threshold, tmp_path / "out") as found:
        found.add(*found.sketch(data, len(data)))
        total, bits = len(found), found.find()
    assert list(tmp_path.iterdir()) == []
    return {at for at in range(total) if bits[at // 8] >> (at % 8) & 1}


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_what_falls_is_nearly_what_falls_by_all_pairs(tmp_path, threshold):
    right = found = common = 0
    for seed in range(3):
        chats = conversations(seed)
        sets = [triples(chat) for chat in chats]
        exact, ours = greedy(sets, threshold), fallen(tmp_path, lines_of(chats), threshold)
        right, found, common = right + len(exact), found + len(ours), common + len(exact & ours)
        # What falls is like another one, if a little less than was asked for.
        for at in ours:
            assert max(similar(sets[at], sets[other]) for other in range(len(sets)) if other != at) > threshold - 0.12
        exactly = {at for at in range(len(sets)) if sets[at] in sets[:at]}
        assert exactly <= ours
    assert right > 100
    assert common / right > 0.9
    assert common / found > 0.9


def test_nothing_falls_for_the_words_of_the_operator(tmp_path):
    chats = [
        [{"role": "system", "content": "the same words again and again " * 500}, {"role": "user", "content": text}]
        for text in ("one thing that was said here", "quite another one that nobody said", "", "...")
    ]
    assert fallen(tmp_path, lines_of(chats), 0.5) == set()


def test_a_bad_line_is_like_no_other(tmp_path):
    assert fallen(tmp_path, b"bad\nbad\n\n{}\n{}\n", 0.5) == set()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("piece", [3_000, 1 << 22])
def test_files_are_left_without_them(tmp_path, monkeypatch, threads, piece):
    from pycontext.batch import files  # noqa: PLC0415

    monkeypatch.setattr(files, "PIECE_BYTES", piece)
    chats = conversations(7)
    data = lines_of(chats)
    rows = data.splitlines(keepends=True)
    half = len(rows) // 2
    (tmp_path / "a.jsonl").write_bytes(b"".join(rows[:half]) + b"\n")
    (tmp_path / "b.jsonl").write_bytes(b"".join(rows[half:]))
    other = tmp_path / "other"
    other.mkdir()
    falls = fallen(other, data, 0.8)
    summary = prune_files(
        [tmp_path / "a.jsonl", tmp_path / "b.jsonl"],
        tmp_path / "out.jsonl",
        10**6,
        near_duplicates=0.8,
        threads=threads,
    )
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(row for at, row in enumerate(rows) if at not in falls)
    assert (summary["near_duplicates"], summary["conversations"]) == (len(falls), len(rows))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl", "other", "out.jsonl"]


def test_a_share_outside_is_refused(tmp_path):
    (tmp_path / "in.jsonl").touch()
    for share in (0.4, 1.1, True, "x"):
        with pytest.raises(ValidationError, match=r"near_duplicates .* is not a number from 0\.5 to 1"):
            prune_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", 10, near_duplicates=share)
    with pytest.raises(ValidationError, match="near_duplicates reads twice"):
        prune_files("-", tmp_path / "out.jsonl", 10, near_duplicates=0.8)


MANY = """
import resource, sys
import numpy as np
from pathlib import Path
from pycontext.batch.duplicates import Duplicates
count, part = 200_000, 10_000
chance = np.random.default_rng(1)
line = b'{"messages": [{"role": "user", "content": "a few words that are said"}]}\\n'
with Duplicates(0.8, Path(sys.argv[1])) as found:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bands = found._bands
    equal = found.sketch(line * part, len(line) * part)
    for _ in range(count // part // 2):
        found.add(*equal)
        sketches = chance.integers(0, 2**16, part * 256, dtype=np.uint16)
        found.add(sketches.tobytes(), chance.integers(1, 2**63, part * bands, dtype=np.uint64).tobytes(), part)
    fell = sum(byte.bit_count() for byte in found.find())
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(fell, (after - before) // 1024)
"""


def test_a_hundred_thousand_equal_ones_and_as_many_others_take_little_time_and_memory(tmp_path):
    command = [sys.executable, "-c", MANY, str(tmp_path / "out")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    fell, megabytes = map(int, done.stdout.split())
    assert fell == 99_999
    # The sketches are mapped: what the system has of them in its memory counts here, and need not be there.
    assert megabytes < 260


def test_keys_of_different_sketches_differ():
    sketches, keys, count = _core.sketch_lines(lines_of(conversations(1)), 10**9, 0.8)
    assert (len(sketches), len(keys)) == (512 * count, 8 * count * _core.sketch_bands(0.8))
    assert len(np.unique(np.frombuffer(keys, np.uint64)[:count])) > count // 4
