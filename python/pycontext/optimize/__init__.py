"""Optimizers: thin policies given to the kernel."""

from pycontext.optimize.memory import ContextMemoryOptimizer
from pycontext.optimize.realtime import RealTimeContextOptimizer
from pycontext.optimize.window import ContextWindowOptimizer

__all__ = ["ContextMemoryOptimizer", "ContextWindowOptimizer", "RealTimeContextOptimizer"]
