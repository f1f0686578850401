"""`pycontext prune` against a script with LangChain's trim_messages, process against process."""

from __future__ import annotations

import os
import subprocess
import sys

from benches.data import CACHE, DATA, ROOT, missing, tiktoken_cache
from benches.evaluation.pruned import judge
from benches.frame import Row, compare, race

SOURCE = "conversations/airline.jsonl"
BUDGET = 2_000
ROUNDS = 9


def run() -> tuple[list[Row], list[str]]:
    if problem := missing(SOURCE):
        return [], [f"prune command: {problem}"]
    environment = {**os.environ, "TIKTOKEN_CACHE_DIR": str(tiktoken_cache()), "LANGSMITH_TRACING": "false"}
    os.environ["TIKTOKEN_CACHE_DIR"] = environment["TIKTOKEN_CACHE_DIR"]
    source = DATA / SOURCE
    script = ROOT / "benches" / "comparison" / "langchain_trim.py"
    commands = {
        "pycontext": [sys.executable, "-m", "pycontext", "prune", source, "--budget", BUDGET, "-o", "{out}"],
        "trim_messages, tiktoken counter": [sys.executable, script, source, BUDGET, "{out}", "plain"],
        "trim_messages, counts remembered": [sys.executable, script, source, BUDGET, "{out}", "remember"],
    }
    targets = {name: CACHE / f"{number}.jsonl" for number, name in enumerate(commands)}

    def runner(name: str):  # noqa: ANN202
        command = [str(targets[name]) if part == "{out}" else str(part) for part in commands[name]]
        return lambda _: subprocess.run(command, env=environment, check=True, capture_output=True)

    runners = {name: runner(name) for name in commands}
    for name in commands:
        runners[name](0)
    verdicts = {name: judge(source, targets[name], BUDGET) for name in commands}
    notes = [f"prune command, {name}: {describe(verdict)}" for name, verdict in verdicts.items()]
    mine = verdicts["pycontext"]
    broken = (
        "over budget",
        "over budget by the framing model",
        "orphans",
        "order or content changed",
        "conversations with rewritten messages",
        "system or last user lost",
        "room left unused",
    )
    if any(mine[kind] for kind in broken):
        raise SystemExit(f"pycontext broke a promise: {mine}")
    times = race(runners, ROUNDS)
    wanted = dict.fromkeys(list(commands)[1:], 3.0)
    return compare("prune 100 conversations, whole process", times, ours="pycontext", at_least=wanted), notes


def describe(verdict) -> str:  # noqa: ANN001
    return ", ".join(f"{n:,} {kind}" for kind, n in verdict.items() if n or kind in ("over budget", "orphans"))
