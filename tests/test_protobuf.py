"""The same bytes under Python's own protobuf, the oldest and the newest version that the extra allows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from beside import allowed, passes, versions

OLDEST, NEWEST = versions("PROTOBUFS")


def test_the_oldest_and_the_newest_that_are_allowed_are_tested():
    line = int(NEWEST.partition(".")[0])
    assert allowed("protobuf") == f"protobuf>={OLDEST},<{line + 1}"


# protobuf has a core in C, and where that does not exist one in Python that reads and writes by itself.
@pytest.mark.parametrize(("version", "implementation"), [(OLDEST, "upb"), (NEWEST, "upb"), (NEWEST, "python")])
def test_protobuf_and_ours_read_each_other(version, implementation, tmp_path):
    names = {"PYCONTEXT_PROTOBUF": version, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    passes("with_protobuf.py", f"protobuf-{version}", tmp_path, **names)


def test_without_protobuf_one_line_says_what_to_install():
    program = "import sys; sys.modules['google'] = None; import pycontext, pycontext.schema"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, text=True)
    last = run.stderr.splitlines()[-1]
    assert last == "ImportError: pycontext.schema needs protobuf: pip install 'pycontext-layer[protobuf]'"
