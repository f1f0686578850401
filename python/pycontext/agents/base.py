"""An agent: a prompt of its own, a session, and a model that is asked within the budget."""

from __future__ import annotations

import asyncio
import copy
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Self

from pycontext.agents.client import Answer, LLMClient, ToolCall
from pycontext.agents.exchange import answered, called, pending_calls
from pycontext.agents.form import Form
from pycontext.agents.offload import on_session
from pycontext.agents.request import Asked, Frame, Request
from pycontext.agents.tools import Tools, call_tool
from pycontext.agents.turn import Turn, current_turn
from pycontext.block import ContextBlock, ContextType
from pycontext.budget import check_tokens
from pycontext.errors import AnswerError, PluginError, ValidationError, shown
from pycontext.manager import ContextManager
from pycontext.policy import Policy
from pycontext.scorer import Scorer

__all__ = ["ContextAwareAgent", "Reply"]

_LOG: Final = logging.getLogger("pycontext.agents")

# A wrong answer of more than this part of the budget is not shown to the model again.
_REPAIR_SHARE: Final = 4


@dataclass(frozen=True, slots=True)
class Reply:
    """What an agent did with a turn.

    Attributes:
        text: for the user; "" where the agent had nothing to say.
        agent: the role that answered.
        session_id: where it goes on.
        data: the values of an answer in JSON, None where there is none.
        to: the agent that shall have the turn next, None when it is done.
    """

    text: str
    agent: str
    session_id: str
    data: Mapping[str, Any] | None = None
    to: str | None = None


@dataclass(slots=True, eq=False)
class _Own:
    """What an agent shares with all that `for_session` makes of it."""

    frame: Frame | None
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)


class ContextAwareAgent:
    """Asks a model with what fits of a session, and adds to the session what comes back.

    The agent's own prompt leads every request and is in no session: whoever has the session next runs under his own.
    It, what is asked beside the session, and the schemas of tools are inside the budget of the manager. An agent works
    on one session at a time; `for_session` gives one for another session. Where an answer cannot be had, nothing of it
    is in the session.

    Args:
        llm_client: the model.
        agent_role: who the agent is: the owner of the sessions that it begins.
        context_manager: holds the sessions; None for one of its own.
        prompt: the agent's own prompt; None where a subclass has `_load_role_prompt`.
        tools: what the model may call, None for nothing.
        render: what requests look like: "openai" for chat messages, "text" for the text form.
        policy: what stays in a request; None for the manager's. "evidence" keeps what most likely holds what the last
            turn of the user, or the next call, needs.
        scorer: counts besides words under such a policy, which is "evidence" then unless it is named.
        reserve_output: tokens of the budget that are left to the answer.
        options: for every call of `llm_client.generate`.
        most_rounds: of calling tools and asking again, in one turn.

    Attributes:
        session_id: of the session that the agent works on, None before there is one.

    Raises:
        ValidationError: an argument is outside its limits.
    """

    def __init__(
        self,
        llm_client: LLMClient,
        agent_role: str,
        context_manager: ContextManager | None = None,
        *,
        prompt: str | None = None,
        tools: Tools | None = None,
        render: Literal["openai", "text"] = "openai",
        policy: Policy | str | None = None,
        scorer: Scorer | None = None,
        reserve_output: int = 0,
        options: Mapping[str, Any] | None = None,
        most_rounds: int = 32,
    ) -> None:
        if not callable(getattr(llm_client, "generate", None)):
            raise ValidationError(f"llm_client {shown(llm_client)} has no generate")
        check_tokens("most_rounds", most_rounds, least=1)
        self.llm: Final = llm_client
        self.role: Final = agent_role
        self.context_manager = ContextManager() if context_manager is None else context_manager
        self.tools = tools
        self.policy: Final = None if policy is None and scorer is None else Policy.of(policy, scorer)
        if scorer is not None and not (self.policy and self.policy.asks):
            raise ValidationError(
                f"scorer needs a policy that asks, and {shown(self.policy and self.policy.name)} does not"
            )
        self.scorer: Final = scorer
        self.options: Final = dict(options or {})
        self.most_rounds: Final = most_rounds
        self.session_id: str | None = None
        self._bare: Final = Frame(
            render=render, reserve_output=reserve_output, schemas=() if tools is None else tuple(tools.schemas)
        )
        self._own: Final = _Own(None if prompt is None else replace(self._bare, counted={}, system=prompt))
        self._beginning = asyncio.Lock()

    def for_session(self, session_id: str) -> Self:
        """Return this agent on a session; prompt, model and tools are shared."""
        return self._copied(self.context_manager, session_id)

    def for_manager(self, context_manager: ContextManager) -> Self:
        """Return this agent over another manager, without a session."""
        return self._copied(context_manager, None)

    async def initialize_session(self, session_id: str | None = None) -> str:
        """Begin a session of this agent, and return its id.

        Args:
            session_id: None for a new random one.

        Raises:
            ValidationError: there is such a session, or an id is outside its limits.
            Exception: the agent's prompt could not be loaded; then there is no session, and the next call tries again.
        """
        await self._load()
        manager = self.context_manager
        new_id = str(uuid.uuid4()) if session_id is None else session_id
        self.session_id = await on_session(manager, new_id, manager.create_session, self.role, session_id=new_id)
        return self.session_id

    async def _load_role_prompt(self) -> str:
        """Return the agent's own prompt; for subclasses whose prompt comes from somewhere else."""
        raise NotImplementedError(f"agent {self.role} has no prompt: give it one, or a _load_role_prompt")

    async def add_user_context(
        self, content: str, metadata: Mapping[str, str] | None = None, *, block_id: str | None = None
    ) -> str:
        """Add what the user said, and return the id of the block."""
        return await self._add(content, ContextType.USER, 0.9, metadata, block_id=block_id)

    async def add_memory_context(
        self, content: str, relevance_score: float, metadata: Mapping[str, str] | None = None
    ) -> str:
        """Add what is known of earlier conversations, and return the id of the block."""
        return await self._add(content, ContextType.MEMORY, relevance_score, metadata)

    async def add_tool_context(self, content: str, tool_name: str, metadata: Mapping[str, str] | None = None) -> str:
        """Add what a tool said that no model called, and return the id of the block."""
        return await self._add(content, ContextType.TOOL, 0.8, {**(metadata or {}), "tool_name": tool_name})

    async def process_with_llm(self, prompt: str | None = None) -> str:
        """Ask the model with the session, call the tools that it wants, and return its answer, which is in the session.

        Args:
            prompt: what is asked besides; it is not kept.

        Raises:
            LLMError: there is no answer.
            BudgetExceededError: what must stay in the request does not fit.
            PluginError: the client returned no str.
        """
        asked: Asked = () if prompt is None else (("user", prompt),)
        return await self._answer(asked, None)

    async def process_with_form(
        self, form: Form, *, block_id: str | None = None, context_type: ContextType = ContextType.AGENT
    ) -> dict[str, Any]:
        """Ask the model for an answer in JSON, once more where it is none, and return its values.

        Args:
            form: what is asked.
            block_id: of the answer's block; None for a new random one.
            context_type: of the answer's block; MEMORY where it is for another agent: a request that ends with an
                answer is one that models go on with, or refuse.

        Raises:
            AnswerError: it is no such answer at the second time either; it is not in the session.
            LLMError: there is no answer.
        """
        asked: list[tuple[Literal["user", "assistant"], str]] = [("user", form.prompt)]
        answer = await self._ask(await self._request(asked), with_tools=False)
        try:
            values = form.read(answer)
        except AnswerError as error:
            _LOG.info("agent %s: asked once more: %s", self.role, error)
            # Providers refuse messages without a text.
            if answer.strip() and len(answer) < self.context_manager.max_tokens // _REPAIR_SHARE:
                asked.append(("assistant", answer))
            asked.append(("user", form.repair(error)))
            answer = await self._ask(await self._request(asked), with_tools=False)
            values = form.read(answer)
        await self._add(str(answer), context_type, 0.9, {"type": "agent_response"}, block_id=block_id)
        return values

    async def respond(self, *, block_id: str | None = None) -> Reply:
        """Answer what the session ends with; a coordinator calls this. Subclasses may do more than ask the model.

        Args:
            block_id: of the block that the answer becomes.
        """
        text = await self._answer((), block_id)
        return Reply(text, self.role, await self._session())

    def recall(self, content: str) -> Reply:
        """Return the reply that `respond` made of an answer which is in the session already."""
        return Reply(content, self.role, self.session_id or "")

    def export_context(self) -> dict[str, Any]:
        """Return the session, for another agent.

        Raises:
            ValidationError: there is no session yet.
        """
        if self.session_id is None:
            raise ValidationError(f"agent {self.role} has no session")
        return self.context_manager.export_session(self.session_id)

    def import_context(self, context_data: Mapping[str, Any]) -> list[str]:
        """Go on with a session that another agent exported, under this agent's own prompt.

        Where the manager has that very session, it is that one. What else comes is a peer's: its tokens are counted
        again, and its SYSTEM blocks stay out.

        Returns:
            The ids of the SYSTEM blocks that stayed out.

        Raises:
            ValidationError: it is no exported session.
            ConflictError: the session here is as new, or newer.
        """
        manager = self.context_manager
        if not isinstance(context_data, Mapping):
            raise ValidationError(f"context_data is {type(context_data).__name__}, not a dict")
        here = manager.sessions.get(str(context_data.get("session_id")))
        if here is not None and here.to_dict() == context_data:
            self.session_id = here.session_id
            return []
        self.session_id = manager.import_session(context_data, on_system="drop")
        return [str(block["id"]) for block in context_data["blocks"] if block.get("type") == ContextType.SYSTEM.name]

    def _copied(self, context_manager: ContextManager, session_id: str | None) -> Self:
        other = copy.copy(self)
        other.context_manager, other.session_id = context_manager, session_id
        other._beginning = asyncio.Lock()  # noqa: SLF001  # of this very class
        return other

    async def _load(self) -> Frame:
        """What stands around sessions; the prompt is loaded once, however many ask for it at the same time."""
        own = self._own
        if own.frame is None:
            async with own.loading:
                if own.frame is None:
                    own.frame = replace(self._bare, counted={}, system=await self._load_role_prompt())
        return own.frame

    async def _session(self) -> str:
        """The session, a new one where there is none yet; two first calls begin one."""
        if self.session_id is None:
            async with self._beginning:
                if self.session_id is None:
                    return await self.initialize_session()
        return self.session_id

    async def _add(
        self,
        content: str,
        kind: ContextType,
        score: float,
        metadata: Mapping[str, str] | None,
        *,
        block_id: str | None = None,
    ) -> str:
        manager, session_id = self.context_manager, await self._session()
        return await on_session(
            manager,
            session_id,
            manager.add_context,
            session_id,
            content,
            kind,
            score,
            metadata,
            block_id=block_id,
        )

    async def _request(self, asked: Asked) -> Request:
        return (await self._look(asked, ()))[0]

    async def _look(
        self, asked: Asked, results: Sequence[ContextBlock]
    ) -> tuple[Request, ContextBlock | None, list[ToolCall]]:
        """Add results of calls; return what to ask, and the calls of a block that nobody made.

        Whoever was to make these was stopped. All is done at once, as to wait for a thread takes as long as one of it.
        """
        manager, session_id, frame = self.context_manager, await self._session(), await self._load()

        def look() -> tuple[Request, ContextBlock | None, list[ToolCall]]:
            for one in results:
                manager.add_context(
                    session_id, one.content, one.type, one.relevance_score, one.metadata, references=one.references
                )
            request = frame.around(manager, session_id, policy=self.policy, scorer=self.scorer, asked=asked)
            return request, *pending_calls(manager.sessions[session_id].blocks)

        return await on_session(manager, session_id, look)

    async def _ask(self, request: Request, *, with_tools: bool = True) -> Answer:
        """Ask the model, and note what that took in the turn."""
        turn = current_turn() or Turn(self.session_id or "", self.role)
        turn.llm_calls += 1
        turn.prompt_tokens += request.tokens
        turn.session_tokens += request.session_tokens
        turn.left_out += request.left_out
        options = dict(self.options)
        if with_tools and self._bare.schemas:
            options["tools"] = list(self._bare.schemas)
        began = time.perf_counter()
        try:
            answer = await self.llm.generate(request.prompt, **options)
        finally:
            turn.llm_seconds += time.perf_counter() - began
        if not isinstance(answer, str):
            raise PluginError(f"llm_client {type(self.llm).__name__} returned {type(answer).__name__}, not str")
        return answer if isinstance(answer, Answer) else Answer(answer)

    async def _answer(self, asked: Asked, block_id: str | None) -> str:
        """Ask, call tools and ask again until there is an answer; it is added to the session."""
        results: list[ContextBlock] = []
        for _ in range(self.most_rounds):
            request, block, calls = await self._look(asked, results)
            if block is None:
                answer = await self._ask(request)
                if not answer.tool_calls:
                    if answer:
                        await self._add(answer, ContextType.AGENT, 0.9, {"type": "agent_response"}, block_id=block_id)
                    return answer
                block, calls = called(answer), list(answer.tool_calls)
                # In the session before anything is done: whoever goes on after a crash knows what was to be done.
                block.id = await self._add(block.content, block.type, block.relevance_score, block.metadata)
            results = await self._results(block, calls)
        raise AnswerError(f"agent {self.role}: the model still calls tools after {self.most_rounds} rounds")

    async def _results(self, block: ContextBlock, calls: Sequence[ToolCall]) -> list[ContextBlock]:
        """Make calls of a block, all at once, and return their results in order."""
        turn = current_turn() or Turn(self.session_id or "", self.role)
        turn.tool_calls += len(calls)
        began = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(call_tool(self.tools, call)) for call in calls]
        finally:
            turn.tool_seconds += time.perf_counter() - began
        return [answered(block, call, task.result()) for call, task in zip(calls, tasks, strict=True)]
