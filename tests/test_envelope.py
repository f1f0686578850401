"""The envelope, against a small writer of it that shares nothing with ours."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import zlib
from functools import cache

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pycontext import BlockSet, ContextBlock, ContextPackage, ContextType, Limits, ValidationError

ZSTD, ENCRYPTED, SIGNED = 1, 2, 4
MIB = 1 << 20


def envelope(
    body, *, magic=b"PCX1", format=1, flags=0, claims=b"", signature=b"", uncompressed=None, body_size=None,
    claims_size=None,
):  # fmt: skip
    """An envelope whose checksum always holds, whatever else is wrong with it."""
    header = struct.pack(
        "<4sBBHII",
        magic,
        format,
        flags,
        len(claims) if claims_size is None else claims_size,
        len(body) if uncompressed is None else uncompressed,
        len(body) if body_size is None else body_size,
    )
    before = header + body + claims + signature
    return before + struct.pack("<I", zlib.crc32(before))


def package(*contents):
    blocks = [ContextBlock(f"b{i}", text, 0.5, ContextType.USER, timestamp=i) for i, text in enumerate(contents)]
    return ContextPackage("s", "agent", blocks, None, 1, "trace", operation_id="operation")


HELLO = package("hello", "wörld " * 40)
MESSAGE = HELLO.to_protobuf()
FRAME = zstandard.ZstdCompressor().compress(MESSAGE)


def refused(data, words, **options):
    for door in (ContextPackage.from_bytes, BlockSet.from_bytes):
        with pytest.raises(ValidationError) as caught:
            door(data, **options)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


# The layout.


def test_a_plain_envelope_is_laid_out_as_it_is_written_down():
    assert HELLO.to_bytes() == envelope(MESSAGE)
    assert ContextPackage.from_bytes(envelope(MESSAGE)).to_dict() == HELLO.to_dict()


def test_a_compressed_envelope_holds_one_frame_of_zstd():
    data = HELLO.to_bytes(compress="zstd")
    body = data[16:-4]
    assert data == envelope(body, flags=ZSTD, uncompressed=len(MESSAGE))
    assert len(body) < len(MESSAGE)
    assert zstandard.ZstdDecompressor().decompress(body) == MESSAGE
    theirs = envelope(FRAME, flags=ZSTD, uncompressed=len(MESSAGE))
    assert ContextPackage.from_bytes(theirs).to_dict() == HELLO.to_dict()


def test_what_zstd_makes_larger_is_stored_as_it_is():
    small = package()
    assert small.to_bytes(compress="zstd") == small.to_bytes() == envelope(small.to_protobuf())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind_are_read(kind):
    assert ContextPackage.from_bytes(kind(HELLO.to_bytes())).to_dict() == HELLO.to_dict()


@pytest.mark.parametrize("data", [None, "PCX1", 7, ["PCX1"]])
def test_what_is_no_bytes_is_refused(data):
    refused(data, f"is {type(data).__name__}, not bytes")


@pytest.mark.parametrize("compress", ["gzip", None, True, 1, b"zstd"])
def test_another_compression_is_refused(compress):
    with pytest.raises(ValidationError, match="is not one of none, zstd"):
        HELLO.to_bytes(compress=compress)


# What is no envelope, or no longer one.


@pytest.mark.parametrize(
    "data",
    [b"", b"P", b"PCX", b"PCX2" + bytes(30), b"pcx1" + bytes(30), b"{}", MESSAGE, FRAME, b"\x00" + HELLO.to_bytes()],
)
def test_another_start_is_refused(data):
    refused(data, "envelope does not start with PCX1")


@pytest.mark.parametrize("format", [0, 2, 255])
def test_another_format_is_refused(format):
    refused(envelope(MESSAGE, format=format), f"envelope has format {format}, not 1")


@pytest.mark.parametrize("flags", [8, 16, 128, 255, 9])
def test_flags_that_are_not_known_are_refused(flags):
    refused(envelope(MESSAGE, flags=flags), f"envelope has flags {flags}, not below 8")


@pytest.mark.parametrize("compress", ["none", "zstd"])
def test_every_cut_is_found(compress):
    data = HELLO.to_bytes(compress=compress)
    for size in range(len(data)):
        refused(data[:size], "does not start" if size < 4 else f"is {size} bytes, cut off before")


@pytest.mark.parametrize("compress", ["none", "zstd"])
def test_every_flipped_bit_is_found(compress):
    data = HELLO.to_bytes(compress=compress)
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValidationError):
            ContextPackage.from_bytes(bytes(changed))


@given(tail=st.binary(min_size=1, max_size=20))
def test_bytes_behind_the_end_are_found(tail):
    refused(HELLO.to_bytes() + tail, "checksum")
    refused(envelope(MESSAGE, signature=tail), f"envelope has {len(tail)} bytes behind its end")


def test_two_envelopes_are_none():
    refused(HELLO.to_bytes() * 2, "checksum")


# Headers that lie, with a checksum that holds.


@pytest.mark.parametrize(
    ("lies", "words"),
    [
        ({"body_size": len(MESSAGE) + 1}, "cut off before"),
        ({"body_size": len(MESSAGE) - 1}, f"has {1} bytes behind its end"),
        ({"body_size": 0}, f"has {len(MESSAGE)} bytes behind its end"),
        ({"body_size": 2**32 - 1}, "package is 4294967295 bytes, over 67108864"),
        ({"body_size": 64 * MIB}, "cut off before"),
        ({"uncompressed": 0}, f"has {len(MESSAGE)} bytes, and says 0"),
        ({"uncompressed": len(MESSAGE) + 1}, f"and says {len(MESSAGE) + 1}"),
        ({"uncompressed": 2**32 - 1}, "package is 4294967295 bytes, over 67108864"),
        ({"uncompressed": 64 * MIB + 1}, "package is 67108865 bytes, over 67108864"),
        ({"claims_size": 1}, "cut off before"),
        ({"claims_size": 65_535}, "cut off before"),
        ({"claims": b"c" * 9}, "has 9 bytes of claims that nobody signed"),
        ({"claims": b"c" * 9, "flags": ZSTD}, "has 9 bytes of claims that nobody signed"),
        ({"claims": b"c" * 9, "claims_size": 0}, "has 9 bytes behind its end"),
        ({"flags": SIGNED}, "says that it is signed, and has no signature"),
        ({"flags": SIGNED, "signature": b"s"}, "envelope is signed"),
        ({"flags": SIGNED, "claims": b"c", "signature": b"s"}, "envelope is signed"),
        ({"flags": ENCRYPTED}, "envelope is encrypted"),
        ({"flags": ENCRYPTED | SIGNED, "signature": b"s"}, "envelope is encrypted"),
        ({"flags": ZSTD}, "has no zstd frame"),
    ],
)
def test_a_header_that_lies_is_found(lies, words):
    refused(envelope(MESSAGE, **lies), words)


def test_no_body_is_no_package():
    refused(envelope(b""), "protobuf is empty")


# Zstd.

NO_SIZE = zstandard.ZstdCompressor(write_content_size=False).compress(MESSAGE)
SKIPPED = struct.pack("<II", 0x184D2A50, 5) + b"extra"
EMPTY = zstandard.ZstdCompressor().compress(b"")


def halves():
    half = len(MESSAGE) // 2
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in (MESSAGE[:half], MESSAGE[half:]))


@pytest.mark.parametrize(
    "frame",
    [
        NO_SIZE, halves(), FRAME + FRAME, FRAME + b"\x00", FRAME + b"garbage", FRAME + SKIPPED, SKIPPED + FRAME,
        FRAME + EMPTY, EMPTY + FRAME, FRAME[:-1], FRAME[1:], b"", EMPTY, SKIPPED, MESSAGE,
        zstandard.ZstdCompressor().compress(MESSAGE + b"x"), zstandard.ZstdCompressor().compress(MESSAGE[:-1]),
    ],
)  # fmt: skip
def test_only_one_whole_frame_of_the_size_that_was_said_is_read(frame):
    said = f"has no zstd frame of {len(MESSAGE)} bytes" if frame else f"would grow from 0 to {len(MESSAGE)} bytes"
    refused(envelope(frame, flags=ZSTD, uncompressed=len(MESSAGE)), said)


@given(at=st.integers(0, len(FRAME) - 1), byte=st.integers(0, 255))
def test_a_broken_frame_is_refused_or_read_as_zstd_reads_it(at, byte):
    frame = FRAME[:at] + bytes([byte]) + FRAME[at + 1 :]
    try:
        read = ContextPackage.from_bytes(envelope(frame, flags=ZSTD, uncompressed=len(MESSAGE)))
    except ValidationError:
        return
    # No checksum of its own is in these frames: what comes out is another message, read like any other.
    message = zstandard.ZstdDecompressor().decompress(frame)
    assert read.to_dict() == ContextPackage.from_protobuf(message).to_dict()


def at_the_ratio():
    """A package whose message is just 1,000 times its frame, and one that is a byte longer."""
    compressor = zstandard.ZstdCompressor()
    size = 100_000
    for _ in range(100):
        made = package("a" * size).to_protobuf()
        missing = 1_000 * len(compressor.compress(made)) - len(made)
        if not missing:
            break
        size += missing
    longer = package("a" * (size + 1)).to_protobuf()
    frames = [(message, compressor.compress(message)) for message in (made, longer)]
    assert [len(message) - 1_000 * len(frame) for message, frame in frames] == [0, 1]
    return frames


def test_a_body_may_grow_a_thousand_times_and_no_more():
    (most, frame), (more, frame_of_more) = at_the_ratio()
    assert ContextPackage.from_bytes(envelope(frame, flags=ZSTD, uncompressed=len(most))).to_protobuf() == most
    refused(
        envelope(frame_of_more, flags=ZSTD, uncompressed=len(more)),
        f"would grow from {len(frame)} to {len(more)} bytes, more than 1000 times",
    )


@pytest.mark.parametrize("size", [10_000, 100_000, 1 << 20])
def test_what_a_reader_would_refuse_is_never_written(size):
    large = package("a" * size)
    data = large.to_bytes(compress="zstd")
    _, _, flags, _, uncompressed, body = struct.unpack("<4sBBHII", data[:16])
    assert uncompressed <= 1_000 * body
    assert flags == (0 if size == 1 << 20 else ZSTD)
    assert ContextPackage.from_bytes(data).to_dict() == large.to_dict()


# Bombs. A process of its own, so that what it holds is what this takes.

OPEN = """
import sys

def peak():
    # ru_maxrss would have that of the process that started this one.
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))

data = sys.stdin.buffer.read()
from pycontext import ContextPackage, ValidationError
before = peak()
try:
    ContextPackage.from_bytes(data)
except ValidationError as error:
    print(before, peak(), error)
"""


@cache
def bombs():
    zeros = zstandard.ZstdCompressor().compress(bytes(256 * MIB))
    lying = zstandard.ZstdCompressor().compress(bytes(60 * MIB))
    unsaid = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(256 * MIB))
    # Says 60 MiB in 64 KiB, which is allowed, and ends long before.
    whole = zstandard.ZstdCompressor(level=1).compress(
        random.Random(1).randbytes(64 << 10) + bytes(60 * MIB - (64 << 10))
    )
    return {
        "honest": (envelope(zeros, flags=ZSTD, uncompressed=256 * MIB), "package is 268435456 bytes, over 67108864"),
        "lying": (envelope(zeros, flags=ZSTD, uncompressed=60 * MIB), "more than 1000 times"),
        "within the ratio": (envelope(zeros, flags=ZSTD, uncompressed=len(zeros) * 1_000), "has no zstd frame of"),
        "60 MiB": (envelope(lying.ljust(8 << 10, b"\0"), flags=ZSTD, uncompressed=60 * MIB), "more than 1000 times"),
        "no size": (envelope(unsaid, flags=ZSTD, uncompressed=len(unsaid) * 1_000), "has no zstd frame of"),
        "cut": (envelope(whole[: 63 << 10], flags=ZSTD, uncompressed=60 * MIB), "has no zstd frame of"),
        "plain": (envelope(b"", uncompressed=60 * MIB, body_size=60 * MIB), "cut off before"),
    }


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads what Linux says of a process")
@pytest.mark.parametrize("name", ["honest", "lying", "within the ratio", "60 MiB", "no size", "cut", "plain"])
def test_a_bomb_is_refused_in_little_memory(name):
    data, words = bombs()[name]
    run = subprocess.run([sys.executable, "-c", OPEN], input=data, capture_output=True, check=True)
    before, after, error = run.stdout.decode().split(" ", 2)
    assert words in error
    # All of it, the interpreter and what was imported included.
    assert int(after) < 64 * MIB
    assert int(after) - int(before) < 4 * MIB


def test_the_bomb_is_one():
    data, _ = bombs()["honest"]
    assert len(data) < 10_000
    with pytest.raises(ValidationError, match="more than 1000 times"):
        # Also for who allows as much.
        ContextPackage.from_bytes(data, limits=Limits(package_bytes=2**32 - 1))
