"""Where recorded data is: the one setting PYCONTEXT_DATA, a folder beside the repository unless it says otherwise."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from pycontext import _core

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("PYCONTEXT_DATA", ROOT.parent / "shared" / "data"))
CACHE = ROOT / ".cache" / "benches"

# The names under which tiktoken keeps what it has downloaded.
TIKTOKEN_FILES = {
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
}


def missing(*names: str) -> str:
    """What to say when recorded data is not here; empty when it is."""
    absent = [name for name in names if not (DATA / name).exists()]
    return f"{', '.join(absent)} not found in {DATA.name}/ (set PYCONTEXT_DATA)" if absent else ""


def read_jsonl(name: str) -> list[dict[str, Any]]:
    with (DATA / name).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def tiktoken_cache() -> Path:
    """A cache for tiktoken, filled from the vocabularies in the wheel: it cannot download here."""
    folder = CACHE / "tiktoken"
    folder.mkdir(parents=True, exist_ok=True)
    for encoding, name in TIKTOKEN_FILES.items():
        if not (folder / name).exists():
            tokens = enumerate(_core.vocabulary(encoding))
            (folder / name).write_bytes(b"".join(base64.b64encode(t) + b" %d\n" % rank for rank, t in tokens))
    return folder
