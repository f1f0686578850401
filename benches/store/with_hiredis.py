"""The same appends and questions where redis-py has the parser hiredis, which is in no extra of ours."""

from __future__ import annotations

import base64
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version

from redis.utils import HIREDIS_AVAILABLE

from benches.data import ROOT
from benches.frame import Row
from benches.store import append, sync

SIZE = 2_000
FOLDER = ROOT / ".cache" / "bench-store-hiredis"


def run(url: str) -> tuple[list[Row], list[str]]:
    """Rows of another process: whether there is hiredis is seen once, when redis-py is imported."""
    problem = install()
    if problem:
        return [], [f"hiredis could not be installed, and has no rows: {problem}"]
    told = subprocess.run(
        [sys.executable, "-m", __name__, url],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(FOLDER)},
        stdout=subprocess.PIPE,
        check=True,
    )
    rows, note = pickle.loads(base64.b64decode(told.stdout))
    return rows, [note]


def install() -> str:
    """Put it where this process does not see it; say what stood in the way."""
    if (FOLDER / "done").exists():
        return ""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--upgrade"]
    made = subprocess.run([*pip, "--no-deps", "--target", FOLDER, "hiredis"], capture_output=True, check=False)
    if made.returncode:
        return (made.stderr.decode().strip().splitlines() or ["no reason is given"])[-1]
    (FOLDER / "done").touch()
    return ""


def measured(url: str) -> tuple[list[Row], str]:
    rows = [*append.of_one(url, SIZE, append.ROUNDS[SIZE]), append.of_one_async(url), *sync.nothing_new(url, SIZE)]
    found = [
        replace(row, job=f"{row.job}, with hiredis", required="", met=None) for row in rows if row.other != "article"
    ]
    return found, f"hiredis {version('hiredis')} is in the rows that name it only."


if __name__ == "__main__":
    if not HIREDIS_AVAILABLE:
        raise SystemExit("redis-py sees no hiredis")
    print(base64.b64encode(pickle.dumps(measured(sys.argv[1]))).decode())
