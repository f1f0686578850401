"""What the settings of a Redis server mean for sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pycontext.store.finding import Finding, State, size_of

__all__ = ["advice_of", "client_advice", "clock_advice", "latency_advice", "questions"]

# Of redis-py, as the extra `redis` asks for.
_OLDEST_CLIENT: Final = (6, 4)
_NEXT_CLIENT: Final = (9,)
_OLDEST_SERVER: Final = (6, 2)
# What is left of the memory then goes in a burst.
_NEARLY_FULL: Final = 0.9
# Machines that keep their time differ by less, the way to the server included.
_CLOCK_SECONDS: Final = 2.0
_SLOW_MS: Final = 100.0
_LAG_SECONDS: Final = 10


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


def advice_of(said: Mapping[str, Any], kind: str = "single") -> list[Finding]:
    """Return what the answers mean; what was not told is left out, and said.

    Args:
        said: the answers, by the names of the questions.
        kind: of the address: "single", "cluster" or "sentinel".
    """
    found = [*_persistence(said), *_memory(said.get("memory")), *_version(said.get("server"))]
    if kind != "cluster":
        found += _node(said.get("server"))
    found += _replication(said.get("replication"))
    hidden = [name for name, _ in questions() if name not in said]
    if hidden:
        text = "this user may not ask (INFO, CONFIG GET), so nobody can say what of it may lose sessions"
        found.append(Finding("settings", "info", f"not told: {', '.join(hidden)}", text))
    return found


def clock_advice(ahead_seconds: float) -> Finding:
    """Return what it means that the server's clock is ahead of ours."""
    value = f"{abs(ahead_seconds):,.1f} s {'ahead of' if ahead_seconds >= 0 else 'behind'} this machine's"
    if abs(ahead_seconds) <= _CLOCK_SECONDS:
        return Finding("clock", "good", value, "ages and times to live are by the server's clock")
    text = "blocks are stamped by the clocks of their writers, so decay and order by time are off: set the clocks"
    return Finding("clock", "warning", value, text)


def latency_advice(milliseconds: Sequence[float]) -> Finding:
    """Return what it means that round trips took so long; there is one at least."""
    ordered = sorted(milliseconds)
    # The first that so many of a hundred do not exceed.
    middle, late = (ordered[-(-percent * len(ordered) // 100) - 1] for percent in (50, 99))
    value = f"PING p50 {middle:.3f} ms, p99 {late:.3f} ms of {len(ordered)}"
    if late <= _SLOW_MS:
        return Finding("latency", "good", value, "every append and every look for news takes one such round trip")
    text = "every append and every look for news takes one such round trip: use a server that is nearer, or less busy"
    return Finding("latency", "warning", value, text)


def client_advice(version: str) -> Finding:
    """Return what it means that redis-py has a version."""
    oldest, newest = (".".join(map(str, number)) for number in (_OLDEST_CLIENT, _NEXT_CLIENT))
    if _OLDEST_CLIENT <= _numbers(version) < _NEXT_CLIENT:
        return Finding("client", "good", f"redis-py {version}", "a version that this release knows")
    text = f"this release knows redis-py from {oldest} up to below {newest}: pip install 'pycontext-layer[redis]'"
    return Finding("client", "warning", f"redis-py {version}", text)


def _persistence(said: Mapping[str, Any]) -> list[Finding]:
    info = said.get("persistence")
    if not isinstance(info, Mapping):
        return []
    found = [_append_only(said) if info.get("aof_enabled") else _snapshots(said, info)]
    for status in ("aof_last_write_status", "rdb_last_bgsave_status"):
        if _text(info.get(status, "ok")) != "ok":
            text = f"{status} is not ok: the server may refuse writes; look at its log and its disk"
            found.append(Finding("persistence", "warning", _text(info[status]), text))
    return found


def _append_only(said: Mapping[str, Any]) -> Finding:
    how = _setting(said.get("appendfsync")) or "not told"
    means: dict[str, tuple[State, str]] = {
        "always": ("good", "what was confirmed survives a crash of the machine; every write waits for the disk"),
        "everysec": ("good", "a crash of the machine loses a second of confirmed writes at most"),
        "no": ("warning", "a crash of the machine loses what the system has not written yet, half a minute perhaps"),
    }
    unknown: tuple[State, str] = ("info", "a crash of the server alone loses nothing; of its machine nobody can say")
    state, text = means.get(how, unknown)
    return Finding("persistence", state, f"append-only file, fsync {how}", text)


def _snapshots(said: Mapping[str, Any], info: Mapping[str, Any]) -> Finding:
    when = _setting(said.get("save"))
    if when:
        unsaved = int(info.get("rdb_changes_since_last_save", 0))
        text = "a crash loses all writes since the last snapshot: set appendonly yes"
        return Finding("persistence", "warning", f"snapshots, save {when}; {unsaved:,} writes not in one yet", text)
    if "save" not in said:
        text = "there is no append-only file, and whether there are snapshots is not told"
        return Finding("persistence", "info", "not told", text)
    text = "no persistence: a restart loses every session: set appendonly yes"
    return Finding("persistence", "warning", "none", text)


def _memory(info: Any) -> list[Finding]:
    if not isinstance(info, Mapping):
        return []
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    policy = _text(info.get("maxmemory_policy", "not told"))
    share = f"{used / most:.0%} of {size_of(most)}" if most else f"{size_of(used)}, no limit"
    found = []
    if not most:
        text = "maxmemory is not set: a server that grows past its machine is killed, and sessions with it; set it"
        found.append(Finding("memory", "info", share, text))
    elif used > _NEARLY_FULL * most:
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


def _version(info: Any) -> list[Finding]:
    if not isinstance(info, Mapping) or "redis_version" not in info:
        return []
    version, value = _text(info["redis_version"]), f"redis {_text(info['redis_version'])}"
    if "valkey_version" in info:
        value = f"valkey {_text(info['valkey_version'])}, which speaks as {value} does"
    if _numbers(version) < _OLDEST_SERVER:
        return [Finding("version", "warning", value, f"needs {'.'.join(map(str, _OLDEST_SERVER))} or later")]
    return [Finding("version", "good", value, "has what we need")]


def _node(info: Any) -> list[Finding]:
    if not isinstance(info, Mapping) or info.get("redis_mode") != "cluster":
        return []
    # Other commands are refused for keys of other nodes; SCAN is not.
    text = "a client of one node sees the sessions of this node only: use redis+cluster://"
    return [Finding("cluster", "warning", "one of its nodes", text)]


def _replication(info: Any) -> list[Finding]:
    if not isinstance(info, Mapping) or "role" not in info:
        return []
    role, replicas = _text(info["role"]), int(info.get("connected_slaves", 0))
    if role != "master":
        text = "a replica takes no writes: name the master, or use redis+sentinel://"
        return [Finding("replication", "warning", f"a replica, role {role}", text)]
    if not replicas:
        return [Finding("replication", "info", "no replica", "when this machine is down, the store is")]
    lags = [one.get("lag") for one in (info.get(f"slave{i}") for i in range(replicas)) if isinstance(one, Mapping)]
    late = max((int(lag) for lag in lags if isinstance(lag, int)), default=0)
    value = f"{replicas} replica{'s' * (replicas > 1)}, {late} s behind at most"
    if late > _LAG_SECONDS:
        text = "a failover now loses what the replica has not got: look at the replica and at the way to it"
        return [Finding("replication", "warning", value, text)]
    text = "a failover may lose the last confirmed writes; we notice, and say which blocks they were"
    return [Finding("replication", "info", value, text)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


def _setting(said: Any) -> str:
    """The value in the answer to CONFIG GET, which old and new protocols write differently."""
    if isinstance(said, Mapping):
        values = list(said.values())
    elif isinstance(said, list | tuple):
        values = list(said[1:2])
    else:
        values = []
    return _text(values[0]) if values else ""


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
