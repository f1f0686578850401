"""Agents: who asks a model, within the budget, and who has the turn next."""

from pycontext.agents.anthropic_client import AnthropicClient
from pycontext.agents.base import ContextAwareAgent, Reply
from pycontext.agents.client import Answer, LLMClient, Prompt, ToolCall, Usage
from pycontext.agents.coordinator import AgentCoordinator
from pycontext.agents.form import Form, Item
from pycontext.agents.openai_client import OpenAIClient
from pycontext.agents.replay import ReplayClient
from pycontext.agents.retrying import RetryingClient
from pycontext.agents.route import Receiver, by_intent
from pycontext.agents.telecom import ContextAwareIntentAgent, ContextAwareTechnicalAgent, NetworkAPI
from pycontext.agents.tools import FunctionTools, Tools
from pycontext.agents.turn import Observer, Turn, TurnReport, current_turn

__all__ = [
    "AgentCoordinator",
    "Answer",
    "AnthropicClient",
    "ContextAwareAgent",
    "ContextAwareIntentAgent",
    "ContextAwareTechnicalAgent",
    "Form",
    "FunctionTools",
    "Item",
    "LLMClient",
    "NetworkAPI",
    "Observer",
    "OpenAIClient",
    "Prompt",
    "Receiver",
    "ReplayClient",
    "Reply",
    "RetryingClient",
    "ToolCall",
    "Tools",
    "Turn",
    "TurnReport",
    "Usage",
    "by_intent",
    "current_turn",
]
