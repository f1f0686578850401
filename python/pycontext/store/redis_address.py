"""Addresses of Redis, and the clients that they are for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.connection import Connection, SSLConnection
from redis.exceptions import RedisError

from pycontext.errors import ValidationError, shown

__all__ = ["Address", "pool_of"]

_LOG: Final = logging.getLogger("pycontext.store")

# Defaults of redis-py take seconds to say that a server is down. What the address says goes before.
_TIMES: Final = {"socket_connect_timeout": 1.0, "socket_timeout": 2.0, "health_check_interval": 15}
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
# What redis-py raises where an option is unknown or has a value that is none.
_REFUSALS: Final = (TypeError, ValueError, RedisError)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and how to reach it.

    Attributes:
        kind: "single", "cluster" or "sentinel".
        url: for a single server, as redis-py reads it.
        nodes: host and port of others.
        service: that the sentinels know the server by.
        options: of every connection; names as redis-py has them.
        name: for messages, without a password.
    """

    kind: str
    url: str
    nodes: tuple[tuple[str, int], ...]
    service: str
    options: Mapping[str, Any]
    name: str

    @classmethod
    def of(cls, url: str) -> Address:
        """Read an address.

        Raises:
            ValidationError: it is none.
        """
        parts = urlsplit(url)
        scheme, _, kind = parts.scheme.partition("+")
        login, _, hosts = parts.netloc.rpartition("@")
        path = f"/{parts.path.strip('/')}" if scheme != "unix" else parts.path
        name = f"{parts.scheme}://{hosts}{path.rstrip('/')}"
        query = _query(parts)
        _check_tls(query, name)
        if not kind:
            return cls("single", url, (), "", _TIMES, name)
        options = dict(_TIMES) | _login(login)
        if scheme == "rediss":
            options["ssl"] = True
        port = _SENTINEL_PORT if kind == "sentinel" else _PORT
        nodes = tuple(_node(host, port) for host in hosts.split(","))
        service, _, number = parts.path.strip("/").partition("/")
        if kind == "sentinel" and not service:
            raise ValidationError("url of scheme redis+sentinel has no service: redis+sentinel://host:26379/service")
        if kind == "cluster" and parts.path.strip("/"):
            raise ValidationError(f"url names database {shown(parts.path)}, and a cluster has one only")
        if number:
            if not number.isdecimal():
                raise ValidationError(f"url has database {shown(number)}, which is no number")
            options["db"] = int(number)
        options |= _tls(query, parts.scheme)
        _try_options(options, name)
        return cls(kind, "", nodes, service, options, name)


def pool_of(kind: Any, address: Address, **options: Any) -> Any:
    """Return a pool of connections to a single server.

    Args:
        kind: the class of the pool.
        address: of the server.
        options: of every connection, besides those of the address.

    Raises:
        ValidationError: the address has an option that redis-py does not know, or a value that is none.
    """
    try:
        pool = kind.from_url(address.url, **address.options, **options)
        # It reads the options; nothing is connected.
        pool.connection_class(**pool.connection_kwargs)
    except _REFUSALS as error:
        raise _refused(address.name, error) from None
    return pool


def _try_options(options: Mapping[str, Any], name: str) -> None:
    """As `pool_of`, for those who make their pools when they know where."""
    options = dict(options)
    kind = SSLConnection if options.pop("ssl", False) else Connection
    try:
        kind(**options)
    except _REFUSALS as error:
        raise _refused(name, error) from None


def _refused(name: str, error: Exception) -> ValidationError:
    return ValidationError(f"{name}: redis-py refuses an option of the url: {error}")


def _node(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    try:
        found = parts.port
    except ValueError:
        found = None
        text = ""
    if not text or not parts.hostname:
        raise ValidationError("url has a host that is none: host:port, with commas between several")
    return parts.hostname, port if found is None else found


def _login(login: str) -> dict[str, str]:
    user, _, password = login.partition(":")
    options = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in options.items() if value}


def _query(parts: SplitResult) -> dict[str, str]:
    """What is behind the question mark; of an option that is there twice redis-py takes the first one."""
    return dict(reversed(parse_qsl(parts.query)))


def _check_tls(query: Mapping[str, str], name: str) -> None:
    """Warn where the server may be somebody else; redis-py would say of a file that is missing that the server is."""
    for option in _FILES:
        if option in query and not Path(query[option]).is_file():
            raise ValidationError(f"{name}: option {option} of the url names no file: {shown(query[option])}")
    if query.get("ssl_cert_reqs", "required") != "required" or _is_off(query.get("ssl_check_hostname", "")):
        _LOG.warning("%s: the server's certificate is not verified: anybody may be in between", name)


def _is_off(value: str) -> bool:
    """Whether redis-py reads it as false."""
    return value.upper() in ("0", "F", "FALSE", "N", "NO")


def _tls(query: Mapping[str, str], scheme: str) -> dict[str, Any]:
    """The options of TLS behind the question mark; redis-py reads those of a single server itself."""
    options: dict[str, Any] = dict(query)
    for key in options:
        if not key.startswith("ssl_"):
            raise ValidationError(f"url of scheme {scheme} takes options ssl_... only, not {shown(key)}")
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = not _is_off(options["ssl_check_hostname"])
    return options
