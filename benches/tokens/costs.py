"""What counting costs besides time, in a process that has counted nothing; prints JSON."""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from pathlib import Path

from benches.tokens.corpora import corpora
from benches.tokens.worker import bytes_of, fresh
from pycontext import count_tokens, count_tokens_batch


def resident() -> int:
    """Bytes of the process that are in memory and not of a file."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def main() -> None:
    found = corpora(0)
    # What Python keeps beside a str that is not ASCII when it is read is not ours to count.
    texts = [text for corpus in found for text in corpus.first if text.isascii()]
    batch = fresh(texts)
    before = resident()
    start = time.perf_counter()
    count_tokens("a")
    load = time.perf_counter() - start
    count_tokens_batch(batch, threads=1)
    tables = resident() - before
    ready, go = threading.Barrier(5), threading.Event()
    extra = [threading.Thread(target=hold, args=(ready, go, batch[:200])) for _ in range(4)]
    at_rest = resident()
    for thread in extra:
        thread.start()
    ready.wait()
    a_thread = (resident() - at_rest) / len(extra)
    go.set()
    for thread in extra:
        thread.join()
    json.dump({"load_ms": load * 1e3, "tables": tables, "a_thread": a_thread, "threads": threads(found)}, sys.stdout)


def hold(ready: threading.Barrier, go: threading.Event, texts: list[str]) -> None:
    for text in texts:
        count_tokens(text + "!")
    ready.wait()
    go.wait()


def threads(found: list) -> list[float]:
    """Two threads over one on texts that neither has seen, by rounds."""
    ratios = []
    for i in range(5):
        texts = [f"{i}{text}" for corpus in found[:2] for text in corpus.unseen]
        speeds = {}
        for number in (1, 2) if i % 2 else (2, 1):
            own = [f"{number}{text}" for text in texts]
            start = time.perf_counter()
            count_tokens_batch(own, threads=number)
            speeds[number] = bytes_of(own) / (time.perf_counter() - start)
        ratios.append(speeds[2] / speeds[1])
    return [statistics.median(ratios), min(ratios), max(ratios)]


if __name__ == "__main__":
    main()
