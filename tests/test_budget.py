"""Budgets are data."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontext import Budget, ContextBlock, ContextType, ValidationError, count_tokens, prune


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


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name of the city."},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    },
}


def test_schemas_of_tools_are_part_of_the_request():
    budget = Budget.for_tools([TOOL, TOOL], 2_000, reserve_output=500, overhead=7)
    schemas = 2 * count_tokens(json.dumps(TOOL, separators=(",", ":"))) + 20
    assert (budget.overhead, budget.exact, budget.available) == (7 + schemas, False, 2_000 - 500 - 7 - schemas)
    assert Budget.for_tools([], 100) == Budget(100)
    anthropic = {"name": "get_weather", "input_schema": TOOL["function"]["parameters"]}
    own = count_tokens(json.dumps(anthropic, separators=(",", ":")))
    assert Budget.for_tools([anthropic], 2_000, format="anthropic").overhead == own + 530


def test_what_was_selected_beside_estimated_schemas_is_not_exact():
    block = ContextBlock("a", "Hello.", 0.5, ContextType.USER)
    assert prune([block], Budget(500)).exact
    assert not prune([block], Budget.for_tools([TOOL], 500)).exact


@given(
    names=st.lists(st.text("abcdefg_", min_size=1, max_size=12), min_size=1, max_size=5, unique=True),
    values=st.lists(st.text("abcd ", max_size=6), max_size=40),
    words=st.text("abc .", max_size=60),
)
def test_schemas_are_never_taken_for_less_than_the_rule_of_the_cookbook(names, values, words):
    rule = {"type": "string", "description": words, **({"enum": values} if values else {})}
    tool = {
        "type": "function",
        "function": {
            "name": "f",
            "description": words,
            "parameters": {"type": "object", "properties": dict.fromkeys(names, rule)},
        },
    }
    plain = words.removesuffix(".")
    least = 7 + count_tokens(f"f:{plain}") + 3 + 12
    for name in names:
        least += 3 + count_tokens(f"{name}:string:{plain}")
        least += (3 * len(values) - 3 + sum(map(count_tokens, values))) if values else 0
    assert Budget.for_tools([tool], 100_000).overhead >= least


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ("x", "tools 'x' is str, not a list of dicts"),
        (TOOL, "is dict, not a list of dicts"),
        ([1], r"tools\[0\] 1 is int, not a dict"),
        ([{"function": {}}], r"tools\[0\] \{'function': \{\}\} has no name"),
        ([{"name": float("nan")}], "is not JSON: ValueError"),
        ([{"name": "x", "input_schema": {1, 2}}], "is not JSON: TypeError"),
    ],
)
def test_what_is_no_tool_is_refused(tools, message):
    with pytest.raises(ValidationError, match=message):
        Budget.for_tools(tools, 1_000)


def test_what_is_no_format_and_no_flag_is_refused():
    with pytest.raises(ValidationError, match="format 'cohere' is not one of openai, anthropic"):
        Budget.for_tools([TOOL], 1_000, format="cohere")
    with pytest.raises(ValidationError, match="exact 1 is neither True nor False"):
        Budget(10, exact=1)
    with pytest.raises(ValidationError, match=r"leaves .* tokens for blocks"):
        Budget.for_tools([TOOL], 20)
