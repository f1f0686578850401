"""Errors are one tree, one line each, and survive a trip between processes."""

from __future__ import annotations

import pickle

import pytest

import pycontext
from pycontext import BudgetExceededError, ConflictError, ContextError, UnknownSessionError, ValidationError, prune


@pytest.mark.parametrize("name", [name for name in pycontext.__all__ if name.endswith("Error")])
def test_every_error_is_a_context_error(name):
    assert issubclass(getattr(pycontext, name), ContextError)


@pytest.mark.parametrize(
    "error",
    [
        BudgetExceededError("too much", 7, 5, ["a"]),
        ConflictError("too old", 3, 2),
        ValidationError("bad"),
        UnknownSessionError("session 's' does not exist"),
    ],
)
def test_errors_are_pickled_with_all_they_know(error):
    loaded = pickle.loads(pickle.dumps(error))
    assert type(loaded) is type(error)
    assert str(loaded) == str(error)
    assert vars(loaded) == vars(error)
    assert "(" not in str(error), "no tuple of arguments in the message"


def test_an_error_of_the_core_has_its_numbers():
    block = pycontext.ContextBlock("s", "rule " * 50, 0.5, pycontext.ContextType.SYSTEM)
    with pytest.raises(BudgetExceededError) as caught:
        prune([block], 10)
    error = caught.value
    assert (error.available, error.blockers) == (10, ["s"])
    assert error.needed == block.token_count + 7
    assert isinstance(error, ValueError)
