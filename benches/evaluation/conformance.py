"""compaction-conformance-kit: do rules and facts survive five rounds of compaction, and do old values go?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pycontext.statements import extract_statements, select_statements

if TYPE_CHECKING:
    from compaction_kit.compacted import CompactedContext
    from compaction_kit.session import Turn

PACKAGE = "compaction-conformance-kit"
BUDGETS = (0.1, 0.2, 0.3)
# The kit's own are 1 to 4; the others show that nothing is made for these.
SEEDS = tuple(range(1, 5))
OTHER_SEEDS = tuple(range(101, 141))
ROUNDS = 5
_OTHERS = f"the other seeds {OTHER_SEEDS[0]}-{OTHER_SEEDS[-1]}"


@dataclass(frozen=True)
class Row:
    """One compactor at one budget."""

    corpus: str
    budget: float
    compactor: str
    is_compliant: bool
    survival: float
    stale: int
    conflicts: int
    resolved: float
    pairs: float
    output: float


class StatementCompactor:
    """What `pycontext.statements` keeps of the texts, one statement a line, a budget of characters."""

    name = "pycontext"

    def compact(self, turns: Sequence[Turn], round_num: int = 1, budget_chars: int | None = None) -> CompactedContext:
        from compaction_kit.compacted import CompactedContext  # noqa: PLC0415  # a bench tool, not always installed

        # From the second round on there is one turn, our own text of the round before, said to be the system's.
        text = "\n".join(turn.text for turn in turns)
        chosen = select_statements(
            extract_statements(text), len(text) if budget_chars is None else budget_chars, cost=len
        )
        return CompactedContext("\n".join(statement.text for statement in chosen), self.name, round_num)


def measure() -> list[Row]:
    """Every compactor of the kit and ours, with the kit's own seeds and with others."""
    rows = list(_benchmark(SEEDS, "kit's seeds", _compactors()))
    rows += _benchmark(OTHER_SEEDS, "40 other seeds", {"pycontext": StatementCompactor, **_best()})
    rows += _generated(OTHER_SEEDS, {"pycontext": StatementCompactor, **_best()})
    return rows


def _benchmark(seeds: Sequence[int], corpus: str, compactors: dict[str, Any]) -> Iterator[Row]:
    from compaction_kit.benchmark import run_budget_benchmark  # noqa: PLC0415  # likewise

    payload = run_budget_benchmark(compactors, budgets=BUDGETS, seeds=seeds, rounds=ROUNDS)
    for entry in payload["entries"]:
        restated, reworded = entry["randomized"]["supersession"], entry["semantic"]["conflicts"]
        n = restated["n"] + reworded["n"]
        yield Row(
            corpus,
            entry["budget_fraction"],
            entry["compactor"],
            entry["budget_compliant"],
            entry["randomized"]["overall_final_survival"],
            restated["stale"] + reworded["stale"],
            n,
            (restated["resolved"] + reworded["resolved"]) / n,
            entry["semantic"]["distinct_pair_rate"],
            entry["mean_final_output_ratio"],
        )


def _generated(seeds: Sequence[int], compactors: dict[str, Any]) -> Iterator[Row]:
    """The kit's corpus of rotating subjects and phrasings, which its benchmark leaves out."""
    from compaction_kit.generated import build_generated_session  # noqa: PLC0415  # likewise
    from compaction_kit.runner import run_conformance  # noqa: PLC0415

    for budget in BUDGETS:
        for name, make in compactors.items():
            held = canaries_seen = stale = resolved = updates = 0
            is_compliant, outputs = True, []
            for seed in seeds:
                session, canaries = build_generated_session(seed)
                run = run_conformance(session, make(), rounds=ROUNDS, canaries=canaries, budget_fraction=budget)
                last = run.rounds[-1]
                is_compliant &= all(round_.within_budget for round_ in run.rounds)
                held += sum(last.survived.values())
                canaries_seen += len(canaries)
                outputs.append(last.output_chars / run.rounds[0].input_chars)
                text = last.context.text.lower()
                for canary in canaries:
                    if canary.superseded_tokens:
                        is_stale = any(token.lower() in text for token in canary.superseded_tokens)
                        updates += 1
                        stale += is_stale
                        resolved += last.survived[canary.id] and not is_stale
            yield Row(
                "generated, 40 seeds", budget, name, is_compliant, held / canaries_seen, stale, updates,
                resolved / updates, float("nan"), sum(outputs) / len(outputs),
            )  # fmt: skip


def _compactors() -> dict[str, Any]:
    from compaction_kit.compactors import (  # noqa: PLC0415  # likewise
        ChecklistCompactor,
        LossyTruncationCompactor,
        NaiveSummaryCompactor,
        PinnedRulesCompactor,
        SummaryTailCompactor,
    )

    others = (
        ChecklistCompactor, LossyTruncationCompactor, NaiveSummaryCompactor, PinnedRulesCompactor, SummaryTailCompactor,
    )  # fmt: skip
    return {"pycontext": StatementCompactor, **_best(), **{other.name: other for other in others}}


def _best() -> dict[str, Any]:
    from compaction_kit.compactors import UpdateAwareChecklistCompactor  # noqa: PLC0415  # likewise
    from compaction_kit.semantic import SemanticChecklistCompactor  # noqa: PLC0415

    return {one.name: one for one in (SemanticChecklistCompactor, UpdateAwareChecklistCompactor)}


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        f"`{PACKAGE}` {version(PACKAGE)}, {ROUNDS} rounds, seeds {SEEDS[0]}-{SEEDS[-1]}; {_OTHERS}.",
        "",
        "| sessions | budget | compactor | in budget | survival | old values left | resolved | pairs apart | output |",
        "|---|---:|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        pairs = "-" if math.isnan(row.pairs) else f"{row.pairs:.1%}"
        lines.append(
            f"| {row.corpus} | {row.budget:.0%} | {row.compactor} | {'yes' if row.is_compliant else 'NO'} | "
            f"{row.survival:.1%} | {row.stale}/{row.conflicts} | {row.resolved:.1%} | {pairs} | {row.output:.1%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    print(table(measure()))


if __name__ == "__main__":
    main()
