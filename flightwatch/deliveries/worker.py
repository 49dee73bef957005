"""From the outbox to the channels: one message at a time, and at most one a second to each channel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from flightwatch.deliveries import CannotTell, Channel
from flightwatch.deliveries.email import Mailer
from flightwatch.errors import DeliveryError
from flightwatch.records import Delivery, Message, message_from_bytes

log = logging.getLogger(__name__)

PACE = timedelta(seconds=1)
"""Slack allows about one message a second and channel."""

LONGEST_REST = timedelta(minutes=15)
"""No channel is left alone for longer, whatever it asks for."""

MAIL = "mail:"


def mail_to(recipient: str) -> str:
    """The channel that the digest for somebody goes out on: each recipient is one, and fails alone."""
    return f"{MAIL}{recipient}"


class Outbox(Protocol):
    """Where claimed messages come from, and where what became of them goes."""

    def claim(self, now: datetime, channels: list[str]) -> Delivery | None: ...

    def sent(self, due: Delivery, receipt: str) -> None: ...

    def failed(
        self, due: Delivery, now: datetime, error: str, *, permanent: bool, retry_after_s: float | None, outcome_unknown: bool
    ) -> None: ...


class Worker:
    """Delivers what is due. Channels fail apart from each other: one that is down keeps nothing from the others."""

    def __init__(self, outbox: Outbox, channels: Mapping[str, Channel], mailer: Mailer | None, recipients: list[str]) -> None:
        self._outbox = outbox
        self._channels = channels
        self._mailer = mailer
        self._names = [*channels, *(map(mail_to, recipients) if mailer else [])]
        self._rests: dict[str, datetime] = {}

    def run_once(self, now: datetime, stopping: Callable[[], bool] = lambda: False) -> int:
        """Delivers one message on each channel that has one due and has rested; returns how many were tried."""
        tried = 0
        for name in self._names:
            if stopping():
                break
            if self._has_rested(name, now) and (due := self._outbox.claim(now, [name])) is not None:
                self._rests[name] = now + PACE
                self._deliver(due, now)
                tried += 1
        return tried

    def _has_rested(self, name: str, now: datetime) -> bool:
        """A rest that ends further ahead than any is asked for was set before the clock was put back."""
        until = self._rests.get(name, now)
        return not now < until <= now + LONGEST_REST

    def _deliver(self, due: Delivery, now: datetime) -> None:
        try:
            receipt = self._mail(due) if due.channel.startswith(MAIL) else self._message(due)
        except DeliveryError as error:
            self._failed(due, now, error)
        except Exception as error:  # a channel that errs in a way nobody thought of keeps nothing from the others
            log.exception("%s to %s", due.subject, due.channel)
            self._failed(due, now, DeliveryError(f"{type(error).__name__} in {due.channel}", outcome_unknown=True))
        else:
            self._outbox.sent(due, receipt)

    def _failed(self, due: Delivery, now: datetime, error: DeliveryError) -> None:
        log.warning("%s to %s: %s", due.subject, due.channel, error)
        if error.retry_after_s:
            self._rests[due.channel] = now + min(timedelta(seconds=error.retry_after_s), LONGEST_REST)
        self._outbox.failed(
            due,
            now,
            str(error),
            permanent=error.permanent,
            retry_after_s=error.retry_after_s,
            outcome_unknown=error.outcome_unknown,
        )

    def _message(self, due: Delivery) -> str:
        channel, message = self._channels[due.channel], message_from_bytes(due.payload)
        if due.unknown_since is not None:
            try:
                found = channel.find(message, due.thread, due.unknown_since.timestamp())
            except CannotTell:
                message, found = possible_repeat(message), None
            if found is not None:
                return found
        return channel.send(message, due.thread)

    def _mail(self, due: Delivery) -> str:
        assert self._mailer is not None  # no mail channel is claimed without one
        return self._mailer.send(due.payload, due.channel.removeprefix(MAIL))


def possible_repeat(message: Message) -> Message:
    """The message where it may have arrived before and nobody can look: it says so."""
    if message.update:
        return replace(message, update=f"{message.update} (possible repeat)")
    return replace(message, qualifier=f"{message.qualifier}; possible repeat")
