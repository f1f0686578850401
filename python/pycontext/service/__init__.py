"""What runs agents in production: who may work on what, what is measured, and what is served."""

from pycontext.concurrency import ContextConcurrencyManager
from pycontext.service.arm import Arm
from pycontext.service.comparison import Difference, Verdict
from pycontext.service.http import Service, make_app, start_service
from pycontext.service.metrics import MetricsCollector
from pycontext.service.monitor import ProductionMonitor
from pycontext.service.pilot import Monitor, Pilot, start_pilot
from pycontext.service.pilot_report import PilotReport
from pycontext.service.tracing import TurnTracer

__all__ = [
    "Arm",
    "ContextConcurrencyManager",
    "Difference",
    "MetricsCollector",
    "Monitor",
    "Pilot",
    "PilotReport",
    "ProductionMonitor",
    "Service",
    "TurnTracer",
    "Verdict",
    "make_app",
    "start_pilot",
    "start_service",
]
