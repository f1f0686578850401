"""TLS on the way to Redis: verified unless an address says otherwise, and then there is a warning."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
import traceback

import pytest

from pycontext import StoreDeniedError, StoreError, StoreUnavailableError, ValidationError
from servers.certificates import Certificates
from servers.cluster import Cluster
from servers.pair import SentinelSet
from servers.server import RedisServer
from stores import block, package

PASSWORD = "se/cret"
NOT_VERIFIED = "certificate is not verified"


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Of an authority that nobody here trusts."""
    return Certificates(tmp_path_factory.mktemp("tls") / "theirs")


@pytest.fixture(scope="module")
def server(tmp_path_factory, ours):
    """A server with TLS and a password, that is at an address which its certificate does not name as well."""
    folder = tmp_path_factory.mktemp("tls") / "server"
    with RedisServer(folder, tls=ours, requirepass=PASSWORD, bind="127.0.0.1 127.0.0.2") as made:
        yield made


@pytest.fixture(scope="module")
def strict(tmp_path_factory, ours):
    """A server that wants a certificate of its clients."""
    with RedisServer(tmp_path_factory.mktemp("tls") / "strict", tls=ours, tls_auth_clients="yes") as made:
        yield made


def with_options(url, **options):
    return url + "?" + "&".join(f"{name}={value}" for name, value in options.items())


def works(store):
    store.save(package(block("a")), expect=0)
    store.append("s", [block("b")])
    assert [one.id for one in store.load("s").blocks] == ["a", "b"]
    assert store.delete("s")


def refused(server, act, kind, words):
    """The act fails with such words, soon, and the server's password is in none."""
    begin = time.monotonic()
    with pytest.raises(kind, match=words) as error:
        act()
    assert time.monotonic() - begin < 4
    if server.password:
        for text in (str(error.value), "".join(traceback.format_exception(error.value))):
            assert PASSWORD not in text
            assert "se%2Fcret" not in text


# The server's certificate.


def test_a_server_is_believed_when_somebody_vouches_for_it(server, ours, doors, caplog):
    with caplog.at_level(logging.WARNING, "pycontext.store"):
        works(doors.at(with_options(server.url, ssl_ca_certs=ours.authority)))
    assert NOT_VERIFIED not in caplog.text
    assert PASSWORD not in caplog.text


def test_a_server_that_nobody_vouches_for_is_refused_at_once(server, ours, theirs, doors):
    with greeter(ours) as (port, greeted):
        for number, options in enumerate(({}, {"ssl_ca_certs": theirs.authority}), 1):
            url = server.url_as(port=port)
            store = doors.at(with_options(url, **options) if options else url)
            refused(server, lambda store=store: store.load("s"), StoreDeniedError, "CERTIFICATE_VERIFY_FAILED")
            # Not tried again, for nothing would change.
            assert greeted() == number
    # Nor is there a breaker: whoever mends his side need not wait for it.
    store = doors.at(server.url)
    for _ in range(2):
        refused(server, lambda: store.load("s"), StoreDeniedError, r"is not to be trusted \(\[SSL")


@contextlib.contextmanager
def greeter(certificates):
    """A port that shows the server's certificate, and a function that says how often it was asked for that."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server.certificate, certificates.server.key)
    greeted = []

    def greet(listener):
        # Closing the listener would not wake `accept`.
        while (taken := listener.accept()[0]) and not is_over.is_set():
            greeted.append(taken)
            with taken, contextlib.suppress(OSError):
                taken.settimeout(5)
                context.wrap_socket(taken, server_side=True).close()
        taken.close()

    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=greet, args=(listener,), daemon=True)
        thread.start()
        try:
            yield port, lambda: len(greeted)
        finally:
            is_over.set()
            socket.create_connection(("127.0.0.1", port), 5).close()
            thread.join(10)


def test_a_certificate_of_another_name_is_refused(server, ours, doors):
    url = with_options(server.url, ssl_ca_certs=ours.authority).replace("127.0.0.1", "127.0.0.2")
    words = r"is not to be trusted .*IP address mismatch, certificate is not valid for '127\.0\.0\.2'"
    refused(server, lambda: doors.at(url).load("s"), StoreDeniedError, words)


@pytest.mark.parametrize("value", ["False", "no", "0", "n"])
def test_a_name_that_is_not_to_be_checked_is_warned_of(server, ours, doors, caplog, value):
    url = with_options(server.url, ssl_ca_certs=ours.authority, ssl_check_hostname=value)
    with caplog.at_level(logging.WARNING, "pycontext.store"):
        works(doors.at(url.replace("127.0.0.1", "127.0.0.2")))
    assert NOT_VERIFIED in caplog.text


def test_a_certificate_that_is_not_verified_is_warned_of(server, doors, caplog):
    with caplog.at_level(logging.WARNING, "pycontext.store"):
        works(doors.at(with_options(server.url, ssl_cert_reqs="none")))
    assert NOT_VERIFIED in caplog.text
    assert PASSWORD not in caplog.text
    assert "se%2Fcret" not in caplog.text


def test_of_two_values_the_one_that_is_used_is_warned_of(server, doors, caplog):
    with caplog.at_level(logging.WARNING, "pycontext.store"):
        works(doors.at(server.url + "?ssl_cert_reqs=none&ssl_cert_reqs=required"))
    assert NOT_VERIFIED in caplog.text


@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster", "rediss+sentinel"])
@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_check_hostname=0"])
def test_the_warning_comes_with_the_address(doors, caplog, scheme, option):
    with caplog.at_level(logging.WARNING, "pycontext.store"):
        doors.at(f"{scheme}://u:secret@h:1{'/main' if 'sentinel' in scheme else ''}?{option}")
    (record,) = caplog.records
    assert NOT_VERIFIED in record.getMessage()
    assert "secret" not in record.getMessage()


@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster", "rediss+sentinel"])
@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("ssl_cert_reqs=maybe", "Flag: maybe"),
        ("ssl_cert_reqs=NONE", "Flag: NONE"),
        ("ssl_nonsense=1", "ssl_nonsense"),
        ("ssl_ca_certs=/nowhere/ca.pem", "ssl_ca_certs of the url names no file: '/nowhere/ca.pem'"),
        ("ssl_certfile=/nowhere/own.pem", "ssl_certfile of the url names no file"),
        ("ssl_keyfile=/nowhere/own.key", "ssl_keyfile of the url names no file"),
    ],
)
def test_an_option_that_is_none_is_refused_before_anything_is_asked(doors, scheme, option, words):
    url = f"{scheme}://u:secret@h:1{'/main' if 'sentinel' in scheme else ''}?{option}"
    with pytest.raises(ValidationError, match=words) as error:
        doors.at(url)
    assert "secret" not in str(error.value)


# The client's certificate.


def test_a_client_shows_its_certificate(strict, ours, doors):
    own = {"ssl_certfile": ours.client.certificate, "ssl_keyfile": ours.client.key}
    works(doors.at(with_options(strict.url, ssl_ca_certs=ours.authority, **own)))


def test_a_client_without_the_right_certificate_is_refused(strict, ours, theirs, doors):
    own = {"ssl_certfile": theirs.client.certificate, "ssl_keyfile": theirs.client.key}
    # With TLS 1.3 the client has written before it hears of it: it may see no more than the end of the connection.
    words = "refuses our TLS or our certificate|cannot be reached"
    for options in ({}, own):
        store = doors.at(with_options(strict.url, ssl_ca_certs=ours.authority, **options))
        refused(strict, lambda store=store: store.save(package(block("a"))), StoreError, words)
    assert strict.client(**{name: str(path) for name, path in shown_by(ours).items()}).dbsize() == 0


def shown_by(certificates):
    return {"ssl_certfile": certificates.client.certificate, "ssl_keyfile": certificates.client.key}


# One end speaks TLS and the other does not.


def test_a_server_without_tls_is_told(redis_server, doors):
    store = doors.at(redis_server.url.replace("redis://", "rediss://"))
    refused(redis_server, lambda: store.load("s"), StoreError, "does not speak TLS|in time|cannot be reached")


def test_a_client_without_tls_is_told(server, doors):
    store = doors.at(server.url.replace("rediss://", "redis://"))
    refused(server, lambda: store.load("s"), StoreUnavailableError, "cannot be reached")


# Many servers.


def test_a_cluster_speaks_tls(tmp_path, ours, theirs, doors):
    with Cluster(tmp_path / "cluster", tls=ours, tls_cluster="yes", requirepass=PASSWORD) as cluster:
        url = f"rediss+cluster://:se%2Fcret@127.0.0.1:{cluster.nodes[0].port}"
        store = doors.at(with_options(url, ssl_ca_certs=ours.authority))
        names = [f"s{number}" for number in range(12)]
        for name in names:
            store.save(package(block("a"), session_id=name))
        store.append_many([(name, [block("b")]) for name in names])
        assert sorted(store.sessions()) == sorted(names)
        assert [[one.id for one in store.load(name).blocks] for name in names] == [["a", "b"]] * 12
        works(doors.at(with_options(url, ssl_cert_reqs="none")))
        for wrong in (url, with_options(url, ssl_ca_certs=theirs.authority)):
            refused(
                cluster.nodes[0], lambda wrong=wrong: doors.at(wrong).load("s1"), StoreDeniedError, "not to be trusted"
            )


def test_sentinels_and_their_servers_speak_tls(tmp_path, ours, theirs, doors):
    with SentinelSet(tmp_path / "set", tls=ours, tls_replication="yes") as watched:
        url = f"rediss+sentinel://127.0.0.1:{watched.sentinel.port}/{watched.name}"
        store = doors.at(with_options(url, ssl_ca_certs=ours.authority))
        works(store)
        for wrong in (url, with_options(url, ssl_ca_certs=theirs.authority)):
            refused(
                watched.sentinel, lambda wrong=wrong: doors.at(wrong).load("s"), StoreDeniedError, "not to be trusted"
            )
