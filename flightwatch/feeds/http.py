"""Bounded HTTP: no reply can hold the poller longer, or take more memory, than it allows.

`requests` limits neither the time of a whole reply nor the size after decompression. The time is bounded by the connections
(`flightwatch.connections`), reading the stream piece by piece bounds its size. Redirects are followed on the same host, and to
those few that a caller names (`elsewhere`), without what might be a secret. What goes wrong comes out as `FeedError` with a
reason in one word; no error text carries a key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from urllib3.exceptions import ReadTimeoutError

from flightwatch.connections import (
    RefusedAddress,
    cause_of,
    deadline,
    is_metadata,
    refused_address,
    retry_after,
    session,
    shown,
)
from flightwatch.errors import FeedError
from flightwatch.records import Scope

READ_SIZE = 1 << 16
MOST_REDIRECTS = 3
KEPT_BODY = 64 * 1024
GONE_WAIT_S = 900.0
"""An address that is not there may be a slip of the service, so it is asked again, but rarely."""

USER_AGENT = "flightwatch"


KEPT_HEADERS = (
    "Content-Type",
    "Date",
    "Last-Modified",
    "Retry-After",
    "X-Rate-Limit-Remaining",
    "X-Rate-Limit-Retry-After-Seconds",
)
"""What a reply's headers say about the data and the pace; none of them holds a secret."""

NO_DATA = ("text/html", "text/xml", "text/css", "application/xml", "application/xhtml+xml", "application/pdf")
NO_DATA_KINDS = ("image/", "audio/", "video/", "font/", "multipart/")
"""Content types that no feed has. Others say little: receivers' web servers call their JSON plain text, a stream of octets,
or nothing at all, so the content decides."""

HEADERS_ELSEWHERE = ("Accept", "Accept-Encoding", "Range", "If-Range", "If-None-Match")
"""What is told to another host that a redirect leads to: no key, no token."""

VERSION_GONE = (404, 410, 416)
"""Answers after which a part of a download is of no use."""

GOES_ON = "run it again, and it goes on where it stopped"


@dataclass(frozen=True, slots=True)
class Limits:
    """`deadline_s` for a whole reply, `connect_s` for the connection, `silence_s` between two bytes, `size` in bytes after
    decompression."""

    deadline_s: float = 8.0
    connect_s: float = 5.0
    size: int = 64 << 20
    silence_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A body and what came with it; a reply that came from no server has no headers. `scope` is set where the service
    says more of it than the question did."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    scope: Scope | None = None

    @property
    def credits_left(self) -> int | None:
        """What the service says is left of the day's allowance."""
        text = self.headers.get("X-Rate-Limit-Remaining", "")
        return int(text) if text.isascii() and text.isdecimal() else None


@dataclass(frozen=True)
class Http:
    """A session with limits. `ask` returns a 200 as it came, `get` its body, `post` that of a form; they raise
    FeedError. `when_refused` is what to tell of a service that wants to be asked for access; `elsewhere` are origins
    (`https://host`) that a redirect may lead to."""

    limits: Limits = field(default_factory=Limits)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    when_refused: str = ""
    elsewhere: tuple[str, ...] = ()
    session: requests.Session = field(default_factory=session, repr=False)

    def get(self, url: str) -> bytes:
        return self.ask(url).body

    def post(self, url: str, form: Mapping[str, str]) -> bytes:
        """The body of the answer to a form. A redirect is not followed: the form may hold a secret."""
        until = time.monotonic() + self.limits.deadline_s
        with self._send(url, until, {}, form) as response:
            if response.is_redirect:
                raise FeedError("redirected", f"{shown(url)} redirects a form: not followed; correct the address")
            return self._accepted(response, self._read(response, url, until), url).body

    def ask(self, url: str, headers: Mapping[str, str] | None = None) -> Reply:
        until = time.monotonic() + self.limits.deadline_s
        with self._follow("GET", url, until, headers or {}) as response:
            return self._accepted(response, self._read(response, url, until), url)

    def size(self, url: str) -> int | None:
        """The bytes that a download would have; None where the server does not tell. Raises FeedError."""
        until = time.monotonic() + self.limits.deadline_s
        with self._follow("HEAD", url, until, {"Accept": "*/*", "Accept-Encoding": "identity"}) as response:
            if response.status_code != 200:
                self._accepted(response, b"", url)
            text = response.headers.get("Content-Length", "")
            return int(text) if text.isascii() and text.isdecimal() else None

    def download(
        self, url: str, path: Path, known: str | None = None, advance: Callable[[int], object] = lambda _: None
    ) -> str | None:
        """Fetches a large file to `path`, and returns what the server calls this version of it (its ETag); None where
        that is `known`. A download that broke off is continued, where the server still has the same version. `advance`
        is told how many bytes came, those that were there included. Raises FeedError."""
        until = time.monotonic() + self.limits.deadline_s
        version = path.with_name(path.name + ".version")
        begun = path.stat().st_size if path.exists() and version.exists() else 0
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if begun:
            headers |= {"Range": f"bytes={begun}-", "If-Range": version.read_text(encoding="utf-8")}
        elif known:
            headers["If-None-Match"] = known
        with self._follow("GET", url, until, headers) as response:
            if response.status_code == 304:
                return None
            etag = response.headers.get("ETag", "")
            if begun and response.headers.get("Content-Range") == f"bytes */{begun}":  # all of it was there
                advance(begun)
                version.unlink(missing_ok=True)
                return etag
            if response.status_code not in (200, 206):
                if response.status_code in VERSION_GONE:
                    path.unlink(missing_ok=True)
                self._accepted(response, _beginning(response), url)  # a download may be large, a refusal may not
            continued = response.headers.get("Content-Range", "").startswith(f"bytes {begun}-")
            if response.status_code == 206 and not (begun and continued):
                path.unlink(missing_ok=True)
                raise FeedError("wrong_part", f"{shown(url)} sent another part than it was asked for: run it again")
            with _writing(path):
                if response.status_code == 200:
                    begun = 0
                    version.unlink(missing_ok=True)
                    path.write_bytes(b"")  # before the new name stands beside what is old
                    if etag and not etag.startswith("W/"):  # a weak one does not promise the same bytes
                        version.write_text(etag, encoding="utf-8")
                self._save(response, path, begun, url, until, advance)
        version.unlink(missing_ok=True)
        return etag

    def _follow(self, method: str, url: str, until: float, more: Mapping[str, str]) -> requests.Response:
        """The answer, after redirects. Another host is told nothing that might be a secret."""
        target = url
        for _ in range(MOST_REDIRECTS + 1):
            response = self._send(target, until, more, method=method, at_home=_origin(target) == _origin(url))
            if not response.is_redirect:
                return response
            with response:
                target = _redirect(target, response.headers.get("Location", ""), self.elsewhere)
        raise FeedError("redirected", f"{shown(url)} redirects more than {MOST_REDIRECTS} times: check the address")

    def _save(
        self, response: requests.Response, path: Path, size: int, url: str, until: float, advance: Callable[[int], object]
    ) -> None:
        """The body to a file, as it was sent, after the `size` bytes that are there already."""
        advance(size)
        try:
            with path.open("ab") as file:
                while part := response.raw.read1(READ_SIZE, decode_content=False):
                    size += len(part)
                    if size > self.limits.size:
                        raise FeedError("too_large", f"{shown(url)} sent more than {self.limits.size >> 20} MB: refused")
                    file.write(part)
                    advance(len(part))
                    if time.monotonic() > until:
                        raise FeedError("too_slow", f"{shown(url)} took longer than {self.limits.deadline_s:.0f} s: {GOES_ON}")
        except (urllib3.exceptions.HTTPError, requests.RequestException) as error:
            raise FeedError("cut_off", f"{shown(url)} broke off ({cause_of(error)}): {GOES_ON}") from None

    def _send(
        self,
        url: str,
        until: float,
        more: Mapping[str, str],
        form: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        at_home: bool = True,
    ) -> requests.Response:
        ours = {**self.headers, **more} if at_home else {name: more[name] for name in HEADERS_ELSEWHERE if name in more}
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip", **ours}
        left = max(min(until - time.monotonic(), self.limits.silence_s), 0.1)
        if urlsplit(url).scheme not in ("http", "https"):
            raise FeedError("bad_url", f"{shown(url)} is neither http nor https: correct base_url", permanent=True)
        if is_metadata(urlsplit(url).hostname or ""):
            what = "is a link-local or metadata address, which is not asked"
            raise FeedError("refused_address", f"{shown(url)} {what}", permanent=True)
        deadline.set(time.monotonic() + left)  # for the connection and the headers
        try:
            return self.session.request(
                method if form is None else "POST",
                url,
                headers=headers,
                data=form,
                timeout=urllib3.Timeout(connect=self.limits.connect_s, total=left),  # type: ignore[arg-type]  # it takes them
                stream=True,
                allow_redirects=False,
            )
        except requests.Timeout:
            raise FeedError("timeout", f"{shown(url)} did not answer within {left:.0f} s") from None
        except requests.exceptions.InvalidURL:
            raise FeedError("bad_url", f"{shown(url)} is not an address: correct base_url", permanent=True) from None
        except (requests.RequestException, RefusedAddress) as error:
            if (refused := refused_address(error)) is not None:
                raise FeedError("refused_address", f"{shown(url)}: {refused}, which is not asked", permanent=True) from None
            raise FeedError("unreachable", f"{shown(url)} cannot be reached ({cause_of(error)})") from None
        except ValueError:  # from requests, which looks at where a redirect leads even if it does not follow
            raise FeedError("redirected", f"{shown(url)} redirects to what is no address: not followed") from None
        finally:
            deadline.set(until)

    def _read(self, response: requests.Response, url: str, until: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            while part := response.raw.read1(READ_SIZE, decode_content=True):
                parts.append(part)
                size += len(part)
                if size > self.limits.size:
                    raise FeedError("too_large", f"{shown(url)} sent more than {self.limits.size >> 20} MB: refused")
                if time.monotonic() > until:
                    raise FeedError("too_slow", self._too_slow(url))
        except ReadTimeoutError:
            raise FeedError("too_slow", self._too_slow(url), body=b"".join(parts)[:KEPT_BODY]) from None
        except urllib3.exceptions.IncompleteRead:
            raise FeedError(
                "cut_off", f"{shown(url)} broke off in the middle of its reply", body=b"".join(parts)[:KEPT_BODY]
            ) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise FeedError("cut_off", f"{shown(url)} broke off ({cause_of(error)})", body=b"".join(parts)[:KEPT_BODY]) from None
        return b"".join(parts)

    def _too_slow(self, url: str) -> str:
        return f"{shown(url)} took longer than {self.limits.deadline_s:.0f} s to send its reply: refused"

    def _accepted(self, response: requests.Response, body: bytes, url: str) -> Reply:
        """A good reply; anything else as an error that says what the server said."""
        status = response.status_code
        if response.headers.get("cf-mitigated"):
            raise FeedError(
                "challenge",
                f"{shown(url)} wants to see a browser: flightwatch does not try to get round that",
                permanent=True,
                body=body[:KEPT_BODY],
            )
        if status == 200:
            if not body.strip():
                raise FeedError("empty", f"{shown(url)} answered 200 with nothing in it")
            if kind := _no_data(response.headers.get("Content-Type", "")):
                what = f"sent {kind}, which is no data: open the address in a browser, it may want a log-in; or correct it"
                raise FeedError("wrong_type", f"{shown(url)} {what}", body=body[:KEPT_BODY])
            return Reply(body, {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers})
        permanent = status in (401, 402, 403)
        hint = f"; {self.when_refused}" if self.when_refused and permanent else ""
        raise FeedError(
            f"http_{status}",
            f"{shown(url)} answered {status} {response.reason or ''}".rstrip() + _advice(status) + hint,
            permanent=permanent,
            retry_after_s=retry_after(response.headers) or (GONE_WAIT_S if status in (404, 410) else None),
            body=body[:KEPT_BODY],
        )


def _no_data(content_type: str) -> str:
    """The content type where it is one that no feed has, else nothing."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind if kind in NO_DATA or kind.startswith(NO_DATA_KINDS) else ""


def _beginning(response: requests.Response) -> bytes:
    """As much of a refusal as is kept."""
    try:
        return bytes(response.raw.read1(KEPT_BODY, decode_content=True))
    except (urllib3.exceptions.HTTPError, OSError):
        return b""


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Says of a disk that is full, or otherwise not to be written to, what to do."""
    try:
        yield
    except OSError as error:
        problem = f"{path} cannot be written ({error.strerror}): make room, then {GOES_ON}"
        raise FeedError("not_written", problem, permanent=True) from None


def _redirect(url: str, location: str, elsewhere: tuple[str, ...]) -> str:
    """Where a redirect leads, if it may: on the same host, or to one that is named."""
    try:
        target = urljoin(url, location)
        away = _origin(target) not in (_origin(url), *elsewhere)
    except ValueError:
        raise FeedError("redirected", f"{shown(url)} redirects to what is no address: not followed") from None
    if away:
        raise FeedError("redirected", f"{shown(url)} redirects to another place ({shown(target)}): not followed")
    return target


def _origin(url: str) -> str:
    """Scheme, host and port, and a user if there is one: such an address is no origin that anybody names."""
    return "://".join(urlsplit(url)[:2])


def _advice(status: int) -> str:
    return {
        401: ": the key is missing or wrong",
        402: ": the credits are used up, or the key is not paid for",
        403: ": access is refused; flightwatch does not try to get round that",
        404: ": this service does not have that address; it is asked again, but rarely",
        429: ": too many requests; it is asked less often now",
    }.get(status, "")
