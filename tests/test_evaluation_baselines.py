"""The baselines: the same units, pins and budget as the kernel, and orders that can be counted by hand."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import TALLY, cases, history
from pycontext import BudgetExceededError, ContextBlock, ContextType, prune
from pycontext.evaluation.baselines import article, bm25, identifiers
from pycontext.evaluation.baselines.chance import Chance
from pycontext.evaluation.baselines.embedded import embedded, fused
from pycontext.evaluation.baselines.identifiers import Identifiers
from pycontext.evaluation.baselines.oracle import Oracle
from pycontext.evaluation.baselines.recency import recent
from pycontext.evaluation.contender import Role
from pycontext.evaluation.dataset import Question
from pycontext.evaluation.field import field_of
from pycontext.evaluation.history import Case
from pycontext.evaluation.judgement import judge

PLAIN = [Chance(seed=3, draws=2), recent(), article.static(), bm25.bm25(), Identifiers(), Oracle()]


@st.composite
def contexts(draw):
    """Blocks of all types, with results of calls near and far, and results whose call is not there."""
    blocks, calls = [], []
    for n in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(ContextType))
        references = []
        if kind is ContextType.TOOL and draw(st.booleans()):
            references = [draw(st.sampled_from([*calls, "gone"]))]
        if kind is ContextType.AGENT:
            calls.append(f"b{n}")
        text = f"{n} " + draw(st.sampled_from(["", "red fox", "id_7 and 2024-05-20 ", "word " * 30]))
        blocks.append(ContextBlock(f"b{n}", text, 1.0, kind, timestamp=n, references=references))
    return blocks


def case_of(blocks, query="red fox"):
    return Case(history(blocks), Question("q", "c", (query,), (frozenset({blocks[-1].id}),), len(blocks)), ())


@given(contexts(), st.integers(1, 400))
def test_the_newest_first_are_those_that_the_kernel_takes(blocks, budget):
    """Units, pins, costs and packing in plain Python, against the library's own."""
    found = recent().choices(case_of(blocks), budget)
    try:
        # Equal texts are told apart by their numbers: nothing is a duplicate.
        selection = prune(blocks, budget, policy="recent")
    except BudgetExceededError:
        assert not found
        return
    (choice,) = found
    assert list(choice.rows) == selection.indices.tolist()
    assert choice.messages == selection.messages()
    assert TALLY.messages(choice.messages) == selection.tokens


def test_a_late_result_makes_its_call_the_last_unit():
    kinds = [ContextType.USER, ContextType.AGENT, ContextType.AGENT, ContextType.TOOL]
    references = [[], [], [], ["b1"]]
    blocks = [
        ContextBlock(f"b{n}", f"text {n}", 1.0, kind, timestamp=n, references=named)
        for n, (kind, named) in enumerate(zip(kinds, references, strict=True))
    ]
    made = history(blocks)
    assert made.units == [[0], [1, 3], [2]]
    assert made.pins == {0, 1}
    needed = 3 + made.costs[0] + made.costs[1]
    assert prune(blocks, needed, policy="recent").kept_ids == ["b0", "b1", "b3"]


@given(contexts(), st.integers(1, 400))
def test_no_baseline_breaks_a_promise(blocks, budget):
    case = case_of(blocks)
    for contender in PLAIN:
        found = judge(case, contender.choices(case, budget), budget, TALLY)
        assert not found.broken, contender.name
        assert found.tokens <= budget


def test_bm25_is_that_of_the_books():
    texts = ["red fox red", "blue fox", "green"]
    mean = 2.0
    red, fox = math.log(1 + 2.5 / 1.5), math.log(1 + 1.5 / 2.5)

    def weight(times, length):
        return times * 2.5 / (times + 1.5 * (0.1 + 0.9 * length / mean))

    found = bm25.scores("Red FOX red", texts, 1.5, 0.9)
    assert found == pytest.approx([red * weight(2, 3) + fox * weight(1, 3), fox * weight(1, 2), 0.0])


def test_bm25_without_words_takes_the_newest():
    blocks = [ContextBlock(f"b{n}", "?" * n, 1.0, ContextType.MEMORY, timestamp=n) for n in range(3)]
    assert bm25.bm25().order(case_of(blocks, "nothing")) == [2, 1, 0]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('{"user_id": "mia_li_3668", "dob": "1990-04-05"}', {"mia_li_3668", "1990-04-05"}),
        (
            "Mail m.li+x@example.com, flight HAT069, 4421486, $121 at 06:00.",
            {"m.li+x@example.com", "HAT069", "4421486"},
        ),
        ("round_trip for 2 in 12 days", {"round_trip"}),
        ("", set()),
    ],
)
def test_identifiers_are_codes_dates_and_addresses(text, ids):
    assert identifiers._ids(text) == ids  # noqa: SLF001  # what it finds is what it is


def test_identifiers_take_what_adds_most_for_its_tokens():
    texts = ["AB12 CD34", "nothing at all here", "EF56", "AB12", "go"]
    kinds = [ContextType.AGENT] * 4 + [ContextType.USER]
    blocks = [ContextBlock(f"b{n}", text, 1.0, kind, timestamp=n) for n, (text, kind) in enumerate(zip(texts, kinds))]  # noqa: B905
    made = case_of(blocks)
    cost = made.history.costs
    (choice,) = Identifiers().choices(made, 3 + cost[4] + cost[0] + cost[2])
    assert choice.rows == (0, 2, 4), "b3 has nothing that b0 has not"


def test_the_articles_rule_knows_types_alone():
    kinds = [ContextType.TOOL, ContextType.USER, ContextType.KNOWLEDGE, ContextType.AGENT, ContextType.TOOL]
    blocks = [ContextBlock(f"b{n}", "x", 1.0, kind, timestamp=n) for n, kind in enumerate(kinds)]
    assert article.static().order(case_of(blocks)) == [2, 3, 1, 4, 0]


def test_chance_is_the_same_again_and_another_with_another_seed():
    made = cases()["basel"]
    draws = [[choice.rows for choice in Chance(seed=seed).choices(made, 40)] for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert len(draws[0]) == 5


@given(
    st.lists(st.sets(st.integers(0, 6), min_size=1, max_size=4), max_size=5),
    st.lists(st.integers(1, 9), min_size=7, max_size=7),
)
def test_the_oracle_finds_the_cheapest_cover(clauses, costs):
    def cost(units):
        return sum(costs[unit] for unit in units)

    every = itertools.chain.from_iterable(itertools.combinations(range(7), size) for size in range(8))
    cheapest = min(cost(units) for units in every if all(clause & set(units) for clause in clauses))
    cover = Oracle.cover(clauses, costs)
    assert all(clause & cover for clause in clauses)
    assert cost(cover) == cheapest


def test_beyond_twelve_clauses_the_oracle_covers_all_the_same():
    clauses = [{n, 20} for n in range(15)]
    assert Oracle.cover(clauses, [1] * 20 + [10]) == {20}


class Lengths:
    """Finds long texts relevant."""

    def score(self, query, blocks):
        del query
        longest = max(len(block.content) for block in blocks)
        return [len(block.content) / longest for block in blocks]


def test_a_model_ranks_alone_and_with_bm25():
    made = cases()["basel"]
    lengths = [len(block.content) for block in made.history.blocks]
    alone = embedded("long", Lengths())
    assert alone.role is Role.MODEL
    assert alone.order(made) == sorted(range(5), key=lambda row: (-lengths[row], -row))
    both = fused("both", Lengths())
    words = bm25.bm25().order(made)
    ranks = {row: 1 / (61 + alone.order(made).index(row)) + 1 / (61 + words.index(row)) for row in range(5)}
    assert both.order(made) == sorted(range(5), key=lambda row: (-ranks[row], -row))


def test_the_field_says_who_is_absent(monkeypatch):
    monkeypatch.setattr("pycontext.evaluation.baselines.article.find_spec", lambda _: None)
    field = field_of(policies=["recent", "recent", "evidence"])
    names = [one.name for one in field.contenders]
    assert names == [
        "random", "recent", "article, static", "BM25", "identifiers", "pycontext, recent", "pycontext, evidence",
        "oracle",
    ]  # fmt: skip
    assert [line.partition(":")[0] for line in field.absent] == [
        "article, TF-IDF", "MiniLM, alone, fused and with ours",
    ]  # fmt: skip
    with_model = [one.name for one in field_of(scorer=Lengths()).contenders]
    assert with_model[-5:] == [
        "MiniLM", "BM25 and MiniLM by ranks", "pycontext, evidence", "pycontext, evidence, MiniLM", "oracle",
    ]  # fmt: skip
