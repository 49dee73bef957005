"""Bounded HTTP against a server that misbehaves: nothing holds the poller, nothing fills the memory, everything says why."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from flightwatch.errors import FeedError
from flightwatch.feeds.http import Http, Limits, retry_after, shown


def reason(http: Http, url: str) -> FeedError:
    with pytest.raises(FeedError) as raised:
        http.get(url)
    return raised.value


def test_a_good_reply(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/ok").respond_with_data(gzip.compress(b'{"a":1}'), headers={"Content-Encoding": "gzip"})
    assert Http().get(httpserver.url_for("/ok")) == b'{"a":1}'


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(401, True), (402, True), (403, True), (404, False), (429, False), (500, False), (503, False), (520, False)],
)
def test_statuses_are_reasons(httpserver: HTTPServer, status: int, permanent: bool) -> None:
    httpserver.expect_request("/s").respond_with_data(b"<html>no</html>", status=status)
    error = reason(Http(), httpserver.url_for("/s"))
    assert (error.reason, error.permanent, error.body) == (f"http_{status}", permanent, b"<html>no</html>")


def test_an_empty_reply_is_no_empty_sky(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/e").respond_with_data(b"  ")
    assert reason(Http(), httpserver.url_for("/e")).reason == "empty"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"X-Rate-Limit-Retry-After-Seconds": "5"}, 5.0),
        ({}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, 0.0),
    ],
)
def test_what_the_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_date_to_wait_for() -> None:
    wait = retry_after({"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"})
    assert wait is not None
    assert wait > 1e9


def test_redirects_stay_on_the_host(httpserver: HTTPServer) -> None:
    """Not to another host, not to a file; a few hops at home are followed."""
    httpserver.expect_request("/file").respond_with_data("", status=302, headers={"Location": "file:///etc/passwd"})
    httpserver.expect_request("/away").respond_with_data("", status=302, headers={"Location": "http://127.0.0.2:9/"})
    httpserver.expect_request("/loop").respond_with_data("", status=302, headers={"Location": "/loop"})
    httpserver.expect_request("/home").respond_with_data("", status=302, headers={"Location": "/there"})
    httpserver.expect_request("/there").respond_with_data(b"{}")
    assert {reason(Http(), httpserver.url_for(p)).reason for p in ("/file", "/away", "/loop")} == {"redirected"}
    assert Http().get(httpserver.url_for("/home")) == b"{}"


def test_a_bomb_is_not_unpacked(httpserver: HTTPServer) -> None:
    """300 MB in 300 kB: stopped at the limit, with memory bounded by it."""
    bomb = gzip.compress(b"0" * (300 << 20))
    httpserver.expect_request("/bomb").respond_with_data(bomb, headers={"Content-Encoding": "gzip"})
    tracemalloc.start()
    error = reason(Http(Limits(size=8 << 20)), httpserver.url_for("/bomb"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.reason == "too_large"
    assert peak < 40 << 20


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does with each connection what it is told."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(4096)
                    talk(connection)
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        stop.set()
        listener.close()
        thread.join(timeout=5)


def test_a_drip_ends_at_the_deadline() -> None:
    """A byte every 50 ms would hold a reader with a timeout for each read for ever."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.05)  # the server is slow: that is what is tested

    with raw_server(drip) as url:
        begun = time.monotonic()
        assert reason(Http(Limits(deadline_s=0.5)), url).reason in ("too_slow", "timeout")
        assert time.monotonic() - begun < 2.0


@pytest.mark.parametrize("location", [b"http://[captive", b"http://portal:login/"])
def test_a_redirect_to_what_is_no_address(location: bytes) -> None:
    """As captive portals send them: it ends the one request and nothing else."""
    answer = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    with raw_server(lambda c: c.sendall(answer)) as url:
        assert reason(Http(), url).reason == "redirected"


def test_a_body_that_breaks_off() -> None:
    with raw_server(lambda c: c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"now":1')) as url:
        assert reason(Http(), url).reason == "cut_off"


def test_a_server_that_hangs_up() -> None:
    with raw_server(lambda c: None) as url:
        assert reason(Http(), url).reason == "unreachable"


def test_a_server_that_says_nothing() -> None:
    with raw_server(lambda c: time.sleep(1.0)) as url:
        assert reason(Http(Limits(deadline_s=0.3)), url).reason == "timeout"


def test_a_dead_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    error = reason(Http(), f"http://127.0.0.1:{port}/")
    assert error.reason == "unreachable"
    assert "refused" in str(error).lower()


def test_no_error_shows_a_key(httpserver: HTTPServer) -> None:
    """Keys travel in headers; a query or a password in an address is not shown either."""

    def echo(request: Request) -> Response:
        return Response("no", status=403)

    httpserver.expect_request("/k").respond_with_handler(echo)
    http = Http(headers={"x-api-key": "canary-key"})
    error = reason(http, httpserver.url_for("/k") + "?token=canary-query")
    assert "canary" not in str(error)
    assert "canary" not in repr(error)
    assert shown("https://user:canary@host:8443/path?key=canary") == "https://host:8443/path"


def test_an_address_that_is_none() -> None:
    assert reason(Http(), "http://").permanent
