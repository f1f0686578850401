"""Measures batches over a gigabyte of conversations and over Arrow tables; keeps that in benches/batch.md."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benches.batch import arrow, duplicates
from benches.batch.corpus import FOLDER, distinct, fresh, lines_of, repeated
from benches.data import DATA, ROOT, missing, tiktoken_cache
from benches.frame import Spread
from benches.page import machine, markdown
from benches.page import seconds as shown

PAGE = ROOT / "benches" / "batch.md"
PLOT = ROOT / "benches" / "batch.svg"
BUDGET = 3_000
KILLS = 3
OUT = FOLDER / "out.jsonl"

said = Console(stderr=True)


def ours(path: Path, threads: int, out: Path = OUT) -> dict[str, Any]:
    """A whole run in a process of its own: what it says, its seconds and its largest memory."""
    cores = sorted(os.sched_getaffinity(0))
    allowed = set(cores[-1:]) if threads == 1 else set(cores)
    command = [sys.executable, "-m", "pycontext", "batch", path, "-o", out, "--budget", BUDGET, "--threads", threads]
    started = time.perf_counter()
    child = subprocess.Popen(
        [*map(str, command), "--json", "--restart"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),  # noqa: PLW1509  # the child has one thread yet
    )
    output = child.stdout.read() if child.stdout else b""
    _, status, usage = os.wait4(child.pid, 0)
    took = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    summary = json.loads(output.splitlines()[-1])
    # Whoever cannot fit is told by the code.
    if child.returncode not in (0, 6):
        raise SystemExit(f"pycontext batch ended with {child.returncode}")
    return {"seconds": took, "memory": usage.ru_maxrss * 1024, "summary": summary}


def worker(what: str, path: Path, *more: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "benches.batch.worker", what, str(path), *map(str, more)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment())
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def environment() -> dict[str, str]:
    return {**os.environ, "TIKTOKEN_CACHE_DIR": str(tiktoken_cache())}


def measured(path: Path, rounds: int) -> dict[str, Any]:
    """All times of a corpus, round by round, and what must be the same."""
    found: dict[str, list[Any]] = {name: [] for name in ("one", "two", "parse", "count")}
    runs = {
        "one": lambda: ours(path, 1),
        "parse": lambda: worker("parse", path),
        "count": lambda: worker("count", path),
        "two": lambda: ours(path, 2),
    }
    names = list(runs)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            said.print(f"{path.name}, round {number + 1} of {rounds}: {name}")
            found[name].append(runs[name]())
    summaries = [each["summary"] for each in found["one"] + found["two"]]
    if any(each["tokens_after"] != summaries[0]["tokens_after"] for each in summaries):
        raise SystemExit("runs over the same file differ")
    seconds = {name: [each["seconds"] for each in values] for name, values in found.items()}
    bound = [parse + 1.15 * count for parse, count in zip(seconds["parse"], seconds["count"], strict=True)]
    return {
        "seconds": {name: Spread.of(values) for name, values in seconds.items()},
        "bound": Spread.of(bound),
        "ratio": Spread.of([one / most for one, most in zip(seconds["one"], bound, strict=True)]),
        "speedup": Spread.of([one / two for one, two in zip(seconds["one"], seconds["two"], strict=True)]),
        "memory": [max(each["memory"] for each in found[name]) for name in ("one", "two")],
        "summary": summaries[0],
        "tokens": found["count"][0]["tokens"],
    }


def against_plain(path: Path, megabytes: int, rounds: int) -> dict[str, Any]:
    """Ours and plain Python over the first megabytes: the same messages stay, and how much sooner."""
    part = FOLDER / "part.jsonl"
    lines = next(lines_of(path, megabytes << 20))
    part.write_bytes(b"".join(lines))
    other = FOLDER / "plain.jsonl"
    mine, theirs = [], []
    for number in range(rounds):
        said.print(f"plain Python, round {number + 1} of {rounds}")
        theirs.append(worker("plain", part, BUDGET, other)["seconds"])
        mine.append(ours(part, 1)["seconds"])
    same = OUT.read_bytes().splitlines(), other.read_bytes().splitlines()
    differ = sum(json.loads(a) != json.loads(b) for a, b in zip(*same, strict=True))
    if differ:
        raise SystemExit(f"plain Python keeps other messages in {differ} of {len(same[0])} conversations")
    ratio = Spread.of([their / my for their, my in zip(theirs, mine, strict=True)])
    return {"ours": Spread.of(mine), "plain": Spread.of(theirs), "ratio": ratio, "lines": len(lines)}


def killed(path: Path, seconds: float) -> str:
    """Kill a run three times and go on; the output must be that of a run that nothing disturbed."""
    whole = FOLDER / "whole.jsonl"
    ours(path, 2, whole)
    OUT.unlink(missing_ok=True)
    chance = random.Random(KILLS)
    command = [sys.executable, "-m", "pycontext", "batch", path, "-o", OUT, "--budget", BUDGET, "--json"]
    at = []
    for number in range(KILLS):
        child = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds * chance.uniform(0.5, 0.6))
        child.send_signal(signal.SIGKILL)
        child.wait()
        progress = FOLDER / f"{OUT.name}.progress"
        # A small file can be done before anything is kept.
        state = (
            json.loads(progress.read_text(encoding="utf-8"))["state"] if progress.exists() else {"at": {"offset": 0}}
        )
        at.append(f"{state['at']['offset'] / path.stat().st_size:.0%}")
        said.print(f"killed {number + 1} times, at {at[-1]}")
    subprocess.run([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    compared = subprocess.run(["cmp", str(OUT), str(whole)], check=False)
    if compared.returncode:
        raise SystemExit("a run that was killed and went on gives another output")
    return f"killed when {', '.join(at)} were kept: byte for byte the same output"


def over_budget(sample: int) -> int:
    """Requests of the output that are over the budget, counted by tiktoken with the framing of plain.py."""
    os.environ.update(environment())
    from benches.batch.plain import Counter, cost_of  # noqa: PLC0415  # tiktoken is slow to import

    count, over = Counter(), 0
    for line in next(lines_of(OUT, 64 << 20))[:sample]:
        messages = json.loads(line)["messages"]
        over += sum(cost_of(message, count) for message in messages) + 3 > BUDGET
    return over


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.batch")
    parser.add_argument("--mb", type=int, default=1_100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain-mb", type=int, default=24)
    parser.add_argument("--dry", action="store_true", help="write no page")
    args = parser.parse_args()
    if absent := missing("conversations/airline.jsonl", "conversations/telecom.jsonl"):
        said.print(absent)
        return 1
    said.print(f"the conversations come from {DATA}, other text from this machine; made once, in {FOLDER.name}/")
    corpora = {"fresh text": fresh(args.mb), "recorded again and again": repeated(args.mb // 4)}
    shares = {name: distinct(path) for name, path in corpora.items()}
    results = {name: measured(path, args.rounds) for name, path in corpora.items()}
    first = corpora["fresh text"]
    ours(first, 1)
    over = over_budget(2_000)
    plain = against_plain(first, args.plain_mb, args.rounds)
    resumed = killed(first, results["fresh text"]["seconds"]["two"].median)
    tables = arrow.measured(args.rounds)
    said.print("near-duplicates")
    near = (*duplicates.measured(), duplicates.over(first))
    text = page(shares, results, over, plain, resumed, tables, near)
    show(results, plain, tables)
    if not args.dry:
        draw(results)
        PAGE.write_text(text, encoding="utf-8")
    for path in FOLDER.glob("*.jsonl*"):
        if path not in corpora.values():
            path.unlink()
    return 0


def verdict(*, met: bool) -> str:
    return "met" if met else "MISSED"


def rows_of(results: dict[str, Any], plain: dict[str, Any], tables: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for name, found in results.items():
        ratio, speedup = found["ratio"], found["speedup"]
        rows += [
            [
                f"{name}: one core",
                shown(found["seconds"]["one"]),
                f"{ratio.median:.2f} x the bound ({ratio.low:.2f}-{ratio.high:.2f}), which is {shown(found['bound'])}",
                f"at most 1 x, {verdict(met=ratio.median <= 1)}",
            ],
            [
                f"{name}: two cores",
                shown(found["seconds"]["two"]),
                f"{speedup.median:.2f} x as fast as one ({speedup.low:.2f}-{speedup.high:.2f})",
                f"aim 1.8 x, {verdict(met=speedup.median >= 1.8)}",
            ],
            [
                f"{name}: largest memory",
                "",
                " and ".join(f"{value / 1e6:.0f} MB" for value in found["memory"]) + " with one and two threads",
                f"below 300 MB, {verdict(met=max(found['memory']) < 300e6)}",
            ],
        ]
    ratio = plain["ratio"]
    rows.append(
        [
            f"plain Python, {plain['lines']:,} conversations",
            shown(plain["ours"]),
            f"{ratio.median:.1f} x as fast ({ratio.low:.1f}-{ratio.high:.1f}) as {shown(plain['plain'])}",
            f"at least 20 x, {verdict(met=ratio.median >= 20)}",
        ]
    )
    for table in tables:
        rate = table["rate"]
        required = f"at least 10, {verdict(met=rate.median >= 10)}" if table["required"] else ""
        figure = f"{rate.median:.1f} million blocks a second and core ({rate.low:.1f}-{rate.high:.1f})"
        rows.append([f"Arrow: {table['name']}", shown(table["seconds"]), figure, required])
    return rows


def show(results: dict[str, Any], plain: dict[str, Any], tables: list[dict[str, Any]]) -> None:
    table = Table(title="medians (quartiles)", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading)
    for row in rows_of(results, plain, tables):
        table.add_row(*row, style="bold red" if "MISSED" in row[-1] else None)
    Console().print(table)


HEADINGS = ["what", "time", "figure", "required"]


def page(
    shares: dict[str, Any],
    results: dict[str, Any],
    over: int,
    plain: dict[str, Any],
    resumed: str,
    tables: list[dict[str, Any]],
    near: tuple[list[list[str]], str, str],
) -> str:
    corpora = [
        [
            name,
            f"{share['bytes'] / 1e6:,.0f} MB",
            f"{share['conversations']:,}",
            f"{share['messages']:,}",
            f"{share['share']:.0%}",
            f"{results[name]['summary']['tokens_before']:,}",
            f"{results[name]['summary']['tokens_after']:,}",
            f"{results[name]['summary']['could_not_fit']:,}",
        ]
        for name, share in shares.items()
    ]
    parts = [
        [name, *(shown(results[name]["seconds"][part]) for part in ("parse", "count", "one", "two"))]
        for name in results
    ]
    fastest = next(table for table in tables if table["required"])["rate"].median
    lines = results["fresh text"]
    messages = shares["fresh text"]["messages"] / lines["seconds"]["one"].median
    sizing = [
        ["JSON lines, counted and pruned", f"{messages:,.0f} messages", f"{1e9 / messages / 3600:,.2f}"],
        ["Arrow, counts given", f"{fastest * 1e6:,.0f} blocks", f"{1e9 / fastest / 1e6 / 3600:,.3f}"],
    ]
    return "\n".join(
        [
            "# Batches",
            "",
            "Written by `make bench-batch`, never by hand. Each time is that of a whole process, import and all, on",
            "one processor or two; the runs of a round take turns, and ratios are those of a round. The bound is the",
            "time of `orjson.loads` and `orjson.dumps` over the same lines and 1.15 times that of `count_tokens_batch`",
            "over the distinct texts, both without reading the file. Medians with quartiles in parentheses.",
            "",
            *machine(["orjson", "tiktoken", "pyarrow"]),
            "",
            markdown(HEADINGS, rows_of(results, plain, tables)),
            "",
            "![times](batch.svg)",
            "",
            f"Budget {BUDGET:,} tokens. Of 2,000 requests of the output, counted by tiktoken, {over} are over it.",
            f"Plain Python (`benches/batch/plain.py`) keeps the same messages. {resumed[0].upper()}{resumed[1:]}.",
            "",
            "## The parts",
            "",
            markdown(["corpus", "loads and dumps", "count_tokens_batch", "ours, one core", "two"], parts),
            "",
            "## What is measured",
            "",
            "Fresh text has the shapes, system prompts and calls of the recorded conversations; nine texts of ten come",
            "from files of this machine: sources, documentation, headers.",
            "",
            markdown(
                ["corpus", "size", "conversations", "messages", "distinct text", "tokens", "after", "cannot fit"],
                corpora,
            ),
            "",
            "## Near-duplicates over a corpus",
            "",
            "Recorded conversations, and copies with words changed and messages left out; what falls by sketches,",
            "against all pairs compared exactly, in the same order.",
            "",
            markdown(["threshold", "fall by all pairs", "fall by sketches", "precision", "recall"], near[0]),
            "",
            f"{near[1]} {near[2]}",
            "",
            "## A billion blocks",
            "",
            "At the rate of one core of this machine; reading and writing included for lines, neither for Arrow.",
            "",
            markdown(["", "a second and core", "core hours for a billion"], sizing),
            "",
        ]
    )


def draw(results: dict[str, Any]) -> None:
    """Bars of the bound's parts beside ours."""
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the backend is chosen

    from benches import plot  # noqa: PLC0415, F401  # it chooses the backend

    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    labels, at = [], 0.0
    for name, found in results.items():
        seconds = {part: spread.median for part, spread in found["seconds"].items()}
        axes.barh(at, seconds["parse"], color="C7", label="loads and dumps" if not at else None)
        axes.barh(
            at, 1.15 * seconds["count"], left=seconds["parse"], color="C0", label="1.15 x count" if not at else None
        )
        axes.barh(at + 1, seconds["one"], color="C3", label="pycontext batch" if not at else None)
        axes.barh(at + 2, seconds["two"], color="C3")
        labels += [(at, f"{name}:\nbound"), (at + 1, "one core"), (at + 2, "two cores")]
        at += 3.6
    axes.set_yticks([place for place, _ in labels], [label for _, label in labels])
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.legend()
    figure.savefig(PLOT, format="svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
