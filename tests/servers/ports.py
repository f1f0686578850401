"""Ports of this machine that nobody has."""

from __future__ import annotations

import random
import socket

# Below the ports that the system gives to clients, where a client of a dead server can get that server's own port. A
# node of a cluster listens at 10,000 above as well.
PORTS = range(11_000, 22_000)
BUS = 10_000
_ANY = random.SystemRandom()


def free_port():
    """A port that is free now, on which nobody else is about to start anything, if luck has it."""
    for port in _ANY.sample(PORTS, 1000):
        if is_free(port) and is_free(port + BUS):
            return port
    raise OSError(f"no free port from {PORTS.start} to {PORTS.stop}")


def is_free(port):
    with socket.socket() as tried:
        # As the servers do; a port that somebody listens on is still refused.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
