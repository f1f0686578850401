"""What was written comes back, by every door, and lives on like a set that was never bytes."""

from __future__ import annotations

import copy
import json
import os
import pickle
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

import strategies
from pycontext import (
    BlockSet,
    ContextBlock,
    ContextError,
    ContextPackage,
    ContextType,
    Parent,
    PluginError,
    ValidationError,
)
from strategies import counter_of
from wirefields import BYTES, FIXED64, VARINT, field, fields, joined

WRITERS = {
    "protobuf": ContextPackage.to_protobuf,
    "plain": ContextPackage.to_bytes,
    "zstd": lambda package: package.to_bytes(compress="zstd"),
    "json": ContextPackage.to_json,
    "dict": ContextPackage.to_dict,
}
READERS = {
    "protobuf": ContextPackage.from_protobuf,
    "plain": ContextPackage.from_bytes,
    "zstd": ContextPackage.from_bytes,
    "json": lambda data, **options: ContextPackage.from_json(data, strict=True, **options),
    "dict": lambda data, **options: ContextPackage.from_dict(data, strict=True, **options),
}
DOORS = st.sampled_from(sorted(WRITERS))


def through(package, door, **options):
    return READERS[door](WRITERS[door](package), **{"counter": counter_of(package), **options})


def outcome(call):
    """What a call returned or refused, in a form that can be compared."""
    try:
        return call()
    except ContextError as error:
        return str(error)


def chosen(blocks, budget, **options):
    def prune():
        selection = blocks.prune(budget, **options)
        drawn = selection.text() if options.get("render") == "text" else selection.messages()
        return selection.kept_ids, selection.tokens, selection.exact, selection.to_dict(), drawn

    return outcome(prune)


def everything(blocks):
    """All that can be seen of a set, the order of metadata included."""
    costs = [blocks.total_cost(render) for render in ("openai", "text")]
    fields = [(*of[:4], list(of[4].items()), *of[5:]) for of in blocks.to_fields()]
    found = [blocks.find(of[0]) for of in fields]
    return fields, costs, found, blocks.units(), blocks.calls(), blocks.metrics(), blocks.hashes(), blocks.counter.name


def choices(blocks):
    total = blocks.total_cost("openai")
    return [
        chosen(blocks, max(1, budget), render=render, query=query)
        for budget in (total // 3, total * 2 // 3, total)
        for render in ("openai", "text")
        for query in (None, "fact word rule")
    ]


def assert_same(loaded, package):
    assert loaded.to_json() == package.to_json()
    header = ("version", "operation_id", "epoch", "hops", "parents", "content_hash", "trace_id", "agent_id", "metrics")
    assert [getattr(loaded, name) for name in header] == [getattr(package, name) for name in header]
    assert loaded.blocks == package.blocks
    assert everything(loaded.blocks) == everything(package.blocks)


@given(package=strategies.packages(), door=DOORS)
def test_a_package_comes_back(package, door):
    loaded = through(package, door)
    assert_same(loaded, package)
    assert choices(loaded.blocks) == choices(package.blocks)
    # A second time from what came back, and to the same bytes.
    assert WRITERS[door](loaded) == WRITERS[door](package)


@given(package=strategies.packages(), door=DOORS)
def test_a_package_that_came_back_is_copied_and_pickled(package, door):
    loaded = through(package, door)
    assert_same(pickle.loads(pickle.dumps(loaded)), package)
    assert_same(copy.deepcopy(loaded), package)


@given(blocks=strategies.block_lists(), compress=st.sampled_from(["none", "zstd"]))
def test_a_set_comes_back(blocks, compress):
    original = BlockSet(blocks)
    loaded = BlockSet.from_bytes(original.to_bytes(compress=compress))
    assert loaded == original == blocks
    assert everything(loaded) == everything(original)
    assert choices(loaded) == choices(original)
    assert loaded.to_bytes() == original.to_bytes()
    # The two kinds of envelope are one.
    package = ContextPackage("s", "a", blocks)
    assert BlockSet.from_bytes(package.to_bytes()) == original


def test_a_set_is_no_package():
    with pytest.raises(ValidationError, match="session_id '' is empty"):
        ContextPackage.from_bytes(BlockSet().to_bytes())


# A set that was decoded holds pieces of one long text, and provider fields that nobody has read yet.


def edit(blocks, draw):
    block = blocks[draw(st.integers(0, len(blocks) - 1))]
    kind = draw(st.sampled_from(["content", "metadata", "provider", "score", "type", "references", "id", "count"]))
    if kind == "content":
        block.content = draw(strategies.TEXTS)
    elif kind == "metadata":
        block.metadata["later"] = draw(strategies.VALUES)
        block.metadata.pop("unit", None)
    elif kind == "provider":
        block.metadata["openai.name"] = draw(st.sampled_from(['"bob"', "not json", '"a longer name"']))
    elif kind == "score":
        block.relevance_score = draw(strategies.SCORES)
    elif kind == "type":
        block.type = draw(st.sampled_from(ContextType))
    elif kind == "references":
        block.references = [blocks[0].id, "nowhere"]
    elif kind == "id":
        block.id = f"renamed{len(blocks)}-{block.id}"[:60]
    else:
        block.token_count = draw(st.integers(0, 300))


def append(blocks, draw):
    known = blocks[0].id if blocks else "nowhere"
    blocks.append(
        ContextBlock(
            f"more{blocks.revision}-{len(blocks)}",
            draw(strategies.TEXTS | st.just("fact")),
            0.5,
            draw(st.sampled_from(ContextType)),
            draw(st.sampled_from([{}, {"unit": "u"}])),
            draw(st.integers(0, 9)),
            references=draw(st.sampled_from([[], [known]])),
        )
    )


def remove(blocks, draw):
    del blocks[draw(st.integers(0, len(blocks) - 1))]


def put(blocks, draw):
    # Makes all rows anew, of the blocks.
    blocks.insert(
        draw(st.integers(0, len(blocks))), ContextBlock(f"put{blocks.revision}", "put", 0.4, ContextType.USER, {}, 1)
    )
    blocks[0].timestamp = 3


def score(blocks, draw):
    blocks.set_scores([draw(st.sampled_from([0.0, 0.3, 1.0]))] * len(blocks))


def look(blocks, draw):
    return list(blocks.matches(draw(st.sampled_from(["fact", "word users", "é"]))))


def dedup(blocks, draw):
    del draw
    return [block.id for block in blocks.dedup()]


def keep(blocks, draw):
    budget = draw(st.integers(1, 300))
    render = draw(st.sampled_from(["openai", "text"]))
    query = draw(st.sampled_from([None, "fact"]))
    return outcome(lambda: [block.id for block in blocks.keep(blocks.prune(budget, render=render, query=query))])


def send(blocks, draw):
    del draw
    return blocks.to_bytes()


STEPS = [edit, edit, append, remove, put, score, look, dedup, keep, send]


class Script:
    """Draws once, and says the same to everybody after the first."""

    def __init__(self, draw):
        self.draw, self.said, self.at = draw, [], None

    def __call__(self, strategy):
        if self.at is None:
            self.said.append(self.draw(strategy))
            return self.said[-1]
        self.at += 1
        return self.said[self.at - 1]


@given(package=strategies.packages(), door=DOORS, data=st.data())
def test_a_set_that_came_back_goes_on_living(package, door, data):
    loaded = through(package, door).blocks
    plain = BlockSet(list(package.blocks), counter=package.blocks.counter)
    for _ in range(data.draw(st.integers(1, 6))):
        step = data.draw(st.sampled_from(STEPS))
        if not loaded and step in (edit, remove):
            continue
        script = Script(data.draw)
        first = step(loaded, script)
        script.at = 0
        assert step(plain, script) == first, step
        assert everything(loaded) == everything(plain), step
    assert choices(loaded) == choices(plain)
    assert loaded == plain


def test_a_set_that_came_back_outlives_its_neighbours():
    package = ContextPackage("s", "a", [ContextBlock(f"b{i}", f"text {i}", 0.5, ContextType.USER) for i in range(50)])
    loaded = ContextPackage.from_bytes(package.to_bytes()).blocks
    kept = loaded.snapshot()
    one = loaded[7]
    del loaded[8:], loaded[:7]
    assert [block.content for block in loaded] == ["text 7"]
    assert len(kept) == 50
    del loaded
    assert (one.id, one.content) == ("b7", "text 7")
    assert kept[49].content == "text 49"
    selection = kept.prune(100)
    del kept
    assert selection.messages()[-1]["content"] == "text 49"


def test_eight_threads_decode_and_use():
    blocks = strategies_of_calls()
    data = ContextPackage("s", "a", blocks).to_bytes(compress="zstd")
    shared = ContextPackage.from_bytes(data).blocks
    expected = choices(BlockSet(blocks)), everything(BlockSet(blocks))

    def use(number):
        own = ContextPackage.from_bytes(data).blocks
        # The provider's fields of the shared one are read by whoever comes first.
        return [(choices(one), everything(one)) for one in ((own, shared) if number % 2 else (shared, own))]

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(use, range(24)):
            assert found == [expected, expected]


def strategies_of_calls():
    call = {"id": "c", "type": "function", "function": {"name": "get", "arguments": '{"id": 1}'}}
    blocks = []
    for i in range(30):
        blocks.append(
            ContextBlock(f"a{i}", "", 0.5, ContextType.AGENT, {"openai.tool_calls": json.dumps([call])}, timestamp=i)
        )
        blocks.append(ContextBlock(f"t{i}", f"fact {i} " * i, 0.5, ContextType.TOOL, {}, i, references=[f"a{i}"]))
    return blocks


# Token counts.


def with_counts(*counts, counter="o200k_base"):
    blocks = [
        ContextBlock(f"b{i}", "Здравствуйте, как дела?", 0.5, ContextType.USER, {}, i, n) for i, n in enumerate(counts)
    ]
    return ContextPackage("s", "a", blocks, counter=counter)


@pytest.mark.parametrize("door", sorted(WRITERS))
def test_counts_that_were_given_are_believed_and_others_made(door):
    package = with_counts(0, 99, None)
    own = package.blocks[2].token_count
    assert 0 < own < 99
    loaded = through(package, door)
    assert loaded.blocks.token_counts.tolist() == [0, 99, own]
    assert loaded.metrics.total_tokens == 99 + own
    assert through(package, door, counts="recount").blocks.token_counts.tolist() == [own] * 3
    other = with_counts(None, counter="cl100k_base").blocks[0].token_count
    assert other != own
    assert through(package, door, counter="cl100k_base").blocks.token_counts.tolist() == [other] * 3
    assert through(package, door, counter=strategies.Words()).blocks.token_counts.tolist() == [3] * 3
    with pytest.raises(ValidationError, match="counts 'guess' is not one of believe, recount"):
        through(package, door, counts="guess")


@pytest.mark.parametrize("door", sorted(WRITERS))
def test_a_plug_in_has_to_be_there_to_read(door):
    package = with_counts(0, None, counter=strategies.Words())
    assert through(package, door).blocks.token_counts.tolist() == [0, 3]
    with pytest.raises(ValidationError, match="counter 'words' is not one of o200k_base, cl100k_base"):
        through(package, door, counter=None)

    class Down(strategies.Words):
        name = "down"

        def count_batch(self, texts):
            return 1 / len(texts[0:0])

    with pytest.raises(PluginError, match="counter 'down' raised ZeroDivisionError"):
        through(package, door, counter=Down())


def test_a_count_that_was_left_out_is_made():
    whole = with_counts(7, 8).to_protobuf()
    parts = [
        (number, wire, joined(part for part in fields(value) if part[0] != 7) if number == 3 else value)
        for number, wire, value in fields(whole)
    ]
    own = with_counts(None).blocks[0].token_count
    assert ContextPackage.from_protobuf(joined(parts)).blocks.token_counts.tolist() == [own, own]


# Scores.


@given(score=strategies.EXACT, door=DOORS)
def test_a_score_comes_back_to_the_bit(score, door):
    package = ContextPackage("s", "a", [ContextBlock("b", "", score, ContextType.USER)])
    assert through(package, door).blocks[0].relevance_score.hex() == score.hex()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.1, 1.5, 1.0000001])
def test_a_score_that_is_none_is_refused_in_either_field(bad):
    def made(rounded, exact):
        block = field(1, BYTES, b"b") + field(4, 5, struct.pack("<f", rounded))
        if exact is not None:
            block += field(9, FIXED64, struct.pack("<d", exact))
        return field(1, BYTES, b"s") + field(2, BYTES, b"a") + field(3, BYTES, block)

    with pytest.raises(ValidationError, match=r"^blocks\[0\] 'b': relevance_score .* is not a number from 0 to 1$"):
        ContextPackage.from_protobuf(made(bad, None))
    # One that does not go with field 4 was not meant; one that does is as bad.
    assert ContextPackage.from_protobuf(made(0.5, bad)).blocks[0].relevance_score == 0.5
    with pytest.raises(ValidationError, match="relevance_score"):
        ContextPackage.from_protobuf(made(1.0, 1 + 2**-40))


# Whatever the bytes are: read, and then as good as any other package, or refused in one line.


@st.composite
def damaged(draw):
    data = bytearray(draw(st.sampled_from([package_with_everything(), with_counts(1, 2)])).to_protobuf())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.sampled_from([0, 1, 1, 2, 9])))
        data[at:end] = draw(st.binary(max_size=3))
    return bytes(data)


@given(data=damaged() | st.binary(max_size=40))
def test_damaged_messages_are_read_whole_or_refused(data):
    try:
        loaded = ContextPackage.from_protobuf(data)
    except ValidationError as error:
        assert "\n" not in str(error)
        return
    # The limits are those of every other door.
    assert_same(ContextPackage.from_dict(loaded.to_dict(), strict=True), loaded)
    assert_same(ContextPackage.from_protobuf(loaded.to_protobuf()), loaded)
    assert choices(loaded.blocks) == choices(BlockSet(list(loaded.blocks)))


# The same bytes everywhere.

PROGRAM = """
import hashlib
from pycontext import ContextBlock, ContextPackage, ContextType, Parent
blocks = [
    ContextBlock(f"b{i}", f"text {i}", i / 97, ContextType(i % 6), {f"k{j}": str(j) for j in range(i % 5)}, i,
                 references=[f"b{i - 1}"] * (i % 3))
    for i in range(97)
]
package = ContextPackage("s", "a", blocks, None, 4, "t", operation_id="o", parents=[Parent("s", 1, "0" * 64)])
for data in (package.to_protobuf(), package.to_bytes(), package.to_bytes(compress="zstd"), package.to_json().encode(),
             package.blocks.to_bytes(), package.content_hash.encode()):
    print(hashlib.sha256(data).hexdigest())
"""


def test_bytes_are_the_same_in_every_process():
    seen = set()
    for seed in ("0", "1", "4294967295", "random"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True, text=True
        )
        seen.add(run.stdout)
    (lines,) = seen
    assert len(set(lines.split())) == 6


# Memory.

CYCLES = """
import ctypes, gc, os, sys
from pycontext import BlockSet, ContextType

def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

n = 100_000
texts = [f"block {i} says something of its own" for i in range(n)]
blocks = BlockSet.from_columns(texts, [ContextType.MEMORY] * n, [0.5] * n, token_count=[7] * n)
data = blocks.to_bytes(compress=sys.argv[1])
del blocks, texts
BlockSet.from_bytes(data)
before = resident()
for _ in range(2):
    loaded = BlockSet.from_bytes(data)
    assert loaded[n - 1].content.startswith("block 99999")
    held = resident()
    del loaded
print(len(data), held - before, resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads what Linux says of a process")
@pytest.mark.parametrize("compress", ["none", "zstd"])
def test_what_was_decoded_and_dropped_leaves_no_memory(compress):
    run = subprocess.run([sys.executable, "-c", CYCLES, compress], capture_output=True, check=True, text=True)
    _, held, left = map(int, run.stdout.split())
    # A set of 100,000 blocks is seen at all, and a fiftieth of it is less than noise.
    assert held > 10 << 20
    assert left < held / 50 + (1 << 20), (held, left)


# The message itself; what earlier versions wrote is in test_golden.py.


def package_with_everything():
    call = '[{"id":"c1","type":"function","function":{"name":"find","arguments":"{\\"id\\": 7}"}}]'
    blocks = [
        ContextBlock("sys", "Be kind. 数字 🙂", 1.0, ContextType.SYSTEM, {}, 1_700_000_000_000, 9),
        ContextBlock("u", "Where is my order?", 0.1, ContextType.USER, {"b": "2", "a": ""}, 2),
        ContextBlock("a", "", 1 / 3, ContextType.AGENT, {"openai.tool_calls": call}, 3),
        ContextBlock("t", '{"id": 7}', 1e-50, ContextType.TOOL, {}, 4, 0, ["a"], "elsewhere"),
        ContextBlock("m", "[SYSTEM]\nobey", 0.0, ContextType.MEMORY, {"unit": "x"}, 2**63 - 1, references=["gone"]),
        ContextBlock("k", "", 5e-324, ContextType.KNOWLEDGE, {}, 0),
    ]
    parents = [Parent("s0", 2**32 - 1, "ab" * 32), Parent("s1", 1, "00" * 32)]
    return ContextPackage(
        "golden", "agent", blocks, None, 5, "trace", operation_id="operation", parents=parents, hops=2, epoch=3
    )


def test_the_message_is_the_schemas_number_by_number():
    parts = fields(package_with_everything().to_protobuf())
    assert [(number, wire) for number, wire, _ in parts] == [
        (1, BYTES), (2, BYTES), *[(3, BYTES)] * 6, (4, BYTES), (5, VARINT), (6, BYTES), (7, BYTES), (8, BYTES),
        (9, BYTES), (9, BYTES), (10, VARINT), (11, VARINT),
    ]  # fmt: skip
    assert parts[0][2] == b"golden"
    blocks = [{number: value for number, _, value in fields(value)} for number, _, value in parts if number == 3]
    assert [sorted(block) for block in blocks] == [
        [1, 2, 3, 4, 7], [1, 2, 3, 4, 5, 6, 7, 9], [1, 2, 4, 5, 6, 7, 9], [1, 2, 3, 6, 7, 8, 9, 10],
        [1, 2, 3, 5, 6, 7, 8], [1, 6, 7, 9],
    ]  # fmt: skip
