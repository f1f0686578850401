"""Sealed packages: what is opened again, and everything that is not."""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from itertools import product
from threading import Thread

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import example, given
from hypothesis import strategies as st

from pycontext import ContextBlock, ContextPackage, ContextType, SignatureError, ValidationError
from pycontext.limits import Limits
from pycontext.wire import Ed25519Signer, EncryptionKey, HmacKey, KeyRing, seal, unseal
from sealed import (
    BOX,
    ENCRYPTED,
    RING,
    SHARED,
    SIGNED,
    SIGNER,
    WHOLE,
    ZSTD,
    built,
    header,
    package,
    parts,
    refused,
    said_by,
    summed,
)  # fmt: skip

KEYS = [(sign, encrypt) for sign, encrypt in product([None, SHARED, SIGNER], [None, BOX]) if sign or encrypt]


@pytest.mark.parametrize(("sign", "encrypt"), KEYS)
@pytest.mark.parametrize("compress", ["zstd", "none"])
@pytest.mark.parametrize(
    "claims", [{}, {"audience": "bob", "expires_in_seconds": 60, "namespace": "prod", "now_ms": 5}]
)
def test_what_is_sealed_opens_again(sign, encrypt, compress, claims):
    sent = package("s", "word " * 100, "", "é🙂\u0000", hops=7, epoch=2, version=9)
    data = seal(sent, sign=sign, encrypt=encrypt, compress=compress, **claims)
    flags, uncompressed, *_ = parts(data)
    assert flags == (compress == "zstd") * ZSTD + bool(encrypt) * ENCRYPTED + bool(sign) * SIGNED
    assert uncompressed == len(sent.to_protobuf())
    reader = {name: claims[name] for name in ("audience", "namespace") if name in claims}
    opened = unseal(data, RING, require="signed" if sign else "any", session_id="s", now_ms=60_004, **reader)
    assert opened.package.to_dict() == sent.to_dict()
    assert opened.package.hops == 7
    assert opened.operation_id == "op"
    assert opened.expires_ms == (60_005 if claims else None)
    assert opened.encrypted is bool(encrypt)
    assert opened.key_id == (sign and sign.key_id)
    assert opened.signed_by == (sign and sign.agent_id)
    assert unseal(bytearray(data), RING, require="any", now_ms=0, **reader).package.to_dict() == sent.to_dict()
    with pytest.raises(ValidationError, match=r"pycontext\.wire\.unseal opens it"):
        ContextPackage.from_bytes(data)


def test_what_nobody_signed_is_taken_only_where_that_is_said():
    for data in (package().to_bytes(), seal(package(), encrypt=BOX)):
        for keys in (RING, KeyRing([BOX]), KeyRing()):
            refused(data, keys, SignatureError, "envelope is not signed, and require is", require="signed")
        opened = unseal(data, RING, require="any")
        assert (opened.key_id, opened.signed_by) == (None, None)
    plain = package().to_bytes(compress="zstd")
    assert unseal(plain, KeyRing(), require="any").package.to_dict() == package().to_dict()
    assert unseal(plain, KeyRing(), require="any", session_id="s").operation_id == "op"
    refused(plain, kind=SignatureError, match="session_id 's' is not session_id 'other'", session_id="other")
    refused(plain, kind=SignatureError, match="audience None is not audience 'bob'", audience="bob")
    refused(plain, kind=SignatureError, match="namespace '' is not namespace 'prod'", namespace="prod")


def test_the_signature_is_over_header_body_and_claims():
    data = seal(package(), sign=SHARED, audience="bob", expires_in_seconds=1.5, now_ms=1000)
    *_, said, signature = parts(data)
    assert json.loads(said) == {
        "session_id": "s", "operation_id": "op", "agent_id": "ann", "audience": "bob", "expires_ms": 2500,
        "key_id": "shared", "algorithm": "HMAC-SHA256",
    }  # fmt: skip
    assert signature == hmac.new(bytes(range(32)), data[: -4 - 32], hashlib.sha256).digest()


@pytest.mark.parametrize("sign", [None, SHARED])
def test_the_encryption_is_over_the_body_and_belongs_to_header_and_claims(sign):
    data = seal(package(), sign=sign, encrypt=BOX, namespace="prod", compress="none")
    flags, uncompressed, body, said, _ = parts(data)
    claims = json.loads(said)
    assert {
        "namespace": "prod",
        "session_id": "s",
        "operation_id": "op",
        "encryption_key_id": "box",
    }.items() <= claims.items()
    message = AESGCM(bytes(range(2, 34))).decrypt(
        bytes.fromhex(claims["nonce"]), body, header(flags, uncompressed, b"", said) + said
    )
    assert message == package().to_protobuf()


@pytest.mark.parametrize("sign", [None, SHARED, SIGNER])
@pytest.mark.parametrize("compress", ["zstd", "none"])
def test_nothing_of_the_blocks_can_be_read(sign, compress):
    sent = package("s", "the treasure is under the oak tree", "a second secret", trace_id="the trace")
    data = seal(sent, sign=sign, encrypt=BOX, compress=compress)
    for text in (b"treasure", b"oak", b"second", b"block-", b"note", b"aside", b"trace"):
        assert text in sent.to_bytes()
        assert text not in data


def test_equal_packages_are_not_equal_when_they_are_encrypted():
    first, second = (parts(seal(package(), encrypt=BOX)) for _ in range(2))
    assert first[2] != second[2]
    assert json.loads(first[3])["nonce"] != json.loads(second[3])["nonce"]


# What is done to an envelope on its way.


@pytest.mark.parametrize(("sign", "encrypt"), KEYS)
def test_no_flipped_bit_is_accepted(sign, encrypt):
    data = seal(package("s", "x"), sign=sign, encrypt=encrypt, audience="bob", namespace="n")
    assert unseal(data, RING, require="any", audience="bob", namespace="n")
    for at in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        refused(flipped, audience="bob", namespace="n")
        if at < (len(data) - 4) * 8:
            # Whoever signs nothing and knows the format writes the checksum anew.
            refused(summed(bytes(flipped)), audience="bob", namespace="n")


@pytest.mark.parametrize(("sign", "encrypt"), KEYS)
def test_no_length_is_accepted_but_its_own(sign, encrypt):
    data = seal(package("s", "x"), sign=sign, encrypt=encrypt)
    for end in range(len(data)):
        refused(data[:end])
        if end >= 4:
            refused(summed(data[:end]))
    for more in (b"\0", b"more"):
        refused(data + more)
        refused(summed(data[:-4] + more + data[-4:]))


@pytest.mark.parametrize(("sign", "encrypt"), KEYS)
def test_parts_of_two_envelopes_do_not_mix(sign, encrypt):
    mine, other = (
        parts(seal(package(session, "same size"), sign=sign, encrypt=encrypt, compress="none"))
        for session in ("s", "o")
    )
    assert unseal(built(*mine[:4], signature=mine[4]), RING, require="any")
    for take in product([0, 1], repeat=3):
        if len(set(take)) > 1:
            body, said, signature = ((mine, other)[which][2 + at] for at, which in enumerate(take))
            if (body, said, signature) not in (mine[2:], other[2:]):
                refused(built(*mine[:2], body, said, signature=signature))


@pytest.mark.parametrize("encrypt", [None, BOX])
@pytest.mark.parametrize("sign", [SHARED, SIGNER])
def test_a_signature_that_was_taken_off_is_missed(sign, encrypt):
    flags, uncompressed, body, said, _ = parts(seal(package(), sign=sign, encrypt=encrypt))
    bare = built(flags & ~SIGNED, uncompressed, body, said)
    if encrypt is None:
        refused(bare, kind=ValidationError, match="claims that nobody signed")
        bare = built(flags & ~SIGNED, uncompressed, body, b"")
        refused(bare, kind=SignatureError, match="not signed", require="signed")
        # What "any" says: nothing is known of whose it is.
        assert unseal(bare, RING, require="any").key_id is None
        return
    refused(bare, kind=SignatureError, match="not signed", require="signed")
    refused(bare, kind=SignatureError, match=f"key_id '{sign.key_id}' of an envelope that is not signed")
    claims = {name: value for name, value in json.loads(said).items() if name not in ("key_id", "algorithm")}
    bare = built(flags & ~SIGNED, uncompressed, body, said_by(claims))
    refused(bare, kind=SignatureError, match="not signed", require="signed")
    refused(bare, kind=SignatureError, match="key 'box' does not decrypt")
    # An empty signature is none.
    refused(built(flags, uncompressed, body, said), kind=ValidationError, match="has no signature")


@pytest.mark.parametrize("cleared", [ZSTD, ENCRYPTED, ZSTD | ENCRYPTED])
def test_flags_that_were_cleared_are_missed(cleared):
    for sign in (None, SHARED):
        flags, uncompressed, body, said, signature = parts(seal(package("s", "word " * 50), sign=sign, encrypt=BOX))
        refused(built(flags & ~cleared, uncompressed, body, said, signature=signature))
        claims = {k: v for k, v in json.loads(said).items() if k not in ("nonce", "encryption_key_id")}
        refused(built(flags & ~cleared, uncompressed, body, said_by(claims), signature=signature))


def test_nothing_of_the_body_is_looked_at_before_the_signature_holds(monkeypatch):
    data = seal(package("s", "word " * 50), sign=SHARED, encrypt=BOX)
    flags, uncompressed, body, said, signature = parts(data)
    looked = []
    monkeypatch.setattr(EncryptionKey, "decrypt", lambda *_: looked.append("decrypt"))
    monkeypatch.setattr("pycontext._core.decompress", lambda *_: looked.append("decompress"))
    monkeypatch.setattr(ContextPackage, "from_protobuf", lambda *_, **_options: looked.append("read"))
    refused(built(flags, uncompressed, body, said, signature=bytes(32)), kind=SignatureError, match="does not hold")
    refused(
        built(flags, uncompressed, body, said, signature=signature[:-1]), kind=SignatureError, match="does not hold"
    )
    assert not looked
    with pytest.raises(AttributeError):
        unseal(data, RING)
    assert looked == ["decrypt", "decompress", "read"]


# What keys are for.


@pytest.mark.parametrize("sign", [SHARED, SIGNER])
def test_old_and_new_keys_stand_side_by_side(sign):
    new = HmacKey.generate("new") if sign is SHARED else Ed25519Signer.generate("new")
    new_box = EncryptionKey.generate("new box")
    data = seal(package(), sign=new, encrypt=new_box)
    reads = new if sign is SHARED else new.verifier
    both = KeyRing([SHARED, SIGNER.verifier, BOX, reads, new_box])
    assert unseal(data, both).key_id == "new"
    assert unseal(seal(package(), sign=sign, encrypt=BOX), both).key_id == sign.key_id
    refused(data, RING, SignatureError, "key_id 'new' names a key that is not in the ring")
    refused(data, KeyRing([reads]), SignatureError, "encryption_key_id 'new box' names a key that is not in the ring")


def test_another_key_of_the_same_id_does_not_hold():
    box, shared, pair = EncryptionKey.generate("box"), HmacKey.generate("shared"), Ed25519Signer.generate("pair")
    others = KeyRing([box, shared, pair.verifier])
    for sign in (SHARED, SIGNER):
        refused(seal(package(), sign=sign), others, SignatureError, f"key '{sign.key_id}': the signature does not hold")
    refused(seal(package(), encrypt=BOX), others, SignatureError, "key 'box' does not decrypt")


def test_the_key_decides_what_it_is_for():
    """The public key is known to all: as an HMAC secret it would let everybody sign."""
    flags, uncompressed, body, said, _ = parts(seal(package(), sign=SIGNER))
    public = HmacKey("pair", SIGNER.verifier.public_key)
    for algorithm in ("HMAC-SHA256", "none", "ed25519"):
        forged = built(flags, uncompressed, body, said_by({**json.loads(said), "algorithm": algorithm}), key=public)
        refused(forged, kind=SignatureError, match=f"key 'pair' is for Ed25519, and the claims say '{algorithm}'")
    refused(built(flags, uncompressed, body, said, key=public), kind=SignatureError, match="signature does not hold")
    swapped = KeyRing([HmacKey("box", bytes(32)), EncryptionKey("shared", bytes(32))])
    refused(seal(package(), sign=SHARED), swapped, SignatureError, "key 'shared' encrypts, and the claims say that it")
    refused(seal(package(), encrypt=BOX), swapped, SignatureError, "key 'box' signs, and the claims say that it")


def test_a_key_of_an_agent_is_for_his_packages_alone():
    words = "key 'pair' belongs to agent 'ann', and the package has agent_id 'mallory'"
    with pytest.raises(SignatureError, match=words):
        seal(package(agent_id="mallory"), sign=SIGNER)
    # The same pair, whose holder does not care for whom he signs.
    loose = Ed25519Signer("pair", SIGNER.reveal())
    refused(seal(package(agent_id="mallory"), sign=loose), kind=SignatureError, match=words)
    assert unseal(seal(package(), sign=loose), RING).signed_by == "ann"
    assert unseal(seal(package(agent_id="mallory"), sign=SHARED), RING).signed_by is None


@pytest.mark.parametrize("name", ["session_id", "operation_id", "agent_id"])
@pytest.mark.parametrize("encrypt", [None, BOX])
def test_claims_are_of_the_package_inside(name, encrypt):
    """Whoever has the keys may still say one thing and send another."""
    inside = package(**{name: "inside"}) if name != "session_id" else package("inside")
    said = {"session_id": "s", "operation_id": "op", "agent_id": "ann", "key_id": "shared", "algorithm": "HMAC-SHA256"}
    flags, uncompressed, body, claims, _ = parts(seal(inside, sign=SHARED, compress="none"))
    if encrypt:
        said |= {"encryption_key_id": "box", "nonce": "00" * 12}
        flags |= ENCRYPTED
        whole = header(flags, uncompressed, b"", said_by(said)) + said_by(said)
        body = AESGCM(BOX.reveal()).encrypt(bytes(12), body, whole)
    forged = built(flags, uncompressed, body, said_by(said), key=SHARED)
    refused(forged, kind=SignatureError, match=f"claim {name} '{said[name]}' is not the {name} of the package 'inside'")
    assert json.loads(claims)[name] == "inside"


# What readers want.


def test_an_envelope_lasts_until_it_expires():
    data = seal(package(), sign=SHARED, expires_in_seconds=0.0015, now_ms=1_000)
    assert unseal(data, RING, now_ms=1_001).expires_ms == 1_002
    for now in (1_002, 2**62, None):
        refused(data, kind=SignatureError, match="claim expires_ms 1002 is over, it is ", now_ms=now)
    assert unseal(seal(package(), sign=SHARED, expires_in_seconds=3600), RING).expires_ms


@pytest.mark.parametrize("name", ["audience", "namespace"])
@pytest.mark.parametrize("encrypt", [None, BOX])
def test_an_envelope_is_for_whom_it_names(name, encrypt):
    data = seal(package(), sign=SHARED, encrypt=encrypt, **{name: "bob"})
    assert unseal(data, RING, **{name: "bob"})
    for other in ({}, {name: "bo"}, {name: "Bob"}):
        refused(data, kind=SignatureError, match=f"claim {name} 'bob' is not {name} ", **other)
    refused(seal(package(), sign=SHARED), kind=SignatureError, match=f"is not {name} 'bob'", **{name: "bob"})


def test_a_package_of_another_session_is_refused():
    data = seal(package(), sign=SHARED)
    refused(data, kind=SignatureError, match="claim session_id 's' is not session_id 'other'", session_id="other")


# How much there may be.


def rle(size, says):
    """A zstd frame of zeros, as small as it gets: blocks of one repeated byte."""
    sizes = [2**17] * (size // 2**17) + [size % 2**17] * bool(size % 2**17)
    blocks = b"".join(
        (length << 3 | 2 | (at == len(sizes) - 1)).to_bytes(3, "little") + b"\0" for at, length in enumerate(sizes)
    )
    return b"\x28\xb5\x2f\xfd" + b"\xa0" + struct.pack("<I", says) + blocks


@pytest.mark.parametrize("encrypt", [None, BOX])
@pytest.mark.parametrize(
    ("size", "says", "declared", "match"),
    [
        (2**26, 2**26, 2**26, "more than 1000 times"),
        (2**28, 2**28, 2**28, "over 67108864"),
        (2**28, 2**28, 1000, "no zstd frame of 1000 bytes"),
        (2**28, 1000, 1000, "no zstd frame of 1000 bytes"),
        (1000, 1000, 999, "no zstd frame of 999 bytes"),
        (999, 1000, 1000, "no zstd frame of 1000 bytes"),
    ],
)
def test_a_bomb_that_is_validly_signed_is_refused(size, says, declared, match, encrypt):
    body, said, flags = rle(size, says), WHOLE, ZSTD | SIGNED
    if encrypt:
        said, flags = {**said, "encryption_key_id": "box", "nonce": "00" * 12}, flags | ENCRYPTED
        whole = header(flags, declared, b"", said_by(said)) + said_by(said)
        body = AESGCM(BOX.reveal()).encrypt(bytes(12), body, whole)
    refused(built(flags, declared, body, said_by(said), key=SHARED), kind=ValidationError, match=match)


def test_the_frames_of_these_bombs_are_zstd():
    zeros = built(ZSTD | SIGNED, 1000, rle(1000, 1000), said_by(WHOLE), key=SHARED)
    refused(zeros, kind=ValidationError, match="protobuf has a field of the number 0")


def test_a_size_that_is_not_that_of_the_body_is_refused():
    message, said = package().to_protobuf(), {**WHOLE, "encryption_key_id": "box", "nonce": "00" * 12}
    for flags, size in product([SIGNED | ENCRYPTED], [len(message) - 1, len(message) + 1]):
        whole = header(flags, size, b"", said_by(said)) + said_by(said)
        body = AESGCM(BOX.reveal()).encrypt(bytes(12), message, whole)
        forged = built(flags, size, body, said_by(said), key=SHARED)
        refused(forged, kind=ValidationError, match=f"envelope has {len(message)} bytes, and says {size}")


def test_limits_are_the_same_on_both_sides():
    size = len(package().to_protobuf())
    for encrypt, needed in ((None, size), (BOX, size + 16)):
        enough, short = Limits(package_bytes=needed), Limits(package_bytes=needed - 1)
        data = seal(package(), sign=SHARED, encrypt=encrypt, compress="none", limits=enough)
        assert unseal(data, RING, limits=enough)
        refused(data, kind=ValidationError, match=f"over {needed - 1}", limits=short)
        with pytest.raises(ValidationError, match=f"over {needed - 1}"):
            seal(package(), sign=SHARED, encrypt=encrypt, compress="none", limits=short)
    refused(seal(package(), sign=SHARED), kind=ValidationError, match="block", limits=Limits(block_bytes=5))


def test_what_is_encrypted_and_of_several_origins_is_not_compressed():
    def origins(*names):
        sent = package("s", *("word " * 60 for _ in names))
        for block, name in zip(sent.blocks, names, strict=True):
            block.origin = name
        return sent

    for names, mixed in (((None,), False), (("a", "a"), False), ((None, "a"), True), (("a", "b"), True)):
        sent = origins(*names)
        assert [block.origin for block in sent.blocks] == list(names)
        for encrypt in (None, BOX):
            data = seal(sent, sign=SHARED, encrypt=encrypt)
            assert bool(parts(data)[0] & ZSTD) is not (mixed and bool(encrypt))
            assert unseal(data, RING).package.to_dict() == sent.to_dict()


def test_a_session_that_changes_meanwhile_is_sealed_as_it_was_at_one_moment(monkeypatch):
    sent, encode = package(operation_id=None), ContextPackage.to_protobuf
    before = sent.operation_id
    adding = Thread(target=lambda: sent.blocks.append(ContextBlock("more", "more", 0.5, ContextType.USER)))

    def encode_late(self, **options):
        """Between the claims and the body, with time enough for the other thread."""
        adding.start()
        adding.join(0.2)
        return encode(self, **options)

    monkeypatch.setattr(ContextPackage, "to_protobuf", encode_late)
    data = seal(sent, sign=SHARED)
    adding.join()
    opened = unseal(data, RING)
    assert (opened.operation_id, len(opened.package.blocks)) == (before, 1)
    assert len(sent.blocks) == 2


# What is no envelope or no argument.


@given(st.binary(max_size=200))
@example(b"PCX1")
@example(b"")
def test_whatever_comes_is_refused_in_one_line(data):
    refused(data)
    refused(data, require="signed")


@given(st.integers(0, 2**20), st.binary(min_size=1, max_size=4), st.booleans())
def test_no_few_bytes_of_an_envelope_can_be_written_over(at, piece, signed):
    data = seal(package("s", "x"), sign=SHARED if signed else None, encrypt=BOX)
    at %= len(data) - 4 - len(piece)
    changed = data[:at] + piece + data[at + len(piece) :]
    if changed != data:
        refused(changed)
        refused(summed(changed))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "sign and encrypt are both None"),
        ({"package": b"PCX1", "sign": SHARED}, "package b'PCX1' is bytes, not a ContextPackage"),
        ({"sign": b"s" * 32}, "sign is bytes, not HmacKey or Ed25519Signer"),
        ({"sign": SIGNER.verifier}, "sign is Ed25519Verifier, not HmacKey"),
        ({"sign": BOX}, "sign is EncryptionKey, not HmacKey"),
        ({"encrypt": SHARED}, "encrypt is HmacKey, not EncryptionKey"),
        ({"encrypt": b"s" * 32}, "encrypt is bytes, not EncryptionKey"),
        *(({"sign": SHARED, "audience": audience}, "audience") for audience in ("", 7, "a\nb", "x" * 257)),
        *(({"sign": SHARED, "namespace": namespace}, "namespace") for namespace in (None, 7, "a\nb", "x" * 257)),
        ({"sign": SHARED, "compress": "gzip"}, "compress 'gzip' is not one of none, zstd"),
        *(
            ({"sign": SHARED, "expires_in_seconds": seconds}, "expires_in_seconds .* is not a number over 0")
            for seconds in (0, -5, float("nan"), float("inf"), True, "60", 1e12)
        ),
        *(
            ({"sign": SHARED, "expires_in_seconds": 1, "now_ms": now}, "now_ms .* is not a whole number")
            for now in (-1, 1.5, 2**63, "now")
        ),
        ({"sign": SHARED, "expires_in_seconds": 1, "now_ms": 2**63 - 1}, "expires_ms 9223372036854776807 is not"),
    ],
)
def test_bad_arguments_of_seal_are_refused(options, match):
    with pytest.raises(ValidationError, match=match) as caught:
        seal(**{"package": package(), **options})
    assert "sss" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"require": "nothing"}, "require 'nothing' is not one of signed, any"),
        ({"audience": ""}, "audience '' is empty"),
        ({"session_id": 7}, "session_id 7 is int"),
        ({"namespace": None}, "namespace None is NoneType"),
        ({"now_ms": "now"}, "now_ms 'now' is not a whole number"),
        ({"counts": "guess"}, "counts 'guess' is not one of believe, recount"),
        ({"data": "text"}, "data 'text' is str, not bytes"),
        ({"keys": [SHARED]}, "keys is list, not a KeyRing"),
        ({"keys": b"s" * 32}, "keys is bytes, not a KeyRing"),
    ],
)
def test_bad_arguments_of_unseal_are_refused(options, match):
    with pytest.raises(ValidationError, match=match) as caught:
        unseal(**{"data": seal(package(), sign=SHARED), "keys": RING, **options})
    assert "sss" not in str(caught.value)
