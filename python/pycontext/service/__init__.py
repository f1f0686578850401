"""What runs agents in production: who may work on what, what is measured, and what is served."""

from pycontext.concurrency import ContextConcurrencyManager
from pycontext.service.metrics import MetricsCollector
from pycontext.service.monitor import ProductionMonitor
from pycontext.service.pilot import Pilot, start_pilot
from pycontext.service.pilot_report import PilotReport
from pycontext.service.tracing import TurnTracer

__all__ = [
    "ContextConcurrencyManager",
    "MetricsCollector",
    "Pilot",
    "PilotReport",
    "ProductionMonitor",
    "TurnTracer",
    "start_pilot",
]
