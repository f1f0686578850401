"""Appends to a real file of SQLite: what a crash of the program survives, and what one of the machine does."""

from __future__ import annotations

import statistics
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benches.data import CACHE
from benches.frame import Row, Spread, race
from benches.store import sessions
from pycontext.store import ContextStore, open_store

SIZE = 2_000
CALLS, ROUNDS = 50, 41
STEADY_CALLS = 1_000
MOST_SECONDS = 1e-4


def run(_url: str) -> tuple[list[Row], list[str]]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="sqlite-", dir=CACHE) as folder:
        return [against_fsync(Path(folder))], [in_a_row(Path(folder))]


def against_fsync(folder: Path) -> Row:
    normal, fsync = (f"sqlite:///{folder / name}" for name in ("normal.db", "fsync.db"))
    stores = {"normal": open_store(normal), "fsync": open_store(fsync, durability="fsync")}
    later = sessions.later(CALLS)

    def renew(name: str, number: int) -> None:
        store = stores[name]
        store.delete(f"file.{number - 1}")
        store.save(sessions.package(f"file.{number}", SIZE))

    each: dict[str, list[float]] = {name: [] for name in stores}

    def append(name: str, store: ContextStore, number: int) -> None:
        single = []
        for block in later:
            began = time.perf_counter()
            store.append(f"file.{number}", [block])
            single.append(time.perf_counter() - began)
        # The journal is brought to the file now and then; `in_a_row` has what that costs.
        if number >= 0:
            each[name].append(statistics.median(single))

    race({name: partial(append, name, store) for name, store in stores.items()}, ROUNDS, prepare=renew)
    for url, store in ((normal, stores["normal"]), (fsync, stores["fsync"])):
        store.close()
        kept = open_store(url).load(f"file.{ROUNDS - 1}")
        sessions.check(f"append to {url}", kept.blocks, [*sessions.first(SIZE), *later])
    ours, theirs = Spread.of(each["normal"]), Spread.of(each["fsync"])
    ratio = Spread.of([b / a for a, b in zip(each["normal"], each["fsync"], strict=True)])
    return Row(
        f"append to {SIZE:,} blocks in SQLite",
        "durability fsync",
        ours,
        theirs,
        ratio,
        required=f"at most {MOST_SECONDS * 1e3:g} ms",
        met=ours.median <= MOST_SECONDS,
    )


def in_a_row(folder: Path) -> str:
    """Appends with the snapshots that they make due, and with bringing all of it from the journal to the file."""
    store, later, single = open_store(f"sqlite:///{folder / 'row.db'}"), sessions.later(STEADY_CALLS), list[float]()
    store.save(sessions.package("row", SIZE))
    for block in later:
        began = time.perf_counter()
        store.append("row", [block])
        single.append(time.perf_counter() - began)
    sessions.check("appends in a row to SQLite", store.load("row").blocks, [*sessions.first(SIZE), *later])
    store.close()
    return (
        f"append to {SIZE:,} blocks in SQLite, {STEADY_CALLS:,} in a row, snapshots included: {sessions.spread(single)}"
    )
