"""Every door that bytes and JSON come in by: only a `ContextError` may come out, and what comes in can go out again.

The first byte of an input chooses the door. Options and folders are those of libFuzzer; `make fuzz` runs it.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pycontext"]):
    from pycontext import BudgetExceededError, ContextError, ContextManager, ContextPackage, Limits, handoff

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import wire

SMALL = Limits(package_bytes=512, package_blocks=3, block_bytes=64, metadata_keys=2, id_bytes=40, json_depth=5)


def imported(data, **options):
    manager = ContextManager()
    session = manager.import_session(data, **options)
    return manager.sessions[session]


def decoded(data):
    """What any reader of JSON may have made of the bytes, NaN and lone surrogates and all."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def text(data):
    return data.decode("utf-8", "surrogatepass" if b"\xed" in data else "replace")


DOORS = [
    ContextPackage.from_bytes,
    lambda data: ContextPackage.from_bytes(wire.sealed(data)),
    lambda data: ContextPackage.from_bytes(wire.sealed(wire.stored(data), flags=1, size=len(data))),
    ContextPackage.from_protobuf,
    lambda data: ContextPackage.from_protobuf(data, limits=SMALL),
    ContextPackage.from_json,
    lambda data: ContextPackage.from_json(data, limits=SMALL, strict=True),
    lambda data: ContextPackage.from_dict(decoded(data)),
    lambda data: imported(wire.sealed(data)),
    lambda data: imported(wire.sealed(data), on_system="demote"),
    lambda data: imported(wire.sealed(data), on_system="drop", limits=SMALL),
    lambda data: imported(text(data), on_system="demote"),
    lambda data: imported(decoded(data), trust="self"),
]


def try_one(data: bytes) -> None:
    door = DOORS[data[0] % len(DOORS)] if data else DOORS[0]
    try:
        package = door(data[1:])
    except UnicodeDecodeError:
        # Of `text` itself: no such text.
        return
    except ContextError as error:
        message = str(error)
        assert len(message) <= 300, message
        assert len(message.splitlines()) <= 1, message
        return
    look_again(package)


def look_again(package: ContextPackage) -> None:
    """What came in can be written, read and used."""
    package.to_json().encode()
    for again in (
        ContextPackage.from_bytes(package.to_bytes(compress="zstd")),
        ContextPackage.from_protobuf(package.to_protobuf()),
        ContextPackage.from_json(package.to_json()),
    ):
        assert again.content_hash == package.content_hash
        assert again.blocks == package.blocks
        assert again.version == package.version
    assert ContextPackage.from_json(package.to_json()).to_dict() == package.to_dict()
    try:
        package.blocks.prune(1_000, render="text").text()
        package.blocks.prune(1_000).explain(package.blocks[0].id) if len(package.blocks) else None
        if package.agent_id != "fuzz" and package.hops < 16:
            handoff(package, to="fuzz")
    except BudgetExceededError:
        return


if __name__ == "__main__":
    # A demotion is logged.
    logging.disable()
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()
