"""Measures counting against other libraries, in rounds that are processes; keeps it in benches/tokens.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benches.data import ROOT
from benches.frame import Spread
from benches.page import machine, markdown, number
from benches.tokens.corpora import SIZE, TEXT
from benches.tokens.plot import draw

PAGE = ROOT / "benches" / "tokens.md"
PLOT = ROOT / "benches" / "tokens.svg"

ROUNDS = 7
OURS, TIKTOKEN, GIGATOKEN = "pycontext", "tiktoken", "gigatoken"

# Ratios to tiktoken on unseen and on warm text, and to gigatoken where one is named: must, then moonshot.
RATIOS = {
    "avx512": {
        "prose": ((16, 25, 1.6, 1.25), (24, 35, 0, 2)),
        "code and JSON": ((20, 35, 1.8, 1.8), (32, 50, 0, 0)),
        "multilingual": ((8, 18, 0, 1.4), (15, 30, 0, 0)),
    },
    "avx2": {
        "prose": ((10, 20, 0, 0), (24, 35, 0, 2)),
        "code and JSON": ((15, 27, 0, 0), (32, 50, 0, 0)),
        "multilingual": ((5, 16, 0, 0), (15, 30, 0, 0)),
    },
}
MICROSECONDS = {"avx512": {"list": (0.6, 0.35), "each": (0.9, 0.6)}, "avx2": {"list": (0.8, 0.35), "each": (1.0, 0.6)}}
FLOOR = (20, 50)
LOAD_MS = (50, 10)
SHARED_MB = (16, 8)
THREAD_MB = (1, None)

INTRODUCTION = f"""\
# Counting tokens

Written by `make bench-tokens`, never by hand. Encoding o200k_base; every library counts the same texts, given as a list
of Python strings; those that have no count give ids, which are not turned into Python lists. A round is a process of
its own, pinned to one processor, in which the libraries take turns; the first one changes from round to round. MB/s are
medians of the rounds, of bytes in UTF-8, with quartiles; a ratio is the median of the rounds' own ratios.

- *unseen*: in each process all libraries count half of the texts of a corpus, then, measured, the other half for the
  first time.
- *warm*: the lines of the first half in another order, joined to texts of {TEXT // 1000} KB: words that were counted
  before, with all other libraries in between, in strings that were not.
- Strings are new objects in every measurement, so that reading them as UTF-8 is part of it.
"""


@dataclass(frozen=True)
class Claim:
    """A figure to reach."""

    what: str
    measured: float
    unit: str
    must: float | None
    moonshot: float | None
    at_least: bool = True

    def met(self, limit: float | None) -> bool | None:
        if not limit:
            return None
        return self.measured >= limit if self.at_least else self.measured <= limit

    def cells(self) -> list[str]:
        def verdict(limit: float | None) -> str:
            words = {True: "met", False: "MISSED", None: ""}[self.met(limit)]
            return f"{number(limit)} {self.unit}, {words}".strip() if limit else "-"

        return [self.what, f"{number(self.measured)} {self.unit}", verdict(self.must), verdict(self.moonshot)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.tokens", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds over little text; writes nothing")
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON")
    options = parser.parse_args()
    rounds, size = (2, SIZE // 8) if options.quick else (ROUNDS, SIZE)
    said = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        for round_ in range(rounds):
            task = bar.add_task(f"round {round_ + 1} of {rounds}", total=1)
            said.append(process("benches.tokens.worker", str(round_), str(size)))
            bar.advance(task)
        task = bar.add_task("load, memory, threads", total=1)
        costs = [process("benches.tokens.costs") for _ in range(1 if options.quick else 5)]
        bar.advance(task)
    found = claims(said, costs)
    if options.json:
        print(json.dumps({"rounds": said, "costs": costs, "claims": [vars(claim) for claim in found]}))
    else:
        show(Console(width=max(Console().width, 120)), said, found)
    if not options.quick:
        keep(said, costs, found)
    return 1 if any(claim.met(claim.must) is False for claim in found) else 0


def process(module: str, *arguments: str) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise SystemExit(f"{module} failed: {ran.stderr.strip()[-2000:]}")
    return json.loads(ran.stdout)


def vectors() -> str:
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    return "avx512" if "avx512_vbmi2" in flags else "avx2"


def speeds(said: list[dict], corpus: str, kind: str, name: str) -> Spread:
    return Spread.of([round_["speeds"][corpus][kind][name] for round_ in said])


def ratio(said: list[dict], corpus: str, kind: str, other: str) -> Spread:
    return Spread.of([r["speeds"][corpus][kind][OURS] / r["speeds"][corpus][kind][other] for r in said])


def claims(said: list[dict], costs: list[dict]) -> list[Claim]:
    found = []
    names = said[0]["exact"]
    for corpus, (must, moonshot) in RATIOS[vectors()].items():
        for i, kind in enumerate(("unseen", "warm")):
            if TIKTOKEN in names:
                measured = ratio(said, corpus, kind, TIKTOKEN).median
                found.append(Claim(f"{corpus}, {kind}, to tiktoken", measured, "x", must[i], moonshot[i]))
            if GIGATOKEN in names and (must[i + 2] or moonshot[i + 2]):
                measured = ratio(said, corpus, kind, GIGATOKEN).median
                found.append(Claim(f"{corpus}, {kind}, to gigatoken", measured, "x", must[i + 2], moonshot[i + 2]))
    for kind, what in (("list", "190-byte messages, one list"), ("each", "190-byte messages, one call each")):
        measured = Spread.of([round_["messages"][kind][OURS] for round_ in said]).median
        found.append(Claim(what, measured, "µs", *MICROSECONDS[vectors()][kind], at_least=False))
    slowest = min(
        (Spread.of([r["adversarial"][name][OURS] for r in said]).median, name) for name in said[0]["adversarial"]
    )
    found.append(Claim(f"slowest of the adversarial ({slowest[1]})", slowest[0], "MB/s", *FLOOR))
    median = lambda key: Spread.of([cost[key] for cost in costs]).median  # noqa: E731
    found.append(Claim("load of o200k_base", median("load_ms"), "ms", *LOAD_MS, at_least=False))
    found.append(Claim("memory of the tables", median("tables") / 1e6, "MB", *SHARED_MB, at_least=False))
    found.append(Claim("memory of one more thread", median("a_thread") / 1e6, "MB", *THREAD_MB, at_least=False))
    both = Spread.of([cost["threads"][0] for cost in costs]).median
    found.append(Claim("two threads over one", both, "x", None, 1.95))
    wheels = list((ROOT / "target" / "wheels").glob("*.whl"))
    if wheels:
        found.append(Claim("wheel", wheels[0].stat().st_size / 1e6, "MB", None, None))
    return found


def speed_lines(said: list[dict]) -> tuple[list[str], list[list[str]]]:
    names = list(said[0]["versions"])
    order = sorted(names, key=lambda name: (name != OURS, name))
    headings = ["", *(name + ("" if all(r["exact"][name] for r in said) else " (not exact)") for name in order)]
    lines = []
    for corpus in said[0]["speeds"]:
        for kind in ("unseen", "warm"):
            cells = [f"{corpus}, {kind}"]
            for name in order:
                spread = speeds(said, corpus, kind, name)
                cells.append(f"{number(spread.median)} ({number(spread.low)}-{number(spread.high)})")
            lines.append(cells)
            if TIKTOKEN in names:
                cells = ["- ratio to tiktoken"]
                for name in order:
                    rounds = [r["speeds"][corpus][kind][name] / r["speeds"][corpus][kind][TIKTOKEN] for r in said]
                    spread = Spread.of(rounds)
                    cells.append(f"{number(spread.median)}x ({number(spread.low)}-{number(spread.high)})")
                lines.append(cells)
    return headings, lines


def other_lines(said: list[dict]) -> tuple[list[str], list[list[str]]]:
    """Messages in µs, adversarial texts in MB/s."""
    order = sorted(said[0]["versions"], key=lambda name: (name != OURS, name))
    lines = []
    for kind, what in (("list", "190-byte messages, one list, µs"), ("each", "190-byte messages, one call each, µs")):
        spreads = [Spread.of([round_["messages"][kind][name] for round_ in said]) for name in order]
        lines.append([what, *(f"{s.median:.2f} ({s.low:.2f}-{s.high:.2f})" for s in spreads)])
    for what in said[0]["adversarial"]:
        cells = [f"{what}, MB/s"]
        for name in order:
            values = [round_["adversarial"][what][name] for round_ in said]
            cells.append("gave up" if None in values else number(Spread.of(values).median))
        lines.append(cells)
    return ["", *order], lines


def show(console: Console, said: list[dict], found: list[Claim]) -> None:
    for title, (headings, lines) in (("MB/s", speed_lines(said)), ("messages and hard texts", other_lines(said))):
        table = Table(title=title, title_justify="left")
        for heading in headings:
            table.add_column(heading, justify="right" if heading else "left")
        for line in lines:
            table.add_row(*line, style="bold" if line[0].endswith(("unseen", "warm")) else "")
        console.print(table)
    table = Table(title=f"required of a processor with {vectors()}", title_justify="left")
    for heading in ("", "measured", "must", "moonshot"):
        table.add_column(heading, justify="right" if heading else "left")
    for claim in found:
        table.add_row(*claim.cells(), style={True: "green", False: "bold red", None: ""}[claim.met(claim.must)])
    console.print(table)
    for note in said[0]["notes"]:
        console.print(note, markup=False)


def keep(said: list[dict], costs: list[dict], found: list[Claim]) -> None:
    draw(said, PLOT)
    recipes = [
        f"- {name}: {recipe}; {first + unseen:,} bytes, sha256 of round 1 {digest[:16]}"
        for name, (recipe, digest, first, unseen) in said[0]["corpora"].items()
    ]
    low, high = (min(c["threads"][1] for c in costs), max(c["threads"][2] for c in costs))
    parts = [
        INTRODUCTION,
        *machine([name if name != "pycontext" else "pycontext-layer" for name in said[0]["versions"]]),
        *(f"- {note}" for note in said[0]["notes"]),
        "",
        f"Required of a processor with {vectors()}; two threads over one went from {low:.2f} to {high:.2f}.",
        "",
        markdown(["", "measured", "must", "moonshot"], [claim.cells() for claim in found]),
        "",
        markdown(*speed_lines(said)),
        "",
        "![MB/s by library](tokens.svg)",
        "",
        "The hard texts have 200,000 bytes; some libraries give up on longer ones (tiktoken panics on 1 MB of blanks).",
        "",
        markdown(*other_lines(said)),
        "",
        "Corpora, from the machine that the benchmark runs on:",
        "",
        *recipes,
    ]
    PAGE.write_text("\n".join(parts) + "\n", encoding="utf-8")
    Console(stderr=True).print(f"kept in {PAGE.relative_to(ROOT)} and {PLOT.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
