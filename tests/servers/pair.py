"""A primary with a replica, and a sentinel that watches them."""

from __future__ import annotations

from servers.child import until
from servers.server import RedisServer

SECONDS = 15


class Pair:
    """A primary and its replica, in step when this returns. They change their names with their roles.

    Args:
        folder: Where both have theirs.
        **settings: For both.
    """

    def __init__(self, folder, **settings):
        self.primary = RedisServer(folder / "first", **settings)
        self.replica = None
        try:
            self.replica = RedisServer(folder / "second", replicaof=self.primary, **settings)
            self.wait_until_in_step()
        except BaseException:
            self.close()
            raise

    def wait_until_in_step(self):
        """Until the replica has all that the primary has."""
        until(self._is_in_step, "the replica is in step", seconds=SECONDS, tail=self.replica.tail)

    def _is_in_step(self):
        replica = self.replica.told("INFO", "replication")
        # One that was a primary until now has no such link yet.
        if replica.get("master_link_status") != "up":
            return False
        return replica["slave_repl_offset"] == self.primary.told("INFO", "replication")["master_repl_offset"]

    def cut(self):
        """Nothing that the primary gets from now on reaches the replica, which still serves what it has."""
        # A stopped replica would not do: what waits in its socket would reach it afterwards.
        self.replica.command("REPLICAOF", "127.0.0.1", 1)

    def promote(self):
        """The replica becomes the primary; the old one goes on, if it runs, and knows nothing of it."""
        self.replica.command("REPLICAOF", "NO", "ONE")
        self.swap()

    def swap(self):
        self.primary, self.replica = self.replica, self.primary

    def follow(self):
        """What is called replica follows what is called primary, and forgets what that does not know."""
        self.replica.command("REPLICAOF", "127.0.0.1", self.primary.port)
        self.wait_until_in_step()

    def close(self):
        for server in filter(None, (self.replica, self.primary)):
            server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class SentinelSet:
    """A pair under the name `main`, and one sentinel whose word is enough.

    Args:
        folder: Where all have theirs.
        down_after_ms: How long the primary may be silent.
        **settings: For the pair.
    """

    name = "main"

    def __init__(self, folder, *, down_after_ms=300, **settings):
        self.sentinel = None
        self.pair = Pair(folder / "pair", **settings)
        try:
            watch = [
                f"sentinel monitor {self.name} 127.0.0.1 {self.pair.primary.port} 1",
                f"sentinel down-after-milliseconds {self.name} {down_after_ms}",
                f"sentinel failover-timeout {self.name} 3000",
            ]
            # It speaks to the pair as they do to each other.
            tls = {name: value for name, value in settings.items() if name in {"tls", "tls_replication"}}
            self.sentinel = RedisServer(folder / "sentinel", "--sentinel", lines=watch, **tls)
            until(self._knows_the_replica, "the sentinel knows the replica", seconds=SECONDS, tail=self.sentinel.tail)
        except BaseException:
            self.close()
            raise

    def _knows_the_replica(self):
        return self.sentinel.told("SENTINEL", "MASTER", self.name)["num-slaves"] == "1"

    @property
    def addresses(self):
        """Of the sentinels, as clients want them."""
        return [("127.0.0.1", self.sentinel.port)]

    def failover(self, *, by="kill"):
        """Kills the primary, or pauses it with `by="pause"`; returns when the sentinel names the other one primary."""
        getattr(self.pair.primary, by)()
        until(self._has_promoted, "the sentinel promotes the replica", seconds=2 * SECONDS, tail=self.sentinel.tail)
        self.pair.swap()

    def _has_promoted(self):
        # GET-MASTER-ADDR-BY-NAME names the new one a little before this, which is what redis-py asks.
        primary = self.sentinel.told("SENTINEL", "MASTER", self.name)
        return (primary["port"], primary["flags"]) == (str(self.pair.replica.port), "master")

    def close(self):
        if self.sentinel is not None:
            self.sentinel.close()
        self.pair.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
