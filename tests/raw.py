"""A writer of the wire format that knows no limits: protobuf, the envelope and zstd frames, from their descriptions."""

from __future__ import annotations

import struct
import zlib

# Numbers of the schema, and how each field is written.
BLOCK = {
    "id": (1, "text"),
    "timestamp": (2, "varint"),
    "content": (3, "text"),
    "relevance_score": (4, "float"),
    "metadata": (5, "map"),
    "type": (6, "varint"),
    "token_count": (7, "varint"),
    "references": (8, "texts"),
    "exact_relevance_score": (9, "double"),
    "origin": (10, "text"),
}
PACKAGE = {
    "session_id": (1, "text"),
    "agent_id": (2, "text"),
    "version": (5, "varint"),
    "trace_id": (6, "text"),
    "counter": (7, "text"),
    "operation_id": (8, "text"),
    "parents": (9, "texts"),
    "hops": (10, "varint"),
    "epoch": (11, "varint"),
}


class CannotSay(Exception):  # noqa: N818  # no error: what is asked is whether a value has bytes at all
    """The wire has no bytes for such a value."""


def varint(value):
    if type(value) is not int or not 0 <= value < 2**64:
        raise CannotSay
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def nested(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def text(value):
    """UTF-8; bytes are written as they are."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise CannotSay
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise CannotSay from None


def number(kind, value):
    if type(value) not in (int, float):
        raise CannotSay
    try:
        return struct.pack(kind, value)
    except OverflowError:
        raise CannotSay from None


def field(at, kind, value):
    """One field, also where it is empty or 0."""
    if kind == "varint":
        return varint(at << 3) + varint(value)
    if kind == "float":
        return varint(at << 3 | 5) + number("<f", value)
    if kind == "double":
        return varint(at << 3 | 1) + number("<d", value)
    if kind == "text":
        return nested(at, text(value))
    if kind == "map" and isinstance(value, dict):
        return b"".join(nested(at, nested(1, text(k)) + nested(2, text(v))) for k, v in value.items())
    if kind == "texts" and isinstance(value, list):
        if not all(isinstance(one, str | bytes) for one in value):
            raise CannotSay
        # Each text once: a million of the same are quick then.
        written = {one: nested(at, text(one)) for one in set(value)}
        return b"".join(written[one] for one in value)
    raise CannotSay


def block(**fields):
    """A good block, but for what is given; None leaves a field out."""
    good = {"id": "a", "content": "word", "relevance_score": 0.5, "type": 1, "timestamp": 1}
    return message(BLOCK, {**good, **fields})


def message(schema, fields):
    return b"".join(field(*schema[name], value) for name, value in fields.items() if value is not None)


def package(*blocks, **fields):
    """A package of blocks that are bytes already."""
    good = {"session_id": "wire", "agent_id": "a", "version": 1, "counter": "o200k_base"}
    return message(PACKAGE, {**good, **fields}) + b"".join(nested(3, one) for one in blocks)


def sealed(body, *, flags=0, size=None, claims=b"", signature=b"", magic=b"PCX1", version=1, checksum=None):
    """An envelope around a body, right in whatever is not given."""
    size = len(body) if size is None else size
    header = magic + struct.pack("<BBHII", version, flags, len(claims), size, len(body))
    data = header + body + claims + signature
    return data + struct.pack("<I", zlib.crc32(data) if checksum is None else checksum)


def frame(pieces, said):
    """A zstd frame of one segment without a checksum that says it is `said` bytes long; None says nothing.

    Pieces are (type, size, bytes): 0 for bytes as they are, 1 for a byte and how often it comes.
    """
    # Without a size a frame has a window, here of 1 MiB.
    out = bytearray(b"\x28\xb5\x2f\xfd") + (b"\x00\x50" if said is None else b"\xa0" + struct.pack("<I", said))
    for at, (kind, size, data) in enumerate(pieces):
        is_last = at == len(pieces) - 1
        out += struct.pack("<I", size << 3 | kind << 1 | is_last)[:3] + data
    return bytes(out)


def runs(size):
    """Pieces of `size` times the letter a, four bytes for 128 KiB."""
    whole, rest = divmod(size, 128 << 10)
    return [(1, 128 << 10, b"a")] * whole + [(1, rest, b"a")] * bool(rest)


def stored(body):
    """A zstd frame in which nothing is smaller than it was."""
    starts = range(0, len(body), 128 << 10) or [0]
    pieces = [body[start : start + (128 << 10)] for start in starts]
    return frame([(0, len(piece), piece) for piece in pieces], len(body))
