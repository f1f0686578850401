"""Addresses of stores: what is none is refused with one line, and a password is in no line at all."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from pycontext import StoreUnavailableError, ValidationError
from pycontext.store import open_async_store, open_store

# Nobody listens there.
CLOSED = "127.0.0.1:1"


def said_by(work):
    """All that an error says, chained ones and the stack included."""
    try:
        work()
    except Exception as error:  # noqa: BLE001  # it is looked at
        return type(error), str(error), "".join(traceback.format_exception(error))
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://u:se/cret@h/0", "no address"),
        ("redis://:12/34@h:1", "an @ behind its host"),
        ("redis://u:12#34@h", "an @ behind its host"),
        ("redis://u:12?34@h", "an @ behind its host"),
        ("redis+cluster://:12/34@h:1,h:2", "an @ behind its host"),
        ("redis+sentinel://:12/34@h:1", "an @ behind its host"),
        ("unix://:pa/ss@/tmp/x", "no address"),
        ("unix://tmp/x", "unix:///path"),
        ("redis://u:secret@h/?foo=1", "keyword argument 'foo'"),
        ("redis://u:secret@h/?socket_timeout=x", "Invalid value for 'socket_timeout'"),
    ],
)
@pytest.mark.parametrize("opened", [open_store, open_async_store])
def test_what_is_no_address_is_refused_without_its_password(opened, url, words):
    kind, text, trace = said_by(lambda: opened(url))
    assert kind is ValidationError
    assert words in text
    for part in ("secret", "se/cret", "cret@", "34@", "ss@"):
        # The stack shows our lines, which hold no address.
        assert part not in text
        assert part not in trace


URLS = [
    f"redis://u:secret@{CLOSED}",
    f"redis://{CLOSED}/?password=secret",
    f"rediss://u:secret@{CLOSED}",
    f"redis+cluster://u:secret@{CLOSED}",
    f"redis+sentinel://u:secret@{CLOSED}/name",
    "unix://u:secret@/nowhere/redis.sock",
]


@pytest.mark.parametrize("url", URLS)
def test_a_server_that_is_not_there_is_named_without_its_password(url):
    store = open_store(url)
    kind, text, trace = said_by(lambda: store.load("s"))
    assert issubclass(kind, StoreUnavailableError)
    assert "secret" not in text + trace + repr(store)


@pytest.mark.parametrize("url", URLS)
def test_so_it_is_for_those_who_await(url):
    async def load():
        store = open_async_store(url)
        assert "secret" not in repr(store)
        await store.load("s")

    kind, text, trace = said_by(lambda: asyncio.run(load()))
    assert issubclass(kind, StoreUnavailableError)
    assert "secret" not in text + trace
