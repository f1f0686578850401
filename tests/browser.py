"""Where Chromium comes from: the one on PATH, else Debian's packages, unpacked into `.cache/chromium`."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial
from pathlib import Path

from fetched import CACHE, Wanted, from_debian

# Where a system has no fonts of its own, those that came with the packages.
FONTS = """<?xml version="1.0"?>
<fontconfig>
<dir prefix="relative">usr/share/fonts</dir>
<dir>/usr/share/fonts</dir>
<cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""


def unpacked(package, room):
    from_debian(room, package)
    (room / "fonts.conf").write_text(FONTS, encoding="utf-8")
    return f"usr/lib/chromium/{package}"


# The shell is the browser without its windows, and needs fewer packages.
SHELL, WHOLE = "chromium-headless-shell", "chromium"

CHROMIUM = Wanted(
    names=(WHOLE, SHELL, "google-chrome"),
    version=r"(\d+)\.(\d+)\.(\d+)\.(\d+)",
    skip="PYCONTEXT_SKIP_CHROMIUM",
    folder=CACHE / "chromium",
    sources={f"Debian's package {name}": partial(unpacked, name) for name in (SHELL, WHOLE)},
)

# No network, and nothing that a browser does on its own.
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-first-run",
    "--enable-logging=stderr",
)
COLORS = {"dark": 0, "light": 1}


def opened(page, folder, *options, color="light", seconds=60):
    """What the browser writes of a page to its two outputs; all that it keeps goes to the folder."""
    program = CHROMIUM.program()
    environment = {**program.environment, "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    fonts = CHROMIUM.folder / "fonts.conf"
    if program.path.is_relative_to(CHROMIUM.folder) and not Path("/etc/fonts/fonts.conf").exists():
        environment["FONTCONFIG_FILE"] = str(fonts)
    command = [
        program.path,
        *OPTIONS,
        f"--user-data-dir={folder / 'profile'}",
        f"--blink-settings=preferredColorScheme={COLORS[color]}",
        *options,
        page.as_uri(),
    ]
    # A group of its own: what it started ends with it.
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True
    ) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, err
    return out, err


if __name__ == "__main__":
    CHROMIUM.main()
