"""Connections that are bounded and look where they lead: what feeds and webhooks share.

The time-outs of `requests` and of sockets hold for one piece each, so a byte now and then renews them; the sockets here
know when the exchange has to be over, too (`deadline`), which bounds connection, handshake, headers and body (looking up a
name is the system's, in the system's own time). Addresses that only a machine itself should ask (link-local, where clouds
keep their credentials) are refused when the connection is made, whatever name led there.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

LEAST_WAIT_S = 0.001
"""A time-out of nothing would mean not to wait for anything at all, which is another thing."""

METADATA_ADDRESSES = (ipaddress.ip_address("fd00:ec2::254"),)
"""A cloud's credentials service that has no link-local address."""


class RefusedAddress(OSError):
    """The address belongs to the machine or its cloud."""


deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))
"""When the exchange that this thread is in the middle of has to be over, on the monotonic clock."""


class _Timed(socket.socket):
    """A socket that waits for no piece longer than its time-out, and for none once the exchange has to be over."""

    _piece_s: float | None = None

    def settimeout(self, value: float | None) -> None:
        self._piece_s = value
        super().settimeout(value)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        left = deadline.get() - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        wait = left if self._piece_s is None else min(self._piece_s, left)
        super().settimeout(None if wait == float("inf") else max(wait, LEAST_WAIT_S))
        return super().recv_into(*args, **kwargs)


class _TimedTls(_Timed, ssl.SSLSocket):
    """The same, encrypted; OpenSSL takes the time-out for a handshake or a record as a whole."""


def _connected(connection: HTTPConnection) -> socket.socket:
    """A fresh connection. One that leads to an address that is not asked is closed again before anything is sent."""
    try:
        sock = _dialled(connection._dns_host, connection.port, float(connection.timeout or 0), connection.socket_options or ())
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, "no connection in time") from error
    except (OSError, UnicodeError) as error:  # the latter for what can be no name of a host
        raise NewConnectionError(connection, str(error)) from error
    peer = str(sock.getpeername()[0])
    if is_metadata(peer):
        sock.close()
        raise RefusedAddress(f"{peer} is a link-local or metadata address")
    return sock


def _dialled(host: str, port: int, timeout_s: float, options: Iterable[tuple[int, int, int | bytes]]) -> socket.socket:
    """A connection to the first address of a host that answers. All of them have one time-out; each has an even share of
    what is left, so that a dead one leaves some to the next."""
    until = time.monotonic() + timeout_s
    addresses = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    failure: OSError | None = None
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = _Timed(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(max((until - time.monotonic()) / (len(addresses) - number), LEAST_WAIT_S))
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            sock.settimeout(max(until - time.monotonic(), LEAST_WAIT_S))
            return sock
    raise failure or OSError(f"{host} has no address")


def is_metadata(host: str) -> bool:
    """Whether a host is an address that is not asked; a name is none."""
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    plain = getattr(address, "ipv4_mapped", None) or address
    return plain.is_link_local or plain in METADATA_ADDRESSES


class _Plain(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self)


class _Tls(HTTPSConnection):
    def connect(self) -> None:
        self.ssl_context = create_urllib3_context()
        self.ssl_context.sslsocket_class = _TimedTls
        super().connect()

    def _new_conn(self) -> socket.socket:
        return _connected(self)


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Tls


class _Adapter(HTTPAdapter):
    """The usual one, with connections that look where they lead and at the clock."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}


def session() -> requests.Session:
    """One whose connections are bounded."""
    made = requests.Session()
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Adapter())
    return made


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
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    path = parts.path if len(parts.path) <= 60 else parts.path[:57] + "..."
    return f"{parts.scheme}://{host}{port}{path}"


def refused_address(error: BaseException) -> RefusedAddress | None:
    """The refusal inside the errors that requests and urllib3 wrap around it."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, RefusedAddress):
        inner = next((a for a in (*seen.args, getattr(seen, "reason", None)) if isinstance(a, BaseException)), None)
        seen = inner or seen.__cause__ or seen.__context__
    return seen


def cause_of(error: BaseException) -> str:
    """The innermost reason of a network error in a few words."""
    seen: BaseException = error
    while seen.__cause__ or seen.__context__:
        seen = seen.__cause__ or seen.__context__  # type: ignore[assignment]  # one of them is set
    text = seen.strerror if isinstance(seen, OSError) and seen.strerror else type(seen).__name__
    return str(text)
