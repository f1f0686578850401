"""Arms of an experiment: the same for a session in every process, and by lot."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontext import ValidationError
from pycontext.service.arm import Arm, Split

IDS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.@:+=~-]{0,30}", fullmatch=True)
RATIOS = st.floats(0, 1)


@given(IDS, RATIOS, RATIOS)
def test_when_the_ratio_rises_nobody_leaves_the_managed_arm(session_id, one, other):
    low, high = sorted((one, other))
    if Split("e", low).arm_of(session_id) is Arm.MANAGED:
        assert Split("e", high).arm_of(session_id) is Arm.MANAGED
    assert Split("e", 0).arm_of(session_id) is Arm.BASELINE
    assert Split("e", 1).arm_of(session_id) is Arm.MANAGED


def test_another_process_has_the_same_places():
    here = [Split("e", 0.5).place_of(f"s{i}") for i in range(20)]
    program = "from pycontext.service.arm import Split; print([Split('e', 0.5).place_of(f's{i}') for i in range(20)])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(here)


def test_a_release_moves_nobody_to_the_other_arm():
    """These numbers were drawn once: whoever changes them changes the arms of sessions that are underway."""
    assert [Split("pilot", 0.5).place_of(name) for name in ("s0", "s1", "a:b")] == [
        0.5620649468524467,
        0.07792796564883786,
        0.29358676012155516,
    ]


def test_places_are_spread_evenly_and_drawn_anew_for_another_experiment():
    one, other = ([Split(name, 0.5).place_of(f"s{i}") for i in range(20_000)] for name in ("e", "f"))
    for places in (one, other):
        tenths = [sum(int(place * 10) == tenth for place in places) for tenth in range(10)]
        # Four standard deviations of 2,000.
        assert all(abs(number - 2_000) < 170 for number in tenths)
    both = sum((a < 0.5) == (b < 0.5) for a, b in zip(one, other, strict=True))
    assert abs(both - 10_000) < 300


def test_names_that_begin_alike_are_two_experiments():
    long = "x" * 200
    assert Split(long + "1", 0.5).place_of("s") != Split(long + "2", 0.5).place_of("s")


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan"), True, "0.5", None])
def test_a_ratio_is_a_number_from_0_to_1(ratio):
    with pytest.raises(ValidationError, match=r"traffic_ratio .* is not a number from 0 to 1"):
        Split("e", ratio)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 257, 7, None])
def test_a_name_is_printable(name):
    with pytest.raises(ValidationError, match=r"experiment .* is not a printable str of 1 to 256"):
        Split(name, 0.5)


def test_only_ids_of_sessions_have_a_place():
    with pytest.raises(ValidationError, match="session_id"):
        Split("e", 0.5).arm_of("a b")
