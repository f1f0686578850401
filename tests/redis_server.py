"""A Redis server of the tests' own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress

import redis


class RedisServer:
    def __init__(self):
        program = shutil.which("redis-server")
        assert program, "these tests need redis-server on PATH"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.folder = tempfile.mkdtemp()
        self.url = f"redis://127.0.0.1:{port}/0"
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder]
        self.process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        for _ in range(100):
            with redis.Redis.from_url(self.url) as client, suppress(redis.ConnectionError):
                client.ping()
                return
            time.sleep(0.05)
        raise RuntimeError("redis-server does not start")

    def stop(self):
        self.process.terminate()
        self.process.wait(5)
        shutil.rmtree(self.folder)
