"""Packages of recorded blocks to bytes and back, beside what others make of the same blocks."""

from __future__ import annotations

from functools import partial

from benches.comparison import codecs
from benches.data import missing
from benches.frame import Row, compare, race
from benches.recorded import SOURCE, recorded
from pycontext import BlockSet, ContextPackage

SIZES = {2_000: 41, 100_000: 5}
NEED_ENCODE = {"orjson of dicts": 3.0}
NEED_DECODE = {"msgspec to dataclasses": 5.0}
MOST_PLAIN = 0.85
MOST_ZSTD = 0.4


def run() -> tuple[list[Row], list[str]]:
    if problem := missing(SOURCE):
        return [], [f"codec was left out: {problem}"]
    rows: list[Row] = []
    notes: list[str] = []
    for size, rounds in SIZES.items():
        package = ContextPackage("session", "agent", recorded(size))
        codecs.check(package)
        data = package.to_bytes()
        writers = {"ours": package.to_bytes, **codecs.writers(package)}
        taken = race({name: lambda _, write=write: write() for name, write in writers.items()}, rounds)
        rows += compare(f"encode {size:,} blocks", taken, ours="ours", at_least=NEED_ENCODE)
        readers = {"ours": partial(BlockSet.from_bytes, data), **codecs.readers(package)}
        taken = race({name: lambda _, read=read: read() for name, read in readers.items()}, rounds)
        rows += compare(f"decode {size:,} blocks", taken, ours="ours", at_least=NEED_DECODE)
        notes.append(sizes(package, size, len(data)))
    return rows, notes


def sizes(package: ContextPackage, size: int, plain: int) -> str:
    """Bytes against compact JSON in UTF-8."""
    text = len(package.to_json().encode())
    small = len(package.to_bytes(compress="zstd"))
    verdict = "met" if plain <= MOST_PLAIN * text and small <= MOST_ZSTD * text else "MISSED"
    return (
        f"{size:,} recorded blocks: {plain:,} bytes, {plain / text:.3f} of compact JSON (at most {MOST_PLAIN}); with "
        f"zstd {small:,} bytes, {small / text:.3f} (at most {MOST_ZSTD}): {verdict}."
    )
