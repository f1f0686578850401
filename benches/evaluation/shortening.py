"""Measures what shortening keeps: whether the values that the next call needs are in what is sent."""

from __future__ import annotations

import json
import sys

from rich.console import Console
from rich.table import Table

from benches.data import DATA, missing
from pycontext import BlockSet, BudgetExceededError
from pycontext.evaluation.dataset import read_dataset

BUDGETS = (500, 1_000, 2_000, 4_000)
SET = "evidence/airline_handoff.json"


def main() -> int:
    console = Console()
    if absent := missing(SET):
        Console(stderr=True).print(absent)
        return 1
    dataset = read_dataset(DATA / SET)
    raw = json.loads((DATA / SET).read_bytes())
    values = {entry["qid"]: entry["values"] for entry in raw["queries"]}
    table = Table(title=f"values held by substring, {len(dataset.questions)} requests, %", title_justify="left")
    table.add_column("")
    for budget in BUDGETS:
        table.add_column(f"{budget:,}", justify="right")
    for name, shorten in (("whole or dropped", None), ("stubs, newest made whole", "tool")):
        cells = []
        for budget in BUDGETS:
            held = 0
            for question in dataset.questions:
                blocks = BlockSet(dataset.contexts[question.cid][: question.upto])
                try:
                    selection = blocks.prune(budget, query=question.turns, shorten=shorten)
                except BudgetExceededError:
                    continue
                text = "\n".join(block.content for block in selection.kept)
                held += all(value in text for value in values[question.qid])
            cells.append(f"{100 * held / len(dataset.questions):.1f}")
        table.add_row(name, *cells)
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
