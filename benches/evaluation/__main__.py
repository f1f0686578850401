"""Measures what survives of the evidence, what it costs, how long it takes; keeps it in a page, JSON and pictures."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benches.data import DATA, ROOT, missing, read_jsonl
from benches.python.query import pieces
from benches.recorded import recorded
from pycontext import ContextBlock, ContextType
from pycontext.cli.eval import shown
from pycontext.evaluation.contender import Role
from pycontext.evaluation.dataset import Dataset, read_dataset
from pycontext.evaluation.embedder import load
from pycontext.evaluation.field import field_of
from pycontext.evaluation.latency import Timing, run_latency
from pycontext.evaluation.ours import Ours
from pycontext.evaluation.plots import draw
from pycontext.evaluation.relay import run_relay
from pycontext.evaluation.report import Report, setting_of
from pycontext.evaluation.sections import markdown, sections
from pycontext.evaluation.spending import joined, run_spending
from pycontext.evaluation.tally import Tally
from pycontext.evaluation.trial import RESAMPLES, run_trial
from pycontext.scorer import Scorer

HERE = ROOT / "benches" / "evaluation"
PAGE, VALUES = HERE / "README.md", HERE / "results.json"

SETS = ("memory", "knowledge", "airline_handoff", "telecom_handoff")
CONVERSATIONS = {"airline": 5, "telecom": 1}
RELAY_BUDGETS = (1_000, 4_000)
SEED = 0

FILES = [f"evidence/{name}.json" for name in SETS] + [f"conversations/{name}.jsonl" for name in CONVERSATIONS]

INTRODUCTION = """\
# What survives

Written by `make eval`, never by hand; the same values are in [results.json](results.json). For each question the
blocks that exist then are cut to a budget by `prune(blocks, budget, query=...)` and by plain baselines, and a question
counts when all evidence that its answer needs is still there. The budget is that of the whole request as OpenAI chat
messages, framing included. Baselines keep the same blocks in any case (system, the last user turn, the last unit) and
calls together with their results. What differs: the order in which blocks are taken; ours drops equal references as
`prune` does (13 of the 350 passages); the oracle stops when all evidence is held. BM25 has k1 1.5 and b 0.9, neither
stems nor stop words, and sees the question alone, as do the article's TF-IDF, MiniLM alone and the two fused; ours also
sees what was asked before.
What counts as an identifier was chosen on these sets, in favour of that baseline; MiniLM alone is our scorer, which
moves the question towards its best matches. The oracle takes the cheapest blocks that hold everything, up to 12
clauses; beyond that it is greedy. The data is not in the repository: `PYCONTEXT_DATA` says where it is.

![Recall against the budget](recall.svg)
![Headroom closed](headroom.svg)
![Cost against recall](cost.svg)

"""


def main() -> int:
    errors = Console(stderr=True)
    if absent := missing(*FILES):
        errors.print(absent)
        return 1
    scorer, why = model()
    field = field_of(scorer=scorer, seed=SEED)
    tally = Tally()
    ours = next(one for one in field.contenders if isinstance(one, Ours) and one.role is Role.OURS)
    datasets = [read_dataset(DATA / "evidence" / f"{name}.json") for name in SETS]
    trials, relays = [], {}
    for dataset in datasets:
        with telling(errors, f"choosing, {dataset.name}"):
            trials.append(run_trial(dataset, field.contenders, tally=tally, seed=SEED))
        with telling(errors, f"handing over, {dataset.name}"):
            relays[dataset.name] = run_relay(dataset, ours, tally=tally, budgets=RELAY_BUDGETS)
    spendings = {}
    for name, size in CONVERSATIONS.items():
        with telling(errors, f"spending, {name}"):
            sessions = joined([row["messages"] for row in read_jsonl(f"conversations/{name}.jsonl")], size)
            spendings[f"{len(sessions)} {name} sessions, {size} joined in each"] = run_spending(sessions, tally=tally)
    with telling(errors, "latency"):
        timings = [*latency(datasets[1], "passages"), *latency(datasets[2], "tool conversations")]
    setting = setting_of(tally, seed=SEED, resamples=RESAMPLES, commit=commit()) + hashes()
    report = Report(setting, trials, relays, timings, spendings, (*why, *field.absent))
    console = Console()
    for section in sections(report):
        for part in shown(section):
            console.print(part)
    PAGE.write_text(INTRODUCTION + markdown(report), encoding="utf-8")
    VALUES.write_text(json.dumps(report.to_dict(), indent=1) + "\n", encoding="utf-8")
    draw(report, HERE)
    return 0 if report.is_whole else 2


def model() -> tuple[Scorer | None, tuple[str, ...]]:
    """The embedding model, or why there is none."""
    try:
        return load(), ()
    except ImportError as error:
        return None, (str(error),)


def latency(dataset: Dataset, kind: str) -> list[Timing]:
    queries = list(dict.fromkeys(question.turns[-1] for question in dataset.questions))
    if kind == "passages":
        passages = [block.content for blocks in dataset.contexts.values() for block in blocks]
        texts = pieces(passages)
        return run_latency(kind, lambda size: references(texts[:size]), queries)
    return run_latency(kind, lambda size: recorded(size, first=1), queries)


def references(texts: list[str]) -> list[ContextBlock]:
    return [ContextBlock(f"b{n}", text, 1.0, ContextType.KNOWLEDGE, timestamp=n) for n, text in enumerate(texts)]


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def hashes() -> list[tuple[str, str]]:
    return [(f"sha256 of {name}", hashlib.sha256((DATA / name).read_bytes()).hexdigest()) for name in FILES]


@contextmanager
def telling(console: Console, what: str) -> Iterator[None]:
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(what, total=None)
        yield


if __name__ == "__main__":
    sys.exit(main())
