"""The adapters for engines, each with the engine itself, which is installed beside .venv; and the pattern for Spark."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow as pa
import pytest

from batch_reference import pruned_rows
from beside import ROOT, passes
from engine_rows import conversations

PINS = dict(re.findall(r"^([\w-]+)==(.*)$", (ROOT / "tests" / "engines.txt").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("suite", ["with_daft.py", "with_ray.py"])
def test_an_adapter_works_with_the_engine_itself(suite, tmp_path):
    passes(suite, "engines", tmp_path, RAY_USAGE_STATS_ENABLED="0", DAFT_ANALYTICS_ENABLED="0", DO_NOT_TRACK="1")


@pytest.mark.parametrize(("module", "extra"), [("daft", "daft"), ("ray_data", "ray")])
def test_without_the_engine_the_extra_is_named(module, extra):
    run = subprocess.run(
        [sys.executable, "-c", f"import pycontext.adapters.{module}"],
        capture_output=True,
        check=False,
        text=True,
        cwd=Path(sys.prefix),
    )
    assert f"pip install 'pycontext-layer[{extra}]'" in run.stderr


@pytest.mark.parametrize("module", ["daft", "ray_data"])
def test_an_adapter_is_thin(module):
    path = ROOT / "python" / "pycontext" / "adapters" / f"{module}.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 30


@pytest.mark.parametrize(("extra", "name"), [("daft", "daft"), ("ray", "ray")])
def test_the_extra_allows_what_is_tested(extra, name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (allowed,) = (each for each in project["optional-dependencies"][extra] if each.startswith(name))
    least, below = re.fullmatch(rf"{name}(?:\[data\])?>=([\d.]+),<([\d.]+)", allowed).groups()
    numbers = [[int(part) for part in text.split(".")] for text in (least, PINS[name], below)]
    assert numbers[0] <= numbers[1] < numbers[2]


def test_the_pattern_for_spark_gives_the_same_rows():
    page = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "mapInArrow" in block)
    known = {}
    exec(compile(code.partition("# on the cluster")[0], "engines.md", "exec"), known)
    table = conversations()
    # As Spark hands them over: an iterator of batches of any size, some of them empty.
    batches = [table.schema.empty_table().to_batches(), table.to_batches(max_chunksize=37)]
    out = list(known["pruned"](batch for part in batches for batch in part))
    assert all(isinstance(batch, pa.RecordBatch) for batch in out)
    assert pa.Table.from_batches(out, table.schema).to_pylist() == pruned_rows(table.to_pylist(), 6_000)
