"""What the tests share."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache

import pytest
import tiktoken
from hypothesis import HealthCheck, settings
from tiktoken_ext import openai_public

from pycontext import _core
from stores import KINDS, WAITING, Doors, home_of

pytest_plugins = ["servers.fixtures"]

# Machines of CI are slow and shared: no deadline for one example, and the same examples in every run.
settings.register_profile(
    "pycontext", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("pycontext")


@cache
def oracle(name: str) -> tiktoken.Encoding:
    """tiktoken's own encoding, with the ranks that are inside the wheel instead of a download."""
    ranks = {token: rank for rank, token in enumerate(_core.vocabulary(name))}
    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        context.setattr(openai_public, "load_tiktoken_bpe", lambda *_args, **_kwargs: ranks)
        arguments = getattr(openai_public, name)()
    return tiktoken.Encoding(**arguments)


def rank_file(name: str) -> bytes:
    """The vocabulary in the form of tiktoken's rank files."""
    tokens = enumerate(_core.vocabulary(name))
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in tokens)


@cache
def _count(name: str) -> Callable[[str], int]:
    encoding = oracle(name)
    return lambda text: len(encoding.encode_ordinary(text))


def tiktoken_count(text: str, name: str = "o200k_base") -> int:
    """The count that ours must equal."""
    return _count(name)(text)


def _home(request, folder):
    # The server is started when the first test needs it.
    home = home_of(request.param, folder, lambda: request.getfixturevalue("redis_server").url)
    yield home
    home.close()


@pytest.fixture(params=KINDS)
def home(request, tmp_path):
    """A place of each kind, for stores that wait and those that are awaited."""
    yield from _home(request, tmp_path)


@pytest.fixture(params=WAITING)
def waiting_home(request, tmp_path):
    """A place of each kind, for stores that wait."""
    yield from _home(request, tmp_path)


@pytest.fixture(params=["waiting", "awaited"])
def doors(request):
    """What opens stores at any address, once those that wait and once those that are awaited."""
    made = Doors(is_async=request.param == "awaited")
    yield made
    made.close()
