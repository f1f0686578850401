"""`pycontext store`: look at what stores hold, and tidy it."""

from pycontext.cli.store.command import add_parser

__all__ = ["add_parser"]
