"""The context layer for multi-agent LLM systems: what goes into a prompt, within a budget that holds."""

from typing import TYPE_CHECKING

from pycontext._core import __version__
from pycontext.block import ContextBlock, ContextType
from pycontext.blockset import BlockSet, prune
from pycontext.budget import Budget
from pycontext.cache import Cache, CacheReport, Prefix
from pycontext.chat import Chat
from pycontext.counter import (
    TokenCounter,
    count_tokens,
    count_tokens_batch,
    count_within,
    get_counter,
    prefix_counts,
)
from pycontext.difference import Difference
from pycontext.errors import (
    AnswerError,
    BudgetExceededError,
    BusyError,
    ConflictError,
    ContextError,
    CorruptPayloadError,
    DeadlockError,
    FencedError,
    HopLimitError,
    LLMError,
    LLMRefusedError,
    LLMTimeoutError,
    LLMUnavailableError,
    PluginError,
    PrivilegeError,
    SessionGoneError,
    SignatureError,
    StoreBusyError,
    StoreCorruptError,
    StoreDeniedError,
    StoreError,
    StoreFullError,
    StoreTimeoutError,
    StoreUnavailableError,
    UnknownBlockError,
    UnknownSessionError,
    UnsupportedFormatError,
    ValidationError,
    VersionGoneError,
)
from pycontext.formatter import Formatter
from pycontext.handoff import Handoff, HandoffReceipt, Withheld, handoff, transfer
from pycontext.late import late as __getattr__  # noqa: F401  # Python calls it for names that are not here
from pycontext.ledger import Ledger
from pycontext.limits import Limits
from pycontext.manager import ContextManager
from pycontext.metrics import ContextMetrics
from pycontext.package import ContextPackage, Parent
from pycontext.policy import Policy, Tier
from pycontext.prices import Bill, Price, read_prices
from pycontext.scorer import ConversationScorer, LexicalScorer, Scorer
from pycontext.selection import Dropped, Reason, Selection
from pycontext.shadow import ShadowReport
from pycontext.shorten import Shorten
from pycontext.store import (
    AsyncContextStore,
    ContextStore,
    DistributedContextStore,
    Refresh,
    Version,
    open_async_store,
    open_store,
)
from pycontext.version import Conflict, Delta, Diff, Merge, apply, delta, diff, merge

if TYPE_CHECKING:
    from pycontext.agents.client import LLMClient
    from pycontext.benchmark import BenchmarkResult, ContextBenchmark
    from pycontext.concurrency.manager import ContextConcurrencyManager
    from pycontext.optimize.memory import ContextMemoryOptimizer
    from pycontext.optimize.realtime import RealTimeContextOptimizer
    from pycontext.optimize.window import ContextWindowOptimizer
    from pycontext.relevance import ContextualRelevanceCalculator
    from pycontext.scorers.embedding import EmbeddingScorer
    from pycontext.scorers.hybrid import HybridScorer
    from pycontext.scorers.tfidf import TfidfScorer

__all__ = [
    "AnswerError",
    "AsyncContextStore",
    "BenchmarkResult",
    "Bill",
    "BlockSet",
    "Budget",
    "BudgetExceededError",
    "BusyError",
    "Cache",
    "CacheReport",
    "Chat",
    "Conflict",
    "ConflictError",
    "ContextBenchmark",
    "ContextBlock",
    "ContextConcurrencyManager",
    "ContextError",
    "ContextManager",
    "ContextMemoryOptimizer",
    "ContextMetrics",
    "ContextPackage",
    "ContextStore",
    "ContextType",
    "ContextWindowOptimizer",
    "ContextualRelevanceCalculator",
    "ConversationScorer",
    "CorruptPayloadError",
    "DeadlockError",
    "Delta",
    "Diff",
    "Difference",
    "DistributedContextStore",
    "Dropped",
    "EmbeddingScorer",
    "FencedError",
    "Formatter",
    "Handoff",
    "HandoffReceipt",
    "HopLimitError",
    "HybridScorer",
    "LLMClient",
    "LLMError",
    "LLMRefusedError",
    "LLMTimeoutError",
    "LLMUnavailableError",
    "Ledger",
    "LexicalScorer",
    "Limits",
    "Merge",
    "Parent",
    "PluginError",
    "Policy",
    "Prefix",
    "Price",
    "PrivilegeError",
    "RealTimeContextOptimizer",
    "Reason",
    "Refresh",
    "Scorer",
    "Selection",
    "SessionGoneError",
    "ShadowReport",
    "Shorten",
    "SignatureError",
    "StoreBusyError",
    "StoreCorruptError",
    "StoreDeniedError",
    "StoreError",
    "StoreFullError",
    "StoreTimeoutError",
    "StoreUnavailableError",
    "TfidfScorer",
    "Tier",
    "TokenCounter",
    "UnknownBlockError",
    "UnknownSessionError",
    "UnsupportedFormatError",
    "ValidationError",
    "Version",
    "VersionGoneError",
    "Withheld",
    "__version__",
    "apply",
    "count_tokens",
    "count_tokens_batch",
    "count_within",
    "delta",
    "diff",
    "get_counter",
    "handoff",
    "merge",
    "open_async_store",
    "open_store",
    "prefix_counts",
    "prune",
    "read_prices",
    "transfer",
]
