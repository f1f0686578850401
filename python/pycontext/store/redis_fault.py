"""What a Redis server or the way to it says, in our words."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from redis import exceptions

from pycontext.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreDeniedError,
    StoreError,
    StoreFullError,
    StoreTimeoutError,
    StoreUnavailableError,
)

__all__ = ["FAULTS", "Fault", "fault_of", "is_refused_tls"]

FAULTS: Final = (exceptions.RedisError, exceptions.RedisClusterException, OSError)
"""What a client raises where the server or the way to it fails; that of a cluster has a root of its own."""

_SILENT: Final = "the server did not answer in time"
_AWAY: Final = "the server cannot be reached"
_CROWDED: Final = "max number of clients reached"
# Sentinels have a class for it of their own, those who await another one.
_LEADERLESS: Final = "No master found"
_UNKNOWN: Final = "the sentinels know no such service, or no master of it that runs"
_UNSEEN: Final = "a sentinel cannot be reached, and no other names a master that runs"
# OpenSSL's words, which redis-py passes on among its own; in all of these cases nobody has sent anything yet.
_TLS: Final = re.compile(r"\[SSL: (CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER|\w+_ALERT_\w+)\][^(<]*")
# What a script may not do comes without the first word: as Redis up to 7.0 says it, and since.
_DENIED: Final = ("The user executing the script can't", "ACL failure in script")

# By the first word of what the server says, where redis-py has no class for it: the error, whether to try again, and
# what it means.
_WORDS: Final[dict[str, tuple[type[StoreError], bool, str]]] = {
    "BUSY": (StoreBusyError, True, "the server runs somebody's script"),
    "MISCONF": (StoreUnavailableError, False, "the server cannot persist, and refuses writes"),
    "NOREPLICAS": (StoreUnavailableError, False, "the server has too few replicas, and refuses writes"),
    "MASTERDOWN": (StoreUnavailableError, True, "the server is a replica that has lost its master"),
    "WRONGTYPE": (StoreCorruptError, False, "something else is at a key of ours"),
    "OOM": (StoreFullError, False, "the server has no memory left"),
    "MOVED": (StoreUnavailableError, False, "the server is one of a cluster: use redis+cluster://"),
    "ASK": (StoreUnavailableError, False, "the server is one of a cluster: use redis+cluster://"),
    "CROSSSLOT": (StoreUnavailableError, False, "the server is one of a cluster: use redis+cluster://"),
    "CLUSTERDOWN": (StoreUnavailableError, True, "the cluster does not serve all slots"),
    "TRYAGAIN": (StoreUnavailableError, True, "a slot of the cluster is on the move"),
    "NOAUTH": (StoreDeniedError, False, "the server wants a password"),
    "WRONGPASS": (StoreDeniedError, False, "the server knows no such user and password"),
    "NOPERM": (StoreDeniedError, False, "the user may not do this"),
    "READONLY": (StoreUnavailableError, True, "the server is a replica"),
}

# The same where redis-py has a class, which comes without the first word; the first one that fits.
_CLASSES: Final[tuple[tuple[str, tuple[type[StoreError], bool, str]], ...]] = (
    ("AuthenticationWrongNumberOfArgsError", _WORDS["NOAUTH"]),
    ("AuthenticationError", _WORDS["WRONGPASS"]),
    ("AuthorizationError", _WORDS["NOPERM"]),
    ("NoPermissionError", _WORDS["NOPERM"]),
    ("BusyLoadingError", (StoreUnavailableError, True, "the server is loading its data")),
    ("OutOfMemoryError", _WORDS["OOM"]),
    ("ReadOnlyError", _WORDS["READONLY"]),
    ("TryAgainError", _WORDS["TRYAGAIN"]),
    ("ClusterDownError", _WORDS["CLUSTERDOWN"]),
    ("MasterDownError", _WORDS["MASTERDOWN"]),
    ("MovedError", _WORDS["MOVED"]),
    ("AskError", _WORDS["ASK"]),
    ("TimeoutError", (StoreTimeoutError, True, _SILENT)),
    ("ConnectionError", (StoreUnavailableError, True, _AWAY)),
    ("RedisClusterException", (StoreUnavailableError, True, _AWAY)),
)


class Fault(NamedTuple):
    """What a failure means.

    Attributes:
        error: of ours.
        is_passing: whether it is worth trying again.
        is_down: whether the server did not answer at all.
    """

    error: StoreError
    is_passing: bool
    is_down: bool


def fault_of(error: Exception, name: str, key: str = "") -> Fault:
    """Return what an error of redis-py means.

    Args:
        error: of redis-py, or of the system.
        name: of the store, without a password.
        key: that was asked for, where there is one.
    """
    # Behind that colon redis-py shows its clients, some releases with their passwords.
    text = " ".join(str(error).split())
    said, _, clients = text.partition(" : <")
    where = f"{name} {key}" if key else name
    word = said.partition(" ")[0].rstrip(":")
    kind, is_passing, meaning = StoreError, False, "the server refuses"
    tls = _TLS.search(text)
    if tls is not None:
        said = tls[0].strip()
        kind, is_passing, meaning = StoreDeniedError, False, _tls_meaning(tls[1])
    elif isinstance(error, exceptions.ResponseError) and word in _WORDS:
        kind, is_passing, meaning = _WORDS[word]
    elif said.startswith(_LEADERLESS):
        kind, is_passing, meaning = StoreUnavailableError, True, _UNSEEN if clients else _UNKNOWN
    elif any(words in said for words in _DENIED):
        kind, is_passing, meaning = _WORDS["NOPERM"]
    elif _CROWDED in said:
        # While a connection is made redis-py calls it a lost one.
        kind, is_passing, meaning = StoreDeniedError, False, "the server has too many clients"
    else:
        for class_name, found in _CLASSES:
            known = getattr(exceptions, class_name, None)
            if known is not None and isinstance(error, known):
                kind, is_passing, meaning = found
                break
        else:
            if isinstance(error, TimeoutError):
                kind, is_passing, meaning = StoreTimeoutError, True, _SILENT
            elif isinstance(error, OSError):
                kind, is_passing, meaning = StoreUnavailableError, True, _AWAY
    is_down = meaning in (_SILENT, _AWAY, _UNKNOWN, _UNSEEN)
    return Fault(kind(f"{where}: {meaning} ({said[:200]})"), is_passing, is_down)


def is_refused_tls(error: Exception) -> bool:
    """Whether an error of redis-py says that one side does not trust the other."""
    return _TLS.search(str(error)) is not None


def _tls_meaning(reason: str) -> str:
    if reason == "CERTIFICATE_VERIFY_FAILED":
        return "the certificate of the server is not to be trusted"
    if reason == "WRONG_VERSION_NUMBER":
        return "the server does not speak TLS at that port"
    return "the server refuses our TLS or our certificate"
