"""The message classes of Python's `protobuf` for `proto/pycontext/context.proto`; needs the extra `protobuf`.

Packages are read and written without it: this is for who speaks protobuf already. Nothing here was generated, because
generated code does not import under a runtime that is older than its compiler.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from pycontext.block import ContextType

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
except ImportError as cause:
    raise ImportError("pycontext.schema needs protobuf: pip install 'pycontext-layer[protobuf]'") from cause

__all__ = ["SCHEMA", "messages"]

_PACKAGE: Final = "pycontext"
_ENUM: Final = "ContextType"

# Message, field, and its type and number as the schema has them; a test compares the two.
SCHEMA: Final = {
    "ContextBlock": {
        "id": ("string", 1),
        "timestamp": ("uint64", 2),
        "content": ("string", 3),
        "relevance_score": ("float", 4),
        "metadata": ("map<string, string>", 5),
        "type": (_ENUM, 6),
        "token_count": ("uint32", 7),
        "references": ("repeated string", 8),
        "exact_relevance_score": ("optional double", 9),
        "origin": ("string", 10),
    },
    "ContextPackage": {
        "session_id": ("string", 1),
        "agent_id": ("string", 2),
        "blocks": ("repeated ContextBlock", 3),
        "metrics": ("ContextMetrics", 4),
        "version": ("uint32", 5),
        "trace_id": ("string", 6),
        "counter": ("string", 7),
        "operation_id": ("string", 8),
        "parents": ("repeated ContextParent", 9),
        "hops": ("uint32", 10),
        "epoch": ("uint32", 11),
        "sender": ("string", 12),
    },
    "ContextParent": {
        "session_id": ("string", 1),
        "version": ("uint32", 2),
        "content_hash": ("bytes", 3),
    },
    "ContextDelta": {
        "package": ("ContextPackage", 1),
        "base_hash": ("bytes", 2),
        "content_hash": ("bytes", 3),
        "runs": ("repeated ContextRun", 4),
    },
    "ContextRun": {
        "from": ("uint32", 1),
        "count": ("uint32", 2),
    },
    "ContextChange": {
        "package": ("ContextPackage", 1),
        "kind": ("uint32", 2),
        "removed": ("repeated string", 3),
    },
    "ContextMetrics": {
        "total_tokens": ("uint32", 1),
        "context_saturation": ("float", 2),
        "type_distribution": ("map<string, float>", 3),
    },
}


def messages() -> dict[str, type[Any]]:
    """Return the message classes by name, the same ones every time.

    They are in a descriptor pool of their own, so that a program may have a `context.proto` itself.
    """
    return dict(_classes())


@cache
def _classes() -> dict[str, type[Any]]:
    pool = descriptor_pool.DescriptorPool()
    # As bytes: a pool of the C library takes no message of another.
    pool.AddSerializedFile(_file().SerializeToString())
    names = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in SCHEMA}
    return {name: message_factory.GetMessageClass(found) for name, found in names.items()}


def _file() -> Any:
    """The schema as protobuf's compiler says it."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_PACKAGE}/context.proto", package=_PACKAGE, syntax="proto3", enum_type=[{"name": _ENUM}]
    )
    for kind in ContextType:
        file.enum_type[0].value.add(name=kind.name, number=kind.value)
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, (kind_of_field, number) in fields.items():
            _add(message, field, kind_of_field, number)
    return file


def _add(message: Any, name: str, kind: str, number: int) -> None:
    """Add a field to a message, with what its type needs besides."""
    *rule, of = kind.removeprefix("map<").removesuffix(">").split()
    field = message.field.add(name=name, number=number)
    field.label = _number("LABEL_OPTIONAL")
    if kind.startswith("map<"):
        # On the wire a map is a list of messages with a key and a value.
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry", options={"map_entry": True})
        _add(entry, "key", rule[0].removesuffix(","), 1)
        _add(entry, "value", of, 2)
        rule, of = ["repeated"], f"{message.name}.{entry.name}"
    if rule == ["repeated"]:
        field.label = _number("LABEL_REPEATED")
    if rule == ["optional"]:
        # A field that is there or not stands in a choice of one, as compilers of old knew no other way to say it.
        field.proto3_optional = True
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{name}")
    if of[0].isupper():
        field.type = _number("TYPE_ENUM" if of == _ENUM else "TYPE_MESSAGE")
        field.type_name = f".{_PACKAGE}.{of}"
    else:
        field.type = _number(f"TYPE_{of.upper()}")


def _number(name: str) -> int:
    """A constant of protobuf's own schema."""
    number: int = getattr(descriptor_pb2.FieldDescriptorProto, name)
    return number
