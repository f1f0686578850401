"""What `pycontext demo` takes, and which demo it runs."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

from pycontext.cli.demo.traces import NAMESPACE, recorded
from pycontext.cli.exits import Exit
from pycontext.cli.options import positive, whole

__all__ = ["add_parser", "run"]

_BUDGET: Final = 6_000
_PRICE: Final = 2.0


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "demo",
        help="see it on recorded tool traces",
        description="The recorded tool traces that come with the package are scripted replays of telecom support "
        "tasks; no model took part. `prune` prunes them, shows what was kept, what fell and why, stores each as a "
        "session and reads it back. `telecom` has them replayed by two agents, with a coordinator and a store between "
        "them, and compares that with sending everything.",
    )
    parser.add_argument("scenario", nargs="?", choices=("prune", "telecom"), default="prune", help="prune, if not said")
    parser.add_argument(
        "--budget", type=whole(1), default=_BUDGET, metavar="N", help=f"tokens a request may hold ({_BUDGET})"
    )
    parser.add_argument(
        "--write", metavar="OUT.jsonl", help="only write the traces to a file, to try other commands on"
    )
    parser.add_argument(
        "--store",
        metavar="URL",
        help=f"keep the sessions there for an hour, in namespace {NAMESPACE}, and not in a temporary file of SQLite",
    )
    parser.add_argument(
        "--price",
        type=positive,
        default=_PRICE,
        metavar="DOLLARS",
        help=f"telecom: of a million prompt tokens ({_PRICE:.2f})",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a trace instead of tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run the command."""
    if args.write:
        traces = recorded()
        lines = (json.dumps(trace, ensure_ascii=False) + "\n" for trace in traces)
        Path(args.write).write_text("".join(lines), encoding="utf-8")
        sys.stderr.write(f"{len(traces)} traces written; try: pycontext prune {args.write} --budget {_BUDGET}\n")
        return Exit.DONE
    # Agents take a while to import, and pruning needs none.
    code: Exit = import_module(f"pycontext.cli.demo.{args.scenario}").run(args)
    return code
