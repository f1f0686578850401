"""The article's two agents: one finds out what a customer wants, one what is wrong with the line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Protocol, runtime_checkable

from pycontext.agents.base import ContextAwareAgent, Reply
from pycontext.agents.client import LLMClient
from pycontext.agents.form import Form, Item, fraction, text, texts
from pycontext.block import ContextType
from pycontext.errors import ValidationError, shown
from pycontext.manager import ContextManager

__all__ = ["ContextAwareIntentAgent", "ContextAwareTechnicalAgent", "NetworkAPI"]

_INTENT_PROMPT: Final = (
    "You work for the customer service of a telephone company and read what customers write. Say what they want, "
    "in so many parts as there are, also what they want without saying so; how sure you are; and what has to be known "
    "before it can be done. You do not solve anything yourself."
)
_TECHNICAL_PROMPT: Final = (
    "You work for the technical support of a telephone company. Find the cause of what customers report, from their "
    "words, the data of their lines and the results of diagnostics. Plan the repair step by step, the least risky step "
    "first, and say what to try if it does not help."
)

_INTENT: Final = Form(
    "What does the customer want?",
    (
        Item("primary_intent", "the goal that matters most", text),
        Item("secondary_intents", "what else is wanted, said or not", texts),
        Item("required_information", "what has to be known first", texts),
        Item("confidence", "how sure you are", fraction),
    ),
)
_DIAGNOSIS: Final = Form(
    "What is wrong, judging by the report, the data of the line and the diagnostics?",
    (
        Item("root_cause", "the likeliest cause", text),
        Item("recommended_solution", "the steps of the repair, in order", texts),
        Item("alternative_solutions", "what to try if that does not help", texts),
        Item("confidence", "how sure you are", fraction),
    ),
)

# An intent is a guess of a model; what a customer's line says is not.
_NETWORK_DATA_SCORE: Final = 0.85
_CUSTOMER: Final = "customer_id"


class ContextAwareIntentAgent(ContextAwareAgent):
    """Finds out what a customer wants.

    Args:
        llm_client: as in `ContextAwareAgent`.
        agent_role: as in `ContextAwareAgent`.
        context_manager: as in `ContextAwareAgent`.
        options: as in `ContextAwareAgent`, and its other arguments.
    """

    def __init__(
        self,
        llm_client: LLMClient,
        agent_role: str = "intent_agent",
        context_manager: ContextManager | None = None,
        **options: Any,
    ) -> None:
        super().__init__(llm_client, agent_role, context_manager, **options)

    async def _load_role_prompt(self) -> str:
        return _INTENT_PROMPT

    async def analyze_intent(self, query: str) -> dict[str, Any]:
        """Add a query to the session and return what the customer wants.

        Returns:
            `primary_intent`, `secondary_intents`, `required_information`, `confidence`, and what else the model said.

        Raises:
            AnswerError: the model gave no such answer, twice.
            LLMError: there is no answer.
        """
        await self.add_user_context(query, {"type": "customer_query"})
        return await self.process_with_form(_INTENT)

    async def respond(self, *, block_id: str | None = None) -> Reply:
        """Return what the customer wants as `data`, and nothing for him: whoever has the turn next answers."""
        data = await self.process_with_form(_INTENT, block_id=block_id, context_type=ContextType.MEMORY)
        return Reply("", self.role, self.session_id or "", data)

    def recall(self, content: str) -> Reply:
        """Return the reply of an analysis that is in the session already."""
        return Reply("", self.role, self.session_id or "", _INTENT.read(content))


@runtime_checkable
class NetworkAPI(Protocol):
    """What is known of a customer's line."""

    async def get_customer_network_data(self, customer_id: str, /) -> Any:
        """Return what is on record of the customer's lines, as JSON values."""
        ...

    async def run_diagnostics(self, customer_id: str, /) -> Any:
        """Run the diagnostics of the customer's lines and return the results, as JSON values."""
        ...


class ContextAwareTechnicalAgent(ContextAwareAgent):
    """Finds out what is wrong with a customer's line.

    Args:
        llm_client: as in `ContextAwareAgent`.
        network_api: what is known of lines; None for an agent that has only its tools.
        context_manager: as in `ContextAwareAgent`.
        agent_role: as in `ContextAwareAgent`.
        options: as in `ContextAwareAgent`, and its other arguments.

    Raises:
        ValidationError: an argument is outside its limits.
    """

    def __init__(
        self,
        llm_client: LLMClient,
        network_api: NetworkAPI | None,
        context_manager: ContextManager | None = None,
        *,
        agent_role: str = "technical_agent",
        **options: Any,
    ) -> None:
        super().__init__(llm_client, agent_role, context_manager, **options)
        if network_api is not None and not isinstance(network_api, NetworkAPI):
            raise ValidationError(f"network_api {shown(network_api)} has no get_customer_network_data, run_diagnostics")
        self.network_api: Final = network_api

    async def _load_role_prompt(self) -> str:
        return _TECHNICAL_PROMPT

    async def diagnose_issue(self, issue_description: str, customer_id: str) -> dict[str, Any]:
        """Add an issue, what is known of the customer's lines and their diagnostics to the session; say what is wrong.

        Returns:
            `root_cause`, `recommended_solution`, `alternative_solutions`, `confidence`, and what else the model said.

        Raises:
            AnswerError: the model gave no such answer, twice.
            LLMError: there is no answer.
            ValidationError: there is no `network_api`.
            Exception: what the `network_api` raised.
        """
        if self.network_api is None:
            raise ValidationError("network_api is None: there is nothing to diagnose with")
        # Asked for before anything is added, so that a failure leaves the session as it was.
        data = await self.network_api.get_customer_network_data(customer_id)
        diagnostics = await self.network_api.run_diagnostics(customer_id)
        about: Mapping[str, str] = {_CUSTOMER: customer_id}
        await self.add_user_context(issue_description, about)
        await self.add_memory_context(_json(data), _NETWORK_DATA_SCORE, {"type": "network_data", **about})
        await self.add_tool_context(_json(diagnostics), "network_diagnostics", about)
        return await self.process_with_form(_DIAGNOSIS)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
