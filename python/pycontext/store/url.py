"""Stores by their address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from pycontext.counter import TokenCounter
from pycontext.errors import ValidationError, shown
from pycontext.keys import EncryptionKey, KeyRing
from pycontext.limits import DEFAULT, Limits
from pycontext.store.base import AsyncContextStore
from pycontext.store.codec import Codec
from pycontext.store.exchange import Redact
from pycontext.store.operations import Operations

if TYPE_CHECKING:
    from pycontext.store.log import AsyncLog, Log
    from pycontext.store.sqlite import Durability
    from pycontext.store.sync_store import Store

# What a store is made of is imported when one is opened: most programs prune and open none, or one of a kind.

__all__ = ["file_of", "open_async_store", "open_store"]

_REDIS: Final = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
_SCHEMES: Final = ("memory", "sqlite", *_REDIS)


def open_store(
    url: str,
    *,
    namespace: str = "default",
    ttl: float | None = None,
    durability: Durability = "normal",
    encrypt: EncryptionKey | None = None,
    keys: KeyRing | None = None,
    redact: Redact | None = None,
    counter: str | TokenCounter | None = None,
    sessions: int = 256,
    limits: Limits = DEFAULT,
) -> Store:
    """Open the store at an address; a server is first asked when it is needed.

    Args:
        url: `memory://`, `sqlite:///file.db`, or of Redis: `redis://host:6379/0`, `rediss://` with TLS, `unix:///path`,
            `redis+cluster://host:port,host:port`, `redis+sentinel://host:port,host:port/service`. User, password and
            what else redis-py reads from an address are read from it.
        namespace: keeps tenants or environments apart, 1 to 256 bytes without control characters.
        ttl: seconds that a session lives after the last write; None for ever.
        durability: of SQLite: "normal" survives a crash of the program, "fsync" one of the machine.
        encrypt: hides what is written; needs the extra `crypto`.
        keys: what reads what earlier keys have hidden, `encrypt` included; None for `encrypt` alone.
        redact: given a copy of every block before it is written; returns what is written.
        counter: what counts tokens; None for what each session names.
        sessions: to remember, so that only what is new of them travels.
        limits: of what is read and written.

    Raises:
        ValidationError: the address or an option is none; a password is never repeated.
        ImportError: the extra `redis` or `crypto` is not installed.
    """
    from pycontext.store.sync_store import Store  # noqa: PLC0415

    operations = Operations(namespace, ttl, Codec(limits, encrypt, keys), redact, counter, sessions)
    return Store(_log(_split(url), url, durability), operations)


def open_async_store(
    url: str,
    *,
    namespace: str = "default",
    ttl: float | None = None,
    durability: Durability = "normal",
    encrypt: EncryptionKey | None = None,
    keys: KeyRing | None = None,
    redact: Redact | None = None,
    counter: str | TokenCounter | None = None,
    sessions: int = 256,
    limits: Limits = DEFAULT,
) -> AsyncContextStore:
    """Open the store at an address for one event loop; takes and raises what `open_store` does."""
    from pycontext.store.async_store import AsyncStore  # noqa: PLC0415
    from pycontext.store.threaded import ThreadedLog  # noqa: PLC0415

    operations = Operations(namespace, ttl, Codec(limits, encrypt, keys), redact, counter, sessions)
    parts = _split(url)
    log: AsyncLog
    if parts.scheme in _REDIS:
        from pycontext.store.redis_async import AsyncRedisLog  # noqa: PLC0415

        log = AsyncRedisLog(url)
    else:
        log = ThreadedLog(_log(parts, url, durability))
    return AsyncStore(log, operations)


def file_of(url: str) -> Path | None:
    """Return the file that an address names; None where it names none.

    Raises:
        ValidationError: it is no address.
    """
    parts = _split(url)
    return Path(_path(parts)) if parts.scheme == "sqlite" else None


def _log(parts: SplitResult, url: str, durability: Durability) -> Log:
    if parts.scheme == "memory":
        from pycontext.store.memory import MemoryLog  # noqa: PLC0415

        return MemoryLog()
    if parts.scheme == "sqlite":
        from pycontext.store.sqlite import SqliteLog  # noqa: PLC0415

        return SqliteLog(_path(parts), durability)
    from pycontext.store.redis import RedisLog  # noqa: PLC0415

    return RedisLog(url)


def _split(url: Any) -> SplitResult:
    if not isinstance(url, str):
        raise ValidationError(f"url is {type(url).__name__}, not str")
    try:
        parts = urlsplit(url)
        parts.port if "," not in parts.netloc else None  # noqa: B018  # it is read when it is asked for
    except ValueError:
        raise ValidationError(f"url of scheme {shown(url.partition(':')[0])} is no address") from None
    if parts.scheme not in _SCHEMES:
        raise ValidationError(f"url has scheme {shown(parts.scheme)}, not one of {', '.join(_SCHEMES)}")
    if parts.scheme in ("memory", "sqlite") and parts.netloc:
        raise ValidationError(
            f"url names a host, and {parts.scheme} has none: {parts.scheme}:///path has three slashes"
        )
    if parts.scheme == "unix" and (not parts.path.strip("/") or parts.netloc.rpartition("@")[2]):
        raise ValidationError("url has no path of a socket: unix:///path")
    if parts.scheme in _REDIS and parts.scheme != "unix" and "@" in parts.path + parts.query + parts.fragment:
        # Or a part of the password would be taken for a host, and shown.
        raise ValidationError("url has an @ behind its host: in a password, / ? # and @ are %2F %3F %23 and %40")
    if parts.scheme in _REDIS and parts.scheme != "unix" and not parts.netloc.rpartition("@")[2].strip(":,"):
        raise ValidationError(f"url of scheme {parts.scheme} has no host")
    return parts


def _path(parts: SplitResult) -> str:
    path = unquote(parts.path)
    # As others have it: three slashes for a relative path, four for an absolute one.
    path = path.removeprefix("/")
    if not path:
        raise ValidationError("url has no path of a file: sqlite:///file.db, or sqlite:////absolute/file.db")
    if parts.query or parts.fragment:
        raise ValidationError("url of scheme sqlite has options: they are arguments of open_store")
    return path
