"""The address at which our metrics are served."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final

from pycontext.errors import ValidationError, shown

__all__ = ["Endpoint"]

_FORM: Final = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<rest>.*)", re.DOTALL)
_PLACE: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:/?#@\s]+)):(?P<port>[0-9]{1,5})(?P<path>/[^?#\s]*)?", re.ASCII
)
_INSTEAD: Final = (
    'Prometheus scrapes us: give the address to serve, such as "127.0.0.1:9464", and name that to Prometheus'
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host of this machine and a port.

    Attributes:
        host: an address of this machine, or one that stands for all of them.
        port: 0 for any that is free.
    """

    host: str
    port: int

    @classmethod
    def of(cls, text: object) -> Endpoint:
        """Return the endpoint that "127.0.0.1:9464" or "http://0.0.0.0:9464/metrics" means.

        Raises:
            ValidationError: it has another form, or names another machine.
        """
        if not isinstance(text, str):
            raise ValidationError(f"prometheus_endpoint {shown(text)} is {type(text).__name__}, not str")
        form = _FORM.fullmatch(text)
        scheme, rest = ("", text) if form is None else (form["scheme"] or "", form["rest"])
        # A password may be in what has another form: it is not repeated.
        if "@" in rest:
            raise ValidationError("prometheus_endpoint names a user, and what we serve knows none")
        place = _PLACE.fullmatch(rest)
        if place is None:
            raise ValidationError(f"prometheus_endpoint {shown(text)} is not host:port or http://host:port/metrics")
        host, port = place["v6"] or place["host"], int(place["port"])
        if not _is_ours(host):
            raise ValidationError(f"prometheus_endpoint {shown(text, 60)} is not of this machine; {_INSTEAD}")
        if scheme.lower() not in ("", "http"):
            raise ValidationError(f"prometheus_endpoint {shown(text)} is served as http, not {shown(scheme)}")
        if (place["path"] or "/") not in ("/", "/metrics"):
            raise ValidationError(f"prometheus_endpoint {shown(text, 60)} has another path than /metrics; {_INSTEAD}")
        if port > 65_535:
            raise ValidationError(f"prometheus_endpoint {shown(text)} has a port above 65535")
        return cls("127.0.0.1" if host.lower() == "localhost" else host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_ours(host: str) -> bool:
    """Return whether a host means this machine; names are not looked up, as who answers may change."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_unspecified or address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
