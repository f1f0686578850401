"""A gigabyte of conversations: the shape of the recorded ones, and text that is on the machine."""

from __future__ import annotations

import json
import os
import random
import sys
import sysconfig
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from benches.data import ROOT, read_jsonl

FOLDER = ROOT / ".cache" / "batch"
SEED = 11
SUFFIXES = {".py", ".rs", ".md", ".txt", ".h", ".html", ".rst", ".toml", ".js", ".css", ".json"}
# Where other text is: what every machine that builds this has.
SOURCES = (
    Path(sysconfig.get_paths()["stdlib"]),
    Path(sysconfig.get_paths()["purelib"]),
    Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "registry" / "src",
    Path("/usr/share"),
    Path("/usr/include"),
    Path("/usr/lib"),
)


def passages(chance: random.Random) -> Iterator[str]:
    """Text of files, each once; then again from other places of the files on, which makes other passages of it."""
    files = [
        path
        for source in SOURCES
        for path in sorted(source.rglob("*"))
        if path.suffix in SUFFIXES and path.is_file() and 500 < path.stat().st_size < 1 << 20
    ]
    while files:
        chance.shuffle(files)
        for path in files:
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            at = chance.randrange(200)
            while at < len(text):
                length = int(chance.lognormvariate(6.3, 0.9)) + 20
                passage = text[at : at + length]
                at += length
                if passage.strip() and "\x00" not in passage:
                    yield passage


def fresh(megabytes: int) -> Path:
    """The recorded shapes with other text: system prompts, calls and one text of ten are those of the record."""
    path = FOLDER / f"fresh-{megabytes}-{SEED}.jsonl"
    if path.exists():
        return path
    FOLDER.mkdir(parents=True, exist_ok=True)
    chance = random.Random(SEED)
    recorded = [each["messages"] for each in read_jsonl("conversations/airline.jsonl")]
    texts, number = passages(chance), 0
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as out:
        while out.tell() < megabytes << 20:
            shape = chance.choice(recorded)
            messages = []
            for message in shape:
                content = message.get("content")
                if message["role"] != "system" and content and chance.random() > 0.1:
                    content = next(texts)
                messages.append({**message, "content": content})
            # More turns than the record has: logs of agents are longer than its customers' patience.
            for _ in range(chance.randrange(0, 24)):
                messages += [{"role": "user", "content": next(texts)}, {"role": "assistant", "content": next(texts)}]
            fields = {"id": f"fresh-{number}", "messages": messages, "meta": {"n": number, "tags": ["a", "b"]}}
            # Half of all writers escape what is not ASCII.
            out.write(json.dumps(fields, ensure_ascii=number % 2 == 0) + "\n")
            number += 1
    part.replace(path)
    return path


def repeated(megabytes: int) -> Path:
    """The recorded conversations again and again, under other ids."""
    path = FOLDER / f"repeated-{megabytes}.jsonl"
    if path.exists():
        return path
    FOLDER.mkdir(parents=True, exist_ok=True)
    recorded = [row for name in ("airline", "telecom") for row in read_jsonl(f"conversations/{name}.jsonl")]
    part, number = path.with_suffix(".part"), 0
    with part.open("w", encoding="utf-8") as out:
        while out.tell() < megabytes << 20:
            out.write(json.dumps({**recorded[number % len(recorded)], "id": f"again-{number}"}) + "\n")
            number += 1
    part.replace(path)
    return path


def lines_of(path: Path, size: int = 16 << 20) -> Iterator[list[bytes]]:
    """The lines of a file, some megabytes at a time."""
    with path.open("rb") as file:
        while lines := file.readlines(size):
            yield lines


def texts_of(line: bytes) -> list[str]:
    """The contents of a line's messages."""
    import orjson  # noqa: PLC0415  # where it is measured

    return [message["content"] for message in orjson.loads(line)["messages"] if message.get("content")]


def distinct(path: Path) -> dict[str, float]:
    """What is in a file: bytes, conversations, messages, text and how much of it is there for the first time."""
    seen: set[bytes] = set()
    found = dict.fromkeys(("bytes", "conversations", "messages", "text", "distinct"), 0)
    for lines in lines_of(path):
        for line in lines:
            found["bytes"] += len(line)
            found["conversations"] += 1
            for text in texts_of(line):
                found["messages"] += 1
                data = text.encode()
                found["text"] += len(data)
                digest = blake2b(data, digest_size=8).digest()
                if digest not in seen:
                    seen.add(digest)
                    found["distinct"] += len(data)
    return {**found, "share": found["distinct"] / max(found["text"], 1)}


if __name__ == "__main__":
    print(distinct(fresh(int(sys.argv[1]))))  # for trying
