"""What an agent sends to a model: its own prompt, what fits of the session, and what is asked now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from pycontext._core import escape, header
from pycontext.agents.client import Prompt
from pycontext.block import ContextBlock, ContextType
from pycontext.blockset import BlockSet
from pycontext.budget import check_tokens
from pycontext.counter import TokenCounter, count_with
from pycontext.errors import BudgetExceededError, ValidationError, shown
from pycontext.manager import ContextManager
from pycontext.policy import Policy
from pycontext.scorer import Scorer
from pycontext.selection import Selection
from pycontext.tool_schemas import schema_tokens

__all__ = ["Asked", "Frame", "Request"]

# What comes behind a session in one request and is not kept: who says it, and what.
Asked = Sequence[tuple[Literal["user", "assistant"], str]]

_BETWEEN: Final = "\n\n"


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a model.

    Attributes:
        prompt: chat messages, or text.
        tokens: of all of it, as rendered, tool schemas included.
        session_tokens: what it would be with every block of the session in it.
        left_out: blocks of the session that are not in it.
    """

    prompt: Prompt
    tokens: int
    session_tokens: int
    left_out: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around a session in the requests of an agent.

    Attributes:
        system: the agent's own prompt, "" for none. No session holds it, so that whoever has the session next runs
            under his own.
        render: what requests look like: chat messages, or the text form.
        reserve_output: tokens of the budget that are left to the answer.
        schemas: of tools, in OpenAI's form.
        counted: by counter, the tokens of the agent's own prompt and of the schemas.

    Raises:
        ValidationError: a field is outside its limits.
    """

    system: str = ""
    render: Literal["openai", "text"] = "openai"
    reserve_output: int = 0
    schemas: tuple[Mapping[str, Any], ...] = ()
    counted: dict[str, tuple[int, int]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.render, str) or self.render not in ("openai", "text"):
            raise ValidationError(f"render {shown(self.render)} is not one of openai, text")
        if not isinstance(self.system, str):
            raise ValidationError(f"prompt of the agent is {type(self.system).__name__}, not str")
        check_tokens("reserve_output", self.reserve_output)

    def around(
        self,
        manager: ContextManager,
        session_id: str,
        *,
        policy: Policy | str | None = None,
        scorer: Scorer | None = None,
        pin: Sequence[str] = (),
        asked: Asked = (),
    ) -> Request:
        """Return a request within the budget of the manager; in shadow mode one with all of the session.

        Args:
            manager: that holds the session.
            session_id: of the session.
            policy: None for the manager's.
            scorer: as in `prune`; it asks the last turn of the user.
            pin: ids of blocks that must stay, besides those that always do.
            asked: what comes behind the session.

        Raises:
            UnknownSessionError: there is no such session.
            BudgetExceededError: the agent's prompt, what is asked and what must stay of the session do not fit.
        """
        most = manager.max_tokens - self.reserve_output
        own, schemas = self._tokens_around(asked, manager.counter)
        room = most - own - schemas
        while True:
            if manager.shadow:
                selection = manager.everything(session_id, render=self.render)
            else:
                selection = _select(manager, session_id, room, most, policy, scorer, self.render, pin)
            prompt = self._write(selection, asked)
            if isinstance(prompt, str):
                # As a whole: what is the last block of the session is not the end of the request.
                tokens = count_with(manager.counter, [prompt])[0]
            else:
                tokens = selection.tokens + own if selection.kept_ids else _cost(self._set(asked, manager.counter))
            tokens += schemas
            if manager.shadow or tokens <= most:
                dropped = selection.dropped
                return Request(prompt, tokens, tokens + sum(one.tokens for one in dropped), len(dropped))
            room -= tokens - most

    def _tokens_around(self, asked: Asked, counter: TokenCounter) -> tuple[int, int]:
        """What comes to the tokens of a session's blocks: of the texts around them, and of the schemas."""
        # What does not change from turn to turn is counted once.
        if counter.name not in self.counted:
            schemas = schema_tokens(self.schemas, counter)
            self.counted[counter.name] = self._own((), counter), schemas
        own, schemas = self.counted[counter.name]
        if asked:
            own += replace(self, system="", counted={})._own(asked, counter)  # noqa: SLF001  # of this very class
        return own, schemas

    def _own(self, asked: Asked, counter: TokenCounter) -> int:
        """What the texts around a session add to it."""
        if self.render == "text":
            return sum(count_with(counter, [text + _BETWEEN for text in self._texts(asked)]))
        # The tokens that belong to no message are in the session's.
        probe = BlockSet([ContextBlock("probe", "", 1.0, ContextType.USER, timestamp=0)], counter=counter)
        alone = _cost(probe)
        probe.extend(self._set(asked, counter))
        return _cost(probe) - alone

    def _set(self, asked: Asked, counter: TokenCounter) -> BlockSet:
        texts = [(ContextType.SYSTEM, self.system)] if self.system else []
        texts += [(ContextType.USER if role == "user" else ContextType.AGENT, text) for role, text in asked]
        blocks = (ContextBlock(f"around{n}", text, 1.0, kind, timestamp=0) for n, (kind, text) in enumerate(texts))
        return BlockSet(blocks, counter=counter)

    def _texts(self, asked: Asked) -> list[str]:
        """The texts around a session; no line of them can be taken for a header."""
        system = [header(ContextType.SYSTEM.value, False) + escape(self.system)] if self.system else []
        return system + [f"[{'PROMPT' if role == 'user' else 'AGENT'}]\n{escape(text)}" for role, text in asked]

    def _write(self, selection: Selection, asked: Asked) -> Prompt:
        if self.render == "text":
            texts = self._texts(asked)
            texts.insert(1 if self.system else 0, selection.text())
            return _BETWEEN.join(text for text in texts if text)
        messages = selection.messages()
        if self.system:
            messages.insert(0, {"role": "system", "content": self.system})
        return messages + [{"role": role, "content": text} for role, text in asked]


def _select(
    manager: ContextManager,
    session_id: str,
    room: int,
    most: int,
    policy: Policy | str | None,
    scorer: Scorer | None,
    render: Literal["openai", "text"],
    pin: Sequence[str],
) -> Selection:
    if room < 1:
        raise BudgetExceededError(
            f"what stands around session {shown(session_id)} needs {most - room} of {most} tokens, and nothing is left "
            "for its blocks",
            most - room + 1,
            most,
            [],
        )
    return manager.select(session_id, room, policy=policy, scorer=scorer, render=render, pin=pin)


def _cost(blocks: BlockSet) -> int:
    return blocks.total_cost("openai")
