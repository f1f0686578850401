"""Files of conversations, pruned part by part: whatever their size, in little memory, and never twice."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from pycontext.batch.json_lines import JsonLines
from pycontext.batch.order import in_order
from pycontext.batch.part import Format, Part, Piece, Problem
from pycontext.batch.progress import Progress
from pycontext.batch.tally import Tally
from pycontext.batch.task import Overflow, Task, checked_threads
from pycontext.counter import DEFAULT_ENCODING
from pycontext.errors import BadLineError, ValidationError, shown

if TYPE_CHECKING:
    from pycontext.budget import Budget
    from pycontext.policy import Policy
    from pycontext.query import Query

__all__ = ["Run", "prune_files"]

# Seconds between two looks at how far it is: what is done after the last one is done again.
_KEPT_EVERY: Final = 1.0


@dataclass
class Run:
    """A run over files that can be ended at any time and goes on when it is started again.

    Attributes:
        inputs: files, one after the other.
        output: file that appears whole at the end.
        task: what is asked.
        format: what kind of files they are.
        threads: that work at once.
        skip_bad: whether to go on after a line that is no conversation.
        rejects: file for what is not written; it appears if there is any.
        restart: whether to begin anew what was begun.
        near_duplicates: similarity from which a conversation is left out; part of what the run is known by.
        on_bytes: is told how many bytes of the files are read, those before this start first.
        on_problem: is told of every problem: file, line from 1, and what it is.
    """

    inputs: Sequence[str]
    output: str
    task: Task
    format: Format
    threads: int
    skip_bad: bool = False
    rejects: str | None = None
    restart: bool = False
    near_duplicates: float | None = None
    on_bytes: Callable[[int], object] = lambda _: None
    on_problem: Callable[[str, int, Problem], object] = lambda *_: None
    _tally: Tally = field(default_factory=Tally, init=False)
    _at: dict[str, int] = field(default_factory=dict, init=False)
    _seconds: float = field(default=0.0, init=False)
    _sizes: list[int] = field(default_factory=list, init=False)

    def run(self) -> dict[str, Any]:
        """Run to the end and return the summary.

        Raises:
            OSError: a file cannot be read or written.
            BadLineError: a line is no conversation, and those are not skipped. What was done before is kept.
            ValidationError: another run writes the output, or another one was begun there.
        """
        self._check_paths()
        self._sizes = [Path(path).stat().st_size if path != "-" else 0 for path in self.inputs]
        progress = Progress(self.output, self._known_by())
        started = time.perf_counter()
        with progress.alone() as part:
            if self.restart:
                progress.forget()
            state = progress.read()
            if state is None or not state["is_done"]:
                self._at = {"file": 0, "offset": 0, "line": 0, "output": 0, "rejects": 0, "position": 0}
                if state is not None:
                    self._at = state["at"]
                    self._tally = Tally(state["sums"])
                    self._seconds = state["seconds"]
                if self.near_duplicates is not None:
                    # Once more after a kill: what is found is not kept.
                    self.format.look_for_duplicates(self.inputs, self.near_duplicates, progress.part, self.threads)
                self._go_on(progress, part, started)
                os.fsync(part.fileno())
                self.format.finish(part, progress.whole)
                self._keep(progress, started, is_done=True)
            else:
                self._at, self._tally, self._seconds = state["at"], Tally(state["sums"]), state["seconds"]
            progress.finish(self.rejects)
        return self._summary(Path(self.output).stat().st_size, time.perf_counter() - started)

    def _check_paths(self) -> None:
        if not self.inputs:
            raise ValidationError("inputs are none")
        share = self.near_duplicates
        if share is not None and (
            isinstance(share, bool) or not isinstance(share, int | float) or not 0.5 <= share <= 1
        ):
            raise ValidationError(f"near_duplicates {shown(share)} is not a number from 0.5 to 1")
        if share is not None and "-" in self.inputs:
            raise ValidationError("near_duplicates reads twice, which standard input cannot be")
        for path in self.inputs:
            if path == "-" and len(self.inputs) > 1:
                raise ValidationError("input '-' is not alone: standard input cannot be told from files")
            if path != "-" and Path(path).exists() and Path(self.output).exists() and Path(path).samefile(self.output):
                raise ValidationError(f"output {shown(self.output)} is one of the inputs")
        parent = Path(os.path.realpath(self.output)).parent
        if not parent.is_dir():
            raise FileNotFoundError(2, "No such file or directory", str(parent))

    def _known_by(self) -> dict[str, Any]:
        """All that the output depends on."""
        files = []
        for path in self.inputs:
            status = None if path == "-" else Path(path).stat()
            files.append([path, status and status.st_size, status and status.st_mtime_ns])
        task = self.task
        return {
            "input": files,
            **task.settings(),
            "policy": repr(task.policy),
            "on_overflow": task.overflow,
            "near_duplicates": self.near_duplicates,
        }

    def _go_on(self, progress: Progress, part: BinaryIO, started: float) -> None:
        at = self._at
        part.truncate(at["output"])
        part.seek(at["output"])
        self.on_bytes(sum(self._sizes[: at["file"]]) + at["position"])
        kept = time.perf_counter()
        with closing(in_order(self.format.prune, self._pieces(), self.threads)) as done:
            try:
                for piece, result in done:
                    kept = self._take(piece, result, part, progress, kept, started)
            except BaseException:
                # Parts that are done are not done again.
                part.flush()
                self._keep(progress, started)
                raise
        part.flush()

    def _take(
        self, piece: Piece, result: Part, part: BinaryIO, progress: Progress, kept: float, started: float
    ) -> float:
        at = self._at
        if piece.file != at["file"]:
            at.update(file=piece.file, line=0, position=0)
        path = self.inputs[piece.file]
        first = at["line"]
        bad = next((problem for problem in result.problems if problem.needed is None), None)
        if bad is not None and not self.skip_bad:
            raise BadLineError(path, first + bad.line + 1, bad.reason)
        part.write(result.output)
        self._reject(path, first, result.problems, progress)
        self._tally.add(result.sums, lambda line: (path, first + line + 1))
        self.on_bytes(piece.position - at["position"])
        at.update(
            offset=piece.end,
            line=first + result.lines,
            output=at["output"] + len(result.output),
            position=piece.position,
        )
        now = time.perf_counter()
        if now - kept < _KEPT_EVERY:
            return kept
        part.flush()
        os.fdatasync(part.fileno())
        self._keep(progress, started)
        return now

    def _pieces(self) -> Iterator[Any]:
        for file in range(self._at["file"], len(self.inputs)):
            start = self._at["offset"] if file == self._at["file"] else 0
            yield from self.format.pieces(self.inputs[file], file, start)

    def _reject(self, path: str, first: int, problems: list[Problem], progress: Progress) -> None:
        if not problems:
            return
        lines = []
        for problem in problems:
            self.on_problem(path, first + problem.line + 1, problem)
            if problem.needed is None:
                self._tally.note_bad()
            elif self.task.overflow != "drop":
                continue
            raw = None if problem.raw is None else problem.raw.decode(errors="surrogateescape")
            entry = {"file": path, "line": first + problem.line + 1, "reason": problem.reason, "raw": raw}
            lines.append(json.dumps(entry) + "\n")
        if self.rejects is not None and lines:
            mode = "r+b" if progress.rejects.exists() else "w+b"
            with progress.rejects.open(mode) as file:
                file.truncate(self._at["rejects"])
                file.seek(self._at["rejects"])
                file.write("".join(lines).encode("ascii"))
                self._at["rejects"] = file.tell()

    def _keep(self, progress: Progress, started: float, *, is_done: bool = False) -> None:
        if self.inputs == ["-"] and not is_done:
            # Nobody can read it again.
            return
        seconds = self._seconds + time.perf_counter() - started
        state = {"at": self._at, "sums": self._tally.sums, "seconds": seconds, "is_done": is_done}
        progress.keep(state)

    def _summary(self, written: int, seconds: float) -> dict[str, Any]:
        return {
            "event": "summary",
            "input": list(self.inputs),
            "output": self.output,
            **self.task.settings(),
            **self._tally.summary(),
            "bytes_read": sum(self._sizes) or self._at.get("offset", 0),
            "bytes_written": written,
            "seconds": round(self._seconds + seconds, 6),
        }


def prune_files(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    budget: Budget | int,
    *,
    policy: Policy | str | None = None,
    query: Query | None = None,
    counter: str = DEFAULT_ENCODING,
    on_overflow: Overflow = "drop",
    threads: int | None = None,
    column: str = "messages",
    skip_bad: bool = False,
    rejects: str | os.PathLike[str] | None = None,
    restart: bool = False,
    near_duplicates: float | None = None,
    on_bytes: Callable[[int], object] = lambda _: None,
    on_problem: Callable[[str, int, Problem], object] = lambda *_: None,
) -> dict[str, Any]:
    """Prune files with a conversation a line or a row; a run that was ended goes on where it was.

    The suffixes say what the files are: `.jsonl` and others are JSON lines, also with `.gz` or `.zst` behind;
    `.parquet`, `.arrow` and `.feather` need pyarrow (the extra `arrow`). Lines go to lines, rows to rows.

    Args:
        inputs: one file or several, which are read one after the other; "-" for standard input.
        output: file that appears whole at the end. Until then `<output>.part` and `<output>.progress` are beside it.
        budget: what a request may hold.
        policy: as for `prune_batches`.
        query: as for `prune_batches`.
        counter: "o200k_base" or "cl100k_base".
        on_overflow: "drop" leaves out a conversation that cannot fit, "keep" writes it whole.
        threads: that work at once; None for one a core.
        column: of the conversations, in files with columns.
        skip_bad: go on after a line that is no conversation.
        rejects: file for lines that are not written, as JSON lines; None for `<output>.rejects.jsonl`.
        restart: begin anew what was begun.
        near_duplicates: similarity from 0.5 to 1 from which of two conversations the first stays: the part of their
            word triples that both have. None compares nothing.
        on_bytes: is told how many bytes more are read.
        on_problem: is told of each line that is not pruned: file, line and what is wrong.

    Returns:
        The summary, as `pycontext batch --json` writes it.

    Raises:
        OSError: a file cannot be read or written.
        BadLineError: a line is no conversation, and `skip_bad` is False; what was done is kept.
        ValidationError: an option is outside its limits, or another run was begun for this output.
    """
    if on_overflow == "null":
        raise ValidationError("on_overflow 'null' is not one of drop, keep")
    several = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    paths = [os.fspath(path) for path in several]
    target = os.fspath(output)
    task = Task.of(budget, policy=policy, query=query, counter=counter, on_overflow=on_overflow)
    run = Run(
        inputs=paths,
        output=target,
        task=task,
        format=_format(paths, target, task, column),
        threads=checked_threads(threads),
        skip_bad=skip_bad,
        rejects=f"{target}.rejects.jsonl" if rejects is None else os.fspath(rejects),
        restart=restart,
        near_duplicates=near_duplicates,
        on_bytes=on_bytes,
        on_problem=on_problem,
    )
    return run.run()


def _format(inputs: list[str], output: str, task: Task, column: str) -> Format:
    are_rows = {path: Path(path).suffix in (".parquet", ".arrow", ".feather", ".ipc") for path in [*inputs, output]}
    if not any(are_rows.values()):
        return JsonLines(task, output)
    if not all(are_rows.values()):
        odd = next(path for path, is_row in are_rows.items() if is_row != are_rows[output])
        raise ValidationError(f"input {shown(odd)} and output {shown(output)} are not both lines or both rows")
    from pycontext.batch.rows import Rows  # noqa: PLC0415  # needs pyarrow

    return Rows(task, output, column)
