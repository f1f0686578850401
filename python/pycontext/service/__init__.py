"""What runs agents in production: who may work on what, what is measured, and what is served."""

from pycontext.concurrency.manager import ContextConcurrencyManager
from pycontext.service.metrics import MetricsCollector
from pycontext.service.monitor import ProductionMonitor
from pycontext.service.tracing import TurnTracer

__all__ = [
    "ContextConcurrencyManager",
    "MetricsCollector",
    "ProductionMonitor",
    "TurnTracer",
]
