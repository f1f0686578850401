"""What the settings of a Redis server mean for sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Finding", "advice_of", "questions"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is worth knowing of a store.

    Attributes:
        topic: what it is about.
        state: "good", "info" or "warning".
        value: as it is.
        text: what it means, and what to do.
    """

    topic: str
    state: Literal["good", "info", "warning"]
    value: str
    text: str

    @property
    def is_warning(self) -> bool:
        """Whether something may be lost or slow."""
        return self.state == "warning"


def questions() -> list[tuple[str, tuple[str, ...]]]:
    """Return the commands whose answers `advice_of` reads, by name."""
    return [
        ("persistence", ("INFO", "persistence")),
        ("memory", ("INFO", "memory")),
        ("server", ("INFO", "server")),
        ("replication", ("INFO", "replication")),
        # In one word, which tells the client of a cluster that any node may answer.
        ("save", ("CONFIG GET", "save")),
        ("appendfsync", ("CONFIG GET", "appendfsync")),
    ]


def advice_of(said: Mapping[str, Any]) -> list[Finding]:
    """Return what the answers mean; what was not told is left out."""
    return [*_persistence(said), *_memory(said.get("memory")), *_server(said)]


def _persistence(said: Mapping[str, Any]) -> list[Finding]:
    info = said.get("persistence")
    if not isinstance(info, Mapping):
        return []
    if info.get("aof_enabled"):
        how = _setting(said.get("appendfsync")) or "unknown"
        meaning = {
            "always": "what was confirmed survives a crash of the machine; every write waits for the disk",
            "everysec": "a crash of the machine loses a second of confirmed writes at most",
            "no": "a crash of the machine loses what the system has not written yet, half a minute perhaps",
        }.get(how, "appendfsync is not told")
        found = [
            Finding("persistence", "warning" if how == "no" else "good", f"append-only file, fsync {how}", meaning)
        ]
    elif _setting(said.get("save")):
        text = "a crash loses all writes since the last snapshot: set appendonly yes"
        found = [Finding("persistence", "warning", f"snapshots, save {_setting(said.get('save'))}", text)]
    elif "save" not in said:
        text = "there is no append-only file, and whether there are snapshots is not told"
        found = [Finding("persistence", "info", "unknown", text)]
    else:
        text = "no persistence: a restart loses every session: set appendonly yes"
        found = [Finding("persistence", "warning", "none", text)]
    for status in ("aof_last_write_status", "rdb_last_bgsave_status"):
        if info.get(status, "ok") not in ("ok", b"ok"):
            text = f"{status} is not ok: the server may refuse writes; look at its log and its disk"
            found.append(Finding("persistence", "warning", str(info[status]), text))
    return found


def _memory(info: Any) -> list[Finding]:
    if not isinstance(info, Mapping):
        return []
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    policy = str(info.get("maxmemory_policy", "unknown"))
    share = f"{used / most:.0%} of {_size(most)}" if most else f"{_size(used)}, no limit"
    found = []
    if not most:
        text = "maxmemory is not set: a server that grows past its machine is killed, and sessions with it; set it"
        found.append(Finding("memory", "info", share, text))
    elif used > 0.9 * most:
        found.append(Finding("memory", "warning", share, f"nearly full; what happens then is the policy, {policy}"))
    else:
        found.append(Finding("memory", "good", share, "there is room"))
    if policy == "noeviction":
        text = "a full server refuses writes (StoreFullError), and loses nothing"
        found.append(Finding("eviction", "good", policy, text))
    elif policy.startswith("allkeys"):
        text = "a full server removes whole sessions that are in use: set maxmemory-policy noeviction"
        found.append(Finding("eviction", "warning" if most else "info", policy, text))
    elif policy.startswith("volatile"):
        text = "a full server removes whole sessions that have a time to live before it is over"
        found.append(Finding("eviction", "warning" if most else "info", policy, text))
    return found


def _server(said: Mapping[str, Any]) -> list[Finding]:
    found = []
    info = said.get("server")
    if isinstance(info, Mapping) and "redis_version" in info:
        version = str(info["redis_version"])
        is_old = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < (6, 2)
        text = "needs 6.2 or later" if is_old else "has what we need"
        found.append(Finding("version", "warning" if is_old else "good", version, text))
    info = said.get("replication")
    if isinstance(info, Mapping) and "role" in info:
        role, replicas = str(info["role"]), int(info.get("connected_slaves", 0))
        if role != "master":
            text = "a replica takes no writes: name the master, or use redis+sentinel://"
            found.append(Finding("replication", "warning", role, text))
        elif replicas:
            text = "a failover may lose the last confirmed writes; we notice, and say which blocks they were"
            found.append(Finding("replication", "info", f"{replicas} replicas", text))
        else:
            found.append(Finding("replication", "info", "no replica", "when this machine is down, the store is"))
    return found


def _setting(said: Any) -> str:
    """The value in the answer to CONFIG GET, which old and new protocols write differently."""
    if isinstance(said, Mapping):
        values = list(said.values())
    elif isinstance(said, list | tuple):
        values = list(said[1:2])
    else:
        values = []
    value = values[0] if values else ""
    return value.decode() if isinstance(value, bytes) else str(value)


def _size(number: int) -> str:
    return f"{number / 2**20:,.1f} MiB"
