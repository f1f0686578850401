"""The context layer for multi-agent LLM systems: what goes into a prompt, within a budget that holds."""

from pycontext._core import __version__
from pycontext.block import ContextBlock, ContextType
from pycontext.blockset import BlockSet, prune
from pycontext.budget import Budget
from pycontext.counter import TokenCounter, count_tokens, count_tokens_batch, get_counter
from pycontext.errors import (
    BudgetExceededError,
    ConflictError,
    ContextError,
    PluginError,
    PrivilegeError,
    UnknownBlockError,
    UnknownSessionError,
    ValidationError,
)
from pycontext.formatter import Formatter
from pycontext.manager import ContextManager
from pycontext.package import ContextMetrics, ContextPackage
from pycontext.policy import Policy
from pycontext.scorer import Scorer
from pycontext.selection import Dropped, Reason, Selection

__all__ = [
    "BlockSet",
    "Budget",
    "BudgetExceededError",
    "ConflictError",
    "ContextBlock",
    "ContextError",
    "ContextManager",
    "ContextMetrics",
    "ContextPackage",
    "ContextType",
    "Dropped",
    "Formatter",
    "PluginError",
    "Policy",
    "PrivilegeError",
    "Reason",
    "Scorer",
    "Selection",
    "TokenCounter",
    "UnknownBlockError",
    "UnknownSessionError",
    "ValidationError",
    "__version__",
    "count_tokens",
    "count_tokens_batch",
    "get_counter",
    "prune",
]
