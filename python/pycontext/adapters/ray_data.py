"""Conversations in a Ray dataset, pruned where its blocks are."""

from __future__ import annotations

from typing import Any

from pycontext.batch.frames import prune_batches

try:
    import pyarrow as pa
    from ray.data import Dataset
except ImportError as cause:
    raise ImportError(f"prune needs pip install 'pycontext-layer[ray]': {cause}") from cause


def prune(dataset: Dataset, budget: Any, *, batch_size: int | None = 1024, **options: Any) -> Dataset:
    """Return the dataset with pruned lists; `options` are those of `prune_batches`. A task has one core."""

    def pruned(batch: pa.Table) -> pa.Table:
        return pa.table(prune_batches(batch, budget, **{**options, "threads": 1}))

    return dataset.map_batches(pruned, batch_format="pyarrow", zero_copy_batch=True, batch_size=batch_size)
