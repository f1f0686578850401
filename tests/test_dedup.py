"""Equal texts: which one stays, what falls, and whom references name then."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pycontext import BlockSet, ContextBlock, ContextType, Policy, Reason, ValidationError
from pycontext.messages.openai import to_blocks
from reference import effective_scores, units_of
from strategies import block_lists

MEMORY, KNOWLEDGE, USER = ContextType.MEMORY, ContextType.KNOWLEDGE, ContextType.USER
MINUTE = 60_000


def make(id, content="same", score=0.5, kind=MEMORY, timestamp=0, **changes):
    return ContextBlock(id, content, score, kind, timestamp=timestamp, **changes)


def copies_of(blocks, scores=None):
    """Ids of the blocks that fall, and the id of the copy that stays."""
    scores = [block.relevance_score for block in blocks] if scores is None else scores
    alike = {}
    for row in [unit[0] for unit in units_of(blocks) if len(unit) == 1]:
        if blocks[row].type in (MEMORY, KNOWLEDGE):
            alike.setdefault((blocks[row].type, blocks[row].content), []).append(row)
    found = {}
    for rows in alike.values():
        best = max(rows, key=lambda row: (scores[row], blocks[row].timestamp, row))
        found |= {blocks[row].id: blocks[best].id for row in rows if row != best}
    return found


def without(blocks, copies):
    """Copies of the blocks that stay, whose references name what stays."""
    kept = [copy.deepcopy(block) for block in blocks if block.id not in copies]
    for block in kept:
        block.references = [copies.get(id, id) for id in block.references]
    return kept


IDS = st.sampled_from([f"n{i}" for i in range(9)])


@st.composite
def alike(draw):
    """Blocks of which most say the same, with ties of every kind."""
    return [
        make(
            f"n{i}",
            draw(st.sampled_from(["same", "same", "same ", ""])),
            draw(st.sampled_from([0.2, 0.5])),
            draw(st.sampled_from([MEMORY, MEMORY, KNOWLEDGE, USER])),
            draw(st.integers(0, 1)),
            references=draw(st.lists(IDS, max_size=2)),
            metadata=draw(st.sampled_from([{}, {}, {}, {"unit": "u"}, {"unit": "v"}, {"note": "x"}])),
        )
        for i in range(draw(st.integers(0, 8)))
    ]


@given(data=st.data(), source=alike() | block_lists())
def test_the_best_of_equal_texts_stays_and_references_name_it(data, source):
    blocks = BlockSet(source)
    held = {block.id: block for block in blocks if data.draw(st.booleans())}
    copies = copies_of(source)
    before = blocks.revision
    fallen = blocks.dedup()
    assert fallen == [block for block in source if block.id in copies]
    expected = without(source, copies)
    assert blocks == expected
    assert [block for block in expected if block.id in held] == [held[b.id] for b in expected if b.id in held]
    assert (blocks.revision > before) == bool(fallen)
    assert [blocks.find(id) for id in copies] == [None] * len(copies)
    for render in ("openai", "text"):
        assert blocks.total_cost(render) == BlockSet(expected).total_cost(render)
    after = blocks.revision
    assert blocks.dedup() == []
    assert blocks == expected
    assert blocks.revision == after


@given(source=alike() | block_lists())
def test_a_set_that_came_block_by_block_or_in_columns_knows_its_duplicates_as_well(source):
    plain = [block for block in source if not block.metadata]
    expected = copies_of(plain)
    one_by_one = BlockSet()
    for block in plain:
        one_by_one.append(block)
    in_columns = BlockSet.from_columns(
        [block.content for block in plain],
        [block.type for block in plain],
        [block.relevance_score for block in plain],
        id=[block.id for block in plain],
        timestamp=[block.timestamp for block in plain],
        references=[block.references for block in plain],
    )
    for blocks in (one_by_one, in_columns):
        assert {block.id for block in blocks.dedup()} == expected.keys()
        assert blocks == without(plain, expected)


class DedupMachine(RuleBasedStateMachine):
    """A set and a plain list are changed by the same calls; what is equal must be known after any history."""

    contents = st.sampled_from(["same", "same", "other", "third"])
    scores = st.sampled_from([0.2, 0.5, 0.9])
    kinds = st.sampled_from([MEMORY, MEMORY, KNOWLEDGE, USER])
    times = st.integers(0, 2)

    def __init__(self):
        super().__init__()
        self.set = BlockSet()
        self.list = []
        self.held = []
        self.next = 0

    def new(self, data):
        self.next += 1
        ids = ["nowhere", *(block.id for block in self.list)]
        return make(
            f"b{self.next}",
            data.draw(self.contents),
            data.draw(self.scores),
            data.draw(self.kinds),
            data.draw(self.times),
            references=data.draw(st.lists(st.sampled_from(ids), max_size=2)),
            metadata=data.draw(st.sampled_from([{}, {}, {}, {"unit": "u"}])),
        )

    def row(self, data):
        return data.draw(st.integers(0, len(self.list) - 1))

    def forget(self, gone):
        self.held = [(live, mirror) for live, mirror in self.held if not any(mirror is block for block in gone)]

    @rule(data=st.data())
    def append(self, data):
        block = self.new(data)
        self.set.append(block)
        self.list.append(copy.deepcopy(block))

    @rule(data=st.data())
    def insert(self, data):
        block = self.new(data)
        row = data.draw(st.integers(0, len(self.list)))
        self.set.insert(row, block)
        self.list.insert(row, copy.deepcopy(block))

    @precondition(lambda self: self.list)
    @rule(data=st.data())
    def put(self, data):
        block, row = self.new(data), self.row(data)
        self.set[row] = block
        self.forget([self.list[row]])
        self.list[row] = copy.deepcopy(block)

    @precondition(lambda self: self.list)
    @rule(data=st.data())
    def hold(self, data):
        row = self.row(data)
        self.held.append((self.set[row], self.list[row]))

    @precondition(lambda self: self.list)
    @rule(data=st.data(), field=st.sampled_from(["content", "relevance_score", "type", "timestamp", "metadata", "id"]))
    def edit(self, data, field):
        pairs = [*self.held, *(None for _ in self.list)]
        pick = data.draw(st.integers(0, len(pairs) - 1))
        row = pick - len(self.held)
        pair = pairs[pick] or (self.set[row], self.list[row])
        value = getattr(self.new(data), field)
        for block in pair:
            setattr(block, field, copy.copy(value))

    @precondition(lambda self: self.list)
    @rule(data=st.data())
    def delete(self, data):
        row = self.row(data)
        del self.set[row]
        self.forget([self.list.pop(row)])

    @rule()
    def reverse(self):
        self.set.reverse()
        self.list.reverse()

    @rule(data=st.data())
    def set_scores(self, data):
        scores = [data.draw(self.scores) for _ in self.list]
        self.set.set_scores(scores)
        for block, score in zip(self.list, scores, strict=True):
            block.relevance_score = score

    @rule()
    def dedup(self):
        copies = copies_of(self.list)
        gone = [block for block in self.list if block.id in copies]
        assert self.set.dedup() == gone
        self.drop(gone, copies)

    @rule()
    def prune_and_keep(self):
        copies = copies_of(self.list)
        selection = self.set.prune(2**40)
        assert selection.copies == copies
        gone = [block for block in self.list if block.id in copies]
        assert self.set.keep(selection) == gone
        self.drop(gone, copies)

    def drop(self, gone, copies):
        self.forget(gone)
        self.list = [block for block in self.list if block.id not in copies]
        for block in self.list:
            block.references = [copies.get(id, id) for id in block.references]

    @invariant()
    def they_are_equal(self):
        assert self.set == self.list
        assert all(live == mirror for live, mirror in self.held)

    def teardown(self):
        self.dedup()
        self.they_are_equal()


TestDedupMachine = DedupMachine.TestCase


@pytest.mark.parametrize(
    ("blocks", "stays"),
    [
        ([make("a", score=0.6), make("b", score=0.5, timestamp=9)], "a"),
        ([make("a", timestamp=2), make("b", timestamp=1)], "a"),
        ([make("a", timestamp=1), make("b", timestamp=1)], "b"),
        ([make("a", score=0.4), make("b", score=0.6), make("c", score=0.5)], "b"),
    ],
    ids=["score", "timestamp", "place", "score of three"],
)
def test_score_then_time_then_place_say_which_one_stays(blocks, stays):
    assert [block.id for block in BlockSet(blocks).prune(1000).kept] == [stays]
    kept = BlockSet(blocks)
    assert [block.id for block in kept.dedup()] == [block.id for block in blocks if block.id != stays]
    assert [block.id for block in kept] == [stays]


@pytest.mark.parametrize("kind", ContextType)
def test_only_memories_and_knowledge_can_be_duplicates(kind):
    blocks = BlockSet([make("a", kind=kind), make("b", kind=kind)])
    assert [block.id for block in blocks.dedup()] == (["a"] if kind in (MEMORY, KNOWLEDGE) else [])


def test_a_memory_and_a_piece_of_knowledge_are_two_things():
    blocks = BlockSet([make("a", kind=MEMORY), make("b", kind=KNOWLEDGE)])
    assert blocks.dedup() == []


def test_texts_that_look_alike_are_not_equal():
    texts = ["same", "Same", "same ", "same\n", "sa\u200bme", "e\u0301", "\xe9", "", " "]
    blocks = BlockSet([make(f"b{i}", text) for i, text in enumerate(texts)])
    assert blocks.dedup() == []


def test_blocks_of_a_unit_stay_and_a_unit_of_one_is_none():
    together = {"metadata": {"unit": "u"}}
    blocks = BlockSet([make("a", **together), make("b", **together), make("c"), make("d")])
    assert [block.id for block in blocks.dedup()] == ["c"]
    del blocks[0]
    assert [block.id for block in blocks.dedup()] == ["b"], "it is alone in its unit now"
    assert [block.id for block in blocks] == ["d"]


def test_a_block_that_joins_a_unit_is_no_duplicate_any_more():
    blocks = BlockSet([make("a"), make("b"), make("u", "question", kind=USER, metadata={"unit": "u"})])
    blocks[0].metadata["unit"] = "u"
    assert blocks.dedup() == []
    blocks[0].metadata.clear()
    assert [block.id for block in blocks.dedup()] == ["a"]


def test_equal_calls_and_equal_results_all_stay():
    exchange = [
        {
            "role": "assistant",
            "content": "same",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "get", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "same"},
    ]
    chat = [{"role": "user", "content": "same"}, *exchange, *exchange, {"role": "user", "content": "same"}]
    blocks = BlockSet(to_blocks(chat))
    assert blocks.dedup() == []
    assert len(blocks) == 6


def test_a_chain_of_duplicates_is_named_by_the_one_that_stays():
    user = make("u", "question", kind=USER, references=["a", "b", "c", "x", "a"])
    blocks = BlockSet([make("a", score=0.1), make("b", score=0.9), make("c", score=0.5), user])
    held = blocks[3]
    assert [block.id for block in blocks.dedup()] == ["a", "c"]
    assert held.references == ["b", "b", "b", "x", "b"]
    assert blocks.to_fields()[1][7] == ["b", "b", "b", "x", "b"]
    held.references.append("y")
    assert blocks.to_fields()[1][7] == ["b", "b", "b", "x", "b", "y"]


def test_blocks_that_fell_mean_nothing_to_the_set_any_more():
    blocks = BlockSet([make("a", score=0.1), make("b", score=0.9)])
    held = blocks[0]
    (fallen,) = blocks.dedup()
    for block in (held, fallen):
        block.content = "written late"
    assert [(block.id, block.content) for block in blocks] == [("b", "same")]
    blocks.append(fallen)
    assert [block.content for block in blocks] == ["same", "written late"]


def test_what_is_written_to_a_held_block_makes_and_unmakes_duplicates():
    blocks = BlockSet([make("a", "one"), make("b", "two")])
    held = blocks[0]
    assert blocks.dedup() == []
    held.content = "two"
    held.relevance_score = 0.9
    assert [block.id for block in blocks.dedup()] == ["b"]
    blocks.append(make("c", "two"))
    held.content = "three"
    assert blocks.dedup() == []


def test_a_bad_value_in_a_held_block_stops_it_once_and_nothing_is_changed():
    blocks = BlockSet([make("a"), make("b")])
    held = blocks[1]
    held.relevance_score = 7
    with pytest.raises(ValidationError, match="block 'b': relevance_score 7"):
        blocks.dedup()
    assert len(blocks) == 2
    assert [block.id for block in blocks.dedup()] == ["a"]


def test_a_selection_still_has_what_fell_after_it():
    blocks = BlockSet([make("a"), make("b")])
    selection = blocks.prune(1000, policy=Policy("all", duplicates="keep"))
    blocks.dedup()
    assert [block.id for block in selection.kept] == ["a", "b"]


def test_nothing_to_do_for_an_empty_set():
    assert BlockSet().dedup() == []


@st.composite
def aged(draw):
    """Blocks of which most say the same, minutes apart; no two fall to one score but from one score and one time."""
    return [
        make(
            f"n{i}",
            draw(st.sampled_from(["same", "same", "other"])),
            draw(st.sampled_from([0.1, 0.3, 0.7])),
            draw(st.sampled_from([MEMORY, MEMORY, KNOWLEDGE])),
            draw(st.integers(0, 5)) * MINUTE,
            references=draw(st.lists(IDS, max_size=1)),
        )
        for i in range(draw(st.integers(0, 8)))
    ]


@given(
    source=aged(), half_lives=st.dictionaries(st.sampled_from([MEMORY, KNOWLEDGE]), st.sampled_from([0.7, 3.1, 1e6]))
)
def test_prune_drops_by_the_scores_that_blocks_have_when_they_are_looked_at(source, half_lives):
    policy = Policy("aged", half_life_minutes=half_lives)
    now = max((block.timestamp for block in source), default=0)
    copies = copies_of(source, effective_scores(source, policy, None, now))
    blocks = BlockSet(source)
    selection = blocks.prune(2**40, policy=policy)
    assert selection.copies == copies
    fell = {dropped.id: (dropped.reason, dropped.detail) for dropped in selection.dropped}
    assert fell == {id: (Reason.DUPLICATE, stays) for id, stays in copies.items()}
    assert {block.id for block in blocks.keep(selection)} == copies.keys()
    assert blocks == without(source, copies)
    assert blocks.dedup() == []


def test_age_decides_in_prune_and_the_base_score_in_dedup():
    source = [make("old", score=0.9), make("new", score=0.5, timestamp=60 * MINUTE)]
    policy = Policy("aged", half_life_minutes={MEMORY: 10})
    assert BlockSet(source).prune(1000, policy=policy).copies == {"old": "new"}
    assert BlockSet(source).prune(1000).copies == {"new": "old"}
    assert [block.id for block in BlockSet(source).dedup()] == ["new"]


def test_no_score_is_less_than_another_for_its_sign():
    blocks = BlockSet(
        [
            ContextBlock("new", "x", -0.0, ContextType.MEMORY, timestamp=9),
            ContextBlock("old", "x", 0.0, ContextType.MEMORY, timestamp=1),
        ]
    )
    assert blocks.prune(1000).copies == {"old": "new"}
    assert [block.id for block in blocks.dedup()] == ["old"]
