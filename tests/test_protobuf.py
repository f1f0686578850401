"""The same bytes under Python's own protobuf, the oldest and the newest version that the extra allows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
VERSIONS = re.search(r"^PROTOBUFS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()


def test_the_oldest_and_the_newest_that_are_allowed_are_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (allowed,) = project["optional-dependencies"]["protobuf"]
    oldest, newest = VERSIONS
    line = int(newest.partition(".")[0])
    assert allowed == f"protobuf>={oldest},<{line + 1}"


# protobuf has a core in C, and where that does not exist one in Python that reads and writes by itself.
@pytest.mark.parametrize(
    ("version", "implementation"), [(VERSIONS[0], "upb"), (VERSIONS[1], "upb"), (VERSIONS[1], "python")]
)
def test_protobuf_and_ours_read_each_other(version, implementation, tmp_path):
    folder = ROOT / ".cache" / f"protobuf-{version}"
    if not (folder / "done").exists():
        pytest.fail(f".cache/{folder.name} is missing: `make test` installs it", pytrace=False)
    names = {"PYCONTEXT_PROTOBUF": version, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    suite = Path(__file__).with_name("with_protobuf.py")
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--quiet",
            f"--basetemp={tmp_path / 'inner'}",
            "-p",
            "no:cacheprovider",
            suite,
        ],
        cwd=ROOT,
        env={**os.environ, **names, "PYTHONPATH": str(folder)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^\d+ passed in", run.stdout, re.MULTILINE), run.stdout


def test_without_protobuf_one_line_says_what_to_install():
    program = "import sys; sys.modules['google'] = None; import pycontext, pycontext.schema"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, text=True)
    last = run.stderr.splitlines()[-1]
    assert last == "ImportError: pycontext.schema needs protobuf: pip install 'pycontext-layer[protobuf]'"
