"""How far a run has come, so that it goes on after whatever ended it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from pycontext.errors import ValidationError

__all__ = ["Progress"]

_FORMAT: Final = 1


class Progress:
    """What is known of a run besides its output, in a file that is replaced whole.

    The output grows in `<output>.part`, of which some formats make a `<output>.whole`. `<output>.progress` says how
    much of it counts: what was written after that is cut off before the run goes on, so that the output is that of a
    run that nothing disturbed.

    Args:
        output: file that the run writes.
        settings: all that the output depends on.
    """

    def __init__(self, output: str, settings: dict[str, Any]) -> None:
        self._target: Final = Path(os.path.realpath(output))
        self._settings: Final = json.loads(json.dumps(settings))
        self.part: Final = self._beside("part")
        self.whole: Final = self._beside("whole")
        self.rejects: Final = self._beside("rejects.part")
        self._file: Final = self._beside("progress")

    def _beside(self, name: str) -> Path:
        return self._target.with_name(f"{self._target.name}.{name}")

    @contextmanager
    def alone(self) -> Iterator[BinaryIO]:
        """Open the part for writing, which no other run does meanwhile.

        Raises:
            ValidationError: another one does.
            OSError: it cannot be opened.
        """
        handle = os.open(self.part, os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(handle, "r+b") as part:
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValidationError(f"output {self._target.name!r} is being written by another run") from None
            yield part

    def read(self) -> dict[str, Any] | None:
        """Return what was last kept, None where nothing was.

        Raises:
            ValidationError: it is of a run that asks for something else.
        """
        try:
            kept = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            kept = {}
        if kept.get("format") != _FORMAT:
            raise ValidationError(f"{self._file.name} is not of this version; --restart begins anew")
        old = kept["settings"]
        for name, value in self._settings.items():
            if old.get(name) != value:
                raise ValidationError(
                    f"{self._file.name} is of a run with {name} {_short(old.get(name))}, not {_short(value)}: "
                    "finish that one, or begin anew with --restart"
                )
        state: dict[str, Any] = kept["state"]
        return state

    def keep(self, state: dict[str, Any]) -> None:
        """Keep how far the run has come; what it says must be in the files before."""
        text = json.dumps({"format": _FORMAT, "settings": self._settings, "state": state})
        fresh = self._beside("progress.new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._file)

    def forget(self) -> None:
        """Begin anew."""
        for file in (self._file, self.rejects, self.whole):
            file.unlink(missing_ok=True)

    def finish(self, rejects: str | None) -> None:
        """Put the files in their places, the whole before the part where there is one; may be done twice."""
        if self.rejects.exists() and rejects is not None:
            self.rejects.replace(rejects)
        made = self.whole if self.whole.exists() else self.part
        if made.exists():
            if self._target.exists():
                made.chmod(self._target.stat().st_mode & 0o7777)
            made.replace(self._target)
        self.part.unlink(missing_ok=True)
        self._file.unlink(missing_ok=True)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:59] + "…"
