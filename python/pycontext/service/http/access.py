"""Whose request it is."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

from pycontext.errors import ValidationError, shown
from pycontext.service.http.refusal import Refusal

__all__ = ["DEFAULT_NAMESPACE", "Access", "is_loopback"]

DEFAULT_NAMESPACE: Final = "default"

# What is shorter can be guessed over HTTP in a lifetime.
_SHORTEST_KEY: Final = 16
_LONGEST_KEY: Final = 512


class Access:
    """Knows API keys by their digests, and which namespace each of them opens.

    Args:
        api_keys: namespaces by key, each key 16 to 512 visible characters of ASCII; None where there are none, and
            whoever asks from this machine is the namespace "default".
        metrics_key: opens the metrics, and nothing else; None where whoever asks from this machine may have them.

    Raises:
        ValidationError: a key is outside its limits, or opens both; the message does not repeat it.
    """

    def __init__(self, api_keys: Mapping[str, str] | None, metrics_key: str | None = None) -> None:
        # Digests under a secret of this process: what leaks out of its memory opens nothing.
        self._secret: Final = secrets.token_bytes(32)
        self._namespaces: Final = None if api_keys is None else self._read(api_keys)
        self._metrics: Final = None if metrics_key is None else self._digest(_checked("metrics_key", metrics_key))
        if api_keys is not None and metrics_key in api_keys:
            raise ValidationError("metrics_key is one of api_keys: who reads metrics must not read sessions")

    def namespace(self, authorization: Sequence[str], host: str | None) -> str:
        """Return the namespace of a request.

        Args:
            authorization: the values of the header of that name.
            host: value of the header of that name.

        Raises:
            Refusal: there is no key, or none that we know.
        """
        if self._namespaces is None:
            _check_host(host)
            return DEFAULT_NAMESPACE
        digest = self._digest(_bearer(authorization))
        found = None
        # All of them, so that the time does not tell which one it was.
        for known, namespace in self._namespaces:
            if hmac.compare_digest(known, digest):
                found = namespace
        if found is None:
            raise _unknown("the API key is not known")
        return found

    def check_metrics(self, authorization: Sequence[str], host: str | None, client: str | None) -> None:
        """Raise `Refusal` unless a request may have the metrics."""
        if self._metrics is not None:
            if not hmac.compare_digest(self._metrics, self._digest(_bearer(authorization))):
                raise _unknown("the key of the metrics is another")
            return
        _check_host(host)
        if client is not None and not is_loopback(client):
            raise Refusal(403, "Forbidden", "metrics are for this machine only: start the service with a metrics_key")

    def _read(self, api_keys: Mapping[str, str]) -> list[tuple[bytes, str]]:
        if not isinstance(api_keys, Mapping) or not api_keys:
            raise ValidationError("api_keys is no mapping from keys to namespaces, or an empty one")
        for namespace in api_keys.values():
            if not isinstance(namespace, str):
                raise ValidationError(f"api_keys has the namespace {shown(namespace)}, which is no str")
        return [(self._digest(_checked("api_keys", key)), namespace) for key, namespace in api_keys.items()]

    def _digest(self, key: str) -> bytes:
        return blake2b(key.encode(), key=self._secret, digest_size=32).digest()


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine seen from itself; no name but localhost is looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked(name: str, key: object) -> str:
    if not isinstance(key, str) or not key.isascii() or not key.isprintable() or " " in key:
        raise ValidationError(f"{name}: a key is no str of visible ASCII")
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise ValidationError(f"{name}: a key has {len(key)} characters, not {_SHORTEST_KEY} to {_LONGEST_KEY}")
    return key


def _bearer(authorization: Sequence[str]) -> str:
    if len(authorization) != 1:
        raise _unknown("there is no API key: send Authorization: Bearer KEY")
    scheme, _, key = authorization[0].partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise _unknown("the header Authorization is not: Bearer KEY")
    return key.strip()


def _check_host(host: str | None) -> None:
    """Refuse what a browser sends for a page of somebody else, whose name was made to mean this machine."""
    name = "" if host is None else host
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if not is_loopback(name):
        raise Refusal(403, "Forbidden", "without keys only this machine is served, under the name localhost")


def _unknown(message: str) -> Refusal:
    return Refusal(401, "Unauthorized", message, {"WWW-Authenticate": 'Bearer realm="pycontext"'})
