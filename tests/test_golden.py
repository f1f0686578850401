"""What earlier versions wrote stays readable, and this version writes what it wrote when its files were made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pycontext import ContextPackage, Delta, __version__, apply, delta

GOLDEN = Path(__file__).parent / "data" / "golden"
RELEASES = sorted(path for path in GOLDEN.iterdir() if path.is_dir())
NOW = GOLDEN / __version__

READERS = {
    "package.pcx": ContextPackage.from_bytes,
    "package-zstd.pcx": ContextPackage.from_bytes,
    "package.pb": ContextPackage.from_protobuf,
}


def json_of(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def read(folder, name):
    return READERS[name]((folder / name).read_bytes())


@pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
@pytest.mark.parametrize("name", READERS)
def test_a_package_of_any_release_reads_as_what_it_was(folder, name):
    package = read(folder, name)
    assert package.to_dict() == json_of(folder, "package.json")
    assert package.content_hash == json_of(folder, "delta.json")["base_hash"]


@pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
def test_a_delta_of_any_release_makes_what_it_made(folder):
    said = json_of(folder, "delta.json")
    found = Delta.from_bytes((folder / "delta.pcx").read_bytes())
    assert [list(run) for run in found.runs] == said["runs"]
    assert (found.base_hash, found.content_hash) == (said["base_hash"], said["content_hash"])
    assert [block.id for block in found.package.blocks] == said["carried"]
    assert apply(read(folder, "package.pb"), found).to_dict() == json_of(folder, "after.json")


def test_what_is_written_is_what_was_written():
    base = ContextPackage.from_dict(json_of(NOW, "package.json"), strict=True)
    new = ContextPackage.from_dict(json_of(NOW, "after.json"), strict=True)
    assert base.to_bytes() == (NOW / "package.pcx").read_bytes()
    assert base.to_protobuf() == (NOW / "package.pb").read_bytes()
    assert delta(base, new).to_bytes() == (NOW / "delta.pcx").read_bytes()
    # What zstd makes of it may change with zstd; what it holds may not.
    small = base.to_bytes(compress="zstd")
    assert len(small) < len(base.to_bytes())
    assert ContextPackage.from_bytes(small).to_protobuf() == (NOW / "package.pb").read_bytes()


def test_what_was_read_is_written_again():
    for name in READERS:
        assert read(NOW, name).to_bytes() == (NOW / "package.pcx").read_bytes()
    data = (NOW / "delta.pcx").read_bytes()
    assert Delta.from_bytes(data).to_bytes() == data
