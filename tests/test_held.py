"""Blocks that were handed out: live, read back before the set is next used, and no write lost."""

from __future__ import annotations

import gc
import threading

import pytest

from pycontext import BlockSet, ContextBlock, ContextType, ValidationError


def make(number, content="word", score=0.5, kind=ContextType.MEMORY, **changes):
    return ContextBlock(f"b{number}", content, score, kind, timestamp=number, **changes)


def texts(blocks):
    return [block.content for block in blocks]


def test_every_field_of_a_handed_out_block_can_be_written():
    blocks = BlockSet([make(0), make(1)])
    block = blocks[1]
    block.id = "renamed"
    block.content = "quite other words"
    block.relevance_score = 0.9
    block.type = ContextType.USER
    block.metadata = {"k": "v"}
    block.timestamp = 77
    block.references = ["b0"]
    selection = blocks.prune(1000)
    assert selection.kept[1] == block
    assert selection.kept[1].token_count == 3
    assert blocks.find("renamed") == 1
    assert blocks.find("b1") is None
    assert blocks.type_tokens()[ContextType.USER] == 3
    block.token_count = 50
    assert blocks.type_tokens()[ContextType.USER] == 50


def test_a_bad_value_is_refused_by_name_once_and_loses_nothing_else():
    blocks = BlockSet([make(0), make(1)])
    good, bad = blocks[0], blocks[1]
    good.content = "fine"
    bad.relevance_score = float("nan")
    with pytest.raises(ValidationError, match="block 'b1': relevance_score"):
        blocks.prune(100)
    assert [fields[1] for fields in blocks.to_fields()] == ["fine", "word"]
    assert blocks.scores.tolist() == [0.5, 0.5]
    blocks.append(make(2))
    assert len(blocks) == 3
    bad.content = "good again"
    bad.relevance_score = 0.7
    assert blocks.scores.tolist() == [0.5, 0.7, 0.5], "a block that was mended counts"
    assert texts(blocks.prune(100).kept)[1] == "good again"
    bad.relevance_score = 8
    with pytest.raises(ValidationError, match="relevance_score 8"):
        blocks.prune(100)
    del bad
    blocks.prune(100)
    assert blocks[1].relevance_score == 0.7, "a bad block that nobody holds is forgotten"


def test_a_renamed_block_may_not_take_an_id():
    blocks = BlockSet([make(0), make(1)])
    blocks[1].id = "b0"
    with pytest.raises(ValidationError, match=r"id 'b0' is already the id of blocks\[0\]"):
        blocks.prune(100)
    assert [block.id for block in blocks] == ["b0", "b1"]


def test_names_may_move_on():
    blocks = BlockSet([make(0), make(1)])
    first, second = blocks[0], blocks[1]
    first.id, second.id = "b1", "b2"
    assert [fields[0] for fields in blocks.to_fields()] == ["b1", "b2"]


def test_a_block_that_nobody_holds_is_let_go():
    blocks = BlockSet([make(0, "only here"), make(1, "only here")])
    held = blocks[0]
    list(blocks)

    def alive():
        return sum(isinstance(thing, ContextBlock) and thing.content == "only here" for thing in gc.get_objects())

    assert alive() == 2
    blocks.prune(100)
    assert alive() == 1
    assert blocks[0] is held
    held.content = "written late"
    assert texts(blocks.prune(100).kept)[0] == "written late"


def test_a_write_to_a_block_that_is_not_held_counts():
    blocks = BlockSet([make(0)])
    blocks[0].content = "written and let go"
    assert texts(blocks) == ["written and let go"]


def test_no_write_is_lost_while_another_thread_uses_the_set():
    blocks = BlockSet([make(i) for i in range(300)])
    others = [blocks[row] for row in range(1, 300)]
    done = threading.Event()
    started = threading.Event()

    def use():
        while not done.is_set():
            blocks.type_tokens()
            started.set()

    thread = threading.Thread(target=use)
    thread.start()
    started.wait()
    lost = 0
    for i in range(300):
        block = blocks[0]
        block.content = f"written {i}"
        del block
        lost += blocks.to_fields()[0][1] != f"written {i}"
    done.set()
    thread.join()
    assert lost == 0
    assert len(others) == 299


def test_many_held_blocks_cost_no_more_than_a_look_at_each():
    blocks = BlockSet([make(i, f"note {i} " + "word " * 5) for i in range(4_000)])
    selection = blocks.prune(10_000)
    looks = []

    class Watched(ContextBlock):
        __slots__ = ()

        @property
        def content(self):
            looks.append(self.id)
            return ContextBlock.content.fget(self)

        @content.setter
        def content(self, value):
            ContextBlock.content.fset(self, value)

    held = list(blocks)
    for block in held:
        block.__class__ = Watched
    looks.clear()
    blocks.keep(selection)
    # Reading back is linear in what is held, however many blocks fall.
    assert len(looks) < 5 * len(held)


def test_a_write_while_the_set_counts_is_counted_itself():
    blocks = BlockSet([make(0), make(1)])
    block = blocks[0]
    long = "word " * 200_000
    for _ in range(5):
        block.content = long
        counting = threading.Thread(target=blocks.prune, args=(10**7,))
        counting.start()
        block.content = "short"
        counting.join()
        assert blocks.prune(100).kept[0].token_count == 1
        assert block.token_count == 1


def test_a_block_whose_place_is_taken_means_nothing_any_more():
    blocks = BlockSet([make(0)])
    held = blocks[0]
    blocks[0] = make(7, "new")
    held.content = "old"
    assert blocks.find("b7") == 0
    assert texts(blocks) == ["new"]


def test_a_held_block_stays_live_where_others_come_before_it():
    blocks = BlockSet([make(0), make(1)])
    held = blocks[1]
    blocks.insert(0, make(2))
    held.content = "new"
    assert texts(blocks) == ["word", "word", "new"]
    del blocks[0]
    held.content = "newer"
    assert texts(blocks) == ["word", "newer"]


def test_a_bad_value_that_was_mended_is_said_again_when_it_comes_back():
    blocks = BlockSet([make(0), make(1)])
    held = blocks[1]
    for _ in range(2):
        held.relevance_score = 7
        with pytest.raises(ValidationError, match="'b1'"):
            blocks.prune(100)
        held.relevance_score = 0.5
        blocks.prune(100)


def test_a_bad_value_is_said_once_wherever_its_row_goes():
    blocks = BlockSet([make(0), make(1)])
    held = blocks[1]
    held.relevance_score = 7
    with pytest.raises(ValidationError):
        blocks.prune(100)
    del blocks[0]
    assert len(blocks.prune(100).kept) == 1
    blocks[:] = [make(5)]
    fresh = blocks[0]
    fresh.relevance_score = 7
    with pytest.raises(ValidationError, match="'b5'"):
        blocks.prune(100)


def test_a_bad_value_in_a_held_block_does_not_stop_a_selection_from_being_applied():
    blocks = BlockSet([make(0, "same", 0.4), make(1, "same", 0.6), make(2, references=["b0"])])
    held = blocks[2]
    held.references = 7
    with pytest.raises(ValidationError, match="references 7"):
        blocks.prune(100)
    assert [block.id for block in blocks.keep(blocks.prune(100))] == ["b0"]
    assert blocks.to_fields()[1][7] == ["b1"]
    held.references = ["b1", "b9"]
    assert blocks.to_fields()[1][7] == ["b1", "b9"]
