"""Conversations by the million, cut to a budget: files, Arrow tables, and what an engine hands over."""

from __future__ import annotations

from pycontext.batch.frames import Pruned, prune_batches, prune_sorted
from pycontext.batch.report import html_report
from pycontext.batch.run import Run, prune_files

__all__ = ["Pruned", "Run", "html_report", "prune_batches", "prune_files", "prune_sorted"]
