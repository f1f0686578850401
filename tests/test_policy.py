"""Policies are data: what they hold, what they refuse, and what each field does."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from pycontext import BlockSet, ContextBlock, ContextType, Policy, Tier, ValidationError, prune

SYSTEM, USER, AGENT, MEMORY, KNOWLEDGE, TOOL = ContextType

MINUTE = 60_000


def block(id, kind=MEMORY, score=0.5, minute=0, content=None, **fields):
    return ContextBlock(id, content or f"text of {id}", score, kind, timestamp=minute * MINUTE, **fields)


ASK = block("ask", USER, 0.5, 100)


def cost_of(*blocks):
    return prune([*blocks, ASK], 10_000, policy=Policy("all", duplicates="keep")).tokens


def test_policies_by_name():
    assert Policy.named("relevance") == Policy(
        "relevance", (Tier("all", tuple(ContextType), order="score", share=1.0),)
    )
    assert Policy.named("recent").tiers[0].order == "time"
    conversation, rest = Policy.named("window").tiers
    assert (conversation.types, conversation.order, conversation.share) == ((USER, AGENT), "time", 0.7)
    assert (rest.types, rest.order, rest.share) == ((MEMORY, KNOWLEDGE, TOOL), "score", 1.0)
    assert Policy.of(None) == Policy.named("relevance")
    assert Policy.of("window") is Policy.named("window")
    with pytest.raises(ValidationError, match="policy 'best' is not one of relevance, evidence, recent, window, cache"):
        Policy.of("best")


RICH = Policy(
    "rich",
    (Tier("talk", (AGENT, USER), order="time", share=0.5), Tier("all")),
    threshold=0.1,
    references="require",
    half_life_minutes={MEMORY: 5},
    floor=0.1,
    recency=0.2,
)


def test_a_policy_is_a_value():
    for other in (pickle.loads(pickle.dumps(RICH)), copy.deepcopy(RICH), dataclasses.replace(RICH)):
        assert other == RICH
        assert hash(other) == hash(RICH)
        assert (
            prune([block("a"), ASK], 100, policy=other).to_dict()
            == prune([block("a"), ASK], 100, policy=RICH).to_dict()
        )
    assert dataclasses.replace(RICH, threshold=0.3) != RICH
    assert RICH.tiers[0].types == (USER, AGENT), "in the order of the types"
    with pytest.raises(dataclasses.FrozenInstanceError):
        RICH.threshold = 1
    half_lives = {MEMORY: 5}
    policy = Policy("mine", half_life_minutes=half_lives)
    half_lives[USER] = 1
    assert policy.half_life_minutes == {MEMORY: 5}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "name '' is not a printable str of 1 to 64 characters"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": None}, "name None"),
        ({"tiers": ()}, "tiers are 0, not 1 to 16"),
        ({"tiers": (Tier("all"),) * 17}, "tiers are 17, not 1 to 16"),
        ({"tiers": (Tier("talk", (USER,)),)}, "tiers take no AGENT or MEMORY or KNOWLEDGE or TOOL"),
        ({"tiers": ["all"]}, "tiers ['all'] is not a tuple of Tier"),
        ({"tiers": "all"}, "tiers 'all' is not a tuple of Tier"),
        ({"duplicates": "merge"}, "duplicates 'merge' is not one of drop, keep"),
        ({"references": "all"}, "references 'all' is not one of results, require"),
        ({"threshold": 1.5}, "threshold 1.5 is not a number from 0 to 1"),
        ({"threshold": float("nan")}, "threshold nan"),
        ({"threshold": True}, "threshold True"),
        ({"floor": -0.1}, "floor -0.1 is not a number from 0 to 1"),
        ({"recency": 2}, "recency 2 is not a number from 0 to 1"),
        ({"half_life_minutes": 5}, "half_life_minutes 5 is int, not a dict"),
        ({"half_life_minutes": {SYSTEM: 5}}, "half_life_minutes: <ContextType.SYSTEM: 0> is not"),
        ({"half_life_minutes": {"USER": 5}}, "half_life_minutes: 'USER' is not"),
        ({"half_life_minutes": {USER: 0}}, "half_life_minutes of USER 0 is not a number from 1e-06 to 1e+10"),
        ({"half_life_minutes": {USER: float("inf")}}, "half_life_minutes of USER inf"),
        ({"half_life_minutes": {USER: True}}, "half_life_minutes of USER True"),
    ],
)
def test_a_policy_checks_its_fields(fields, words):
    with pytest.raises(ValidationError) as caught:
        Policy(**{"name": "mine", **fields})
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": 7}, "name 7"),
        ({"types": ()}, "types () is not a tuple of ContextType with one at least"),
        ({"types": (0,)}, "types: 0 is int, not ContextType"),
        ({"types": USER}, "types <ContextType.USER: 1> is not a tuple"),
        ({"order": "size"}, "order 'size' is not one of score, time"),
        ({"order": ["score"]}, "order ['score'] is not one of score, time"),
        ({"share": 1.1}, "share 1.1 is not a number from 0 to 1"),
    ],
)
def test_a_tier_checks_its_fields(fields, words):
    with pytest.raises(ValidationError) as caught:
        Tier(**{"name": "mine", **fields})
    assert words in str(caught.value)


def test_the_conversation_of_a_window_takes_up_to_its_share_and_what_it_leaves_goes_on():
    talk = [block(f"t{i}", AGENT, 0.9, i) for i in range(10)]
    facts = [block(f"f{i}", score=i / 10) for i in range(10)]
    room = cost_of(*talk)
    selection = prune([*facts, *talk, ASK], room, policy="window")
    kept_talk = [id for id in selection.kept_ids if id.startswith("t")]
    assert kept_talk == [block.id for block in talk[-len(kept_talk) :]], "the newest of the conversation"
    assert cost_of(*talk[-len(kept_talk) :]) <= 0.7 * room < cost_of(*talk[-len(kept_talk) - 1 :])
    kept_facts = [id for id in selection.kept_ids if id.startswith("f")]
    assert kept_facts == [block.id for block in facts[-len(kept_facts) :]], "the best of the rest"
    fell = {dropped.id: dropped for dropped in selection.dropped}
    assert set(selection.reasons) == {"kept", "pinned", "share", "budget"} or set(selection.reasons) == {
        "kept",
        "pinned",
        "budget",
    }
    with_little_talk = prune([*facts, *talk[-1:], ASK], room, policy="window")
    assert len([id for id in with_little_talk.kept_ids if id.startswith("f")]) > len(kept_facts)
    assert fell["t0"].reason in ("share", "budget")


def test_a_share_is_said_by_its_name():
    policy = Policy("mine", (Tier("talk", (USER, AGENT), share=0), Tier("rest")))
    no_talk = Policy("mine", (Tier("talk", (USER, AGENT), share=0), Tier("rest", (MEMORY, KNOWLEDGE, TOOL))))
    blocks = [block("t", AGENT), ASK]
    assert prune(blocks, 1000, policy=policy).kept_ids == ["t", "ask"], "another tier may take it"
    selection = prune(blocks, 1000, policy=no_talk)
    assert selection.to_dict()["blocks"][0]["reason"] == "share:talk"
    (dropped,) = selection.dropped
    assert (dropped.reason, dropped.detail) == ("share", "talk")
    assert "no room in the share of talk, which has 0 tokens left" in selection.explain("t")


def test_a_unit_goes_with_its_first_block():
    call = block("call", AGENT, 0.5, 1)
    result = block("result", TOOL, 0.9, 2, references=["call"])
    policy = Policy("mine", (Tier("talk", (USER, AGENT), share=0), Tier("rest", (MEMORY, KNOWLEDGE, TOOL))))
    selection = prune([call, result, ASK], 1000, policy=policy)
    assert [str(reason) for reason in selection.reasons] == ["share", "unit", "pinned"]


def best_of(blocks, **options):
    """The one block that fits besides the question."""
    room = max(cost_of(block) for block in blocks)
    (only,) = (id for id in prune([*blocks, ASK], room, **options).kept_ids if id != "ask")
    return only


def test_scores_fall_by_half_in_a_half_life_of_their_type():
    old, new = block("a", score=0.8, minute=80), block("b", KNOWLEDGE, score=0.5, minute=80)
    assert best_of([old, new]) == "a"
    assert best_of([old, new], policy=Policy("mine", half_life_minutes={MEMORY: 20})) == "b"
    assert best_of([old, new], policy=Policy("mine", half_life_minutes={MEMORY: 20, KNOWLEDGE: 20})) == "a"
    selection = prune([old, new, ASK], 1000, policy=Policy("mine", half_life_minutes={MEMORY: 20}))
    assert "score of 0.400" in selection.explain("a"), "the question is 20 minutes newer"
    assert old.relevance_score == 0.8


def test_now_is_the_newest_timestamp_unless_it_is_said():
    policy = Policy("mine", half_life_minutes={MEMORY: 20})
    blocks = [block("a", score=0.8, minute=80), ASK]
    for now, score in ((None, "0.400"), (80 * MINUTE, "0.800"), (0, "0.800"), (120 * MINUTE, "0.200")):
        assert f"score of {score}" in prune(blocks, 1000, policy=policy, now=now).explain("a")
        assert f"score of {score}" in BlockSet(blocks).prune(1000, policy=policy, now=now).explain("a")


def test_a_floor_lowers_nothing_and_raises_nothing():
    policy = Policy("mine", half_life_minutes={MEMORY: 1}, floor=0.3)
    selection = prune([block("a", score=0.8), block("b", score=0.1), ASK], 1000, policy=policy)
    assert "score of 0.300" in selection.explain("a")
    assert "score of 0.100" in selection.explain("b")


def test_recency_counts_turns_and_not_timestamps():
    turns = [block(f"t{i:02}", AGENT, 0.1, 50) for i in range(14)]
    policy = Policy("mine", recency=0.5)
    selection = prune([*turns, block("fact"), ASK], 1000, policy=policy)
    gains = [0.5 * 0.95**back for back in range(1, 10)]
    for turn, gain in zip(reversed(turns), gains, strict=False):
        assert f"score of {0.1 + gain:.3f}" in selection.explain(turn.id)
    assert "score of 0.100" in selection.explain("t04"), "the eleventh from the end"
    assert "score of 0.500" in selection.explain("fact")
    near = prune([block("t", AGENT, 0.9), ASK], 1000, policy=Policy("mine", recency=1))
    assert "score of 1.000" in near.explain("t")


def test_required_blocks_come_with_what_they_need_or_not_at_all():
    rule = block("rule", KNOWLEDGE, 0.1, content="a rule " * 20)
    note = block("note", MEMORY, 0.9, references=["rule"])
    lost = block("lost", MEMORY, 0.9, references=["nowhere"])
    policy = Policy("mine", references="require")
    assert prune([rule, note, lost, ASK], 1000, policy=policy).kept_ids == ["rule", "note", "ask"]
    selection = prune([rule, note, lost, ASK], cost_of(note), policy=policy)
    assert [str(reason) for reason in selection.reasons] == ["budget", "unit", "orphan", "pinned"]
    assert "a block that it requires is not in the input" in selection.explain("lost")
    assert prune([rule, note, lost, ASK], cost_of(note, lost)).kept_ids == ["note", "lost", "ask"], (
        "without it they inform"
    )


@pytest.mark.parametrize("now", [-1, 2**63, 1.5, "now", True])
def test_a_time_that_is_none_is_refused(now):
    for call in (prune, lambda blocks, budget, **options: BlockSet(blocks).prune(budget, **options)):
        with pytest.raises(ValidationError, match=r"now .* is not a whole number from 0 to 9223372036854775807"):
            call([ASK], 100, now=now)


def test_a_copy_below_the_threshold_takes_no_other_with_it():
    old = block("old", score=0.9, minute=0, content="fact")
    new = block("new", score=0.15, minute=99, content="fact")
    policy = Policy("mine", threshold=0.2, half_life_minutes={MEMORY: 1})
    selection = prune([old, new, ASK], 1000, policy=policy)
    assert [str(reason) for reason in selection.reasons] == ["kept", "below_threshold", "pinned"]


def test_nobody_changes_a_built_in_policy():
    with pytest.raises(TypeError):
        Policy.named("relevance").half_life_minutes[MEMORY] = 1.0


def test_a_share_is_not_a_hair_less():
    cost = cost_of(block("a", AGENT))
    for hundredths in range(1, 100):
        available = 100 * cost
        policy = Policy("mine", (Tier("all", share=hundredths / 100),), duplicates="keep")
        blocks = [block("a", AGENT, token_count=hundredths * cost - (cost - 2))]
        assert prune([*blocks, ASK], available, policy=policy).kept_ids == ["a", "ask"]
