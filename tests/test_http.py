"""Bounded HTTP against a server that misbehaves: nothing holds the poller, nothing fills the memory, everything says why."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from flightwatch.errors import FeedError
from flightwatch.feeds.http import Http, Limits, retry_after, shown
from flightwatch.testing.files import FileServer


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


# -------------------------------------------------------------------------------------------------------------------- downloads


@pytest.fixture
def here() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def storage() -> Iterator[FileServer]:
    """The other host; to a client another port is one."""
    with FileServer() as server:
        server.files["/file"] = bytes(range(256)) * 40
        yield server


def refusal(http: Http, url: str, path: Path) -> FeedError:
    with pytest.raises(FeedError) as raised:
        http.download(url, path)
    assert "canary" not in str(raised.value)
    return raised.value


def test_a_redirect_to_a_host_that_is_named(here: FileServer, storage: FileServer, tmp_path: Path) -> None:
    """It is told nothing that might be a secret, and what broke off goes on there."""
    here.redirects["/a"] = f"{storage.url}/file?signature=canary"
    storage.breaks["/file"] = 5000
    http = Http(headers={"x-api-key": "canary", "Authorization": "canary"}, elsewhere=(storage.url,))
    assert refusal(http, f"{here.url}/a", tmp_path / "f").reason == "cut_off"
    assert http.download(f"{here.url}/a", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == storage.files["/file"]
    assert http.size(f"{here.url}/a") == len(storage.files["/file"])
    assert http.get(f"{here.url}/a") == storage.files["/file"]
    assert [a.begin for a in storage.asked] == [0, 5000, 0, 0]
    assert all("canary" in str(a.headers) for a in here.asked)
    assert all("canary" not in str(a.headers) for a in storage.asked)


@pytest.mark.parametrize("asking", ["download", "size", "get"])
def test_a_redirect_to_any_other_host_is_refused(asking: str, here: FileServer, storage: FileServer, tmp_path: Path) -> None:
    """Not to one that is not named, not without TLS to one that is named with it, not with a user before its name."""
    secure = storage.url.replace("http://", "https://")
    ask = {"download": lambda h, url: h.download(url, tmp_path / "f"), "size": Http.size, "get": Http.get}[asking]
    for location, named in [
        (f"{storage.url}/file", ()),
        (f"{storage.url}/file", (secure, "https://127.0.0.1")),
        (f"{storage.url.replace('//', '//user@')}/file", (storage.url,)),
        (f"//{storage.url.removeprefix('http://')}/file", ()),
        ("file:///etc/passwd", (storage.url,)),
    ]:
        here.redirects["/a"] = location
        with pytest.raises(FeedError) as raised:
            ask(Http(elsewhere=named), f"{here.url}/a")
        assert raised.value.reason == "redirected"
    assert storage.asked == []
    assert not (tmp_path / "f").exists()


def test_a_link_local_address_is_refused_even_if_it_is_named(here: FileServer, tmp_path: Path) -> None:
    here.redirects["/a"] = "http://169.254.169.254/latest"
    error = refusal(Http(elsewhere=("http://169.254.169.254",)), f"{here.url}/a", tmp_path / "f")
    assert error.reason == "refused_address"


def test_the_storage_leads_no_further(here: FileServer, storage: FileServer, tmp_path: Path) -> None:
    """A host that is named may not name another."""
    here.redirects["/a"] = f"{storage.url}/away"
    storage.redirects["/away"] = "http://127.0.0.2:9/"
    assert refusal(Http(elsewhere=(storage.url,)), f"{here.url}/a", tmp_path / "f").reason == "redirected"


def test_a_download_tells_how_far_it_is(storage: FileServer, tmp_path: Path) -> None:
    """The bytes that were there already included."""
    storage.breaks["/file"] = 5000
    refusal(Http(), f"{storage.url}/file", tmp_path / "f")
    told: list[int] = []
    Http().download(f"{storage.url}/file", tmp_path / "f", advance=told.append)
    assert (told[0], sum(told)) == (5000, len(storage.files["/file"]))


def test_a_download_that_was_whole_is_not_asked_for_again(storage: FileServer, tmp_path: Path) -> None:
    """Stopped between its last byte and the note that it was the last."""
    version = Http().download(f"{storage.url}/file", tmp_path / "f")
    assert version
    (tmp_path / "f.version").write_text(version, encoding="utf-8")
    assert Http().download(f"{storage.url}/file", tmp_path / "f") == version
    assert storage.asked[-1].begin == len(storage.files["/file"])
    assert (tmp_path / "f").read_bytes() == storage.files["/file"]
    assert not (tmp_path / "f.version").exists()


@pytest.mark.parametrize(("status", "kept"), [(503, True), (429, True), (403, True), (404, False), (410, False)])
def test_what_a_refusal_leaves_of_a_download(status: int, kept: bool, storage: FileServer, tmp_path: Path) -> None:
    """A part stays, unless the file is gone."""
    storage.breaks["/file"] = 5000
    refusal(Http(), f"{storage.url}/file", tmp_path / "f")
    storage.refusals["/file"] = [(status, {})]
    assert refusal(Http(), f"{storage.url}/file", tmp_path / "f").reason == f"http_{status}"
    Http().download(f"{storage.url}/file", tmp_path / "f")
    assert storage.asked[-1].begin == (5000 if kept else 0)
    assert (tmp_path / "f").read_bytes() == storage.files["/file"]


def test_a_download_that_falls_silent_ends(storage: FileServer, tmp_path: Path) -> None:
    """Long before its deadline; and it goes on where it was."""
    storage.hangs["/file"] = 5000
    error = refusal(Http(Limits(deadline_s=60.0, silence_s=0.2)), f"{storage.url}/file", tmp_path / "f")
    storage.released.set()
    assert error.reason == "cut_off"
    assert (tmp_path / "f").stat().st_size == 5000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_is_full_is_told(storage: FileServer, tmp_path: Path) -> None:
    (tmp_path / "f").symlink_to("/dev/full")
    error = refusal(Http(), f"{storage.url}/file", tmp_path / "f")
    assert (error.reason, error.permanent) == ("not_written", True)
    assert "No space left on device): make room, then run it again" in str(error)


def test_a_folder_that_is_not_there_is_told(storage: FileServer, tmp_path: Path) -> None:
    assert refusal(Http(), f"{storage.url}/file", tmp_path / "no" / "f").reason == "not_written"


def test_a_refusal_without_end_is_not_read(tmp_path: Path) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 Oh\r\n\r\n")
        for _ in range(10_000):
            connection.sendall(b"x" * 100_000)

    with raw_server(talk) as url:
        error = refusal(Http(Limits(deadline_s=60.0, size=1 << 40)), url, tmp_path / "f")
    assert error.reason == "http_500"
    assert len(error.body) <= 64 * 1024
