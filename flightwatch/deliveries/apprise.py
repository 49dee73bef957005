"""Telegram, Discord, ntfy, Matrix and a hundred others, through Apprise: an extra that is installed with
`pip install 'flightwatch[apprise]'` and imported only where a channel wants it.

Apprise says yes or no, and neither why nor whether it has arrived; so a channel is one address, and what was not taken is
tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flightwatch.config import Secret
from flightwatch.deliveries import CannotTell
from flightwatch.deliveries.plain import clean
from flightwatch.errors import ConfigError, DeliveryError, Problem
from flightwatch.records import Message

if TYPE_CHECKING:
    from apprise import Apprise as Library

INSTALL = "pip install 'flightwatch[apprise]'"


class Apprise:
    """One address of one service. Raises ConfigError where Apprise is not installed or does not know the address."""

    def __init__(self, name: str, url: Secret) -> None:
        self._name = name
        self._library = _opened(name, url)

    def send(self, message: Message, thread: str | None) -> str:
        taken = self._library.notify(
            title=clean(message.headline), body=_body(message), body_format="text", notify_type=_kind(message)
        )
        if not taken:
            raise DeliveryError(f"the service behind {self._name} did not take it; Apprise logs why", outcome_unknown=True)
        return f"{message.alert_id}/{message.number}"

    def find(self, message: Message, thread: str | None, since_s: float) -> str | None:
        raise CannotTell


def _opened(name: str, url: Secret) -> Library:
    try:
        from apprise import Apprise as Library
    except ImportError:
        raise ConfigError([Problem("configuration", 1, f"channel {name} needs Apprise: {INSTALL}")]) from None
    opened = Library()
    with _unheard():
        known = opened.add(url.reveal())
    if not known:
        raise ConfigError([Problem("environment", 1, f"the address of channel {name} is none that Apprise knows: correct it")])
    return opened


@contextmanager
def _unheard() -> Iterator[None]:
    """Apprise logs an address that it does not know as it stands, secret and all."""
    log = logging.getLogger("apprise")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _body(message: Message) -> str:
    page = f"Evidence page: {message.page}" if message.page else ""
    lines = [message.update, f"({message.qualifier})", *(f"- {fact}" for fact in message.facts), page, *message.footer]
    return "\n".join(clean(line) for line in lines if line)


def _kind(message: Message) -> str:
    return "warning" if message.severity == "high" else "info"
