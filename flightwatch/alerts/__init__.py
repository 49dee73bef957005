"""Alerts: what people are told about one visit of one aircraft, from the first message to the last update.

In: findings. Out: messages in the outbox, one row for each update and channel, committed together with the alert.
`lifecycle` decides (pure functions), `wording` finds the words (`happenings` those about events, `outages` those about
feeds, `notices` those about flightwatch itself), `book` keeps it all in SQLite. A finding that was applied is never
applied again, whatever restarts; a message leaves the outbox when its channel has taken it or refused it for good.
"""

from __future__ import annotations

from flightwatch.alerts.book import AlertBook, OpenAlert
from flightwatch.alerts.lifecycle import Alert, Decision, decide
from flightwatch.alerts.notices import rules_refused
from flightwatch.alerts.outages import began, ended, in_words
from flightwatch.alerts.wording import Context, message

__all__ = [
    "Alert",
    "AlertBook",
    "Context",
    "Decision",
    "OpenAlert",
    "began",
    "decide",
    "ended",
    "in_words",
    "message",
    "rules_refused",
]
