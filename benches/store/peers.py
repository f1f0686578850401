"""How long two other libraries take for one message in the same server, from environments of their own.

They store something else: a list of messages as JSON, in Redis of their own client; no versions, no epochs, no
operations that are done once. The rows say what an append and a load cost their users, nothing more.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Self

from benches.data import ROOT
from benches.frame import Row, compare, race
from benches.store import sessions
from pycontext.store import open_store

SIZES = (20, 2_000)
ROUNDS = 21
# Many, since each command goes through a pipe as well.
CALLS = 20
CHILD = Path(__file__).with_name("peer.py")
FOLDER = ROOT / ".cache" / "bench-store-peers"
PEERS = {
    "openai-agents RedisSession": ("openai_agents", ["openai-agents[redis]"]),
    "agent-framework-redis": ("agent_framework", ["--pre", "agent-framework-redis"]),
}


class Peer:
    """A process of another library, which does what it is told and says how long that took."""

    def __init__(self, name: str, kind: str, python: Path, url: str) -> None:
        self.name, self.kind = name, kind
        self._child = subprocess.Popen(
            [python, CHILD, kind, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=FOLDER
        )
        self.versions = str(self.ask())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.communicate(timeout=30)

    def ask(self, *command: object) -> object:
        if self._child.stdin is None or self._child.stdout is None:
            raise AssertionError
        if command:
            self._child.stdin.write(json.dumps(command) + "\n")
            self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name} ended")
        return json.loads(answer)


def run(url: str) -> tuple[list[Row], list[str]]:
    rows, notes = list[Row](), list[str]()
    for name, (kind, packages) in PEERS.items():
        python, problem = installed(kind, packages)
        if problem:
            notes.append(f"{name} could not be installed, and is no row: {problem}")
            continue
        with Peer(name, kind, python, url) as peer:
            notes.append(f"{name}: {peer.versions}.")
            for size in SIZES:
                rows += against(url, peer, size)
    return rows, notes


def installed(kind: str, packages: list[str]) -> tuple[Path, str]:
    """The interpreter of an environment with these packages, and what stood in the way."""
    folder = FOLDER / kind
    python, done = folder / "bin" / "python", folder / "done"
    try:
        if not done.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, capture_output=True)
            pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            subprocess.run([*pip, *packages], check=True, capture_output=True, timeout=600)
            done.touch()
    except subprocess.CalledProcessError as error:
        return python, (error.stderr.decode().strip().splitlines() or ["no reason is given"])[-1]
    except subprocess.TimeoutExpired:
        return python, "it took more than 600 s"
    return python, ""


def against(url: str, peer: Peer, size: int) -> list[Row]:
    """The texts of the same blocks: ours as blocks, theirs as messages of a user."""
    store, later, session = open_store(url), sessions.later(CALLS), f"peer.{peer.kind}.{size}"
    texts = [block.content for block in later]
    start = [block.content for block in sessions.first(size)]

    def fill(name: str, _number: int) -> None:
        if name == "ours":
            store.delete(session)
            store.save(sessions.package(session, size))
        else:
            peer.ask("fill", session, start)

    def append(_number: int) -> None:
        for block in later:
            store.append(session, [block])

    job = f"{size:,} blocks, or as many messages"
    taken = race({"ours": append, peer.name: lambda _: peer.ask("append", session, texts)}, ROUNDS, prepare=fill)
    kept = open_store(url).load(session).blocks
    sessions.check(f"append beside {peer.name}", kept, [*sessions.first(size), *later])
    if peer.ask("load", session) != [*start, *texts]:
        raise SystemExit(f"{peer.name} reads other messages than were written")
    appended = {name: [value / CALLS for value in values] for name, values in taken.items()}
    forgetful = sessions.Forgetful(url)
    loaded = race(
        {"ours": lambda _: forgetful.load(session), peer.name: lambda _: peer.ask("load", session)},
        ROUNDS,
        prepare=lambda name, _: forgetful.forget() if name == "ours" else None,
    )
    return [
        *compare(f"append to {job}", appended, ours="ours"),
        *compare(f"load {job} for the first time", loaded, ours="ours"),
    ]
