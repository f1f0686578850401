"""The adapter for Daft, with Daft itself; run by test_engines.py."""

from __future__ import annotations

import daft
import pytest
from pyarrow import parquet

from batch_reference import pruned_rows
from engine_rows import BAD, OPTIONS, conversations
from pycontext import ValidationError
from pycontext.adapters.daft import prune

BUDGET = 700


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("files", [1, 5])
def test_every_row_is_what_one_machine_makes_of_it(tmp_path, options, files):
    table = conversations()
    size = -(-table.num_rows // files)
    for number in range(files):
        parquet.write_table(table.slice(number * size, size), tmp_path / f"{number}.parquet")
    frame = daft.read_parquet(str(tmp_path / "*.parquet"))
    out = prune(frame, BUDGET, **options).to_arrow().to_pylist()
    key = lambda row: row["key"]  # noqa: E731
    want = pruned_rows(table.to_pylist(), BUDGET, on_overflow="null", **options)
    assert sorted(out, key=key) == sorted(want, key=key)


def test_what_cannot_fit_is_null_or_whole():
    frame = daft.from_arrow(conversations())
    for overflow in ("null", "keep"):
        out = prune(frame, 30, on_overflow=overflow).to_arrow().to_pylist()
        assert out == pruned_rows(conversations().to_pylist(), 30, on_overflow=overflow)
    with pytest.raises(ValidationError, match="on_overflow 'drop' is not one of null, keep"):
        prune(frame, 30, on_overflow="drop")


def test_a_row_that_is_no_conversation_is_told():
    with pytest.raises(Exception, match="role nobody is not one of system"):
        prune(daft.from_arrow(BAD), BUDGET).to_arrow()
