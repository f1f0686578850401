"""Scorers: what they return is used, or refused by name; and the built-in one against its formula."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from pycontext import (
    BlockSet,
    BudgetExceededError,
    ContextBlock,
    ContextType,
    LexicalScorer,
    PluginError,
    Scorer,
    ValidationError,
    prune,
)
from pycontext.messages.openai import to_blocks
from strategies import TEXTS, block_lists, policies


class Fixed:
    def __init__(self, result):
        self.result = result

    def score(self, query, blocks):  # noqa: ARG002
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def blocks():
    return [ContextBlock(f"b{i}", f"{i} " + "word " * 10, 0.8, ContextType.MEMORY, timestamp=i) for i in range(4)]


def test_relevance_weighs_the_blocks_own_score():
    assert isinstance(Fixed([]), Scorer)
    two = (prune(blocks(), 1000).tokens - 3) // 2 + 3
    options = {"query": "q", "policy": "relevance"}
    selection = prune(blocks(), two, scorer=Fixed(np.array([0.1, 0.9, 0.2, 0.3])), **options)
    assert selection.kept_ids == ["b1", "b3"]
    assert "score of 0.296" in selection.explain("b0"), "0.8 * (0.3 + 0.7 * 0.1)"
    assert [block.relevance_score for block in selection.kept] == [0.8, 0.8]
    with_list = prune(blocks(), two, scorer=Fixed([0.1, 0.9, 0.2, 0.3]), **options)
    assert with_list.to_dict() == selection.to_dict()


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ([0.1, 0.2], r"returned shape \(2,\) for 4 blocks"),
        ([[0.1, 0.2, 0.3, 0.4]], r"returned shape \(1, 4\) for 4 blocks"),
        ([0.1, 0.2, float("nan"), 0.4], r"returned nan for blocks\[2\], not 0 to 1"),
        ([0.1, 0.2, 0.3, 1.5], r"returned 1.5 for blocks\[3\], not 0 to 1"),
        (["a", "b", "c", "d"], "returned <U1, not real numbers"),
        (RuntimeError("down"), "raised RuntimeError"),
    ],
)
def test_a_scorer_that_fails_is_named(result, words):
    with pytest.raises(PluginError, match=f"scorer Fixed {words}") as caught:
        prune(blocks(), 100, query="q", scorer=Fixed(result))
    if isinstance(result, Exception):
        assert caught.value.__cause__ is result


def words_of(text):
    """Words of ASCII letters and digits that have no ending to lose."""
    return [word for word in re.findall(r"[a-z0-9]+", text.lower()) if word != "and"]


def bm25(texts, query):
    """The formula, word by word and text by text."""
    counts = [Counter(words_of(text)) for text in texts]
    lengths = [count.total() for count in counts]
    mean = sum(lengths) / len(texts) if texts else 0
    scores = [0.0] * len(texts)
    for word in set(words_of(query)):
        found = sum(word in count for count in counts)
        idf = math.log(1 + (len(texts) - found + 0.5) / (found + 0.5))
        for row, count in enumerate(counts):
            if count[word]:
                weight = 1.5 * (1 - 0.9 + 0.9 * lengths[row] / mean)
                scores[row] += idf * count[word] * 2.5 / (count[word] + weight)
    best = max(scores, default=0)
    return [score / best if best else 0.0 for score in scores]


def is_close(array, expected):
    return array.shape == (len(expected),) and np.allclose(array, expected, rtol=0, atol=1e-12)


WORDS = st.sampled_from(["red", "Green", "BLUE", "blue", "x1", "42", "redder", "And"])
BLANKS = st.sampled_from([" ", "  ", "\n", ", ", " - ", ". ", "! (", ") "])
WORDY = st.lists(st.tuples(WORDS, BLANKS), max_size=8).map(lambda pairs: "".join(map("".join, pairs)))
QUERIES = WORDY | st.sampled_from(["", "?", "absent", "red red red", "RED absent", "blue green"])


def of_texts(*texts):
    return BlockSet(ContextBlock(f"b{i}", text, 0.5, ContextType.MEMORY, timestamp=i) for i, text in enumerate(texts))


@given(texts=st.lists(WORDY, max_size=8), query=QUERIES)
def test_matches_are_those_of_the_formula(texts, query):
    blocks = of_texts(*texts)
    matches = blocks.matches(query)
    assert matches.dtype == np.float64
    assert is_close(matches, bm25(texts, query))
    assert LexicalScorer().score(query, blocks).tolist() == matches.tolist()
    assert isinstance(LexicalScorer(), Scorer)


@given(texts=st.lists(WORDY, max_size=200), query=QUERIES, most=st.integers(1, 70))
def test_a_search_finds_the_best_matches(texts, query, most):
    blocks = of_texts(*texts)
    matches = [(f"b{row}", match) for row, match in enumerate(blocks.matches(query)) if match > 0]
    best = sorted(matches, key=lambda found: -found[1])[:most]
    found = blocks.search(query, most)
    assert [id for id, _ in found] == [id for id, _ in best]
    assert np.allclose([match for _, match in found], [match for _, match in best], rtol=0, atol=1e-12)


def test_a_search_refuses_what_is_no_number():
    for most in (0, -1, True, 1.5, "ten", None, 2**63):
        with pytest.raises(ValidationError, match=r"most .* is not a whole number from 1"):
            of_texts("red").search("red", most)
    assert of_texts("red").search("red", 2**63 - 1) == [("b0", 1.0)]


class MatchesMachine(RuleBasedStateMachine):
    """A set is changed in every way with queries in between; each must find what is there now."""

    types = st.sampled_from([ContextType.MEMORY, ContextType.KNOWLEDGE, ContextType.AGENT])

    def __init__(self):
        super().__init__()
        self.set = BlockSet()
        # Ids and texts.
        self.list = []
        self.held = {}
        self.selection = None
        self.next = 0

    def new(self, text, kind=ContextType.MEMORY):
        self.next += 1
        return ContextBlock(f"b{self.next}", text, self.next % 7 / 7, kind, timestamp=self.next)

    def row(self, data):
        return data.draw(st.integers(0, len(self.list) - 1))

    @rule(query=QUERIES)
    def ask(self, query):
        assert is_close(self.set.matches(query), bm25([text for _, text in self.list], query))

    @rule(texts=st.lists(WORDY, max_size=3), kind=types)
    def extend(self, texts, kind):
        blocks = [self.new(text, kind) for text in texts]
        self.set.extend(blocks)
        self.list += [(block.id, block.content) for block in blocks]

    @rule(texts=st.lists(WORDY, min_size=1, max_size=3))
    def extend_with_one_that_is_refused(self, texts):
        blocks = [self.new(text) for text in texts]
        with pytest.raises(ValidationError):
            self.set.extend([*blocks, blocks[0]])

    @precondition(lambda self: self.list)
    @rule(data=st.data(), text=WORDY)
    def insert(self, data, text):
        row, block = self.row(data), self.new(text)
        self.set.insert(row, block)
        self.list.insert(row, (block.id, text))

    @precondition(lambda self: self.list)
    @rule(data=st.data(), text=WORDY)
    def edit(self, data, text):
        row = self.row(data)
        block = self.set[row]
        block.content = text
        self.held[block.id] = block
        self.list[row] = (block.id, text)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), text=WORDY)
    def edit_what_is_held(self, data, text):
        id = data.draw(st.sampled_from(sorted(self.held)))
        self.held[id].content = text
        # What fell is held as well, and means nothing.
        self.list = [(other, text if other == id else old) for other, old in self.list]

    @precondition(lambda self: self.list)
    @rule(data=st.data(), text=WORDY)
    def put(self, data, text):
        row, block = self.row(data), self.new(text)
        self.set[row] = block
        self.list[row] = (block.id, text)

    @precondition(lambda self: self.list)
    @rule(data=st.data())
    def delete(self, data):
        rows = slice(self.row(data), self.row(data) + 1)
        del self.set[rows]
        del self.list[rows]

    @rule(budget=st.integers(5, 80))
    def prune(self, budget):
        try:
            self.selection = self.set.prune(budget, query="red blue")
        except BudgetExceededError:
            self.selection = None

    @precondition(lambda self: self.selection)
    @rule()
    def keep(self):
        self.set.keep(self.selection)
        gone = set(self.selection.dropped_ids)
        self.list = [entry for entry in self.list if entry[0] not in gone]

    @rule()
    def dedup(self):
        gone = {block.id for block in self.set.dedup()}
        self.list = [entry for entry in self.list if entry[0] not in gone]

    @rule()
    def reverse(self):
        self.set.reverse()
        self.list.reverse()

    def teardown(self):
        self.ask("red")
        self.ask("green blue x1 42 redder")


TestMatchesMachine = MatchesMachine.TestCase


def test_the_best_match_has_one_and_what_has_no_word_nothing():
    blocks = of_texts("red red", "red and much more that is not asked for", "green")
    matches = blocks.matches("red")
    assert matches[0] == 1.0
    assert 0 < matches[1] < 1
    assert matches[2] == 0.0
    assert blocks.matches("red red RED").tolist() == matches.tolist()


@pytest.mark.parametrize("query", ["", " ", "?!", "absent", "re", "r", "the and", "\n", "\U0001f642"])
def test_nothing_matches_a_query_without_a_word_that_is_there(query):
    assert of_texts("red", "green \U0001f642", "").matches(query).tolist() == [0.0, 0.0, 0.0]


def test_an_empty_set_has_no_matches_and_texts_without_words_match_nothing():
    assert BlockSet().matches("red").tolist() == []
    assert of_texts("", "--", "\n").matches("red").tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Red", "rED"),
        ("user's", "USER'S"),
        ("blues", "blue"),
        ("refunding", "Refunds"),
        ("книги", "книгами"),
        ("\xe9t\xe9", "e\u0301te\u0301"),
        ("ＨＡＴ１３６", "hat136"),
        ("3.14 or 1,234", "3.14"),
        ("Über die GRÖẞE", "über"),
        ("ärger", "ÄRGER"),
        ("naïve", "NAÏVE"),
        ("ΛΌΓΟΣ", "λόγος"),
        ("мир", "МИР"),
        ("東京都", "京都"),
        ("ひらがな", "がな"),
        ("字", "字"),
        ("ภาษาไทย", "ไทย"),
        ("カタカナ", "カタカナ"),
        ("한국어 단어", "단어"),
        ("word🙂word", "word"),
        ("ab—bc", "bc"),
    ],
)
def test_words_that_mean_the_same_are_one(text, query):
    assert of_texts("other", text, "").matches(query).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("ärger", "arger"),
        ("カタカナ", "カ"),
        ("東京都", "東都"),
        ("straße", "strasse"),
        ("get_user", "user"),
    ],
)
def test_parts_of_words_and_other_spellings_are_other_words(text, query):
    assert of_texts(text, "other").matches(query).tolist() == [0.0, 0.0]


def calling(city):
    function = {"name": "forecast", "arguments": json.dumps({"city": city})}
    return [{"id": "c", "type": "function", "function": function}]


def test_words_of_calls_count_as_those_of_the_content():
    chat = [
        {"role": "user", "content": "will it rain"},
        {"role": "assistant", "content": "let me see", "tool_calls": calling("Berlin")},
        {"role": "tool", "tool_call_id": "c", "content": "no"},
    ]
    blocks = BlockSet(to_blocks(chat))
    for query in ("berlin", "FORECAST", "city", "see", "forecast berlin"):
        assert blocks.matches(query).tolist() == [0.0, 1.0, 0.0], query
    assert blocks.matches("rain berlin").argmax() == 0, "the call is the longer text"
    held = blocks[1]
    held.metadata["openai.tool_calls"] = json.dumps(calling("Paris"))
    assert blocks.matches("berlin").tolist() == [0.0, 0.0, 0.0]
    assert blocks.matches("paris").tolist() == [0.0, 1.0, 0.0]
    del held.metadata["openai.tool_calls"]
    assert blocks.matches("forecast paris").tolist() == [0.0, 0.0, 0.0]
    assert blocks.matches("see").tolist() == [0.0, 1.0, 0.0]


def test_words_of_other_metadata_do_not_count():
    block = ContextBlock("a", "text", 0.5, ContextType.MEMORY, {"note": "hidden"})
    assert BlockSet([block]).matches("hidden note").tolist() == [0.0]


def test_matches_do_not_depend_on_how_the_set_came_to_be():
    texts = ["red", "green red", "blue", "red blue red", "green"]
    late = of_texts(*["other words"] * 6)
    late.matches("other")
    for row, text in reversed(list(enumerate(texts))):
        late[row].content = text
        late.matches(text)
    late.pop()
    early = of_texts(*texts)
    for query in ("red", "blue green red", "green other"):
        assert late.matches(query).tolist() == early.matches(query).tolist()


def test_a_longer_text_with_as_many_words_of_the_query_matches_less():
    blocks = of_texts(*("red " + "longer " * n for n in range(5)))
    assert all(a > b for a, b in pairwise(blocks.matches("red").tolist()))


def outcome(blocks, available, **options):
    """The receipt and the sentences of a prune, or what it refused."""
    try:
        selection = prune(blocks, available, **options)
    except BudgetExceededError as error:
        return str(error)
    return selection.to_dict(), [selection.explain(block.id) for block in blocks]


@given(
    source=block_lists(),
    available=st.integers(1, 120),
    query=TEXTS | st.sampled_from(["fact", "rule yes", "word get_users", "42 x"]),
    policy=policies(),
    render=st.sampled_from(["openai", "text"]),
)
def test_prune_asks_the_built_in_scorer_where_there_is_no_other(source, available, query, policy, render):
    options = {"query": query, "policy": policy, "render": render}
    blocks = BlockSet(source)
    expected = outcome(blocks, available, scorer=LexicalScorer(), **options)
    assert outcome(blocks, available, **options) == expected
    assert outcome(source, available, **options) == expected
    # A query that is the last turn of the user is asked with the turns before it.
    if not policy.asks and blocks.turns([query]) == [query]:
        assert outcome(blocks, available, scorer=Fixed(blocks.matches(query)), **options) == expected


def test_the_query_decides_which_of_equal_blocks_stay():
    source = [
        ContextBlock(f"b{i}", f"about {word}", 0.5, ContextType.MEMORY, timestamp=i)
        for i, word in enumerate(("xx", "yy", "zz"))
    ]
    room = prune(source, 1000).tokens - 1
    for i, word in enumerate(("xx", "yy", "zz")):
        selection = prune(source, room, query=f"what is {word}?")
        assert f"b{i}" in selection.kept_ids
        assert "relevance of 1.000" in selection.explain(f"b{i}")
    assert prune(source, room, query="nothing of this").kept_ids == ["b1", "b2"], "the newest, as without a query"


@pytest.mark.parametrize(
    ("query", "asked", "matched"),
    [
        (7, "query 7 is neither a str nor a list of one str at least", "query 7 is int, not str"),
        (b"red", "query b'red' is neither a str nor a list of one str at least", "query b'red' is bytes, not str"),
        ([], "query [] is neither a str nor a list of one str at least", "query [] is list, not str"),
        (["red", 7], "query ['red', 7] is neither a str nor a list of one str at least", "query ['red', 7] is list"),
        ("a\ud800\n", "query 'a\\ud800\\n' holds a lone surrogate", "query 'a\\ud800\\n' holds a lone surrogate"),
    ],
)
def test_a_query_that_is_no_text_is_refused(query, asked, matched):
    blocks = of_texts("red")
    doors = [
        (lambda: blocks.matches(query), matched),
        (lambda: LexicalScorer().score(query, blocks), matched),
        (lambda: blocks.prune(100, query=query), asked),
        (lambda: blocks.prune(100, query=query, scorer=Fixed([1])), asked),
        (lambda: prune(list(blocks), 100, query=query), asked),
    ]
    for door, words in doors:
        with pytest.raises(ValidationError) as caught:
            door()
        assert str(caught.value).startswith(words)
    assert blocks.matches("red").tolist() == [1.0]


def test_an_array_of_a_scorer_may_lie_in_memory_as_it_likes():
    records = np.zeros(4, dtype=[("odd", "i4"), ("score", "f8")])
    records["score"] = [0.1, 0.9, 0.2, 0.3]

    class Strided:
        def score(self, _query, _blocks):
            return records["score"]

    blocks = [ContextBlock(f"b{i}", f"text {i}", 0.8, ContextType.MEMORY, timestamp=i) for i in range(4)]
    selection = prune(blocks, 1000, query="q", scorer=Strided(), policy="relevance")
    assert "score of 0.744" in selection.explain("b1"), "0.8 * (0.3 + 0.7 * 0.9)"
