"""Keys: what they take, what they never show, and how often they may be used."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from pycontext import SignatureError, ValidationError
from pycontext.wire import Ed25519Signer, Ed25519Verifier, EncryptionKey, HmacKey, KeyRing

SECRET = bytes(range(100, 132))
KEYS = [
    HmacKey("shared", SECRET),
    Ed25519Signer("pair", SECRET),
    Ed25519Signer("pair", SECRET).verifier,
    EncryptionKey("box", SECRET),
]


def unseen(text):
    return all(form not in text for form in (SECRET.decode("latin1"), SECRET.hex(), repr(SECRET)[2:-1], str(SECRET)))


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_a_key_shows_its_id_and_no_secret(key):
    for text in (repr(key), str(key), f"{key}", repr([key]), repr(KeyRing([k for k in [key] if k is not KEYS[1]]))):
        assert unseen(text)
    assert repr(key) == f"<{type(key).__name__} {key.key_id!r}>"
    assert not hasattr(key, "__dict__")


@pytest.mark.parametrize("key", KEYS, ids=repr)
@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, *(lambda key, p=p: pickle.dumps(key, p) for p in range(6))])
def test_a_key_stays_where_it_is(key, take):
    with pytest.raises(TypeError, match="neither pickled nor copied") as caught:
        take(key)
    assert unseen(str(caught.value))


@pytest.mark.parametrize("kind", [HmacKey, Ed25519Signer, EncryptionKey])
def test_a_generated_key_is_new_and_comes_again_from_what_it_reveals(kind):
    first, second = kind.generate("k"), kind.generate("k")
    assert len(first.reveal()) == 32
    assert first.reveal() != second.reveal()
    assert kind("k", first.reveal()).reveal() == first.reveal()


def test_signatures_are_those_of_the_standards():
    # RFC 4231, 4.4 has a key of 25 bytes, which is too short here: 4.7 has one of 131.
    assert HmacKey("k", b"\xaa" * 131).sign(b"Test Using Larger Than Block-Size Key - Hash Key First").hex() == (
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    )
    # RFC 8032, 7.1, test 2.
    signer = Ed25519Signer("k", bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert signer.verifier.public_key.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert signer.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (HmacKey, "secret"),
        (Ed25519Signer, "private_key"),
        (Ed25519Verifier, "public_key"),
        (EncryptionKey, "secret"),
    ],
)
def test_a_secret_of_another_size_is_refused_and_not_shown(make, name, size):
    secret = (SECRET * 2)[:size]
    if make is HmacKey and size >= 32:
        assert make("k", secret).reveal() == secret
        return
    with pytest.raises(ValidationError, match=f"key 'k': {name} is {size} bytes, not 32 bytes") as caught:
        make("k", secret)
    assert size == 0 or secret.decode("latin1") not in str(caught.value)
    with pytest.raises(ValidationError, match=f"key 'k': {name} is str, not 32 bytes"):
        make("k", "x" * 32)


@pytest.mark.parametrize("make", [HmacKey, Ed25519Signer, Ed25519Verifier, EncryptionKey])
@pytest.mark.parametrize("id", ["", "a\nb", "x" * 257, None, 7])
def test_an_id_that_is_none_is_refused(make, id):
    with pytest.raises(ValidationError, match="key_id"):
        make(id, SECRET)
    if make is not EncryptionKey and id is not None:
        with pytest.raises(ValidationError, match="agent_id"):
            make("k", SECRET, agent_id=id)


@pytest.mark.parametrize("messages", [-1, 2**32 + 1, 1.5, True, None])
def test_a_number_of_messages_that_is_none_is_refused(messages):
    with pytest.raises(ValidationError, match="messages"):
        EncryptionKey("k", SECRET, messages=messages)


def test_a_key_encrypts_as_often_as_it_may_and_no_more():
    key = EncryptionKey("old", SECRET, messages=2**32 - 2)
    sent = [key.encrypt(b"body", lambda _: b"") for _ in range(2)]
    assert key.messages == 2**32
    with pytest.raises(SignatureError, match=r"key 'old' has encrypted 4294967296 messages, all that it may"):
        key.encrypt(b"body", lambda _: b"")
    assert key.messages == 2**32
    # It still reads.
    assert [key.decrypt(nonce, body, b"") for nonce, body in sent] == [b"body"] * 2


def test_every_message_of_several_threads_counts_and_no_nonce_comes_twice():
    key = EncryptionKey.generate("k")
    with ThreadPoolExecutor(8) as pool:
        nonces = list(pool.map(lambda _: key.encrypt(b"x", lambda _: b"")[0], range(4000)))
    assert key.messages == len(set(nonces)) == 4000


def test_what_is_too_large_for_one_message_is_refused():
    # The zeros are never touched, and so take no memory.
    key, large = EncryptionKey.generate("k"), bytes(2**31)
    with pytest.raises(ValidationError, match="body is 2147483648 bytes, over 2147483647"):
        key.encrypt(large, lambda _: b"")
    with pytest.raises(ValidationError, match="body is 2147483648 bytes, over 2147483647"):
        key.decrypt("00" * 12, large, b"")
    assert key.messages == 0


def test_ids_in_a_ring_are_there_once():
    old, new = HmacKey.generate("old"), HmacKey.generate("new")
    assert KeyRing([old, new]).verifying("old", "HMAC-SHA256") is old
    for other in (HmacKey.generate("old"), EncryptionKey.generate("old"), Ed25519Signer.generate("old").verifier):
        with pytest.raises(ValidationError, match=r"keys\[2\] has key_id 'old', which another key of the ring has"):
            KeyRing([old, new, other])


def test_a_ring_takes_what_reads():
    with pytest.raises(ValidationError, match=r"keys\[0\] <Ed25519Signer 'k'> signs and reads nothing"):
        KeyRing([Ed25519Signer.generate("k")])
    for other in (SECRET, None, "secret", KeyRing()):
        with pytest.raises(ValidationError, match=r"keys\[0\] is \w+, not a key") as caught:
            KeyRing([other])
        assert unseen(str(caught.value))


def test_without_the_extra_the_error_names_it_and_hmac_works(monkeypatch):
    public_key = Ed25519Signer("k", SECRET).verifier.public_key
    for name in ("asymmetric.ed25519", "ciphers.aead"):
        monkeypatch.setitem(sys.modules, f"cryptography.hazmat.primitives.{name}", None)
    for make in (Ed25519Signer, Ed25519Verifier, EncryptionKey):
        with pytest.raises(ImportError, match=r"^Ed25519 and AES-GCM need the extra crypto: .*\[crypto\]'$"):
            make("k", public_key)
    assert HmacKey("k", SECRET).verify(HmacKey("k", SECRET).sign(b"x"), b"x")


def test_the_library_is_imported_when_a_key_needs_it():
    program = (
        "import sys, pycontext\n"
        "from pycontext.wire import *\n"
        "package = pycontext.ContextPackage('s', 'a')\n"
        "key = HmacKey.generate('k')\n"
        "unseal(seal(package, sign=key), KeyRing([key]))\n"
        "print('cryptography' in sys.modules)\n"
        "EncryptionKey.generate('k')\n"
        "print('cryptography' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["False", "True"]
