"""Where the tests get redis-server and its client from."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from beside import allowed, folder, versions
from fetched import NoProgramError
from servers.program import REDIS, from_debian
from servers.server import SKIP_REASON

ROOT = Path(__file__).parent.parent


def test_many_who_want_it_at_once_fetch_it_once(tmp_path):
    run = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[1])
from servers.program import REDIS
place = pathlib.Path(sys.argv[2])
def slow(room):
    with (place / "fetched").open("a") as log:
        log.write("once\\n")
    time.sleep(0.3)
    (room / "script").write_text("#!/bin/sh\\necho Redis server v=7.1.2\\n")
    (room / "script").chmod(0o755)
    return "script"
print(REDIS.fetch(place / "redis", {"slow": slow}).version)
"""
    command = [sys.executable, "-c", run, str(ROOT / "tests"), str(tmp_path)]
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) for _ in range(3)]
        said = [run.communicate(timeout=60)[0] for run in runs]
    assert said == ["(7, 1, 2)\n"] * 3
    assert (tmp_path / "fetched").read_text(encoding="utf-8") == "once\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fetched", "redis", "redis.lock"]


def script(room, line):
    (room / "script").write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    (room / "script").chmod(0o755)
    return "script"


def test_a_source_that_fails_leaves_the_next_one_its_turn(tmp_path):
    def broken(_room):
        raise NoProgramError("no network")

    def silent(room):
        return script(room, "exit 1")

    def good(room):
        return script(room, "echo Redis server v=6.2.14")

    cache = tmp_path / "redis"
    with pytest.raises(NoProgramError) as none:
        REDIS.fetch(cache, {"one": broken, "two": silent})
    (sentence,) = str(none.value).splitlines()
    assert "one: no network; two: " in sentence
    assert "PYCONTEXT_SKIP_REDIS=1" in sentence
    assert not cache.exists()
    found = REDIS.fetch(cache, {"one": broken, "two": silent, "three": good})
    assert found.version == (6, 2, 14)
    # What was fetched for another system is fetched again.
    script(cache, "exit 1")
    assert REDIS.fetch(cache, {"three": good}) == found


@pytest.mark.skipif(not Path("/usr/bin/apt-cache").exists(), reason="tries Debian's tools")
def test_without_debians_lists_there_is_a_reason(tmp_path, monkeypatch):
    (tmp_path / "lists").mkdir()
    settings = tmp_path / "apt.conf"
    # Nor a place to fetch lists from.
    places = {"State::lists": tmp_path / "lists", "Etc::sourcelist": "/dev/null", "Etc::sourceparts": "/dev/null"}
    lines = (f'Dir::{name} "{place}";\n' for name, place in places.items())
    settings.write_text("".join(lines), encoding="utf-8")
    monkeypatch.setenv("APT_CONFIG", str(settings))
    with pytest.raises(NoProgramError, match=r"No packages found|Unable to locate"):
        REDIS.fetch(tmp_path / "redis", {"Debian's packages": from_debian})


def test_who_goes_round_it_is_told_so(tmp_path):
    names = "settings or outlives or tenth or sentinel or says_where"
    options = ["-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}", "-k", names, "tests/test_servers.py"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=ROOT,
        env={**os.environ, "PYCONTEXT_SKIP_REDIS": "1"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^=+ 7 skipped, \d+ deselected in", run.stdout, re.MULTILINE), run.stdout
    assert f"NOT TESTED: 7 tests: {SKIP_REASON}\n" in run.stdout
    assert re.search(rf"^SKIPPED \[\d\] .*{SKIP_REASON}$", run.stdout, re.MULTILINE), run.stdout


@pytest.mark.parametrize("version", versions("REDIS_PYS"))
def test_the_oldest_and_the_newest_client_are_at_hand(version):
    oldest, newest = versions("REDIS_PYS")
    line = int(newest.partition(".")[0])
    assert allowed("redis") == f"redis>={oldest.removesuffix('.0')},<{line + 1}"
    program = "import redis; print(redis.__version__)"
    environment = {**os.environ, "PYTHONPATH": str(folder(f"redis-py-{version}"))}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True)
    assert run.stdout == f"{version}\n"
