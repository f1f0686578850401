"""Runs the benchmark of the stores, prints its tables, and keeps them in a page, with the machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version

from redis.utils import HIREDIS_AVAILABLE
from rich.console import Console

from benches.data import ROOT, missing
from benches.frame import Row
from benches.page import machine, table_of
from benches.page import markdown_of as rows_as_markdown
from benches.plot import append_by_size
from benches.recorded import SOURCE
from benches.store import append, fact, file, memory, peers, racing, save, sync, throughput, with_hiredis
from benches.store.server import on_one_core, running

TIMES: dict[str, Callable[[str], tuple[list[Row], list[str]]]] = {
    "append": append.run,
    "sync": sync.run,
    "save": save.run,
    "SQLite": file.run,
    "hiredis": with_hiredis.run,
    "other libraries": peers.run,
}
FACTS: dict[str, Callable[[str], list[fact.Fact]]] = {"racing": racing.run, "memory": memory.run}
PEERS = ("redis", "matplotlib")

PAGE = ROOT / "benches" / "stores.md"
PLOT = ROOT / "benches" / "append.svg"

INTRODUCTION = """\
# Benchmarks of the stores

Written by `make bench-store`, never by hand; how times and ratios are made is said in [README.md](README.md). One
process, one `redis-server` of its own on loopback that persists nothing; for the first table both are on one core,
where a PING is answered soonest and ratios to it are at their worst. Blocks are recorded text and come with their
counts; the recorded conversations are not in the repository: `PYCONTEXT_DATA` says where they are. When a job is done
all sides are read again, and must hold the blocks that were written.
"""

EXPLANATION = """\
`PING` is redis-py's, with the options of connections that our stores use: what any client pays to ask and be answered.
`article` is the layout of the article, written anew in `comparison/article_store.py`: a hash and a key for every block,
all JSON; to append it writes the session anew, and every load reads all of it. Appends are ten to a session that is new
in every round; `in a row` are a thousand to the same one, with the snapshots that they make due. Those to SQLite are
medians of fifty, without the one that finds the journal full. A store that has not read a session cannot name the
blocks whose ids are taken, and saves the look. The other libraries keep lists of messages and nothing else: no
versions, no epochs, no writes that are done once however often they are sent; each runs in an environment of its own,
and its times have a pipe in them.

![time of an append against the blocks of the session](append.svg)
"""

SECOND = """\
Done a second, by threads and by tasks, to one session; `append_many` takes a hundred sessions at a time:
"""


def main() -> int:
    console = Console(width=max(Console().width, 150))
    if problem := missing(SOURCE):
        console.print(f"nothing is measured without real text: {problem}")
        return 1
    rows, notes, facts = list[Row](), list[str](), list[fact.Fact]()
    with running() as server:
        with on_one_core(server):
            for name, run in TIMES.items():
                console.print(f"{name} ...", style="dim")
                found, said = run(server.url)
                rows += found
                notes += said
        for name, look in FACTS.items():
            console.print(f"{name} ...", style="dim")
            facts += look(server.url)
        console.print("throughput ...", style="dim")
        done = throughput.run(server.url)
        release = ".".join(map(str, server.program.version))
    console.print(table_of(rows), *notes, sep="\n", highlight=False)
    console.print(fact.markdown_of(facts), done, sep="\n\n", highlight=False, markup=False)
    append_by_size(rows, PLOT)
    parser = "with hiredis" if HIREDIS_AVAILABLE else "without hiredis where a row does not name it"
    about = [*machine(PEERS), f"- redis-server {release}, redis-py {version('redis')} {parser}"]
    said = [f"- {note}" for note in notes]
    tables = [rows_as_markdown(rows), "", EXPLANATION, SECOND, done, "", fact.markdown_of(facts), ""]
    PAGE.write_text("\n".join([INTRODUCTION, *about, "", *tables, *said]) + "\n", encoding="utf-8")
    console.print(f"kept in {PAGE.relative_to(ROOT)} and {PLOT.relative_to(ROOT)}")
    return 1 if False in [found.met for found in rows] + [found.met for found in facts] else 0


if __name__ == "__main__":
    sys.exit(main())
