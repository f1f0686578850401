"""Keys, and the layout of an envelope written down a second time, for envelopes that `seal` would never write."""

from __future__ import annotations

import json
import struct
import zlib

import pytest

from pycontext import ContextBlock, ContextError, ContextPackage, ContextType
from pycontext.wire import Ed25519Signer, EncryptionKey, HmacKey, KeyRing, unseal

SHARED = HmacKey("shared", bytes(range(32)))
SIGNER = Ed25519Signer("pair", bytes(range(1, 33)), agent_id="ann")
BOX = EncryptionKey("box", bytes(range(2, 34)))
RING = KeyRing([SHARED, SIGNER.verifier, BOX])
ZSTD, ENCRYPTED, SIGNED = 1, 2, 4

# Claims that say what they must, for `package()`.
WHOLE = {"session_id": "s", "operation_id": "op", "agent_id": "ann", "key_id": "shared", "algorithm": "HMAC-SHA256"}


def package(session_id="s", *contents, agent_id="ann", operation_id="op", **header):
    blocks = [
        ContextBlock(f"block-{i}", text, 0.5, ContextType.USER, {"note": f"aside {i}"}, 1)
        for i, text in enumerate(contents or ("the treasure is under the oak tree",))
    ]
    return ContextPackage(session_id, agent_id, blocks, operation_id=operation_id, **{"trace_id": "t", **header})


def parts(data):
    flags, said_bytes, uncompressed, body_bytes = struct.unpack_from("<BHII", data, 5)
    said_at, end = 16 + body_bytes, 16 + body_bytes + said_bytes
    return flags, uncompressed, data[16:said_at], data[said_at:end], data[end:-4]


def header(flags, uncompressed, body, said):
    return b"PCX1" + struct.pack("<BBHII", 1, flags, len(said), uncompressed, len(body))


def closed(unsigned, signature=b""):
    return unsigned + signature + struct.pack("<I", zlib.crc32(unsigned + signature))


def built(flags, uncompressed, body, said, key=None, signature=b""):
    unsigned = header(flags, uncompressed, body, said) + body + said
    return closed(unsigned, key.sign(unsigned) if key else signature)


def summed(data):
    """The same with a checksum that holds, as an attacker writes it."""
    return closed(data[:-4])


def said_by(claims):
    return json.dumps(claims, separators=(",", ":")).encode()


def refused(data, keys=RING, kind=ContextError, match=None, **options):
    with pytest.raises(kind, match=match) as caught:
        unseal(data, keys, **{"require": "any", **options})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert isinstance(caught.value, ValueError)
