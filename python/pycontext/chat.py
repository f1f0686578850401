"""A chat that is sent again and again, read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal

from pycontext.blockset import BlockSet
from pycontext.budget import Budget
from pycontext.counter import DEFAULT_ENCODING, TokenCounter
from pycontext.errors import ValidationError, shown
from pycontext.formatter import Render
from pycontext.messages.calls import Waiting
from pycontext.messages.fields import SCORE_OF_TYPE
from pycontext.messages.openai import Fields, read, tied, to_blocks
from pycontext.policy import Policy
from pycontext.query import Query
from pycontext.selection import Selection
from pycontext.shorten import Shorten

if TYPE_CHECKING:
    from pycontext.scorer import Scorer

__all__ = ["Chat"]

Message = Mapping[str, Any]

_PLAIN: Final = (str, int, float, bool, type(None))


class Chat:
    """OpenAI chat messages that come as a whole list every time, with some more at its end.

    What begins like the list before is not read again. The blocks are those that `openai.to_blocks` makes of the list;
    one that does not begin like the list before is read as a new one. Safe to use from several threads, each call
    whole; a selection goes with the list that it was made of.

    Args:
        counter: what counts tokens: "o200k_base", another name that `get_counter` takes, or a plug-in.

    Raises:
        ValidationError: `counter` is none.
    """

    def __init__(self, counter: str | TokenCounter = DEFAULT_ENCODING) -> None:
        self._lock: Final = Lock()
        self._blocks = BlockSet(counter=counter)
        # The messages as they were read, which nobody else can change, and as they came.
        self._read: list[Message] = []
        self._own: list[Message] = []
        self._waiting = Waiting()
        self._last: Selection | None = None

    def update(self, messages: Sequence[Message]) -> BlockSet:
        """Return the blocks of a list of messages; a set that the next update goes on with.

        Messages are compared by value with what was read, so that one that was changed in place is seen.

        Raises:
            ValidationError: a message is none, or a block of it is outside its limits; nothing was changed.
            PluginError: the counter raised or returned what it must not.
        """
        with self._lock:
            return self._update(messages)

    def prune(
        self,
        messages: Sequence[Message],
        budget: Budget | int,
        *,
        policy: Policy | str | None = None,
        query: Query | None = None,
        scorer: Scorer | None = None,
        render: Render = "openai",
        now: int | None = None,
        pin: Iterable[str] = (),
        shorten: Shorten | Literal["tool"] | None = None,
    ) -> Selection:
        """Choose the messages that fit, as `prune` does; a policy with a cache goes on from the selection before.

        Ids of blocks are `m0`, `m1`, ...

        Raises:
            BudgetExceededError: the messages that must stay do not fit.
            ValidationError: a message is none, or an option is outside its limits.
            PluginError: a plug-in raised or returned what it must not.
        """
        chosen = Policy.of(policy, query)
        with self._lock:
            blocks = self._update(messages)
            selection = blocks.prune(
                budget,
                policy=chosen,
                query=query,
                scorer=scorer,
                render=render,
                now=now,
                pin=pin,
                shorten=shorten,
                previous=None if chosen.cache is None else self._last,
            )
            # To hold one has the columns copied at the next message.
            self._last = None if chosen.cache is None else selection
        return selection

    def messages(self, selection: Selection) -> list[Message]:
        """Return the caller's own messages of what a selection of the last list keeps; shortened ones are new.

        Raises:
            ValidationError: it is no selection, or one of a longer list.
        """
        if not isinstance(selection, Selection):
            raise ValidationError(f"selection {shown(selection)} is {type(selection).__name__}, not a Selection")
        rows = selection.chosen.rows()
        own = self._own
        if rows and rows[-1] >= len(own):
            raise ValidationError(f"selection has message {rows[-1]}, the list has {len(own)}")
        if not selection.shortened:
            return [own[row] for row in rows]
        written = zip(selection.messages(), rows, selection.kept_ids, strict=True)
        return [message if id in selection.shortened else own[row] for message, row, id in written]

    def _update(self, messages: Sequence[Message]) -> BlockSet:
        own = list(messages) if isinstance(messages, list | tuple) else _listed(messages)
        known = len(self._read)
        if len(own) < known or own[:known] != self._read:
            fresh = Chat(self._blocks.counter)
            fresh._extend(own, 0)  # of this very class
            self._blocks, self._read, self._waiting = fresh._blocks, fresh._read, fresh._waiting
            self._last = None
        elif len(own) > known:
            self._extend(own[known:], known)
        self._own = own
        return self._blocks

    def _extend(self, messages: list[Message], start: int) -> None:
        """Read messages behind those that there are, all or none."""
        waiting = self._waiting.copy()
        kept = [_copied(message) for message in messages] if all(map(_is_dict, messages)) else []
        is_usual = bool(kept) and self._blocks.extend_chat(messages, start, tied(messages, start, waiting))
        if not is_usual:
            waiting = self._waiting.copy()
            self._extend_with(list(read(messages, start, waiting)), messages, start)
            kept = [_copied(message) for message in messages]
        self._read += kept
        self._waiting = waiting

    def _extend_with(self, fields: list[Fields], messages: list[Message], start: int) -> None:
        numbers, kinds, contents, metadata, references = zip(*fields, strict=True) if fields else ((),) * 5
        try:
            self._blocks.extend_columns(
                list(contents),
                list(kinds),
                [SCORE_OF_TYPE[kind] for kind in kinds],
                id=[f"m{number}" for number in numbers],
                timestamp=list(numbers),
                references=list(references),
                metadata=list(metadata),
            )
        except ValidationError:
            # In the words of the adapter, which names the message.
            to_blocks(messages, start=start)
            raise


def _is_dict(message: object) -> bool:
    return type(message) is dict


def _listed(messages: object) -> list[Any]:
    if isinstance(messages, str | Mapping) or not isinstance(messages, Iterable):
        raise ValidationError(f"messages {shown(messages)} is {type(messages).__name__}, not a list of dicts")
    return list(messages)


def _copied(message: Message) -> Message:
    """A message that nobody else holds; texts are shared, which nobody can change."""
    return {key: value if type(value) is str or value is None else _copy(value) for key, value in message.items()}


def _copy(value: Any) -> Any:
    # What was read as JSON: deepcopy looks for much that cannot be in it.
    if type(value) is dict:
        return {key: each if type(each) is str else _copy(each) for key, each in value.items()}
    if type(value) is list:
        return [_copy(each) for each in value]
    return value if type(value) in _PLAIN else deepcopy(value)
