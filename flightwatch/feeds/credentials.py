"""OAuth2 client credentials: a token for an id and a secret, renewed before it ends and once when it is refused.

The token lives in memory alone; neither it nor the secret stands in an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from flightwatch.config import Secret
from flightwatch.connections import shown
from flightwatch.errors import FeedError
from flightwatch.feeds.http import Http, Reply

USUAL_LIFE_S = 1800.0
LONGEST_LIFE_S = 86_400.0
"""A token that says that it lives for longer is renewed all the same."""

RENEW_EARLY_S = 30.0
"""A token that is about to end may have ended when the request arrives."""


class Granted(msgspec.Struct):
    """What the token service answers."""

    access_token: str
    expires_in: float | int = USUAL_LIFE_S


_granted = msgspec.json.Decoder(Granted)


@dataclass
class ClientCredentials:
    """Where tokens come from. `now_s` is a monotonic clock in seconds."""

    http: Http
    token_url: str
    client_id: Secret
    client_secret: Secret
    now_s: Callable[[], float] = time.monotonic
    _token: str = field(default="", repr=False)
    _until_s: float = 0.0

    def token(self) -> str:
        """A token that is good for a while. Raises FeedError where there is none to be had."""
        if not self._token or self.now_s() >= self._until_s:
            self._renew()
        return self._token

    def forget(self) -> None:
        """The next one is a new one."""
        self._token = ""

    def _renew(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id.reveal(),
            "client_secret": self.client_secret.reveal(),
        }
        try:
            granted = _granted.decode(self.http.post(self.token_url, form))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise FeedError("no_token", f"{shown(self.token_url)} sent no token: correct token_url") from None
        except FeedError as error:
            raise _without_body(error) from None
        self._token = granted.access_token
        self._until_s = self.now_s() + max(min(granted.expires_in, LONGEST_LIFE_S) - RENEW_EARLY_S, 0.0)


def _without_body(error: FeedError) -> FeedError:
    """Nothing that a token service says is kept. A 400 or 401 means that the id or the secret is wrong."""
    wrong = error.reason in ("http_400", "http_401", "http_403")
    hint = ": the client id or secret is wrong" if wrong else ""
    return FeedError("no_token" if wrong else error.reason, f"{error}{hint}", permanent=wrong, retry_after_s=error.retry_after_s)


def authorized(http: Http, url: str, credentials: ClientCredentials | None) -> Callable[[], Reply]:
    """Asks with a token, where there are credentials; a token that is refused is renewed once."""
    if credentials is None:
        return lambda: http.ask(url)

    def ask() -> Reply:
        try:
            return http.ask(url, {"Authorization": f"Bearer {credentials.token()}"})
        except FeedError as error:
            if error.reason != "http_401":
                raise
        credentials.forget()
        return http.ask(url, {"Authorization": f"Bearer {credentials.token()}"})

    return ask
