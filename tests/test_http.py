"""Bounded HTTP against a server that misbehaves: nothing holds the poller, nothing fills the memory, everything says why."""

from __future__ import annotations

import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from flightwatch.connections import retry_after, shown
from flightwatch.errors import FeedError
from flightwatch.feeds.http import Http, Limits
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
    """100 MB in 100 kB: stopped at the limit, with memory bounded by it."""
    bomb = gzip.compress(b"0" * (100 << 20))
    httpserver.expect_request("/bomb").respond_with_data(bomb, headers={"Content-Encoding": "gzip"})
    tracemalloc.start()
    error = reason(Http(Limits(size=8 << 20)), httpserver.url_for("/bomb"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.reason == "too_large"
    assert peak < 40 << 20


@contextmanager
def raw_server(talk: Callable[[socket.socket], None], *, listen_first: bool = True) -> Iterator[str]:
    """A server that does with each connection what it is told, after it was asked something."""
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
                    if listen_first:
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
        listener.shutdown(socket.SHUT_RDWR)  # closing alone wakes nobody who waits for a connection
        listener.close()
        thread.join(timeout=5)
        assert not thread.is_alive()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DRIPS = {
    "headers": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x", "timeout"),
    "status line": (b"", b"H", "timeout"),
    "informational replies": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "timeout"),
    "body": (HEAD + b"Content-Length: 1000000\r\n\r\n", b" ", "too_slow"),
    "chunk sizes": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0", "too_slow"),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", "too_slow"),
    "the end of the chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X", "too_slow"),
    "empty blocks of gzip": (HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"")[:10], b"\0\0\0\xff\xff", "too_slow"),
}
"""What a server sends at once, what it sends bit by bit after that, and what the client says of it."""


def dripping(begin: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    """Never silent for as long as a time-out for each piece would wait, never done."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(begin)
        for _ in range(100):
            connection.sendall(drop)
            time.sleep(0.05)  # the server is slow: that is what is tested

    return drip


def took(http: Http, url: str) -> tuple[str, float]:
    """The reason of an error, and after how many seconds it came."""
    begun = time.monotonic()
    return reason(http, url).reason, time.monotonic() - begun


@pytest.mark.parametrize("what", DRIPS)
def test_a_drip_ends_at_the_deadline(what: str) -> None:
    """A byte every 50 ms would hold a reader with a time-out for each read for ever, wherever in the reply it is."""
    begin, drop, word = DRIPS[what]
    with raw_server(dripping(begin, drop)) as url:
        got, seconds = took(Http(Limits(deadline_s=0.4)), url)
    assert got == word
    assert 0.3 < seconds < 3.0


def test_a_drip_after_good_replies_on_the_same_connection_ends_at_the_deadline() -> None:
    """Each request has the whole of its time, whatever the one before took, and no thread is left of any."""
    good = HEAD + b"Content-Length: 2\r\n\r\n{}"
    asked = 0

    def talk(connection: socket.socket) -> None:
        nonlocal asked
        for _ in range(4):
            time.sleep(0.2)  # together they take longer than any of them may
            connection.sendall(good)
            asked += 1
            connection.recv(4096)
        dripping(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x")(connection)

    with raw_server(talk) as url:
        http = Http(Limits(deadline_s=0.5))
        assert [http.get(url) for _ in range(4)] == [b"{}"] * 4
        threads = threading.active_count()
        got, seconds = took(http, url)
        assert threading.active_count() == threads
    assert (asked, got) == (4, "timeout")
    assert seconds < 3.0


def test_a_download_may_take_longer_than_it_may_be_silent(tmp_path: Path) -> None:
    """Pieces that keep coming are waited for; headers that drip are not, nor is silence."""
    limits = Limits(deadline_s=8.0, silence_s=0.4)

    def slow(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            time.sleep(0.1)  # the server is slow: that is what is tested
            connection.sendall(b"x")

    with raw_server(slow) as url:
        Http(limits).download(url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"x" * 8
    with raw_server(dripping(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x")) as url:
        got, seconds = took(Http(limits), url)
    assert got == "timeout"
    assert seconds < 3.0


def test_a_handshake_that_drips_ends_at_the_deadline() -> None:
    """The record that a server begins its part with, a byte at a time."""
    with raw_server(dripping(b"\x16\x03\x03\x01\x00", b"\x02")) as url:
        got, seconds = took(Http(Limits(deadline_s=0.4)), url.replace("http:", "https:"))
    assert got == "timeout"
    assert seconds < 3.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, made for this run."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("the program openssl is not at hand, which makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, public = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", key,
         "-out", public, "-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return public, key


def test_encrypted_replies_are_bounded_alike(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A good one is read, one whose headers drip ends at the deadline, and nobody is believed without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(4096)
            tls.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")
            tls.recv(4096)
            for _ in range(100):
                tls.sendall(b"H")
                time.sleep(0.05)  # the server is slow: that is what is tested

    with raw_server(talk, listen_first=False) as url:
        secure = url.replace("http:", "https:")
        assert reason(Http(), secure).reason == "unreachable"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
        http = Http(Limits(deadline_s=0.5))
        assert http.get(secure) == b"{}"
        got, seconds = took(http, secure)
    assert got == "timeout"
    assert seconds < 3.0


def test_a_name_with_a_dead_address_first_is_reached(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all the addresses of a name have the time of one connection together."""
    httpserver.expect_request("/ok").respond_with_data(b"{}")
    host, port = "127.0.0.1", httpserver.port
    with full_listener() as dead:

        def found(addresses: list[tuple[str, int]]) -> Callable[..., list[Any]]:
            return lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

        limits = Limits(deadline_s=1.0, connect_s=0.4)
        monkeypatch.setattr(socket, "getaddrinfo", found([dead, (host, port)]))
        assert Http(limits).get(f"http://feed.test:{port}/ok") == b"{}"
        monkeypatch.setattr(socket, "getaddrinfo", found([dead] * 5))
        got, seconds = took(Http(limits), f"http://feed.test:{port}/ok")
    assert got == "timeout"
    assert 0.3 < seconds < 1.6


@contextmanager
def full_listener() -> Iterator[tuple[str, int]]:
    """An address that takes no more connections, and does not say so: its queue is full."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()


@pytest.mark.parametrize(
    "kind", ["text/html", "text/html; charset=utf-8", "TEXT/HTML", "application/xhtml+xml", "text/xml", "image/png"]
)
def test_a_page_instead_of_data_is_refused_by_its_type(httpserver: HTTPServer, kind: str) -> None:
    """A log-in, a captive portal, an error page with status 200: not read as data, kept to be looked at."""
    page = b"<!doctype html><title>Please log in</title>"
    httpserver.expect_request("/v2/all").respond_with_data(page, content_type=kind)
    error = reason(Http(), httpserver.url_for("/v2/all"))
    assert (error.reason, error.permanent, error.body) == ("wrong_type", False, page)
    assert kind.partition(";")[0].lower() in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/vnd.api+json",
        "text/json",
        "application/javascript",
        "text/plain",
        "application/octet-stream",
        "",
        None,
    ],
)
def test_types_that_feeds_have_are_taken(kind: str | None) -> None:
    """Receivers' web servers call their JSON many things, or nothing: the content decides."""
    line = b"" if kind is None else b"Content-Type: " + kind.encode() + b"\r\n"
    with raw_server(lambda c: c.sendall(b"HTTP/1.1 200 OK\r\n" + line + b"Content-Length: 2\r\n\r\n{}")) as url:
        assert Http().get(url) == b"{}"


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
