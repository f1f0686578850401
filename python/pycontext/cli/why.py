"""`pycontext inspect --why`: what stays of a conversation at a budget, what falls, and why."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pycontext.cli.console import clip, line_of
from pycontext.cli.conversations import Conversation
from pycontext.errors import BudgetExceededError
from pycontext.selection import WORDS, Reason, Selection

__all__ = ["show_why"]

# Columns of the table beside what the blocks say.
_NUMBERS_WIDTH = 48


def show_why(conversation: Conversation, budget: int, policy: str | None, *, as_json: bool) -> bool:
    """Print a reason for every message on standard output; say whether what must stay fits.

    Raises:
        ValidationError: there is no such policy.
    """
    try:
        selection = conversation.blocks.prune(budget, policy=policy)
    except BudgetExceededError as error:
        if as_json:
            facts = {"needed": error.needed, "available": error.available, "blockers": error.blockers}
            _print({"line": conversation.line, "id": conversation.id, "could_not_fit": facts})
        else:
            Console().print(Text(f"{conversation.id}: {error}", style="red"))
        return False
    if as_json:
        _print({"line": conversation.line, "id": conversation.id, **_receipt(selection)})
        return True
    console = Console()
    console.print(_table(conversation, selection, console.width))
    console.print(Text(selection.table()))
    return True


def _print(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")


def _receipt(selection: Selection) -> dict[str, Any]:
    receipt = selection.to_dict()
    return {**receipt, "blocks": [{**block, "why": selection.explain(block["id"])} for block in receipt["blocks"]]}


def _table(conversation: Conversation, selection: Selection, width: int) -> Table:
    # Names and messages are text, not markup.
    table = Table(title=Text(clip(conversation.id, width)), title_justify="left")
    for heading in ("message", "type"):
        table.add_column(heading, no_wrap=True)
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("why", no_wrap=True)
    table.add_column("it says", no_wrap=True)
    costs = [block["tokens"] for block in selection.to_dict()["blocks"]]
    for block, reason, tokens in zip(conversation.blocks, selection.reasons, costs, strict=True):
        is_kept = reason in (Reason.PINNED, Reason.KEPT)
        table.add_row(
            block.id,
            block.type.name,
            f"{tokens:,}",
            WORDS[reason],
            Text(clip(line_of(block), max(width - _NUMBERS_WIDTH, 12))),
            style="" if is_kept else "dim",
        )
    return table
