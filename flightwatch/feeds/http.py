"""Bounded HTTP: no reply can hold the poller longer, or take more memory, than it allows.

`requests` limits neither the time of a whole reply nor the size after decompression; reading the stream piece by
piece against a clock does both. Redirects are followed on the same host alone. What goes wrong comes out as
`FeedError` with a reason in one word; no error text carries a key.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from flightwatch.errors import FeedError

READ_SIZE = 1 << 16
MOST_REDIRECTS = 3
KEPT_BODY = 64 * 1024
GONE_WAIT_S = 900.0
"""An address that is not there may be a slip of the service, so it is asked again, but rarely."""

USER_AGENT = "flightwatch"


@dataclass(frozen=True, slots=True)
class Limits:
    """`deadline_s` for a whole reply, `connect_s` for the connection, `size` in bytes after decompression."""

    deadline_s: float = 8.0
    connect_s: float = 5.0
    size: int = 64 << 20


@dataclass(frozen=True)
class Http:
    """A session with limits. `get` returns the body of a 200, or raises FeedError."""

    limits: Limits = field(default_factory=Limits)
    headers: Mapping[str, str] = field(default_factory=dict)
    session: requests.Session = field(default_factory=requests.Session, repr=False)

    def get(self, url: str) -> bytes:
        until = time.monotonic() + self.limits.deadline_s
        target = url
        for _ in range(MOST_REDIRECTS + 1):
            response = self._send(target, until)
            with response:
                if not response.is_redirect:
                    body = self._read(response, url, until)
                    return _accepted(response, body, url)
                target = _redirect(target, response.headers.get("Location", ""))
        raise FeedError("redirected", f"{shown(url)} redirects more than {MOST_REDIRECTS} times: check the address")

    def download(self, url: str, path: Path, known: str | None = None) -> str | None:
        """Fetches a large file to `path`, and returns what the server calls this version of it (its ETag); None where
        that is `known`. A download that broke off is continued, where the server still has the same version. Raises
        FeedError."""
        until = time.monotonic() + self.limits.deadline_s
        version = path.with_name(path.name + ".version")
        begun = path.stat().st_size if path.exists() and version.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if begun:
            headers |= {"Range": f"bytes={begun}-", "If-Range": version.read_text(encoding="utf-8")}
        elif known:
            headers["If-None-Match"] = known
        with self._send(url, until, headers) as response:
            if response.status_code == 304:
                return None
            if response.is_redirect:
                raise FeedError("redirected", f"{shown(url)} redirects to another place: not followed")
            if response.status_code not in (200, 206):
                path.unlink(missing_ok=True)
                _accepted(response, self._read(response, url, until), url)
            continued = response.headers.get("Content-Range", "").startswith(f"bytes {begun}-")
            if response.status_code == 206 and not (begun and continued):
                path.unlink(missing_ok=True)
                raise FeedError("wrong_part", f"{shown(url)} sent another part than it was asked for: run it again")
            etag = response.headers.get("ETag", "")
            version.unlink(missing_ok=True)
            if etag and not etag.startswith("W/"):  # a weak one does not promise the same bytes
                version.write_text(etag, encoding="utf-8")
            self._save(response, path, begun if response.status_code == 206 else 0, url, until)
        version.unlink(missing_ok=True)
        return etag

    def _save(self, response: requests.Response, path: Path, size: int, url: str, until: float) -> None:
        """The body to a file, as it was sent, after the `size` bytes that are there already."""
        advice = "run it again, and it goes on where it stopped"
        try:
            with path.open("ab" if size else "wb") as file:
                while part := response.raw.read1(READ_SIZE, decode_content=False):
                    size += len(part)
                    if size > self.limits.size:
                        raise FeedError("too_large", f"{shown(url)} sent more than {self.limits.size >> 20} MB: refused")
                    file.write(part)
                    if time.monotonic() > until:
                        raise FeedError("too_slow", f"{shown(url)} took longer than {self.limits.deadline_s:.0f} s: {advice}")
        except (urllib3.exceptions.HTTPError, requests.RequestException) as error:
            raise FeedError("cut_off", f"{shown(url)} broke off ({_kind(error)}): {advice}") from None

    def _send(self, url: str, until: float, more: Mapping[str, str] | None = None) -> requests.Response:
        usual = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"}
        headers = {**usual, **self.headers, **(more or {})}
        left = max(until - time.monotonic(), 0.1)
        try:
            return self.session.get(
                url, headers=headers, timeout=(min(self.limits.connect_s, left), left), stream=True, allow_redirects=False
            )
        except requests.Timeout:
            raise FeedError("timeout", f"{shown(url)} did not answer within {left:.0f} s") from None
        except requests.exceptions.InvalidURL:
            raise FeedError("bad_url", f"{shown(url)} is not an address: correct base_url", permanent=True) from None
        except requests.RequestException as error:
            raise FeedError("unreachable", f"{shown(url)} cannot be reached ({_kind(error)})") from None

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
                    raise FeedError(
                        "too_slow", f"{shown(url)} took longer than {self.limits.deadline_s:.0f} s to send its reply: refused"
                    )
        except urllib3.exceptions.IncompleteRead:
            raise FeedError(
                "cut_off", f"{shown(url)} broke off in the middle of its reply", body=b"".join(parts)[:KEPT_BODY]
            ) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise FeedError("cut_off", f"{shown(url)} broke off ({_kind(error)})", body=b"".join(parts)[:KEPT_BODY]) from None
        return b"".join(parts)


def _redirect(url: str, location: str) -> str:
    target = urljoin(url, location)
    if urlsplit(target)[:2] != urlsplit(url)[:2]:
        raise FeedError("redirected", f"{shown(url)} redirects to another place ({shown(target)}): not followed")
    return target


def _accepted(response: requests.Response, body: bytes, url: str) -> bytes:
    """The body of a good reply; anything else as an error that says what the server said."""
    status = response.status_code
    if status == 200:
        if not body.strip():
            raise FeedError("empty", f"{shown(url)} answered 200 with nothing in it")
        return body
    permanent = status in (401, 402, 403)
    raise FeedError(
        f"http_{status}",
        f"{shown(url)} answered {status} {response.reason or ''}".rstrip() + _advice(status),
        permanent=permanent,
        retry_after_s=retry_after(response.headers) or (GONE_WAIT_S if status in (404, 410) else None),
        body=body[:KEPT_BODY],
    )


def _advice(status: int) -> str:
    return {
        401: ": the key is missing or wrong",
        402: ": the credits are used up",
        403: ": access is refused; flightwatch does not try to get round that",
        404: ": this service does not have that address; it is asked again, but rarely",
        429: ": too many requests; it is asked less often now",
    }.get(status, "")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: `Retry-After` as a number or a date, or OpenSky's own header."""
    text = headers.get("Retry-After") or headers.get("X-Rate-Limit-Retry-After-Seconds")
    if not text:
        return None
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def shown(url: str) -> str:
    """An address for messages: no query, no password."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    path = parts.path if len(parts.path) <= 60 else parts.path[:57] + "..."
    return f"{parts.scheme}://{host}{port}{path}"


def _kind(error: BaseException) -> str:
    """The innermost reason of a network error in a few words."""
    seen: BaseException = error
    while seen.__cause__ or seen.__context__:
        seen = seen.__cause__ or seen.__context__  # type: ignore[assignment]  # one of them is set
    text = seen.strerror if isinstance(seen, OSError) and seen.strerror else type(seen).__name__
    return str(text)
