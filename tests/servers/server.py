"""One redis-server of our own: started, stopped, killed, paused."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import weakref
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from fetched import NoProgramError
from servers import child
from servers.ports import free_port
from servers.program import REDIS

SECONDS = 15
SKIP_REASON = REDIS.skip_reason
NO_TLS_REASON = "this redis-server was built without TLS"


def found_program():
    try:
        return REDIS.program()
    except NoProgramError as error:
        # Said once: without this pytest shows what it came from as well.
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def written(value):
    """A value as the configuration has it: a path may hold spaces, and nothing is a value too."""
    return f'"{value}"' if value == "" or isinstance(value, Path) else value


class RedisServer:
    """A server in a folder of its own, which answers when this returns.

    Args:
        folder: Where its configuration, data and log are.
        *arguments: More for its command line.
        tls: `Certificates`, for a server that speaks only TLS; `tls_auth_clients="yes"` asks clients for theirs.
        users: Name to rules, such as `{"app": "on >secret ~pctx:* +@all", "default": "off"}`.
        replicaof: The server to follow.
        unix: Listen on a socket in the folder as well.
        lines: More for its configuration, as they are.
        **settings: More for its configuration, such as `appendonly="yes"`, `appendfsync="always"`, `save="60 1"`,
            `maxmemory="5mb"`, `maxmemory_policy="noeviction"`, `requirepass="secret"`, `maxclients=5`.
    """

    def __init__(self, folder, *arguments, tls=None, users=None, replicaof=None, unix=False, lines=(), **settings):
        if REDIS.skipped:
            pytest.skip(SKIP_REASON)
        self.program = found_program()
        self.folder = folder
        self.tls = tls
        self.password = settings.get("requirepass")
        self.unix = folder / "redis.sock" if unix else None
        self.log = folder / "redis.log"
        self._arguments = arguments
        self._clients = weakref.WeakSet()
        self._process = None
        folder.mkdir(parents=True)
        self._start_on_a_free_port(lambda: self._configuration(users or {}, replicaof, settings, lines))

    def _configuration(self, users, replicaof, settings, lines):
        options = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": self.folder,
            "save": "",
            # A replica need not wait for others.
            "repl-diskless-sync-delay": 0,
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        if self.program.version >= (7,):
            options["enable-debug-command"] = "local"
        if self.unix:
            options["unixsocket"] = self.unix
        if self.tls:
            options |= {
                "port": 0,
                "tls-port": self.port,
                "tls-cert-file": self.tls.server.certificate,
                "tls-key-file": self.tls.server.key,
                "tls-ca-cert-file": self.tls.authority,
                "tls-auth-clients": options.get("tls-auth-clients", "no"),
            }
        made = [f"{name} {written(value)}" for name, value in options.items()]
        made += [f"user {name} {rules}" for name, rules in users.items()]
        made += [f"replicaof 127.0.0.1 {replicaof.port}"] if replicaof else []
        return "\n".join([*made, *lines, ""])

    def _start_on_a_free_port(self, configuration):
        for _ in range(5):
            self.port = free_port()
            self._file.write_text(configuration(), encoding="utf-8")
            try:
                return self.start()
            except RuntimeError:
                # Somebody took the port between our look and the start.
                if "Address already in use" not in self.tail():
                    raise
        raise RuntimeError(f"no free port in 5 tries\n{self.tail()}")

    @property
    def _file(self):
        return self.folder / "redis.conf"

    def start(self):
        """Starts it with the files that are there."""
        command = [self.program.path, self._file, *self._arguments]
        self._process = child.start(*command, environment=self.program.environment, log=self.log)
        try:
            child.until(self._is_ready, f"redis-server on port {self.port} answers", seconds=SECONDS, tail=self.tail)
        except BaseException:
            self.kill()
            raise

    def _is_ready(self):
        if self._process.poll() is not None:
            if self.tls and ("Bad directive" in self.tail() or "Failed finding TLS" in self.tail()):
                pytest.skip(NO_TLS_REASON)
            raise RuntimeError(f"redis-server on port {self.port} ended at its start\n{self.tail()}")
        said = self.said_to(b"PING\r\n")
        return said is not None and not said.startswith(b"-LOADING")

    def said_to(self, request):
        """The first line that it answers to these bytes within half a second, else None."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.5) as raw, self._wrapped(raw) as link:
                link.sendall(request)
                with link.makefile("rb") as answer:
                    return answer.readline() or None
        except OSError:
            return None

    def _wrapped(self, raw):
        if not self.tls:
            return contextlib.nullcontext(raw)
        context = ssl.create_default_context(cafile=self.tls.authority)
        context.load_cert_chain(self.tls.client.certificate, self.tls.client.key)
        return context.wrap_socket(raw, server_hostname="127.0.0.1")

    def tail(self):
        """The last lines of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-20:])

    @property
    def pid(self):
        return self._process.pid

    @property
    def is_running(self):
        return self._process is not None and self._process.poll() is None

    def stop(self):
        """Asks it to end: it writes what its settings tell it to."""
        if self.is_running:
            self.resume()
            child.end(self._process, self._process.terminate)

    def kill(self):
        """Ends it as a power failure would, as far as a process can."""
        if self.is_running:
            child.end(self._process, self._process.kill)

    def pause(self):
        """Stops it where it is; its port still accepts connections."""
        self._process.send_signal(signal.SIGSTOP)
        child.until(lambda: child.is_stopped(self._process), "redis-server is stopped", seconds=SECONDS, tail=self.tail)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def restart(self):
        """Starts it anew on the same port with the same files; one that still runs is stopped before."""
        self.stop()
        self.start()

    @property
    def url(self):
        return self.url_as()

    def url_as(self, username="", password=None, *, port=None):
        """Its address for a user, or at another port, which is a proxy's."""
        password = password or self.password
        user = f"{quote(username, safe='')}:{quote(password, safe='')}@" if password else ""
        return f"{'rediss' if self.tls else 'redis'}://{user}127.0.0.1:{port or self.port}/0"

    def client(self, url=None, **options):
        """A client with timeouts, closed with the server."""
        if self.tls:
            options = {"ssl_ca_certs": str(self.tls.authority), **options}
        made = redis.Redis.from_url(url or self.url, **{"socket_timeout": 5, "socket_connect_timeout": 5, **options})
        self._clients.add(made)
        return made

    def command(self, *words):
        """What it answers to one command, as it answers it, on a connection of its own."""
        with self.client(protocol=2) as client:
            # What the library makes of an answer differs from version to version.
            client.response_callbacks.clear()
            return client.execute_command(*words)

    def told(self, *words):
        """The fields and values that a command such as INFO or SENTINEL MASTER answers."""
        answer = self.command(*words)
        if isinstance(answer, bytes):
            return dict(line.split(":", 1) for line in answer.decode().splitlines() if ":" in line)
        fields = iter(word.decode() for word in answer)
        return dict(zip(fields, fields, strict=True))

    def mend(self):
        """Runs again and holds nothing; what a test set with CONFIG SET stays, so such a test starts one of its own."""
        if self.is_running:
            self.resume()
        else:
            self.start()
        self.command("FLUSHALL")

    def close(self):
        for client in list(self._clients):
            client.close()
        self.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
