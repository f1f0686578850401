"""The list of blocks that is kept as columns."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from conftest import tiktoken_count
from pycontext import BlockSet, ContextBlock, ContextType, PluginError, ValidationError, prune
from strategies import SCORES, TEXTS


def make(number, content="word", score=0.5, kind=ContextType.MEMORY, **changes):
    return ContextBlock(f"b{number}", content, score, kind, timestamp=number, **changes)


def texts(blocks):
    return [block.content for block in blocks]


class BlockSetMachine(RuleBasedStateMachine):
    """A set and a plain list are driven by the same calls and must never differ."""

    def __init__(self):
        super().__init__()
        self.set = BlockSet()
        self.list = []
        self.next = 0

    def new(self, content, score):
        self.next += 1
        return make(self.next, content, score)

    def row(self, data):
        return data.draw(st.integers(0, len(self.list) - 1))

    @rule(content=TEXTS, score=SCORES)
    def append(self, content, score):
        block = self.new(content, score)
        self.set.append(block)
        self.list.append(copy.copy(block))

    @rule(content=TEXTS, index=st.integers(-3, 12))
    def insert(self, content, index):
        block = self.new(content, 0.5)
        self.set.insert(index, block)
        self.list.insert(index, copy.copy(block))

    @rule(data=st.data(), content=TEXTS, score=SCORES)
    def write_to_a_handed_out_block(self, data, content, score):
        if self.list:
            row = self.row(data)
            for blocks in (self.set, self.list):
                blocks[row].content = content
                blocks[row].relevance_score = score
                blocks[row].metadata["note"] = content
                blocks[row].references.append("elsewhere")

    @rule(data=st.data(), content=TEXTS)
    def put(self, data, content):
        if self.list:
            row = self.row(data)
            block = self.new(content, 0.5)
            self.set[row] = block
            self.list[row] = copy.copy(block)

    @rule(data=st.data())
    def delete(self, data):
        if self.list:
            row = self.row(data)
            del self.set[row]
            del self.list[row]

    @rule(start=st.integers(0, 5), stop=st.integers(0, 5), content=TEXTS)
    def put_slice(self, start, stop, content):
        block = self.new(content, 0.5)
        self.set[start:stop] = [block]
        self.list[start:stop] = [copy.copy(block)]

    @rule()
    def reverse(self):
        self.set.reverse()
        self.list.reverse()

    @rule(budget=st.integers(1, 60))
    def prune_and_keep(self, budget):
        selection = self.set.prune(budget)
        assert selection.to_dict() == prune(self.list, budget).to_dict()
        self.set.keep(selection)
        kept = set(selection.kept_ids)
        self.list = [block for block in self.list if block.id in kept]

    @invariant()
    def they_are_equal(self):
        assert len(self.set) == len(self.list)
        assert self.set == self.list
        assert self.set.total_cost("text") == BlockSet(self.list).total_cost("text")
        assert self.set.total_cost("openai") == BlockSet(self.list).total_cost("openai")
        assert sum(self.set.type_tokens().values()) == sum(tiktoken_count(text) for text in texts(self.list))
        for row, block in enumerate(self.list):
            assert self.set.find(block.id) == row


TestBlockSetMachine = BlockSetMachine.TestCase


def test_blocks_are_copied_on_the_way_in():
    block = make(0)
    blocks = BlockSet([block])
    block.content = "changed"
    block.metadata["k"] = "v"
    assert texts(blocks) == ["word"]
    assert blocks[0].metadata == {}


def test_all_or_none_of_several_blocks_come_in():
    blocks = BlockSet([make(0)])
    for bad in ([make(1), make(1)], [make(1), make(0)], [make(1), "no block"]):
        with pytest.raises(ValidationError):
            blocks.extend(bad)
        assert texts(blocks) == ["word"]
        assert blocks.revision == 1


def test_a_duplicate_id_names_both_places():
    with pytest.raises(ValidationError) as caught:
        BlockSet([make(0), make(1), make(0)])
    assert str(caught.value) == "blocks[2]: id 'b0' is already the id of blocks[0]"


def test_every_change_raises_the_revision_and_a_look_does_not():
    blocks = BlockSet([make(0), make(1), make(2)])
    seen = [blocks.revision]

    def changed():
        seen.append(blocks.revision)
        assert seen[-1] > seen[-2]

    blocks.append(make(3))
    changed()
    blocks[0].content = "new"
    changed()
    del blocks[0]
    changed()
    blocks.reverse()
    changed()
    blocks[0] = make(9)
    changed()
    blocks.clear()
    changed()
    blocks.prune(10)
    list(blocks)
    assert blocks.revision == seen[-1]


def test_selections_keep_what_they_saw():
    blocks = BlockSet([make(0, "one"), make(1, "two")])
    selection = blocks.prune(100)
    blocks[0].content = "changed"
    del blocks[1]
    assert texts(selection.kept) == ["one", "two"]
    assert selection.text() == "[MEMORY]\none\n\n[MEMORY]\ntwo"


def test_blocks_that_came_after_a_selection_stay_when_it_is_applied():
    blocks = BlockSet([make(i, "word " * 20) for i in range(4)])
    selection = blocks.prune(70)
    blocks.append(make(9))
    blocks.keep(selection)
    assert [block.id for block in blocks] == [*selection.kept_ids, "b9"]


def test_positions_and_slices_are_those_of_a_list():
    blocks = BlockSet([make(i) for i in range(5)])
    assert blocks[-1].id == "b4"
    assert [block.id for block in blocks[1:4:2]] == ["b1", "b3"]
    del blocks[1:3]
    assert [block.id for block in blocks] == ["b0", "b3", "b4"]
    for index in (3, -4):
        with pytest.raises(IndexError):
            blocks[index]
    with pytest.raises(TypeError):
        hash(blocks)


def test_a_set_is_pickled_with_its_counter():
    blocks = BlockSet([make(0, "naïve")], counter="cl100k_base")
    loaded = pickle.loads(pickle.dumps(blocks))
    assert loaded == blocks
    assert loaded.counter.name == "cl100k_base"


def test_no_add_is_lost_under_threads():
    blocks = BlockSet()

    def add(thread):
        for i in range(500):
            blocks.append(make(thread * 1000 + i))
            if i % 50 == 0:
                blocks.prune(10_000)
                blocks[0].content = f"{thread} was here"

    threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(blocks) == 2000
    assert {block.id for block in blocks} == {f"b{t * 1000 + i}" for t in range(4) for i in range(500)}


class Words:
    """A plug-in counter that is easy to predict."""

    name = "words"
    exact = False

    def count(self, text):
        return len(text.split())

    def count_batch(self, texts):
        return [self.count(text) for text in texts]


@given(contents=st.lists(st.text(alphabet="ab \n[.", max_size=12), max_size=6), budget=st.integers(1, 30))
def test_a_plug_in_counter_is_kept_to_as_well(contents, budget):
    blocks = BlockSet([make(i, content) for i, content in enumerate(contents)], counter=Words())
    assert blocks.token_counts.tolist() == [len(content.split()) for content in contents]
    selection = blocks.prune(budget, render="text")
    assert selection.tokens == len(selection.text().split()) <= budget
    assert not selection.exact
    if len(blocks):
        blocks[0].content = "three more words"
        assert blocks.token_counts[0] == 3
    assert blocks.prune(1000).tokens == 3 * bool(contents) + sum(
        Words().count(message["content"]) + 4 for message in blocks.prune(1000).messages()
    )


class Sometimes:
    """A plug-in counter that fails when it is told to."""

    name = "sometimes"
    exact = True

    def __init__(self):
        self.is_down = False

    def count(self, text):
        return self.count_batch([text])[0]

    def count_batch(self, texts):
        if self.is_down:
            raise OSError("down")
        return [len(text) for text in texts]


def test_a_write_waits_for_a_counter_that_is_down():
    counter = Sometimes()
    blocks = BlockSet([make(0, "old")], counter=counter)
    held = blocks[0]
    held.content = "new content"
    counter.is_down = True
    for _ in range(2):
        with pytest.raises(PluginError, match="counter 'sometimes' raised OSError"):
            blocks.prune(100)
    counter.is_down = False
    assert texts(blocks.prune(100).kept) == ["new content"]
    assert blocks.token_counts.tolist() == [11]
    assert held.token_count == 11


@pytest.mark.parametrize("counter", [None, 5, "gpt2", object()])
def test_a_counter_that_is_none_is_refused_at_once(counter):
    with pytest.raises(ValidationError, match=r"counter .* is not one of o200k_base, cl100k_base"):
        BlockSet(counter=counter)


@pytest.mark.parametrize("result", [2.9, True, "7", None, -1, 2**32])
def test_a_count_is_a_whole_number_or_the_plug_in_is_named(result):
    class Strange(Sometimes):
        def count_batch(self, texts):
            return [result for _ in texts]

    with pytest.raises(PluginError, match=r"counter 'sometimes' returned .*, not a whole number from 0"):
        BlockSet([make(0)], counter=Strange())


def test_a_plug_in_may_take_its_time_and_use_the_set():
    blocks = BlockSet([make(i, f"note {i}") for i in range(5)])

    class Scorer:
        def score(self, _query, seen):
            with ThreadPoolExecutor() as pool:
                texts_seen = list(pool.map(lambda row: seen[row].content, range(len(seen))))
                pool.submit(blocks.append, make(9)).result(timeout=10)
            return [len(text) / 100 for text in texts_seen]

    selection = blocks.prune(1000, query="q", scorer=Scorer())
    assert len(selection.kept) == 5
    assert len(blocks) == 6


def test_a_plug_in_cannot_change_the_set_by_looking():
    blocks = BlockSet([make(i, f"note {i}") for i in range(3)])
    before = blocks.to_fields()

    class Meddler:
        def cost(self, block):
            block.content = "changed"
            return 3

        def render(self, seen):
            for block in seen:
                block.content = "changed again"
            return "short"

    blocks.prune(1000, render=Meddler())
    assert blocks.to_fields() == before


def test_two_sets_may_be_given_to_each_other_at_once():
    first, second = BlockSet([make(0)]), BlockSet([make(1)])

    def give(one, other):
        for _ in range(200):
            one[:] = other

    threads = [threading.Thread(target=give, args=pair, daemon=True) for pair in ((first, second), (second, first))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_text_of_a_subclass_is_taken_as_the_text_it_is():
    class Loud(str):
        __slots__ = ()

        def __eq__(self, other):
            raise AssertionError("nothing of it may run")

        __hash__ = str.__hash__

    block = make(0, Loud("hello"), metadata={"k": Loud("v")})
    blocks = BlockSet([block])
    assert type(blocks[0].content) is str
    assert type(blocks[0].metadata["k"]) is str


def test_the_plug_in_counts_what_goes_in_whoever_writes_meanwhile():
    class Slow:
        name, exact = "letters", True

        def count(self, text):
            return len(text)

        def count_batch(self, texts):
            counts = [len(text) for text in texts]
            if block is not None:
                block.content = "other"
            return counts

    block = None
    blocks = BlockSet([make(0, "ab")], counter=Slow())
    block = blocks[0]
    block.content = "a longer text"
    for _ in range(3):
        assert [(len(fields[1]), fields[6]) for fields in blocks.to_fields()] in ([(13, 13)], [(5, 5)])


def test_a_look_that_starts_the_garbage_collector_does_not_wait_for_itself():
    """A `__del__` runs wherever an object is made, also inside a call of the set."""
    program = """
import gc
from pycontext import BlockSet, ContextBlock, ContextType
blocks = BlockSet([ContextBlock("a", "x", 0.5, ContextType.USER, metadata={"k": "v"}, references=["b"])])
class Ring:
    def __init__(self):
        self.me = self
    def __del__(self):
        seen.append((len(blocks), len(blocks.to_fields()), blocks.find("a")))
seen = []
gc.set_threshold(1)
for _ in range(300):
    Ring()
    blocks.to_fields()
    blocks.scores
    blocks[0].content = "y"
    blocks.prune(100).kept
gc.set_threshold(700)
print(len(seen) > 100)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True\n"


def test_every_block_is_popped_once_and_none_is_lost():
    blocks = BlockSet(make(i) for i in range(2_000))
    popped = []

    def work():
        while True:
            try:
                popped.append(blocks.pop().id)
            except IndexError:
                return

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work) for _ in range(4)]:
            future.result()
    assert sorted(popped) == sorted(f"b{i}" for i in range(2_000))


def test_appends_of_a_thread_keep_their_order():
    blocks = BlockSet()

    def work(start):
        for i in range(start, start + 500):
            blocks.append(make(i))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(0, 4_000, 1_000)))
    for start in range(0, 4_000, 1_000):
        own = [block.timestamp for block in blocks if start <= block.timestamp < start + 1_000]
        assert own == list(range(start, start + 500))


def test_the_first_equal_block_is_removed():
    blocks = BlockSet([make(0), make(1), make(2)])
    blocks.remove(make(1))
    assert [block.id for block in blocks] == ["b0", "b2"]
    with pytest.raises(ValueError, match="is not in the set"):
        blocks.remove(make(1))


def test_references_name_the_copy_that_stays_when_a_selection_is_applied():
    user = ContextBlock("u", "and?", 0.5, ContextType.USER, references=["b0", "b5"])
    blocks = BlockSet([make(0, "same", 0.4), make(1, "same", 0.6), user])
    held = blocks[2]
    fallen = blocks.keep(blocks.prune(100))
    assert [block.id for block in fallen] == ["b0"]
    assert [block.references for block in blocks] == [[], ["b1", "b5"]]
    assert held.references == ["b1", "b5"]
    held.references.append("b9")
    assert blocks.to_fields()[1][7] == ["b1", "b5", "b9"]


def test_nothing_added_is_no_change():
    blocks = BlockSet([make(0)])
    before = blocks.revision
    blocks.extend([])
    assert blocks.revision == before


def test_a_type_that_changes_takes_its_tokens_along():
    blocks = BlockSet([make(0)])
    blocks[0] = ContextBlock("b0", "word", 0.5, ContextType.AGENT, timestamp=0)
    assert {kind: n for kind, n in blocks.type_tokens().items() if n} == {ContextType.AGENT: 1}


def test_a_plug_in_is_not_asked_again_for_what_it_counted():
    class Asked:
        name, exact = "asked", True
        texts = 0

        def count(self, text):
            return len(text)

        def count_batch(self, texts):
            Asked.texts += len(texts)
            return [len(text) for text in texts]

    blocks = BlockSet([make(0), make(1)], counter=Asked())
    held = blocks[0]
    asked = Asked.texts
    assert blocks.revision == blocks.revision
    assert Asked.texts == asked
    held.content = "more"
    assert blocks.token_counts.tolist() == [4, 4]
    assert Asked.texts == asked + 1
