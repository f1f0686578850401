"""What an envelope says of itself in clear: whose it is, for whom, until when, and which keys were used."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from pycontext._core import check_id
from pycontext.budget import check_tokens
from pycontext.errors import SignatureError, ValidationError, shown
from pycontext.limits import Limits
from pycontext.strict_json import parse

__all__ = ["Claims"]

# An envelope has two bytes for the size of its claims.
_LIMITS: Final = Limits(package_bytes=2**16 - 1, json_depth=1, json_digits=19)
_NONCE: Final = re.compile("[0-9a-f]{24}")
_NEEDED: Final = ("session_id", "operation_id", "agent_id")
_OPTIONAL: Final = ("namespace", "audience", "key_id", "algorithm", "encryption_key_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What an envelope says of itself in clear; what is empty is not said.

    Attributes:
        session_id: of the package inside.
        operation_id: of the package inside.
        agent_id: the author of the package inside: who handed it over, else its agent.
        namespace: keeps tenants or environments apart.
        audience: for whom it is; empty for anybody.
        expires_ms: milliseconds since the epoch from which it is worth nothing; None for never.
        key_id: of what it was signed with.
        algorithm: how; the key decides whether that is true.
        encryption_key_id: of what it was encrypted with.
        nonce: of the encryption, 24 hexadecimal digits.

    Raises:
        ValidationError: a claim is outside its limits.
    """

    session_id: str
    operation_id: str
    agent_id: str
    namespace: str = ""
    audience: str = ""
    expires_ms: int | None = None
    key_id: str = ""
    algorithm: str = ""
    encryption_key_id: str = ""
    nonce: str = ""

    def __post_init__(self) -> None:
        for name in (*_NEEDED, *_OPTIONAL):
            if name in _NEEDED or getattr(self, name) != "":
                check_id(name, getattr(self, name))
        if self.expires_ms is not None:
            check_tokens("expires_ms", self.expires_ms, most=2**63 - 1)
        if self.nonce != "" and not (isinstance(self.nonce, str) and _NONCE.fullmatch(self.nonce)):
            raise ValidationError(f"nonce {shown(self.nonce)} is not 24 hexadecimal digits")

    def to_bytes(self) -> bytes:
        """Return what is said, as JSON."""
        said = {name: value for name, value in asdict(self).items() if value not in ("", None)}
        return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, signed: bool, encrypted: bool) -> Self:
        """Read claims strictly.

        Args:
            data: what `to_bytes` wrote.
            signed: whether the envelope has a signature.
            encrypted: whether its body is encrypted.

        Raises:
            SignatureError: they are no such JSON, a claim is missing, not known or outside its limits, or they name
                keys for what was not done, or none for what was.
        """
        try:
            values = parse(data, limits=_LIMITS)
            _check_names([field.name for field in fields(cls)], values)
            claims = cls(**values)
        except ValidationError as error:
            raise SignatureError(f"claims: {error}") from None
        for names, is_done, how in (
            (("key_id", "algorithm"), signed, "signed"),
            (("encryption_key_id", "nonce"), encrypted, "encrypted"),
        ):
            for name in names:
                if is_done and name not in values:
                    raise SignatureError(f"claims: {name} is missing, and the envelope is {how}")
                if not is_done and name in values:
                    raise SignatureError(f"claims: {name} {shown(values[name])} of an envelope that is not {how}")
        return claims


def _check_names(known: list[str], values: Any) -> None:
    if not isinstance(values, dict):
        raise ValidationError(f"{shown(values)} is {type(values).__name__}, not an object")
    for name, value in values.items():
        if name not in known:
            raise ValidationError(f"{shown(name)} is not one of {', '.join(known)}")
        if value in ("", None):
            raise ValidationError(f"{name} {shown(value)} says nothing")
    for name in _NEEDED:
        if name not in values:
            raise ValidationError(f"{name} is missing")
