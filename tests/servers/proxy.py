"""The network between a client and its server, with the faults of a real one."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from dataclasses import dataclass

from servers.ports import free_port

CHUNK = 65_536
SECONDS = 15
# Closing such a socket resets its connection.
RESETS = struct.pack("ii", 1, 0)


class Proxy:
    """Stands before a server, at a port of its own.

    Args:
        target: The server: has `port` and `url_as`. May be replaced, which new connections see.
        latency_ms: What each piece takes, in each direction.
        reset_probability: The chance of each command to lose its connection, as often before it reaches the server as
            after.
        seed: Which commands those are.
    """

    def __init__(self, target, *, latency_ms=0, reset_probability=0.0, seed=0):
        self.target = target
        self.latency_ms = latency_ms
        self.reset_probability = reset_probability
        self.port = free_port()
        # Names of the commands that went to the server.
        self.passed = []
        self._random = random.Random(seed)
        self._cut = None
        self._links = {}
        self._accepting = None
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._flows.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.accept()

    @property
    def url(self):
        return self.target.url_as(port=self.port)

    def cut_reply(self, nth=1, *, command=None):
        """The n-th command from now, or the n-th of that name, is carried out and its client sees a reset."""
        self._cut = Cut(nth, command)

    def refuse(self):
        """Nobody listens at its port, and who was connected is no more."""
        self._do(self._refuse())

    def accept(self):
        """Ends `refuse`."""
        self._do(self._accept())

    def stall(self):
        """Accepts everything and lets nothing through."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def flow(self):
        """Ends `stall`: what came meanwhile goes on."""
        self._loop.call_soon_threadsafe(self._flows.set)

    def reset(self):
        """Resets all connections that there are."""
        self._do(self._reset())

    def close(self):
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _do(self, work):
        asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    async def _accept(self):
        if self._accepting is None:
            listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
            listener.setblocking(False)
            self._accepting = asyncio.create_task(self._take_from(listener))

    async def _take_from(self, listener):
        with listener:
            while True:
                taken, _ = await self._loop.sock_accept(listener)
                link = asyncio.create_task(self._join(taken))
                self._links[link] = taken
                link.add_done_callback(lambda link: self._links.pop(link).close())

    async def _refuse(self):
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
            self._accepting = None
        await self._reset()

    async def _reset(self):
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)
        await asyncio.sleep(0)  # transports close their sockets one step later

    async def _join(self, taken):
        """One connection from its beginning to its end."""
        client, server = Side(self, taken), None
        try:
            await client.open()
            server = Side(self, socket.socket())
            await self._loop.sock_connect(server.socket, ("127.0.0.1", self.target.port))
            await server.open()
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(client, server))
                both.create_task(self._replies(client, server))
        except* OSError:
            pass  # the server is not there, or an end was reset: so is the other now
        finally:
            client.reset()
            if server is not None:
                server.reset()

    async def _requests(self, client, server):
        held = bytearray()
        while chunk := await client.reader.read(CHUNK):
            held += chunk
            while end := end_of_command(held):
                command = bytes(held[:end])
                del held[:end]
                await self._flows.wait()
                is_lost = self._random.random() < self.reset_probability
                if is_lost and self._random.random() < 0.5:
                    raise ConnectionResetError
                self.passed.append(name_of(command))
                server.later(server.writer.write, command)
                if is_lost or self._is_to_cut(self.passed[-1]):
                    # The server carries out what it has before it sees the end, and only then ends too.
                    client.is_cut = True
                    server.later(server.writer.write_eof)
                    return
        server.later(server.writer.close)

    async def _replies(self, client, server):
        while chunk := await server.reader.read(CHUNK):
            await self._flows.wait()
            if not client.is_cut:
                client.later(client.writer.write, chunk)
        if client.is_cut:
            raise ConnectionResetError
        client.later(client.writer.close)

    def _is_to_cut(self, name):
        if self._cut is None or self._cut.command not in {None, name}:
            return False
        self._cut.left -= 1
        if self._cut.left == 0:
            self._cut = None
            return True
        return False


@dataclass
class Cut:
    """Which reply is to be lost: so many commands from now, or of that name."""

    left: int
    command: str | None


class Side:
    """One end of a connection; what goes to it takes its time and stays in order."""

    def __init__(self, proxy, connected):
        connected.setblocking(False)
        self.socket = connected
        self.reader = self.writer = None
        self.is_cut = False
        self._proxy = proxy
        self._last = 0.0

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(sock=self.socket, limit=CHUNK)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def later(self, action, *arguments):
        loop = asyncio.get_running_loop()
        # Two timers of the same moment have no order.
        self._last = max(loop.time() + self._proxy.latency_ms / 1000, self._last + 1e-6)
        loop.call_at(self._last, action, *arguments)

    def reset(self):
        with contextlib.suppress(OSError):  # closed before
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)
        if self.writer is None:
            self.socket.close()
        else:
            self.writer.transport.abort()


def end_of_command(data):
    """Where the first command of the data ends, or None while it is not whole."""
    line = data.find(b"\r\n")
    if line < 0:
        return None
    end = line + 2
    if not data.startswith(b"*"):  # as people type them
        return end
    for _ in range(int(data[1:line])):
        line = data.find(b"\r\n", end)
        if line < 0:
            return None
        end = line + 2 + int(data[end + 1 : line]) + 2
    return end if end <= len(data) else None


def name_of(command):
    """A command's name, such as EVALSHA."""
    lines = command.split(b"\r\n", 3)
    word = lines[2] if command.startswith(b"*") else lines[0].partition(b" ")[0]
    return word.decode("ascii", "replace").upper()
