"""Who imports whom. A new edge fails here: change the design first, then this map and ARCHITECTURE.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pycontext

PACKAGE = Path(pycontext.__file__).parent

# Each module, with all that it may import of this package. The order is the walk of a block.
MAY_IMPORT = {
    "_core": set(),
    "errors": set(),
    "counter": {"_core", "errors"},
    "block": {"_core", "counter"},
    "budget": {"errors"},
    "policy": {"errors"},
    "formatter": {"block"},
    "scorer": {"errors", "blockset"},  # the set is named in a signature only
    "messages.openai": {"_core", "block", "errors"},
    "selection": {"_core", "block", "errors", "messages.openai"},
    "kernel": {"_core", "block", "counter", "errors", "formatter", "messages.openai", "policy", "selection"},
    "blockset": {
        "_core", "block", "budget", "counter", "errors", "formatter", "kernel", "policy", "scorer", "selection",
    },
    "package": {"_core", "block", "blockset", "budget", "counter", "errors"},
    "originals": {"block"},
    "manager": {
        "block", "budget", "counter", "errors", "formatter", "kernel", "originals", "package", "policy", "scorer",
        "selection",
    },
    "cli.exits": set(),
    "cli.console": {"selection"},
    "cli.conversations": {"blockset", "counter", "errors", "messages.openai"},
    "cli.options": set(),
    "cli.source": {"cli.console", "cli.conversations", "counter"},
    "cli.prune": {
        "budget", "cli.console", "cli.conversations", "cli.exits", "cli.options", "cli.source", "counter", "errors",
        "policy", "selection",
    },
    "cli.inspect": {
        "block", "cli.console", "cli.conversations", "cli.exits", "cli.options", "cli.source", "counter", "policy",
        "selection",
    },
    "cli.count": {"cli.console", "cli.conversations", "cli.exits", "cli.options", "cli.source", "counter", "errors"},
    "cli.demo": {
        "block", "blockset", "cli.console", "cli.exits", "cli.options", "counter", "messages.openai", "selection",
    },
    "cli.main": {"_core", "cli.conversations", "cli.exits", "errors"},  # and, by name, the command that runs
}  # fmt: skip

# Names and nothing else.
FACADES = {"", "messages", "cli", "__main__"}


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(path):
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            # `from pycontext.messages import openai` names a module, `from pycontext.block import X` does not.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if is_module(name) else node.module for name in names]
        else:
            continue
        found |= {name.removeprefix("pycontext.") for name in names if name.startswith("pycontext.")}
    return found


def is_module(name):
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return path.with_suffix(".py").exists() or path.with_suffix(".pyi").exists()


def test_no_module_imports_what_the_map_does_not_allow():
    modules = {name_of(path): imports_of(path) for path in PACKAGE.rglob("*.py")}
    actual = {name: found for name, found in modules.items() if name not in FACADES}
    actual["_core"] = set()
    allowed = "\n".join(f"{name} <- {', '.join(sorted(found)) or '-'}" for name, found in MAY_IMPORT.items())
    for name, found in actual.items():
        assert name in MAY_IMPORT, f"{name} is new; the map is:\n{allowed}"
        assert found == MAY_IMPORT[name], f"{name} imports {sorted(found)}; the map is:\n{allowed}"
    assert set(actual) == set(MAY_IMPORT)


def test_the_map_goes_one_way():
    order = list(MAY_IMPORT)
    for name, found in MAY_IMPORT.items():
        later = {other for other in found if order.index(other) >= order.index(name)}
        assert later <= ({"blockset"} if name == "scorer" else set()), f"{name} imports {later}, which come after it"


def test_the_core_knows_nothing_of_python():
    root = Path(__file__).parent.parent
    manifest = (root / "rust" / "pycontext-core" / "Cargo.toml").read_text(encoding="utf-8")
    assert "pyo3" not in manifest.lower()
    # Rust: error <- {columns, count} <- {dedup, prune}; a file may use only what is listed.
    allowed = {
        "error": set(),
        "kind": set(),
        "limits": {"error"},
        "policy": set(),
        "count/mod": set(),
        "count/encoding": set(),
        "provider": set(),
        "render": {"kind", "provider"},
        "cost": {"count", "kind", "provider", "render"},
        "columns": {"cost", "count", "error", "kind", "provider"},
        "dedup": {"columns"},
        "unit": {"columns", "kind"},
        "selection": {"columns", "error", "unit"},
        "prune": {"columns", "cost", "dedup", "error", "kind", "policy", "selection", "unit"},
        "lib": set(),
    }
    source = root / "rust" / "pycontext-core" / "src"
    found = {}
    for path in source.rglob("*.rs"):
        code = path.read_text(encoding="utf-8").partition("#[cfg(test)]")[0]
        own = path.relative_to(source).with_suffix("").as_posix()
        found[own] = set(re.findall(r"\bcrate::(\w+)", code)) | set(re.findall(r"\bsuper::(\w+)", code)) - {"Counter"}
    assert found == allowed


def test_the_package_exports_what_it_names():
    assert all(hasattr(pycontext, name) for name in pycontext.__all__)
    assert list(pycontext.__all__) == sorted(pycontext.__all__)
