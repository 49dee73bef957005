"""A signed POST for each alert update, to a program of one's own.

The body is a JSON object (`updates` says what is in it). The headers are

| header | what it is |
|---|---|
| `Flightwatch-Timestamp` | seconds since 1970, of this attempt |
| `Flightwatch-Signature` | `sha256=` and an HMAC-SHA256 in hex |
| `Idempotency-Key` | the alert and the number of the update: the same for every repeat. Take each key once |

What is signed, with the secret as key, is the timestamp, a full stop and the body as it was sent. A receiver computes the
signature anew, compares it in constant time, and refuses timestamps that are more than some minutes off. Any 2xx takes the
message; its body is not read. Redirects are not followed. A 400, 413, 415 or 422 means that this message will never be taken;
any other refusal that it may be later.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

import requests
import urllib3

from flightwatch.config import Secret
from flightwatch.connections import cause_of, deadline, is_metadata, refused_address, retry_after, session
from flightwatch.deliveries.updates import as_object, key_of
from flightwatch.errors import DeliveryError
from flightwatch.records import Message

TIMEOUT_S = 10.0
"""For an exchange as a whole."""

PERMANENT = (400, 413, 415, 422)
"""What is wrong with a message stays wrong."""

SHUT = (401, 402, 403, 404, 405, 406, 407, 410)
SHUT_FOR_S = 900.0
"""What is wrong with the address or the secret, until somebody mends it: messages wait, and the receiver is asked once in
a quarter of an hour."""


class Webhook:
    """One receiver."""

    def __init__(self, url: str, secret: Secret, now: Callable[[], datetime]) -> None:
        self._url = url
        self._secret = secret
        self._now = now
        self._session = session()

    def send(self, message: Message, thread: str | None) -> str:
        now = self._now()
        body = json.dumps(as_object(message, now), ensure_ascii=False).encode()
        timestamp = str(int(now.timestamp()))
        status, wait_s = self._post(
            body,
            {
                "Content-Type": "application/json",
                "User-Agent": "flightwatch",
                "Flightwatch-Timestamp": timestamp,
                "Flightwatch-Signature": f"sha256={signature(self._secret, timestamp, body)}",
                "Idempotency-Key": key_of(message),
            },
        )
        if not 200 <= status < 300:
            raise self._refused(status, wait_s)
        return key_of(message)

    def find(self, message: Message, thread: str | None, since_s: float) -> str | None:
        """The receiver knows a repeat by its key."""
        return None

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, float | None]:
        """The status of the answer, and how long it asks to wait."""
        if is_metadata(urlsplit(self._url).hostname or ""):
            raise self._not_asked()
        deadline.set(time.monotonic() + TIMEOUT_S)
        try:
            with self._session.post(
                self._url,
                data=body,
                headers=headers,
                timeout=urllib3.Timeout(total=TIMEOUT_S),  # type: ignore[arg-type]  # it takes them
                stream=True,
                allow_redirects=False,
            ) as response:
                return response.status_code, retry_after(response.headers)
        except requests.ConnectTimeout:
            raise DeliveryError(f"{place_of(self._url)} cannot be reached (no connection in time)") from None
        except requests.Timeout:
            raise DeliveryError(f"{place_of(self._url)} did not answer within {TIMEOUT_S:.0f} s", outcome_unknown=True) from None
        except requests.RequestException as error:
            if refused_address(error) is not None:
                raise self._not_asked() from None
            cause = cause_of(error)
            raise DeliveryError(f"{place_of(self._url)} cannot be reached ({cause})", outcome_unknown=True) from None

    def _not_asked(self) -> DeliveryError:
        return DeliveryError(f"{place_of(self._url)} is a link-local or metadata address: not asked", retry_after_s=SHUT_FOR_S)

    def _refused(self, status: int, wait_s: float | None) -> DeliveryError:
        told = f"{place_of(self._url)} answered {status}"
        if status in PERMANENT:
            return DeliveryError(f"{told}: it does not take this message", permanent=True)
        if 300 <= status < 400:
            return DeliveryError(f"{told}: redirects are not followed; correct the address", retry_after_s=SHUT_FOR_S)
        if status in SHUT:
            return DeliveryError(f"{told}: correct the address or the secret", retry_after_s=SHUT_FOR_S)
        return DeliveryError(told, retry_after_s=wait_s, outcome_unknown=status >= 500)


def place_of(url: str) -> str:
    """An address for messages: what follows the host may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def signature(secret: Secret, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 (RFC 2104) of timestamp and body, in hex."""
    return hmac.new(secret.reveal().encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
