"""Budgets are data."""

from __future__ import annotations

import dataclasses

import pytest

from pycontext import Budget, ValidationError


def test_what_is_left_for_blocks():
    assert Budget(1000).available == 1000
    assert Budget(1000, reserve_output=200, overhead=50).available == 750
    assert Budget.of(7) == Budget(7)
    assert Budget.of(Budget(7)) == Budget(7)
    with pytest.raises(TypeError):
        Budget(1000, 200)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Budget(1000).max_tokens = 1


@pytest.mark.parametrize("field", ["reserve_output", "overhead"])
@pytest.mark.parametrize("value", [-1, 1.5, "1", True, None])
def test_a_number_that_is_none_is_named(field, value):
    with pytest.raises(ValidationError, match=f"{field} .* is not a whole number from 0"):
        Budget(1000, **{field: value})
