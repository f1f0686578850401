"""`pycontext demo`: see it on recorded tool traces."""

from pycontext.cli.demo.command import add_parser

__all__ = ["add_parser"]
