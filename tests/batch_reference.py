"""What a batch must do, one conversation after the other, with the library's own classes: the oracle."""

from __future__ import annotations

from pycontext import BlockSet, BudgetExceededError
from pycontext.messages.openai import to_blocks


def kept(messages, budget, *, policy=None, query=None):
    """The positions of the messages that stay; None where those that must stay are too many."""
    blocks = BlockSet(to_blocks(messages))
    asked = (blocks.turns([]) or None) if query == "last-user" else query
    if asked is None and query is not None:
        policy = policy or "evidence"
    try:
        return blocks.prune(budget, policy=policy, query=asked).chosen.rows()
    except BudgetExceededError:
        return None


def pruned_messages(messages, budget, *, on_overflow="drop", **options):
    """The messages that stay; None for nothing at all."""
    rows = kept(messages, budget, **options)
    if rows is not None:
        return [messages[row] for row in rows]
    return messages if on_overflow == "keep" else None


def pruned_rows(rows, budget, *, column="messages", on_overflow="drop", **options):
    """Rows as Arrow's libraries write them as dicts: fields that are null are none."""
    out = []
    for row in rows:
        if row[column] is None:
            out.append(row)
            continue
        bare = [without_nulls(message) for message in row[column]]
        left = kept(bare, budget, **options)
        if left is not None:
            out.append({**row, column: [row[column][at] for at in left]})
        elif on_overflow == "keep":
            out.append(row)
        elif on_overflow == "null":
            out.append({**row, column: None})
    return out


def without_nulls(message):
    return {key: _bare(value) for key, value in message.items() if value is not None or key == "content"}


def _bare(value):
    if isinstance(value, dict):
        return {key: _bare(each) for key, each in value.items() if each is not None}
    return [_bare(each) for each in value] if isinstance(value, list) else value
