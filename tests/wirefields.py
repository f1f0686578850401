"""Protobuf by hand: fields of a message as they are on the wire, so that tests can write what no library writes."""

from __future__ import annotations

import random
from collections.abc import Iterable

VARINT, FIXED64, BYTES, START, END, FIXED32 = range(6)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, wire: int, value: bytes | int = b"") -> bytes:
    """One field: a number for a varint, else the bytes behind the tag, with their length where they have one."""
    tag = varint(number << 3 | wire)
    if isinstance(value, int):
        return tag + varint(value)
    return tag + (varint(len(value)) if wire == BYTES else b"") + value


def fields(data: bytes) -> list[tuple[int, int, bytes]]:
    """Number, wire type and the bytes of the value of every field; a group is the fields inside it."""
    found, at = [], 0
    while at < len(data):
        (tag, at) = _varint_at(data, at)
        number, wire, start = tag >> 3, tag & 7, at
        if wire == VARINT:
            _, at = _varint_at(data, at)
        elif wire == BYTES:
            size, start = _varint_at(data, at)
            at = start + size
        else:
            at += {FIXED64: 8, FIXED32: 4}[wire]
        found.append((number, wire, data[start:at]))
    return found


def joined(parts: Iterable[tuple[int, int, bytes]]) -> bytes:
    return b"".join(field(*part) for part in parts)


def shuffled(data: bytes, seed: int, maps: Iterable[int] = ()) -> bytes:
    """The same message with its fields in another order; entries of maps change places, those of lists do not."""
    parts = fields(data)
    places = list(range(len(parts)))
    random.Random(seed).shuffle(places)
    lists = {part[0] for part in parts} - set(maps)
    for number in lists:
        own = [place for place in places if parts[place][0] == number]
        order = iter(sorted(own))
        places = [next(order) if place in own else place for place in places]
    return joined(parts[place] for place in places)


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
