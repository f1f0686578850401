"""Agents: who asks a model, within the budget, and who has the turn next."""

from pycontext.agents.client import Answer, LLMClient, Prompt, ToolCall, Usage
from pycontext.agents.turn import Observer, Turn, TurnReport, current_turn

__all__ = [
    "Answer",
    "LLMClient",
    "Observer",
    "Prompt",
    "ToolCall",
    "Turn",
    "TurnReport",
    "Usage",
    "current_turn",
]
