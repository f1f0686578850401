"""The command line: one module a command."""

from pycontext.cli.main import main

__all__ = ["main"]
