"""Processes that end with the tests, however those end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Linux kills the child when its parent is gone; after exec it is still the same process.
KILLED_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):  # else it went before we asked
    os.execv(sys.argv[2], sys.argv[2:])
"""
# For Linux the parent is the thread that starts the child: one that lives as long as this process.
STARTER = ThreadPoolExecutor(1, "servers")


def start(*command, environment, log):
    """Starts the command, whose words go to the end of the file."""
    launcher = [sys.executable, "-I", "-S", "-c", KILLED_WITH_PARENT, str(os.getpid()), *map(str, command)]
    with log.open("ab") as out:
        return STARTER.submit(
            subprocess.Popen, launcher, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        ).result()


def end(process, send):
    """Sends the signal by `send`; what does not end by it within 10 s is killed."""
    send()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def is_stopped(process):
    """Whether SIGSTOP has arrived."""
    state = (
        Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    )
    return state == "T"


def until(condition, what, *, seconds, tail=str):
    """What the condition gives, as soon as it gives anything true.

    Raises:
        TimeoutError: Nothing after so many seconds; says what was waited for, and what `tail` tells.
    """
    end_at = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end_at:
            raise TimeoutError(f"{what}: not within {seconds} s\n{tail()}")
        time.sleep(0.005)
    return found
