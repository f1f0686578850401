"""One round in a process of its own, on one processor: `python -m benches.tokens.worker ROUND SIZE`; prints JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

from benches.tokens.corpora import adversarial, corpora, messages
from benches.tokens.peers import Peer, peers

ADVERSARIAL = 200_000


def main(round_: int, size: int) -> None:
    # Before a library counts the processors: all of them are to use one thread.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    found = list(peers())
    ready = [peer for peer in found if isinstance(peer, Peer)]
    turn = round_ % len(ready)
    ready = ready[turn:] + ready[:turn]
    said = {
        "notes": [peer for peer in found if isinstance(peer, str)],
        "versions": {peer.name: version(peer.distribution) for peer in ready},
        "exact": {peer.name: True for peer in ready},
        "speeds": {},
        "messages": {},
        "adversarial": {},
        "corpora": {},
    }
    for corpus in corpora(round_, size):
        for peer in ready:
            peer.count_all(corpus.first)
        said["corpora"][corpus.name] = [corpus.recipe, corpus.sha256, bytes_of(corpus.first), bytes_of(corpus.unseen)]
        for kind, texts in (("unseen", corpus.unseen), ("warm", corpus.warm)):
            counts = {}
            for peer in ready:
                seconds, counts[peer.name] = timed(peer, texts)
                said["speeds"].setdefault(corpus.name, {}).setdefault(kind, {})[peer.name] = (
                    bytes_of(texts) / seconds / 1e6
                )
            for name, counted in counts.items():
                said["exact"][name] &= counted == counts["tiktoken"]
    for kind in ("list", "each"):
        for peer in ready:
            texts = [text + kind for text in messages(round_)]
            if kind == "list":
                seconds, _ = timed(peer, texts)
            else:
                seconds = seconds_of(lambda peer=peer, texts=texts: [peer.count(text) for text in texts])
            said["messages"].setdefault(kind, {})[peer.name] = seconds / len(texts) * 1e6
    for name, text in adversarial(min(ADVERSARIAL, size)).items():
        said["adversarial"][name] = {peer.name: survived(peer, text) for peer in ready}
    json.dump(said, sys.stdout)


def bytes_of(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def fresh(texts: list[str]) -> list[str]:
    """The same texts as other objects: what Python keeps beside a str that was read as UTF-8 is not there yet."""
    return [(text + "x")[:-1] for text in texts]


def timed(peer: Peer, texts: list[str]) -> tuple[float, list[int]]:
    own = fresh(texts)
    start = time.perf_counter()
    result = peer.count_all(own)
    seconds = time.perf_counter() - start
    return seconds, [int(count) for count in peer.counts_of(result)]


def seconds_of(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def survived(peer: Peer, text: str) -> float | None:
    """MB/s, or None where the library gave up."""
    own = fresh([text])
    try:
        return len(text.encode()) / seconds_of(lambda: peer.count_all(own)) / 1e6
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return None


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
