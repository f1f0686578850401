"""One measurement in a process of its own, on one processor: `python -m benches.batch.worker WHAT FILE`."""

from __future__ import annotations

import json
import os
import sys
import time
from hashlib import blake2b
from pathlib import Path

from benches.batch.corpus import lines_of, texts_of


def parse(path: Path) -> dict[str, float]:
    """`orjson.loads` and `orjson.dumps` over the lines; reading them is not counted."""
    import orjson  # noqa: PLC0415  # where it is measured

    seconds, size = 0.0, 0
    for lines in lines_of(path):
        started = time.perf_counter()
        for line in lines:
            size += len(orjson.dumps(orjson.loads(line)))
        seconds += time.perf_counter() - started
    return {"seconds": seconds, "bytes": size}


def count(path: Path) -> dict[str, float]:
    """`count_tokens_batch` over the distinct texts, some megabytes at a time; finding them is not counted."""
    from pycontext import count_tokens_batch  # noqa: PLC0415  # where it is measured

    # The tables are made before the clock runs, as the caller's own process has them.
    count_tokens_batch(["warm"])
    seen: set[bytes] = set()
    seconds, tokens, size = 0.0, 0, 0
    for lines in lines_of(path):
        fresh = []
        for line in lines:
            for text in texts_of(line):
                data = text.encode()
                digest = blake2b(data, digest_size=8).digest()
                if digest not in seen:
                    seen.add(digest)
                    fresh.append(text)
                    size += len(data)
        started = time.perf_counter()
        counted = count_tokens_batch(fresh)
        seconds += time.perf_counter() - started
        tokens += int(counted.sum())
    return {"seconds": seconds, "tokens": tokens, "bytes": size}


def plain(path: Path, budget: int, target: Path) -> dict[str, float]:
    """Plain Python: json and tiktoken, with a memory of counts; the whole run."""
    from benches.batch.plain import run  # noqa: PLC0415  # tiktoken is slow to import

    started = time.perf_counter()
    conversations = run(path, budget, target)
    return {"seconds": time.perf_counter() - started, "conversations": conversations}


def main() -> None:
    what, path, *more = sys.argv[1:]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if what == "parse":
        found = parse(Path(path))
    elif what == "count":
        found = count(Path(path))
    else:
        found = plain(Path(path), int(more[0]), Path(more[1]))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
