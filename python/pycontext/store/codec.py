"""Messages on their way into a store and back: in an envelope, encrypted where there is a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from pycontext import _core
from pycontext.claims import Claims
from pycontext.errors import CorruptPayloadError, SignatureError, UnsupportedFormatError, ValidationError
from pycontext.keys import EncryptionKey, KeyRing
from pycontext.limits import Limits
from pycontext.store.key import Key
from pycontext.wire import associated

__all__ = ["Codec", "Place"]

# What is smaller shrinks by a tenth, and takes longer to shrink than to be sent.
_WORTH_BYTES: Final = 512
# What `Claims` want, and what a store has no use for: the package inside says whose it is.
_AGENT: Final = "store"
# The envelope begins with it, and with the number of its format behind it.
_MAGIC: Final = b"PCX1"
_FORMAT: Final = 1


class Place(NamedTuple):
    """Where bytes stand in a store: what was written for one place is worth nothing in another.

    Attributes:
        key: of the session.
        incarnation: of the session.
        operation_id: of the write.
        field: "snapshot" or "change".
        version: that the bytes make; for messages to people.
    """

    key: Key
    incarnation: str
    operation_id: str
    field: str
    version: int = 0

    @property
    def shown(self) -> str:
        """The place as a message names it."""
        return f"{self.key.name}: {self.field} of version {self.version}"


class Codec:
    """Puts messages into envelopes and takes them out.

    Args:
        limits: of the messages.
        encrypt: hides them; None leaves them readable.
        keys: what reads what earlier keys have hidden; None for `encrypt` alone.

    Raises:
        ValidationError: a key is not for its work.
    """

    def __init__(self, limits: Limits, encrypt: EncryptionKey | None = None, keys: KeyRing | None = None) -> None:
        if encrypt is not None and not isinstance(encrypt, EncryptionKey):
            # The value is not shown: it may be a secret.
            raise ValidationError(f"encrypt is {type(encrypt).__name__}, not an EncryptionKey")
        if keys is not None and not isinstance(keys, KeyRing):
            raise ValidationError(f"keys is {type(keys).__name__}, not a KeyRing")
        if keys is not None and encrypt is None:
            raise ValidationError("keys are given and encrypt is None: this store would write what all can read")
        self.limits: Final = limits
        self.encrypt: Final = encrypt
        self._keys: Final = KeyRing([encrypt]) if encrypt is not None and keys is None else keys

    def close(self, message: bytes, place: Place, is_mixed: Callable[[], bool]) -> bytes:
        """Return a message in its envelope, compressed where that makes it smaller.

        What is encrypted and has blocks of more than one origin is not: the size would tell one what the others say.

        Args:
            message: what is hidden, where there is a key.
            place: where it goes.
            is_mixed: says whether the blocks have more than one origin; asked only where that matters.
        """
        if self.encrypt is None:
            return _core.envelop(message, len(message) >= _WORTH_BYTES)
        small = None if is_mixed() else _core.compress(message)
        done = (small is not None, True, False)
        said: list[bytes] = []

        def protected(nonce: str) -> bytes:
            said.append(self._claims(place, nonce).to_bytes())
            return associated(done, len(message), said[0])

        _, body = self.encrypt.encrypt(message if small is None else small, protected)
        return _core.close_envelope(_core.write_envelope(done, len(message), body, said[0]), b"")

    def open(self, data: bytes, place: Place) -> bytes:
        """Return the message of an envelope.

        Raises:
            CorruptPayloadError: the bytes are damaged.
            UnsupportedFormatError: a later release wrote them.
            SignatureError: they are not encrypted and should be, were written for another place, or no key fits.
        """
        if data[:4] == _MAGIC and data[4:5] > bytes([_FORMAT]):
            raise UnsupportedFormatError(f"{place.shown} has format {data[4]}, and this release reads up to {_FORMAT}")
        try:
            return self._opened(data, place)
        except ValidationError as error:
            raise self.corrupt(place, error) from None

    def corrupt(self, place: Place, error: Exception) -> CorruptPayloadError:
        """Return the error that says where bytes are damaged."""
        return CorruptPayloadError(f"{place.shown} is damaged: {error}", place.key.name, place.field, place.version)

    def _opened(self, data: bytes, place: Place) -> bytes:
        (is_zstd, is_encrypted, is_signed), size, body, said, *_ = _core.open_envelope(data, self.limits)
        if is_signed or is_encrypted != (self.encrypt is not None):
            what = "signed" if is_signed else "encrypted" if is_encrypted else "not encrypted"
            raise SignatureError(f"{place.shown} is {what}, and this store {_NEITHER[self.encrypt is not None]}")
        if self._keys is not None:
            claims = Claims.from_bytes(said, signed=False, encrypted=True)
            if claims != self._claims(place, claims.nonce, claims.encryption_key_id):
                raise SignatureError(f"{place.shown} was written for another place")
            key = self._keys.decrypting(claims.encryption_key_id)
            body = key.decrypt(claims.nonce, body, associated((is_zstd, True, False), size, said))
        return _core.decompress(body, size) if is_zstd else body

    def _claims(self, place: Place, nonce: str, key_id: str = "") -> Claims:
        """What an envelope for a place says of itself: the incarnation stands where others name their audience."""
        return Claims(
            session_id=place.key.session_id,
            operation_id=place.operation_id,
            agent_id=_AGENT,
            namespace=place.key.namespace,
            audience=f"{place.field}:{place.incarnation}",
            encryption_key_id=key_id or ("" if self.encrypt is None else self.encrypt.key_id),
            nonce=nonce,
        )


_NEITHER: Final = ("has no key", "encrypts what it writes")
