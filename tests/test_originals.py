"""What fell is remembered within bounds."""

from __future__ import annotations

import json

from pycontext import ContextBlock, ContextType
from pycontext.originals import Originals


def block(id, size=1):
    return ContextBlock(id, "x" * size, 0.5, ContextType.MEMORY)


def test_the_oldest_are_forgotten_by_number_and_by_size():
    originals = Originals(max_blocks=3, max_bytes=20)
    originals.put(block(f"b{i}") for i in range(5))
    assert len(originals) == 3
    assert originals.get("b1") is None
    assert originals.get("b2") is not None
    originals.put([block("big", 12)])
    assert len(originals) == 2
    assert originals.get("b4") is not None


def test_the_same_id_is_remembered_once_and_newest():
    originals = Originals(max_bytes=12)
    originals.put([block("a", 6), block("a", 4)])
    assert len(originals) == 1
    originals.put([block("b", 6)])
    assert len(originals.get("a").content) == 4
    originals.forget("a")
    originals.forget("a")
    assert originals.get("a") is None


def test_nobody_can_change_what_is_remembered():
    originals = Originals(max_bytes=12)
    originals.put([block("a", 6)])
    originals.get("a").content = "x" * 100
    assert originals.get("a").content == "x" * 6
    originals.put([block("b", 4)])
    assert len(originals) == 2, "the sum of sizes is right"


def test_everything_that_a_block_holds_counts_against_the_size():
    originals = Originals(max_bytes=1000)
    call = [{"function": {"name": "f", "arguments": "x" * 600}}]
    for i in range(5):
        fields = {"openai.tool_calls": json.dumps(call)}
        originals.put([ContextBlock(f"call{i}", "", 0.5, ContextType.AGENT, fields, references=["r" * 200])])
    assert len(originals) == 1


def test_sizes_are_bytes():
    originals = Originals(max_bytes=10)
    originals.put([ContextBlock(id, "éé", 0.5, ContextType.MEMORY) for id in ("a", "b", "c")])
    assert len(originals) == 2
