"""Two arms are compared in pairs of sessions: noise is not called a difference, and a difference is found."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontext import ValidationError
from pycontext.service.arm import Arm, Split
from pycontext.service.comparison import Comparison, Verdict, half_width, reach

MANAGED, BASELINE = Arm.MANAGED, Arm.BASELINE

RUNS, PAIRS = 2_000, 1_000
DRAWS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewed": lambda rng, shape: rng.lognormal(0, 2, shape),
    "without a mean": lambda rng, shape: rng.pareto(0.9, shape),
    "rare errors": lambda rng, shape: (rng.random(shape) < 0.02).astype(float),
    "coins": lambda rng, shape: (rng.random(shape) < 0.5).astype(float),
}


# As many pairs as there are at looks, where every session has one turn.
LOOKS = [20, 30, 45, 68, 102, 153, 230, 345, 518, 777]


def called(differences, width_of):
    """The share of the runs in which 0 is outside of the interval at any look."""
    found = np.zeros(len(differences), bool)
    for look, pairs in enumerate(LOOKS, start=1):
        part = differences[:, :pairs]
        found |= np.abs(part.mean(axis=1)) > width_of(part, look)
    return found.mean()


@pytest.mark.parametrize("draw", DRAWS)
def test_without_a_difference_none_is_called_more_often_than_promised_however_often_one_looks(draw):
    rng = np.random.default_rng(6)
    differences = DRAWS[draw](rng, (RUNS, PAIRS)) - DRAWS[draw](rng, (RUNS, PAIRS))
    assert called(differences, lambda part, look: half_width(part, reach(0.05, look))) <= 0.05


def test_the_same_looks_with_an_interval_for_one_look_would_call_noise_a_difference():
    rng = np.random.default_rng(6)
    differences = rng.normal(size=(RUNS, PAIRS))
    naive = called(differences, lambda part, _: 1.96 * part.std(axis=1) / math.sqrt(part.shape[1]))
    assert naive > 0.15


def test_the_risk_of_all_looks_adds_up_to_no_more_than_was_asked_for():
    spent = [2 * math.exp(-(reach(0.05, look) ** 2) / 2) for look in range(1, 1_000)]
    assert 0.0499 < sum(spent) <= 0.05


def test_a_difference_is_found_at_the_size_that_the_bound_says():
    rng = np.random.default_rng(7)
    bound = reach(0.05, 5)
    noise = rng.normal(size=(RUNS, 200))
    # Shown from about bound / sqrt(200 - bound ** 2) standard deviations on.
    for shift, least, most in ((0.15, 0.0, 0.1), (0.5, 0.99, 1.0)):
        part = noise + shift
        share = (part.mean(axis=1) > half_width(part, bound)).mean()
        assert least <= share <= most


@given(
    st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 3)), min_size=20, max_size=60),
    st.floats(0.001, 0.4),
)
def test_0_is_in_the_interval_where_the_sum_is_within_the_bound(values, risk):
    differences, bound = np.array(values), reach(risk, 1)
    width = half_width(differences, bound)
    total, root = abs(differences.sum()), bound * math.sqrt((differences**2).sum())
    if total < root * (1 - 1e-9):
        assert abs(differences.mean()) <= width
    elif total > root * (1 + 1e-9):
        assert abs(differences.mean()) > width


def test_of_too_few_differences_nothing_is_said():
    assert half_width(np.ones(15), 4.0) == np.inf
    assert half_width(np.ones(17), 4.0) == 0
    # Heads 17 times of 17 are less likely than the bound says.
    assert 2 * math.exp(-(4.0**2) / 2) >= 2 * 0.5**17


def pairs_of(comparison, number, managed, baseline, start=0):
    """Let pairs of sessions begin, of one turn each."""
    for i in range(start, start + number):
        comparison.record(f"m{i}", MANAGED, managed(i), is_new=True)
        comparison.record(f"b{i}", BASELINE, baseline(i), is_new=True)


def test_too_few_sessions_are_said_to_be_too_few_and_one_more_pair_is_a_look():
    comparison = Comparison(["errors"], first_look=30)
    pairs_of(comparison, 29, lambda _: [1.0], lambda _: [0.0])
    assert [one.verdict for one in comparison.differences] == [Verdict.TOO_FEW]
    assert comparison.looked_at == 0
    assert not comparison.record("m29", MANAGED, [1.0], is_new=True)
    assert comparison.record("b29", BASELINE, [0.0], is_new=True)
    (errors,) = comparison.differences
    assert errors.verdict is Verdict.HIGHER
    assert (errors.managed, errors.baseline, errors.low, errors.high) == (1.0, 0.0, 1.0, 1.0)
    assert (comparison.looks, comparison.looked_at, comparison.pairs) == (1, 30, 30)
    assert (comparison.turns, comparison.next_look) == (60, 90)


def test_a_look_of_fewer_pairs_than_the_bound_needs_says_so():
    comparison = Comparison(["errors"], first_look=2)
    pairs_of(comparison, 3, lambda _: [1.0], lambda _: [0.0])
    (errors,) = comparison.differences
    assert (comparison.looks, comparison.looked_at) == (2, 3)
    assert (errors.verdict, errors.low, errors.high) == (Verdict.TOO_FEW, None, None)
    assert (errors.managed, errors.baseline) == (1.0, 0.0)


def test_between_two_looks_nothing_that_is_said_changes():
    rng = np.random.default_rng(3)
    comparison = Comparison(["tokens"], first_look=20)
    pairs_of(comparison, 20, lambda _: [rng.normal()], lambda _: [rng.normal()])
    before = comparison.differences
    pairs_of(comparison, 9, lambda _: [100.0], lambda _: [0.0], start=20)
    assert comparison.differences is before
    pairs_of(comparison, 1, lambda _: [100.0], lambda _: [0.0], start=29)
    assert comparison.differences is not before


def test_sessions_that_go_on_are_looked_at_again_although_none_begins():
    comparison = Comparison(["tokens"], first_look=20)
    pairs_of(comparison, 20, lambda i: [float(i % 3)], lambda i: [float((i + 1) % 3)])
    assert comparison.differences[0].verdict is Verdict.NOT_SHOWN
    for turn in range(20):
        for i in range(20):
            comparison.record(f"m{i}", MANAGED, [1.0], is_new=False)
            comparison.record(f"b{i}", BASELINE, [5.0 + turn], is_new=False)
    assert comparison.differences[0].verdict is Verdict.LOWER
    assert (comparison.pairs, comparison.turns) == (20, 840)
    # At 40, 60, 90, 135, ... turns: looks become rarer.
    assert comparison.looks == 8
    assert 840 < comparison.next_look <= 840 * 1.5


def test_a_difference_counts_sessions_and_not_their_turns():
    """One long session that is unlike all others is still one."""
    comparison = Comparison(["tokens"], first_look=20)
    pairs_of(comparison, 19, lambda i: [float(i % 2)], lambda i: [float((i + 1) % 2)])
    comparison.record("m19", MANAGED, [1_000.0], is_new=True)
    for _ in range(500):
        comparison.record("m19", MANAGED, [1_000.0], is_new=False)
    comparison.record("b19", BASELINE, [0.0], is_new=True)
    (tokens,) = comparison.differences
    assert tokens.managed == pytest.approx((9 + 1_000) / 20)
    assert tokens.verdict is Verdict.NOT_SHOWN


def test_the_mean_of_a_session_is_over_its_turns():
    comparison = Comparison(["errors", "tokens"], first_look=2)
    for values in ([0.0, 10.0], [1.0, 20.0], [0.0, 30.0]):
        comparison.record("m0", MANAGED, values, is_new=values[1] == 10.0)
    comparison.record("b0", BASELINE, [0.0, 4.0], is_new=True)
    pairs_of(comparison, 1, lambda _: [0.0, 40.0], lambda _: [1.0, 8.0], start=1)
    errors, tokens = comparison.differences
    assert (errors.managed, errors.baseline) == (pytest.approx(1 / 6), 0.5)
    assert (tokens.managed, tokens.baseline) == (30.0, 6.0)


def test_sessions_that_did_not_begin_here_are_not_compared():
    comparison = Comparison(["tokens"], first_look=2)
    for i in range(50):
        comparison.record(f"m{i}", MANAGED, [1.0], is_new=False)
        comparison.record(f"b{i}", BASELINE, [1.0], is_new=False)
    assert (comparison.pairs, comparison.sessions) == (0, 0)


def test_sessions_are_paired_with_those_that_began_next_to_them():
    """Traffic gets heavier all the time, and a tenth of it is managed: what is compared is of one time."""
    comparison, split, value = Comparison(["tokens"]), Split("e", 0.1), 0.0
    for i in range(5_000):
        value += 1.0
        comparison.record(f"s{i}", split.arm_of(f"s{i}"), [value], is_new=True)
    (tokens,) = comparison.differences
    assert comparison.pairs > 400
    assert abs(tokens.managed - tokens.baseline) < 5
    assert tokens.high - tokens.low < 5


@pytest.mark.parametrize("ratio", [0.05, 0.5, 0.9])
def test_nearly_every_session_of_the_smaller_arm_is_in_a_pair(ratio):
    comparison, split = Comparison(["tokens"]), Split("e", ratio)
    arms = [split.arm_of(f"s{i}") for i in range(4_000)]
    for i, arm in enumerate(arms):
        comparison.record(f"s{i}", arm, [1.0], is_new=True)
    assert comparison.pairs > 0.85 * min(arms.count(MANAGED), arms.count(BASELINE))


def test_memory_is_bounded():
    comparison = Comparison(["tokens"], first_look=2, most_pairs=50)
    for i in range(1_000):
        comparison.record(f"b{i}", BASELINE, [1.0], is_new=True)
    assert comparison.sessions <= 16
    pairs_of(comparison, 1_000, lambda _: [1.0], lambda _: [1.0], start=1_000)
    assert comparison.pairs == 50
    assert comparison.sessions == 100
    assert comparison.turns == 100


def pilot_of(rng, split, comparison, sessions, effect):
    """Sessions that go on beside each other, whose turns are alike and grow; returns the verdicts of all looks."""
    alive, said = [], []
    for i in range(sessions):
        alive.append([f"s{i}", rng.lognormal(0, 1), 0, rng.random() < 0.05])
        for session in [alive[-1], *[alive[rng.integers(len(alive))] for _ in range(3)]]:
            session_id, size, turns, is_bad = session
            session[2] += 1
            arm = split.arm_of(session_id)
            tokens = size * (500 + 100 * turns) * (effect if arm is MANAGED else 1)
            if comparison.record(session_id, arm, [float(is_bad), tokens], is_new=turns == 0):
                said.append([one.verdict for one in comparison.differences])
        if len(alive) > 20:
            alive.pop(0)
    return said


def test_pilots_without_a_difference_call_none_at_any_look():
    rng = np.random.default_rng(11)
    ever = 0
    for run in range(150):
        comparison = Comparison(["errors", "tokens"], most_pairs=200)
        looks = pilot_of(rng, Split(f"run {run}", 0.2), comparison, 400, 1.0)
        assert len(looks) >= 2
        ever += any({Verdict.LOWER, Verdict.HIGHER} & set(look) for look in looks)
    assert ever <= 0.05 * 150


def test_pilots_with_a_large_difference_find_it_and_only_it():
    rng = np.random.default_rng(12)
    found = wrong = 0
    for run in range(20):
        comparison = Comparison(["errors", "tokens"])
        looks = pilot_of(rng, Split(f"run {run}", 0.5), comparison, 600, 0.3)
        found += looks[-1][1] is Verdict.LOWER
        wrong += any(errors is not Verdict.NOT_SHOWN or tokens is Verdict.HIGHER for errors, tokens in looks)
    assert found >= 19
    assert wrong == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"risk": 0}, "risk 0 is not a number above 0 and up to 0.5"),
        ({"risk": 0.6}, "risk 0.6 is not"),
        ({"risk": float("nan")}, "risk nan is not"),
        ({"risk": True}, "risk True is not"),
        ({"first_look": 1}, "first_look 1 is not a whole number from 2 to 10000"),
        ({"first_look": 50, "most_pairs": 40}, "first_look 50 is not a whole number from 2 to 40"),
        ({"most_pairs": 1.5}, "most_pairs 1.5 is not a whole number"),
    ],
)
def test_options_outside_their_limits_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        Comparison(["errors"], **options)
