"""Keys that sign, verify and encrypt what `pycontext.wire` sends."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn, Self

from pycontext._core import check_id
from pycontext.budget import check_tokens
from pycontext.errors import SignatureError, ValidationError, shown

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["Ed25519Signer", "Ed25519Verifier", "EncryptionKey", "HmacKey", "KeyRing"]

_SECRET_BYTES: Final = 32
_NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
# NIST SP 800-38D, 8.3: so often may a key meet a random nonce of 96 bits.
_MOST_MESSAGES: Final = 2**32
# What the library encrypts at once.
_MOST_BYTES: Final = 2**31 - 1


class _Key:
    """What all keys have: an id, and a secret that no repr shows and no pickle takes along."""

    __slots__ = ("key_id",)

    def __init__(self, key_id: str) -> None:
        check_id("key_id", key_id)
        self.key_id: Final = key_id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {shown(self.key_id)}>"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError(f"{self!r} is a key: it is neither pickled nor copied")


class _AgentKey(_Key):
    """What signs or verifies, for one agent or for all."""

    __slots__ = ("agent_id",)
    algorithm: ClassVar[str]

    def __init__(self, key_id: str, agent_id: str | None) -> None:
        super().__init__(key_id)
        if agent_id is not None:
            check_id("agent_id", agent_id)
        self.agent_id: Final = agent_id

    def check_agent(self, agent_id: str) -> None:
        """Raise `SignatureError` if the key is another agent's."""
        if self.agent_id not in (None, agent_id):
            raise SignatureError(
                f"key {shown(self.key_id)} belongs to agent {shown(self.agent_id)}, and the package has agent_id "
                f"{shown(agent_id)}"
            )


class HmacKey(_AgentKey):
    """A secret that both sides share, for signatures with HMAC-SHA256; needs no extra.

    Whoever can verify with it can sign with it as well.

    Args:
        key_id: stands in the claims in clear, 1 to 256 bytes, no control characters.
        secret: 32 random bytes or more, used for nothing else.
        agent_id: the one agent whose packages it may sign; None for any.

    Raises:
        ValidationError: an id is none, or the secret is shorter.
    """

    __slots__ = ("_secret",)
    algorithm = "HMAC-SHA256"

    def __init__(self, key_id: str, secret: bytes, *, agent_id: str | None = None) -> None:
        super().__init__(key_id, agent_id)
        if not isinstance(secret, bytes) or len(secret) < _SECRET_BYTES:
            raise ValidationError(f"key {shown(key_id)}: secret {_size(secret)}, not {_SECRET_BYTES} bytes or more")
        self._secret: Final = secret

    @classmethod
    def generate(cls, key_id: str, *, agent_id: str | None = None) -> Self:
        """Make a key with a new secret."""
        return cls(key_id, secrets.token_bytes(_SECRET_BYTES), agent_id=agent_id)

    def reveal(self) -> bytes:
        """Return the secret, to be kept where secrets are kept."""
        return self._secret

    def sign(self, data: bytes) -> bytes:
        """Return the signature, 32 bytes."""
        return hmac.digest(self._secret, data, "sha256")

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Whether the signature holds; takes the same time for any of its length."""
        return hmac.compare_digest(self.sign(data), signature)


class Ed25519Signer(_AgentKey):
    """The private half of a pair: its holder alone can sign; needs the extra `crypto`.

    Args:
        key_id: as in `HmacKey`.
        private_key: 32 bytes.
        agent_id: as in `HmacKey`.

    Raises:
        ValidationError: an id is none, or the key has another size.
        ImportError: the extra is not installed.
    """

    __slots__ = ("_private",)
    algorithm = "Ed25519"

    def __init__(self, key_id: str, private_key: bytes, *, agent_id: str | None = None) -> None:
        super().__init__(key_id, agent_id)
        _check_size(key_id, "private_key", private_key)
        with _extra():
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  # an extra
        self._private: Final[Ed25519PrivateKey] = Ed25519PrivateKey.from_private_bytes(private_key)

    @classmethod
    def generate(cls, key_id: str, *, agent_id: str | None = None) -> Self:
        """Make a new pair."""
        return cls(key_id, secrets.token_bytes(_SECRET_BYTES), agent_id=agent_id)

    @property
    def verifier(self) -> Ed25519Verifier:
        """The public half, of the same id and agent, for the rings of those who read."""
        return Ed25519Verifier(self.key_id, self._private.public_key().public_bytes_raw(), agent_id=self.agent_id)

    def reveal(self) -> bytes:
        """Return the private key, to be kept where secrets are kept."""
        return self._private.private_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self._private.sign(data)


class Ed25519Verifier(_AgentKey):
    """The public half of a pair, which anybody may have: it can verify and cannot sign; needs the extra `crypto`.

    Args:
        key_id: as in `HmacKey`.
        public_key: 32 bytes.
        agent_id: the one agent whose packages the pair may have signed; None for any.

    Raises:
        ValidationError: an id is none, or the key has another size.
        ImportError: the extra is not installed.
    """

    __slots__ = ("_public", "public_key")
    algorithm = "Ed25519"

    def __init__(self, key_id: str, public_key: bytes, *, agent_id: str | None = None) -> None:
        super().__init__(key_id, agent_id)
        _check_size(key_id, "public_key", public_key)
        with _extra():
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415  # an extra
        self.public_key: Final = public_key
        self._public: Final[Ed25519PublicKey] = Ed25519PublicKey.from_public_bytes(public_key)

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Whether the signature holds."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # an extra

        try:
            self._public.verify(signature, data)
        except InvalidSignature:
            return False
        return True


class EncryptionKey(_Key):
    """A secret that both sides share, for AES-256-GCM with random nonces of 96 bits; needs the extra `crypto`.

    A key may encrypt 2**32 messages (NIST SP 800-38D, 8.3): past that two of them may well have one nonce, which gives
    both away. A key counts its own and then refuses. It does not know of other processes, nor of a restart: all
    that use a secret must stay under the limit together, so take a new key in good time.

    Args:
        key_id: as in `HmacKey`.
        secret: 32 random bytes, used for nothing else.
        messages: how many were encrypted with it before.

    Attributes:
        messages: how many were encrypted with it.

    Raises:
        ValidationError: the id is none, or the secret has another size.
        ImportError: the extra is not installed.
    """

    __slots__ = ("_cipher", "_lock", "_secret", "messages")

    def __init__(self, key_id: str, secret: bytes, *, messages: int = 0) -> None:
        super().__init__(key_id)
        _check_size(key_id, "secret", secret)
        check_tokens("messages", messages, most=_MOST_MESSAGES)
        with _extra():
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  # an extra
        self.messages = messages
        self._secret: Final = secret
        self._cipher: Final = AESGCM(secret)
        self._lock: Final = Lock()

    @classmethod
    def generate(cls, key_id: str) -> Self:
        """Make a key with a new secret."""
        return cls(key_id, secrets.token_bytes(_SECRET_BYTES))

    def reveal(self) -> bytes:
        """Return the secret, to be kept where secrets are kept."""
        return self._secret

    def encrypt(self, body: bytes, associated: Callable[[str], bytes]) -> tuple[str, bytes]:
        """Encrypt with a new nonce, and return both, the nonce as hexadecimal digits.

        Args:
            body: what is to be hidden.
            associated: gives what is to be protected with it and not hidden, for a nonce.

        Raises:
            SignatureError: the key has encrypted as many messages as it may.
            ValidationError: the body is too large for one message.
        """
        _check_message(body)
        with self._lock:
            if self.messages >= _MOST_MESSAGES:
                raise SignatureError(
                    f"key {shown(self.key_id)} has encrypted {self.messages} messages, all that it may: take a new key"
                )
            self.messages += 1
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce.hex(), self._cipher.encrypt(nonce, body, associated(nonce.hex()))

    def decrypt(self, nonce: str, body: bytes, associated: bytes) -> bytes:
        """Return what `encrypt` was given.

        Raises:
            SignatureError: nonce, body and associated data are not from one message of this key.
            ValidationError: the body is too large for one message.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # an extra

        _check_message(body)
        try:
            return self._cipher.decrypt(bytes.fromhex(nonce), body, associated)
        except InvalidTag:
            raise SignatureError(f"key {shown(self.key_id)} does not decrypt the body with these claims") from None


class KeyRing:
    """The keys that a reader has, by id: old and new ones side by side while keys are rotated.

    Args:
        keys: what verifies, `HmacKey` and `Ed25519Verifier`, and what decrypts, `EncryptionKey`.

    Raises:
        ValidationError: two keys have one id, or something is no such key.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[HmacKey | Ed25519Verifier | EncryptionKey] = ()) -> None:
        self._keys: Final[dict[str, HmacKey | Ed25519Verifier | EncryptionKey]] = {}
        for at, key in enumerate(keys):
            if isinstance(key, Ed25519Signer):
                raise ValidationError(f"keys[{at}] {key!r} signs and reads nothing: a ring takes its verifier")
            if not isinstance(key, HmacKey | Ed25519Verifier | EncryptionKey):
                # The value is not shown: it may be a secret.
                raise ValidationError(f"keys[{at}] is {type(key).__name__}, not a key that verifies or decrypts")
            if self._keys.setdefault(key.key_id, key) is not key:
                raise ValidationError(f"keys[{at}] has key_id {shown(key.key_id)}, which another key of the ring has")

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self._keys)} keys>"

    def verifying(self, key_id: str, algorithm: str) -> HmacKey | Ed25519Verifier:
        """Return the key that verifies what claims to be signed with it.

        Raises:
            SignatureError: the ring has no such key, or one for another algorithm.
        """
        key = self._find("key_id", key_id)
        if isinstance(key, EncryptionKey):
            raise SignatureError(f"key {shown(key_id)} encrypts, and the claims say that it signed")
        # The key decides how its signatures are made; what the claims say can only be wrong.
        if algorithm != key.algorithm:
            raise SignatureError(f"key {shown(key_id)} is for {key.algorithm}, and the claims say {shown(algorithm)}")
        return key

    def decrypting(self, key_id: str) -> EncryptionKey:
        """Return the key that decrypts what claims to be encrypted with it.

        Raises:
            SignatureError: the ring has no such key.
        """
        key = self._find("encryption_key_id", key_id)
        if not isinstance(key, EncryptionKey):
            raise SignatureError(f"key {shown(key_id)} signs, and the claims say that it encrypted")
        return key

    def _find(self, claim: str, key_id: str) -> HmacKey | Ed25519Verifier | EncryptionKey:
        if key_id not in self._keys:
            raise SignatureError(f"claim {claim} {shown(key_id)} names a key that is not in the ring")
        return self._keys[key_id]


@contextmanager
def _extra() -> Iterator[None]:
    """Say what to install where an import fails."""
    try:
        yield
    except ImportError as error:
        raise ImportError("Ed25519 and AES-GCM need the extra crypto: pip install 'pycontext-layer[crypto]'") from error


def _check_size(key_id: str, name: str, value: object) -> None:
    if not isinstance(value, bytes) or len(value) != _SECRET_BYTES:
        raise ValidationError(f"key {shown(key_id)}: {name} {_size(value)}, not {_SECRET_BYTES} bytes")


def _check_message(body: bytes) -> None:
    if len(body) > _MOST_BYTES:
        raise ValidationError(f"body is {len(body)} bytes, over {_MOST_BYTES} that AES-GCM takes here")


def _size(secret: object) -> str:
    """What a message may say of a secret."""
    return f"is {len(secret)} bytes" if isinstance(secret, bytes) else f"is {type(secret).__name__}"
