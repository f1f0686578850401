"""Programs that a machine may lack: the one on PATH, else one that is unpacked into `.cache`; nothing is installed."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".cache"


class NoProgramError(Exception):
    """Says in one sentence why there is no such program."""


@dataclass(frozen=True)
class Program:
    """A program that was started once, to ask for its version."""

    path: Path
    libraries: str
    version: tuple[int, ...]

    @property
    def environment(self):
        paths = [self.libraries, os.environ.get("LD_LIBRARY_PATH")]
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, paths))} if self.libraries else dict(os.environ)


@dataclass(frozen=True)
class Wanted:
    """A program that tests need, and where it comes from.

    Attributes:
        names: what it may be called on PATH; in the cache it has the first of them.
        version: what is looked for in what it says of its version; the groups are the numbers.
        skip: the variable that leaves it and its tests out.
        folder: where it is unpacked.
        sources: what unpacks it into a room and returns its path in there, by the name of the source.
    """

    names: tuple[str, ...]
    version: str
    skip: str
    folder: Path
    sources: Mapping[str, Callable[[Path], str]] = field(hash=False)

    @property
    def skipped(self):
        return os.environ.get(self.skip) == "1"

    @property
    def skip_reason(self):
        return f"{self.skip}=1 leaves out what needs {self.names[0]}"

    def program(self):
        """The program to start; fetches it when there is none."""
        found = self._looked_for()
        if isinstance(found, NoProgramError):
            raise found
        return found

    @cache  # noqa: B019  # there are two of them, and they last
    def _looked_for(self):
        """The program or the reason why there is none, which is not looked for again with every test."""
        on_path = next(filter(None, map(shutil.which, self.names)), None)
        try:
            return self._read(Path(on_path)) if on_path else self.fetch(self.folder, self.sources)
        except NoProgramError as error:
            return error

    def _read(self, path, libraries=""):
        said = run(path, "--version", environment=Program(path, libraries, ()).environment)
        match = re.search(self.version, said)
        if match is None:
            raise NoProgramError(f"{path} says no version: {last_line(said)}")
        return Program(path, libraries, tuple(map(int, match.groups())))

    def _unpacked(self, room):
        places = (place for pattern in ("lib/*/", "usr/lib/*/", "usr/lib/*/*/") for place in room.glob(pattern))
        libraries = ":".join(str(place) for place in places if next(place.glob("lib*.so*"), None))
        return self._read(room / self.names[0], libraries)

    def fetch(self, folder, sources):
        """What is in the folder; the first source that works fills it, once, however many processes ask at a time."""
        name = self.names[0]
        folder.parent.mkdir(parents=True, exist_ok=True)
        # The lock goes with its process, whatever ends it.
        with folder.with_name(f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            reasons = []
            if folder.exists():
                try:
                    return self._unpacked(folder)
                except NoProgramError:  # the system that it was fetched for is another one now
                    shutil.rmtree(folder)
            for source, unpack in sources.items():
                with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as made:
                    room = Path(made) / "room"
                    room.mkdir()
                    try:
                        (room / name).symlink_to(unpack(room))
                        self._unpacked(room)
                    except NoProgramError as error:
                        reasons.append(f"{source}: {error}")
                        continue
                    room.rename(folder)
                    return self._unpacked(folder)
        tried = "; ".join(reasons)
        raise NoProgramError(
            f"no {name} on PATH and none to fetch ({tried}): install it, or leave its tests out with {self.skip}=1"
        )

    def main(self):
        """For make: fetches it before the tests need it."""
        if self.skipped:
            return
        try:
            self.program()
        except NoProgramError as error:
            sys.exit(str(error))


def from_debian(room, package):
    """Unpacks Debian's package and all that it needs and this system lacks, without installing anything."""
    # As root apt would write its own caches and then try to fetch as a user who may not write here.
    options = ["-o", f"Dir::Cache={room.parent / 'apt'}", "-o", "APT::Sandbox::User=root"]
    options += ["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"]
    try:
        download(room, package, options)
    except NoProgramError:
        # The system's lists of packages are older than its mirror, or a container has none.
        lists = room.parent / "lists"
        (lists / "partial").mkdir(parents=True)  # as another user apt does not make it
        options += ["-o", f"Dir::State::lists={lists}"]
        run("apt-get", *options, "--quiet", "update")
        download(room, package, options)
    for archive in room.glob("*.deb"):
        run("dpkg-deb", "--extract", archive, room)
        archive.unlink()


def download(room, package, options):
    said = run("apt-get", *options, "--simulate", "--no-install-recommends", "install", package)
    lacking = re.findall(r"^Inst (\S+)", said, re.MULTILINE)
    # Without any it is installed, but not on PATH.
    run("apt-get", *options, "--quiet", "download", *(lacking or [package]), folder=room)


def run(*command, folder=None, environment=None, seconds=600):
    """What the program says; its last line is the reason when it fails."""
    try:
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, check=True, text=True, timeout=seconds
        )
    except FileNotFoundError:
        raise NoProgramError(f"there is no {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise NoProgramError(f"{command[0]} took more than {seconds} s") from None
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoProgramError(last_line(getattr(error, "stderr", None) or str(error))) from None
    return ended.stdout


def last_line(text):
    return (text.strip().splitlines() or ["nothing"])[-1]
