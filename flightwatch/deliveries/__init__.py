"""Deliveries: messages out of the outbox to people.

In: `Message` records and finished e-mails. Out: a receipt, or a `DeliveryError` that says whether trying again can
help and whether the message may have arrived. A channel is one file with one class; `opening` makes those of the
configuration, `worker` takes what is due from the outbox to them. Feed text is escaped by each channel in its own way.
"""

from __future__ import annotations

from typing import Protocol

from flightwatch.records import Message


class CannotTell(Exception):
    """The channel keeps nothing that could be looked through, or does not let us."""


class Channel(Protocol):
    """Something that takes messages. `send` returns a receipt; `thread` is the receipt of the alert's first message
    there."""

    def send(self, message: Message, thread: str | None) -> str: ...

    def find(self, message: Message, thread: str | None, since_s: float) -> str | None:
        """The receipt of this very message if the channel has it already (sent after `since_s`, seconds since 1970);
        None where it has not, or where a repeat does no harm. Raises CannotTell where a repeat might be seen."""
        ...
