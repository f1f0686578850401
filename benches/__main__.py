"""Runs every benchmark, prints one table, and keeps it in the pages that show measurements, with the machine."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benches.data import ROOT, missing
from benches.evaluation import framing
from benches.frame import Row
from benches.page import HEADINGS, cells, machine, markdown, markdown_of, table_of
from benches.plot import prune_by_size
from benches.python import (
    add_context,
    codec,
    count,
    decay,
    dedup,
    handoff,
    metrics,
    prune_blocks,
    prune_command,
    prune_messages,
    query,
    search,
)

BENCHES = {
    "prune command": prune_command.run,
    "add_context": add_context.run,
    "prune blocks": prune_blocks.run,
    "prune messages": prune_messages.run,
    "query": query.run,
    "search": search.run,
    "decay": decay.run,
    "dedup": dedup.run,
    "metrics": metrics.run,
    "codec": codec.run,
    "handoff": handoff.run,
    "count": count.run,
}
RECORDED = ("conversations/airline.jsonl", "usage/gpt-4.1-mini.jsonl", "evidence/knowledge.json")

PEERS = (
    "numpy",
    "scikit-learn",
    "bm25s",
    "rank-bm25",
    "tantivy",
    "numba",
    "tiktoken",
    "langchain-core",
    "orjson",
    "msgspec",
    "protobuf",
)

PAGE = ROOT / "benches" / "README.md"
PLOT = ROOT / "benches" / "prune_blocks.svg"
README = ROOT / "README.md"
FRAMING = ROOT / "docs" / "framing.md"

FRAMING_HEADINGS = ["steps that add", "steps", "recorded tokens", "ours", "exact", "undercounted", "over"]

INTRODUCTION = """\
# Benchmarks

Written by `make bench`, never by hand. Times are medians with quartiles in parentheses. All runners of a job take
turns, in one process or as whole processes; a ratio is the median of the rounds' own ratios: above 1x "as fast" ours
is the faster one, below 1x the slower one. Where the other is to give the same result (`same contract`, NumPy,
plain Python, tiktoken), that is checked first; what the prune commands keep of their input is listed below.

The recorded conversations are not in the repository: `PYCONTEXT_DATA` says where they are, `../shared/data` unless set.
Without them `make bench` measures what it can and writes nothing.
"""

EXPLANATION = """\
`same contract` is plain Python that keeps units, pins, duplicates and reasons, and gives the same result, over the same
`ContextBlock`s; over `plain objects` it reads counts faster, which in a `ContextBlock` are a property. `minimal` only
fits the budget; `article` is the algorithm of the article, flaws included. `NumPy` gives the same result from arrays
that are ready, and is told which rows are a unit and which texts are equal. Blocks of a list have their counts, and are
read anew in every prune; a `BlockSet` has read and priced them before. Of every prune the kept rows and the reasons of
all blocks are read, or the messages; its budget is another one every time. The first query over a set has to index it,
the article learns its vocabulary anew for every query. Adds to a session include the counting; `one add` is a single
call on cold caches, the other adds are 200 in a row. Facts come with their counts. Where a figure is missed,
[profiles.md](profiles.md) has where the time goes.

![time of a prune against the number of blocks](prune_blocks.svg)

What the outputs of the prune commands kept, how large packages are, and how long a handoff takes:
"""


def main() -> int:
    rows: list[Row] = []
    notes: list[str] = []
    console = Console(width=max(Console().width, 130))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        for name, run in BENCHES.items():
            task = bar.add_task(name, total=1)
            found, said = run()
            rows += found
            notes += said
            bar.advance(task)
    console.print(table_of(rows))
    for note in notes:
        console.print(note, highlight=False)
    if problem := missing(*RECORDED):
        console.print(f"nothing was written, because rows would be missing: {problem}")
    else:
        fits = framing.fit()
        console.print(framing_table(fits))
        keep(rows, notes, fits)
        console.print(f"kept in {', '.join(str(path.relative_to(ROOT)) for path in (PAGE, PLOT, README, FRAMING))}")
    return 1 if any(row.met is False for row in rows) else 0


def keep(rows: list[Row], notes: list[str], fits: dict[str, framing.Fit]) -> None:
    """Write the pages that hold measurements."""
    prune_by_size(rows, PLOT)
    kept = [f"- {note.removeprefix('prune command, ')}" for note in notes]
    parts = [INTRODUCTION, *machine(PEERS), "", markdown_of(rows), "", EXPLANATION, *kept]
    PAGE.write_text("\n".join(parts) + "\n", encoding="utf-8")
    shown = [row for row in rows if row.required or row.other in ("same contract", "tiktoken")]
    tables = {
        README: markdown(HEADINGS[:5], [cells(row)[:5] for row in shown]),
        FRAMING: markdown(FRAMING_HEADINGS, framing_cells(fits)),
    }
    for path, table in tables.items():
        path.write_text(between_marks(path.read_text(encoding="utf-8"), table), encoding="utf-8")


def framing_cells(fits: dict[str, framing.Fit]) -> list[list[str]]:
    return [
        [
            kind,
            str(fit.steps),
            f"{fit.recorded:,}",
            f"{fit.ours:,}",
            str(fit.exact),
            str(fit.under),
            f"{fit.ours / fit.recorded - 1:.2%}",
        ]
        for kind, fit in fits.items()
    ]


def framing_table(fits: dict[str, framing.Fit]) -> Table:
    table = Table(title="the framing model on recorded usage", title_justify="left")
    for heading in FRAMING_HEADINGS:
        table.add_column(heading, justify="left" if heading == FRAMING_HEADINGS[0] else "right")
    for line in framing_cells(fits):
        table.add_row(*line)
    return table


def between_marks(text: str, table: str) -> str:
    """The page with the table between its two marks."""
    start, end = "<!-- written by `make bench` -->", "<!-- end -->"
    before, found, rest = text.partition(start)
    if not found or end not in rest:
        raise SystemExit(f"a page has lost its marks {start} and {end}")
    return f"{before}{start}\n\n{table}\n\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    sys.exit(main())
