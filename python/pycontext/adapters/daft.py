"""Conversations in a Daft DataFrame, pruned where its partitions are."""

from __future__ import annotations

from typing import Any

from pycontext.batch.frames import prune_batches
from pycontext.errors import ValidationError

try:
    import daft
    import pyarrow as pa
except ImportError as cause:
    raise ImportError(f"prune needs pip install 'pycontext-layer[daft]': {cause}") from cause


def prune(frame: daft.DataFrame, budget: Any, *, column: str = "messages", **options: Any) -> daft.DataFrame:
    """Return the frame with pruned lists; `options` are those of `prune_batches`. What cannot fit is null."""
    # The rows of a column can become null, but not fewer.
    options = {"on_overflow": "null", **options, "column": column, "threads": 1}
    if options["on_overflow"] == "drop":
        raise ValidationError("on_overflow 'drop' is not one of null, keep: filter the nulls instead")

    @daft.func.batch(return_dtype=frame.schema()[column].dtype)
    def pruned(lists: daft.Series) -> pa.Array:
        return pa.table(prune_batches(pa.table({column: lists.to_arrow()}), budget, **options))[column].combine_chunks()

    return frame.with_column(column, pruned(frame[column]))
