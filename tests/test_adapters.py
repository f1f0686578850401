"""The adapters, each with the framework itself, which is installed beside .venv."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from beside import ROOT, passes

PINS = dict(
    re.findall(r"^([\w-]+)==(.*)$", (ROOT / "tests" / "frameworks.txt").read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.mark.parametrize("suite", ["with_langchain.py", "with_openai_agents.py"])
def test_an_adapter_works_with_the_framework_itself(suite, tmp_path):
    passes(suite, "frameworks", tmp_path)


@pytest.mark.parametrize(("extra", "name"), [("langchain", "langchain"), ("openai-agents", "openai-agents")])
def test_the_extra_allows_what_is_tested(extra, name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (allowed,) = project["optional-dependencies"][extra]
    least, below = re.fullmatch(rf"{name}>=([\d.]+),<([\d.]+)", allowed).groups()
    tested = PINS[name]
    assert tested.startswith(f"{least}.")
    assert [int(part) for part in tested.split(".")] < [int(part) for part in below.split(".")]


@pytest.mark.parametrize("module", ["langchain", "openai_agents"])
def test_without_the_framework_the_extra_is_named(module):
    run = subprocess.run(
        [sys.executable, "-c", f"import pycontext.adapters.{module}"],
        capture_output=True,
        check=False,
        text=True,
        cwd=Path(sys.prefix),
    )
    assert f"pip install 'pycontext-layer[{module.replace('_', '-')}]'" in run.stderr


@pytest.mark.parametrize("module", ["langchain", "openai_agents"])
def test_an_adapter_is_thin(module):
    path = ROOT / "python" / "pycontext" / "adapters" / f"{module}.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) < 150
