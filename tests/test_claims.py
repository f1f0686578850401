"""Claims, validly signed, by somebody who writes them as he likes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontext import ContextError, SignatureError
from pycontext.wire import seal, unseal
from sealed import BOX, RING, SHARED, SIGNED, WHOLE, built, package, parts, refused, said_by


def with_claims(said):
    message = package().to_protobuf()
    return built(SIGNED, len(message), message, said if isinstance(said, bytes) else said_by(said), key=SHARED)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        (b"", "not JSON"),
        (b"[]", "is list, not an object"),
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b'{"session_id":"s","session_id":"s"}', "key 'session_id' comes twice"),
        (said_by(WHOLE) + b" x", "not JSON"),
        ({**WHOLE, "role": "admin"}, "'role' is not one of session_id"),
        *(({k: v for k, v in WHOLE.items() if k != name}, f"{name} is missing") for name in WHOLE),
        *(({**WHOLE, name: None}, f"{name} None says nothing") for name in WHOLE),
        *(({**WHOLE, name: ""}, f"{name} '' says nothing") for name in [*WHOLE, "namespace", "audience", "nonce"]),
        *(({**WHOLE, name: 7}, f"{name} 7 is int, not str") for name in [*WHOLE, "namespace", "audience"]),
        *(({**WHOLE, name: ["x"]}, "nested 2 deep") for name in WHOLE),
        ({**WHOLE, "audience": "x" * 257}, "audience .* is 257 bytes"),
        ({**WHOLE, "audience": "a\nb"}, "audience .* holds a control character"),
        *(({**WHOLE, "expires_ms": v}, "expires_ms .* is not a whole number") for v in (-1, 1.5, True, 2**63, "9")),
        ({**WHOLE, "expires_ms": 10**20}, "21 digits, over 19"),
        ({**WHOLE, "nonce": "00" * 12}, "nonce '0+' of an envelope that is not encrypted"),
        ({**WHOLE, "nonce": "0"}, "nonce '0' is not 24 hexadecimal digits"),
        ({**WHOLE, "encryption_key_id": "box"}, "encryption_key_id 'box' of an envelope that is not encrypted"),
    ],
)
def test_claims_are_read_strictly(said, match):
    refused(with_claims(said), kind=SignatureError, match=f"claims: .*{match}")


def test_claims_that_say_all_are_taken():
    assert unseal(with_claims(WHOLE), RING).key_id == "shared"


@pytest.mark.parametrize("missing", ["encryption_key_id", "nonce"])
def test_what_is_encrypted_says_how(missing):
    flags, uncompressed, body, said, _ = parts(seal(package(), encrypt=BOX))
    claims = {name: value for name, value in json.loads(said).items() if name != missing}
    forged = built(flags, uncompressed, body, said_by(claims))
    refused(forged, kind=SignatureError, match=f"{missing} is missing, and the envelope is encrypted")


PIECES = st.dictionaries(
    st.sampled_from([*WHOLE, "namespace", "audience", "expires_ms", "encryption_key_id", "nonce", "x"]),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2),
)


@given(st.integers(0, 7), st.integers(0, 2**32 - 1), st.binary(max_size=60), PIECES | st.binary(max_size=40))
def test_whatever_is_validly_signed_is_refused_or_read(flags, uncompressed, body, pieces):
    said = pieces if isinstance(pieces, bytes) else json.dumps({**WHOLE, **pieces}).encode()
    data = built(flags | SIGNED, uncompressed, body, said, key=SHARED)
    try:
        assert unseal(data, RING).key_id == "shared"
    except ContextError as error:
        assert "\n" not in str(error)
