"""Compare counts with tiktoken's at length: `python fuzz/exact.py --strings 1000000 --seed 1`, or `make exact`.

Every code point in nine contexts, so many strings of all kinds, and the recorded conversations where they are; for both
encodings. Texts that differ are printed, cut down to what still differs; then it ends with 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from rich.console import Console  # noqa: E402
from rich.progress import Progress  # noqa: E402

from conftest import oracle  # noqa: E402
from counting_cases import CONTEXTS, mixtures  # noqa: E402
from pycontext import count_tokens, count_tokens_batch  # noqa: E402

ENCODINGS = ("o200k_base", "cl100k_base")
BATCH = 20_000
DATA = Path(os.environ.get("PYCONTEXT_DATA", ROOT.parent / "shared" / "data"))


def code_points() -> Iterator[str]:
    for context in CONTEXTS:
        for code in range(0x110000):
            if not 0xD800 <= code <= 0xDFFF:
                yield context.replace("%s", chr(code))


def recorded() -> Iterator[str]:
    """Every file as a whole, and every line of it."""
    for path in sorted(DATA.rglob("*.json*")):
        text = path.read_text(encoding="utf-8")
        yield text
        yield from text.split("\n")
        # The same as the messages have it: without the escapes of JSON.
        yield text.replace("\\n", "\n").replace('\\"', '"')


def differing(texts: list[str], name: str) -> Iterator[str]:
    encode = oracle(name).encode_ordinary
    counts = count_tokens_batch(texts, name).tolist()
    encoded = oracle(name).encode_ordinary_batch(texts, num_threads=2)
    for text, count, ids in zip(texts, counts, encoded, strict=True):
        if count != len(ids):
            yield smallest(text, lambda part: count_tokens(part, name) != len(encode(part)))


def smallest(text: str, differs) -> str:
    """What is left when no part can be taken away any more."""
    size = len(text) // 2
    while size:
        at = 0
        while at < len(text):
            shorter = text[:at] + text[at + size :]
            if shorter and differs(shorter):
                text = shorter
            else:
                at += size
        size //= 2
    return text


def compare(name: str, texts: Iterable[str], advance) -> tuple[int, list[str]]:
    compared, found = 0, []
    source = iter(texts)
    while batch := list(islice(source, BATCH)):
        found += differing(batch, name)
        compared += len(batch)
        advance(len(batch))
        if len(found) > 5:
            break
    return compared, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strings", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    console = Console()
    if not DATA.exists():
        console.print(f"no recorded conversations in {DATA.name}/: set PYCONTEXT_DATA")
    wrong = 0
    with Progress(console=Console(stderr=True)) as bar:
        for name in ENCODINGS:
            jobs = {
                "strings": (mixtures(options.seed, options.strings), options.strings),
                "code points": (code_points(), len(CONTEXTS) * (0x110000 - 0x800)),
                "recorded texts": (recorded(), None),
            }
            for job, (texts, total) in jobs.items():
                task = bar.add_task(f"{name}, {job}", total=total)
                start = time.perf_counter()
                compared, found = compare(name, texts, lambda number, task=task: bar.advance(task, number))
                wrong += len(found)
                seconds = time.perf_counter() - start
                console.print(f"{name}: {compared:,} {job}, {len(found)} wrong, {seconds:.0f} s, seed {options.seed}")
                for text in found:
                    expected = len(oracle(name).encode_ordinary(text))
                    console.print(f"  {text!r}: {count_tokens(text, name)}, not {expected}", markup=False)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
