"""What fell is remembered within bounds."""

from __future__ import annotations

import json

from pycontext import BlockSet, ContextBlock, ContextType
from pycontext.originals import Originals


def block(id, size=1):
    return ContextBlock(id, "x" * size, 0.5, ContextType.MEMORY)


def put(originals, *blocks):
    originals.put(BlockSet(blocks))


def test_the_oldest_are_forgotten_by_number_and_by_size():
    originals = Originals(max_blocks=3, max_bytes=20)
    put(originals, *(block(f"b{i}") for i in range(5)))
    assert len(originals) == 3
    assert originals.get("b1") is None
    assert originals.get("b2") is not None
    put(originals, block("big", 12))
    assert len(originals) == 2
    assert originals.get("b4") is not None


def test_the_same_id_is_remembered_once_and_newest():
    originals = Originals(max_bytes=12)
    put(originals, block("a", 6))
    put(originals, block("a", 4))
    assert len(originals) == 1
    put(originals, block("b", 6))
    assert len(originals.get("a").content) == 4
    originals.forget("a")
    originals.forget("a")
    assert originals.get("a") is None


def test_nobody_can_change_what_is_remembered():
    originals = Originals(max_bytes=12)
    put(originals, block("a", 6))
    originals.get("a").content = "x" * 100
    assert originals.get("a").content == "x" * 6
    put(originals, block("b", 4))
    assert len(originals) == 2, "the sum of sizes is right"


def test_everything_that_a_block_holds_counts_against_the_size():
    originals = Originals(max_bytes=1000)
    call = [{"function": {"name": "f", "arguments": "x" * 600}}]
    for i in range(5):
        fields = {"openai.tool_calls": json.dumps(call)}
        put(originals, ContextBlock(f"call{i}", "", 0.5, ContextType.AGENT, fields, references=["r" * 200]))
    assert len(originals) == 1


def test_sizes_are_bytes():
    originals = Originals(max_bytes=10)
    put(originals, *(ContextBlock(id, "éé", 0.5, ContextType.MEMORY) for id in ("a", "b", "c")))
    assert len(originals) == 2


def test_of_a_large_fall_the_newest_are_remembered_and_what_was_there_before_is_not():
    count = 3_000
    blocks = BlockSet.from_columns(
        [f"text {i}" for i in range(count)], [ContextType.MEMORY] * count, [0.5] * count, token_count=[100] * count
    )
    originals = Originals(max_blocks=1_000)
    put(originals, block("early"))
    fallen = blocks.cut(blocks.prune(300, policy="recent"))
    assert len(fallen) + len(blocks) == count
    originals.take(fallen, blocks.counter)
    assert len(originals) == 1_000
    assert originals.get("early") is None
    newest = fallen.ids()[-1_000:]
    assert [originals.get(id).id for id in newest] == newest
    assert originals.get(newest[0]).token_count == 100
    assert originals.get(fallen.ids()[-1_001]) is None


def test_what_is_forgotten_takes_no_memory_for_long():
    originals = Originals(max_blocks=64)
    for i in range(1_000):
        put(originals, block(f"b{i}", 1_000))
        assert originals.nbytes < 64 * 1_000 * 2
    assert len(originals) == 64
    originals.clear()
    assert (len(originals), originals.nbytes, originals.get("b999")) == (0, 0, None)


def test_an_id_that_was_forgotten_may_come_again():
    originals = Originals(max_blocks=16)
    for i in (*range(17), 0):
        put(originals, block(f"b{i}", i + 1))
    assert originals.get("b0").content == "x"
    assert originals.get("b1") is None
    assert len(originals) == 16
