"""A cluster of masters on this machine."""

from __future__ import annotations

import weakref

import redis
from redis.crc import key_slot

from servers.child import until
from servers.server import RedisServer

SECONDS = 20
SLOTS = 16_384


class Cluster:
    """Masters that share the slots, ready when this returns.

    Args:
        folder: Where they have theirs.
        size: How many.
        node_timeout_ms: How long a node may be silent.
        **settings: For all nodes.
    """

    def __init__(self, folder, size=3, *, node_timeout_ms=500, **settings):
        options = {"cluster_enabled": "yes", "cluster_node_timeout": node_timeout_ms, **settings}
        self.nodes = []
        self._between = set()
        self._clients = weakref.WeakSet()
        try:
            for number in range(size):
                self.nodes.append(RedisServer(folder / str(number), **options))
            self._join()
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _join(self):
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            share = range(SLOTS * number // len(self.nodes), SLOTS * (number + 1) // len(self.nodes))
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.command("CLUSTER", "ADDSLOTS", *share)
            if node is not first:
                node.command("CLUSTER", "MEET", "127.0.0.1", first.port)

    def wait_until_ready(self):
        """Until each node knows all others and all slots are served."""
        until(self._is_ready, "the cluster is ready", seconds=SECONDS, tail=self._tail)

    def _is_ready(self):
        return all(self._is_ready_for(node) for node in self.nodes)

    def _is_ready_for(self, node):
        said = node.told("CLUSTER", "INFO")
        return said["cluster_state"] == "ok" and int(said["cluster_size"]) == len(self.nodes)

    def wait_until_down(self):
        """Until each node that runs has noticed that slots are not served, and answers CLUSTERDOWN."""
        until(self._is_down, "the cluster is down", seconds=SECONDS, tail=self._tail)

    def _is_down(self):
        running = [node for node in self.nodes if node.is_running]
        return all(node.told("CLUSTER", "INFO")["cluster_state"] == "fail" for node in running)

    def _tail(self):
        return "\n\n".join(node.tail() for node in self.nodes)

    @property
    def url(self):
        return self.nodes[0].url

    def client(self, **options):
        """A client of the whole cluster, closed with it."""
        # One from `from_url` leaves its connections open when it is closed.
        made = redis.RedisCluster("127.0.0.1", self.nodes[0].port, **{"socket_timeout": 5, **options})
        self._clients.add(made)
        return made

    def owner(self, slot):
        """The node that serves the slot."""
        for first, last, (_, port, *_), *_ in self.nodes[0].command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise LookupError(f"nobody serves slot {slot}")

    def open_slot(self, slot, target):
        """Begins to move a slot: its owner answers ASK to keys that it does not have."""
        source = self.owner(slot)
        self._between.add(slot)
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", self._id(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", self._id(target))

    def move_keys(self, slot, target):
        source = self.owner(slot)
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)

    def settle_slot(self, slot, target):
        """Ends a move: the target owns the slot, and every node knows."""
        others = [node for node in self.nodes if node is not target]
        for node in [target, *others]:
            node.command("CLUSTER", "SETSLOT", slot, "NODE", self._id(target))
        self._between.discard(slot)

    def move_slot(self, slot, target):
        self.open_slot(slot, target)
        self.move_keys(slot, target)
        self.settle_slot(slot, target)

    @staticmethod
    def _id(node):
        return node.command("CLUSTER", "MYID").decode()

    def mend(self):
        """Runs all nodes again, empty, with no slot between two of them; a slot that was moved stays where it is."""
        for node in self.nodes:
            node.mend()
            for slot in self._between:
                node.command("CLUSTER", "SETSLOT", slot, "STABLE")
        self._between.clear()
        self.wait_until_ready()

    def close(self):
        for client in list(self._clients):
            client.close()
        for node in self.nodes:
            node.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def slot_of(key):
    return key_slot(key.encode())
