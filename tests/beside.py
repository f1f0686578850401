"""Libraries that the Makefile installs beside .venv, in the oldest and the newest version that an extra allows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def versions(variable):
    """The oldest and the newest version, as a variable of the Makefile names them."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    oldest, newest = re.search(rf"^{variable} := (.*)$", makefile, re.MULTILINE)[1].split()
    return oldest, newest


def allowed(extra):
    """What the extra asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (only,) = project["optional-dependencies"][extra]
    return only


def folder(name):
    """Where the Makefile puts it, such as protobuf-7.36.2."""
    made = ROOT / ".cache" / name
    if not (made / "done").exists():
        pytest.fail(f".cache/{name} is missing: `make test` installs it", pytrace=False)
    return made


def passes(suite, name, tmp_path, **environment):
    """That all tests of a file pass where this library comes before all others."""
    options = ["--quiet", f"--basetemp={tmp_path / 'inner'}", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, Path(__file__).with_name(suite)],
        cwd=ROOT,
        env={**os.environ, **environment, "PYTHONPATH": str(folder(name))},
        capture_output=True,
        check=False,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^\d+ passed in", run.stdout, re.MULTILINE), run.stdout
