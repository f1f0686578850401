"""Stores under the oldest and the newest redis-py that the extra allows, and what a machine without it is told."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from servers.program import REDIS
from servers.server import SKIP_REASON

ROOT = Path(__file__).parent.parent
VERSIONS = re.search(r"^REDIS_PYS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()


def test_the_oldest_and_the_newest_that_are_allowed_are_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (allowed,) = project["optional-dependencies"]["redis"]
    oldest, newest = VERSIONS
    line = int(newest.partition(".")[0])
    assert allowed == f"redis>={oldest.removesuffix('.0')},<{line + 1}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The suite under each version, all at a time: they wait for servers more than they work."""
    if REDIS.skipped:
        pytest.skip(SKIP_REASON)
    for version in VERSIONS:
        if not (folder_of(version) / "done").exists():
            pytest.fail(f".cache/{folder_of(version).name} is missing: `make test` installs it", pytrace=False)
    with contextlib.ExitStack() as started:
        yield {version: started.enter_context(suite(version, tmp_path_factory.mktemp("suite"))) for version in VERSIONS}


def folder_of(version):
    return ROOT / ".cache" / f"redis-py-{version}"


@contextlib.contextmanager
def suite(version, folder):
    options = ["--quiet", f"--basetemp={folder / 'inner'}", "-p", "no:cacheprovider"]
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, Path(__file__).with_name("with_redis.py")],
        cwd=ROOT,
        env={**os.environ, "PYCONTEXT_REDIS_PY": version, "PYTHONPATH": str(folder_of(version))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with run:
        try:
            yield run
        finally:
            run.kill()


@pytest.mark.parametrize("version", VERSIONS)
def test_stores_work_over_it(version, runs):
    said, _ = runs[version].communicate(timeout=300)
    assert runs[version].returncode == 0, said
    assert re.search(r"^\d+ passed in", said, re.MULTILINE), said


WITHOUT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "redis":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import asyncio
import pycontext
from pycontext import ContextBlock, ContextPackage, ContextType, open_async_store, open_store
"""


def without_redis_py(program):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT + program],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("opened", ["open_store", "open_async_store"])
@pytest.mark.parametrize(
    "url", ["redis://h", "rediss://h", "unix:///p", "redis+cluster://h", "redis+sentinel://h/main"]
)
def test_without_redis_py_one_sentence_says_what_to_install(opened, url):
    run = without_redis_py(f"{opened}({url!r})")
    last = run.stderr.splitlines()[-1]
    assert last == "ImportError: stores in Redis need redis-py: pip install 'pycontext-layer[redis]'"


def test_without_redis_py_everything_else_works(tmp_path):
    run = without_redis_py(f"""
for name in pycontext.__all__:
    getattr(pycontext, name)
block = ContextBlock("a", "words", 0.5, ContextType.USER)
for url in ("memory://", "sqlite:///{tmp_path}/waiting.db"):
    with open_store(url) as store:
        store.save(ContextPackage("s", "agent", [block]))
        assert [one.id for one in store.load("s").blocks] == ["a"]

async def awaited(url):
    async with open_async_store(url) as store:
        await store.save(ContextPackage("s", "agent", [block]))
        assert [one.id for one in (await store.load("s")).blocks] == ["a"]

for url in ("memory://", "sqlite:///{tmp_path}/awaited.db"):
    asyncio.run(awaited(url))
assert not [name for name in sys.modules if name.partition(".")[0] == "redis"]
print("all of it")
""")
    assert (run.stdout, run.stderr) == ("all of it\n", "")
