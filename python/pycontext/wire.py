"""Packages signed and encrypted, for those who read what came a long way."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal, Self

from pycontext import _core
from pycontext._core import check_id
from pycontext.block import now_ms as clock
from pycontext.blockset import zstd_of
from pycontext.budget import check_tokens
from pycontext.claims import Claims
from pycontext.counter import TokenCounter
from pycontext.errors import SignatureError, ValidationError, shown
from pycontext.keys import TAG_BYTES, Ed25519Signer, Ed25519Verifier, EncryptionKey, HmacKey, KeyRing
from pycontext.limits import DEFAULT, Limits
from pycontext.package import ContextPackage, Counts, check_package

__all__ = ["Ed25519Signer", "Ed25519Verifier", "EncryptionKey", "HmacKey", "KeyRing", "Unsealed", "seal", "unseal"]

_LATEST: Final = 2**63 - 1
# A hundred years: what is meant for ever has no expiry.
_LONGEST_SECONDS: Final = 100 * 365 * 86_400

# Compressed, encrypted, signed.
_Done = tuple[bool, bool, bool]


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A package that was opened, and what is known of its sender.

    Attributes:
        package: as it was sent. Its `hops` are worth something only where `key_id` is not None.
        key_id: of the key whose signature holds; None where it was not signed.
        signed_by: the agent that this key belongs to; None where it was not signed, or the key is any agent's.
        operation_id: of the package: whoever remembers those it has seen until they expire knows a replay.
        expires_ms: milliseconds since the epoch from which it would have been refused; None for never.
        encrypted: whether it was.
    """

    package: ContextPackage
    key_id: str | None
    signed_by: str | None
    operation_id: str
    expires_ms: int | None
    encrypted: bool


def seal(
    package: ContextPackage,
    *,
    sign: HmacKey | Ed25519Signer | None = None,
    encrypt: EncryptionKey | None = None,
    audience: str | None = None,
    expires_in_seconds: float | None = None,
    namespace: str = "",
    compress: Literal["zstd", "none"] = "zstd",
    now_ms: int | None = None,
    limits: Limits = DEFAULT,
) -> bytes:
    """Return a package in an envelope: compressed, then encrypted, then signed, for `unseal`.

    Session, operation, agent, audience, expiry, namespace and the ids of the keys stand in it in clear, and so does
    how large the package is.

    Args:
        package: stays as it is.
        sign: signs header, body and claims.
        encrypt: hides the body.
        audience: who alone may read it, 1 to 256 bytes; None for anybody.
        expires_in_seconds: how long it is worth something; None for ever.
        namespace: keeps tenants or environments apart; readers must name the same.
        compress: "zstd" where it makes the package smaller, "none" never. What is encrypted and has blocks of more
            than one origin is not compressed: the size would tell one what the others say (as CRIME did). Whoever may
            put text of his own between secrets of one origin learns the same from it: there, say "none".
        now_ms: milliseconds since the epoch; None for the clock.
        limits: as in `ContextPackage.to_protobuf`.

    Raises:
        ValidationError: there is no key, an argument is outside its limits, or there are more blocks or bytes than
            `limits` let anybody read again.
        SignatureError: the key is another agent's, or has encrypted as many messages as it may.
    """
    check_package("package", package)
    _check_keys(sign, encrypt)
    if audience is not None:
        check_id("audience", audience)
    expires_ms = None if expires_in_seconds is None else _time(now_ms) + _milliseconds(expires_in_seconds)
    zstd = zstd_of(compress)
    # One state of the package, whoever changes its blocks or gives it others meanwhile.
    with package.lock, package.blocks.settled():
        claims = replace(
            _claims_of(package),
            namespace=namespace,
            audience="" if audience is None else audience,
            expires_ms=expires_ms,
            key_id="" if sign is None else sign.key_id,
            algorithm="" if sign is None else sign.algorithm,
            encryption_key_id="" if encrypt is None else encrypt.key_id,
        )
        if sign is not None:
            sign.check_agent(claims.agent_id)
        if zstd and encrypt is not None:
            zstd = not package.blocks.is_mixed()
        message = package.to_protobuf(limits=limits)
    small = _core.compress(message) if zstd else None
    body = message if small is None else small
    done = (small is not None, encrypt is not None, sign is not None)
    if encrypt is not None:
        if len(body) + TAG_BYTES > limits.package_bytes:
            raise ValidationError(f"package is {len(body) + TAG_BYTES} bytes encrypted, over {limits.package_bytes}")
        nonce, body = encrypt.encrypt(
            body, lambda nonce: associated(done, len(message), replace(claims, nonce=nonce).to_bytes())
        )
        claims = replace(claims, nonce=nonce)
    unsigned = _core.write_envelope(done, len(message), body, claims.to_bytes())
    return _core.close_envelope(unsigned, b"" if sign is None else sign.sign(unsigned))


def unseal(
    data: bytes,
    keys: KeyRing,
    *,
    require: Literal["signed", "any"] = "signed",
    audience: str | None = None,
    session_id: str | None = None,
    namespace: str = "",
    now_ms: int | None = None,
    limits: Limits = DEFAULT,
    counter: str | TokenCounter | None = None,
    counts: Counts = "believe",
) -> Unsealed:
    """Open what `seal` wrote: verify, then decrypt, then decompress, then read.

    Nothing of the body is looked at before the signature holds, and nothing of it is decompressed past `limits` and
    the size that the envelope says. `hops` comes as it was sent: it is not to be believed of a package whose `key_id`
    is None. A replay is not known here: whoever remembers `operation_id` until `expires_ms` knows it.

    Args:
        data: the envelope.
        keys: what the reader has; the key decides which algorithm it is for.
        require: "signed" takes nothing without a signature; "any" takes an unsigned envelope as well, off which anybody
            may have taken the signature. One that is there must hold.
        audience: who reads; must be just whom the envelope is for, None for anybody.
        session_id: the session that is expected; None for any.
        namespace: must be the one of the envelope.
        now_ms: milliseconds since the epoch; None for the clock.
        limits: of the message and its blocks.
        counter: as in `ContextPackage.from_protobuf`.
        counts: as in `ContextPackage.from_protobuf`.

    Raises:
        SignatureError: the signature is missing or does not hold, a key is not known or is for something else or
            belongs to another agent, the envelope has expired or is for another audience, namespace or session, the
            package inside is not the one of the claims, or it cannot be decrypted.
        ValidationError: it is no envelope, was cut off, is outside its limits, or an argument is.
        PluginError: the counter raised or returned what it must not.
    """
    if require not in ("signed", "any"):
        raise ValidationError(f"require {shown(require)} is not one of signed, any")
    if not isinstance(keys, KeyRing):
        # The value is not shown: it may be a secret.
        raise ValidationError(f"keys is {type(keys).__name__}, not a KeyRing")
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ValidationError(f"data {shown(data)} is {type(data).__name__}, not bytes")
    expected = _Expected(audience, session_id, namespace, _time(now_ms))
    envelope = _Envelope.of(bytes(data), limits)
    if require == "signed" and not envelope.signed:
        raise SignatureError('envelope is not signed, and require is "signed"')
    claims = envelope.claims()
    key, message = None, envelope.body
    if claims is not None:
        key = envelope.verified(claims, keys)
        expected.check(claims)
        message = envelope.decrypted(claims, keys)
    package = ContextPackage.from_protobuf(
        envelope.decompressed(message), counter=counter, counts=counts, limits=limits
    )
    inside = _claims_of(package)
    if claims is None:
        expected.check(inside)
    else:
        for name in ("session_id", "operation_id", "agent_id"):
            _same(f"claim {name}", getattr(claims, name), f"the {name} of the package", getattr(inside, name))
    return Unsealed(
        package=package,
        key_id=None if key is None else key.key_id,
        signed_by=None if key is None else key.agent_id,
        operation_id=inside.operation_id,
        expires_ms=None if claims is None else claims.expires_ms,
        encrypted=envelope.encrypted,
    )


@dataclass(frozen=True, slots=True)
class _Envelope:
    """The parts of an envelope whose checksum holds, which anybody can make."""

    zstd: bool
    encrypted: bool
    signed: bool
    uncompressed: int
    body: bytes
    said: bytes
    signature: bytes
    signed_data: bytes

    @classmethod
    def of(cls, data: bytes, limits: Limits) -> Self:
        (zstd, encrypted, signed), uncompressed, body, said, signature, end = _core.open_envelope(data, limits)
        return cls(zstd, encrypted, signed, uncompressed, body, said, signature, data[:end])

    def claims(self) -> Claims | None:
        """What it says, None for what `to_bytes` wrote: that may say nothing, whatever has a key may not."""
        if not (self.said or self.encrypted or self.signed):
            return None
        return Claims.from_bytes(self.said, signed=self.signed, encrypted=self.encrypted)

    def verified(self, claims: Claims, keys: KeyRing) -> HmacKey | Ed25519Verifier | None:
        """The key whose signature holds, None where there is no signature."""
        if not self.signed:
            return None
        key = keys.verifying(claims.key_id, claims.algorithm)
        if not key.verify(self.signature, self.signed_data):
            raise SignatureError(f"key {shown(key.key_id)}: the signature does not hold")
        key.check_agent(claims.agent_id)
        return key

    def decrypted(self, claims: Claims, keys: KeyRing) -> bytes:
        if not self.encrypted:
            return self.body
        protected = associated((self.zstd, self.encrypted, self.signed), self.uncompressed, self.said)
        return keys.decrypting(claims.encryption_key_id).decrypt(claims.nonce, self.body, protected)

    def decompressed(self, body: bytes) -> bytes:
        if self.zstd:
            return _core.decompress(body, self.uncompressed)
        if len(body) != self.uncompressed:
            raise ValidationError(f"envelope has {len(body)} bytes, and says {self.uncompressed}")
        return body


@dataclass(frozen=True, slots=True)
class _Expected:
    """What a reader wants the claims to say."""

    audience: str | None
    session_id: str | None
    namespace: str
    now_ms: int

    def __post_init__(self) -> None:
        for name in ("audience", "session_id"):
            if getattr(self, name) is not None:
                check_id(name, getattr(self, name))
        if self.namespace != "":
            check_id("namespace", self.namespace)

    def check(self, claims: Claims) -> None:
        """Raise `SignatureError` unless the claims are for this reader, and now."""
        if claims.expires_ms is not None and claims.expires_ms <= self.now_ms:
            raise SignatureError(f"claim expires_ms {claims.expires_ms} is over, it is {self.now_ms}")
        _same("claim namespace", claims.namespace, "namespace", self.namespace)
        _same("claim audience", claims.audience or None, "audience", self.audience)
        if self.session_id is not None:
            _same("claim session_id", claims.session_id, "session_id", self.session_id)


def _same(name: str, said: str | None, other: str, wanted: str | None) -> None:
    if said != wanted:
        raise SignatureError(f"{name} {shown(said)} is not {other} {shown(wanted)}")


def _claims_of(package: ContextPackage) -> Claims:
    """What the claims say of a package itself."""
    return Claims(session_id=package.session_id, operation_id=package.operation_id, agent_id=package.author)


def associated(done: _Done, uncompressed: int, claims: bytes) -> bytes:
    """What is encrypted belongs to all that stands around it: the header without the size of the body, and the claims.

    That is more than namespace, session and operation, and has every size in it, so that nothing can be read two ways.
    """
    return _core.write_envelope(done, uncompressed, b"", claims)


def _check_keys(sign: object, encrypt: object) -> None:
    """Raise `ValidationError` unless there is a key, and each is for its work; secrets may stand in their place."""
    if sign is None and encrypt is None:
        raise ValidationError("sign and encrypt are both None: `ContextPackage.to_bytes` does that")
    if not isinstance(sign, HmacKey | Ed25519Signer | None):
        raise ValidationError(f"sign is {type(sign).__name__}, not HmacKey or Ed25519Signer")
    if not isinstance(encrypt, EncryptionKey | None):
        raise ValidationError(f"encrypt is {type(encrypt).__name__}, not EncryptionKey")


def _time(now_ms: int | None) -> int:
    now = clock() if now_ms is None else now_ms
    check_tokens("now_ms", now, most=_LATEST)
    return now


def _milliseconds(expires_in_seconds: float) -> int:
    is_number = isinstance(expires_in_seconds, int | float) and not isinstance(expires_in_seconds, bool)
    if not (is_number and 0 < expires_in_seconds <= _LONGEST_SECONDS):
        raise ValidationError(
            f"expires_in_seconds {shown(expires_in_seconds)} is not a number over 0, up to {_LONGEST_SECONDS}"
        )
    return math.ceil(expires_in_seconds * 1000)
