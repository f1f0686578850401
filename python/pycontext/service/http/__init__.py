"""Coordinators over HTTP."""

from pycontext.service.http.app import make_app
from pycontext.service.http.server import Service, start_service

__all__ = ["Service", "make_app", "start_service"]
