"""What people are told that is about no single alert: that the rules on the disk cannot be read, and many alerts at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from flightwatch.alerts.lifecycle import SEVERITIES
from flightwatch.alerts.links import index_url
from flightwatch.errors import ConfigError
from flightwatch.records import Message

MOST_NAMED = 5

MOST_LISTED = 30
"""Alerts that a message about many has a line for; more than that nobody reads in a chat."""


def rules_refused(error: ConfigError, now: datetime) -> Message:
    """Told once for the same problems, whatever restarts."""
    lines = [str(problem) for problem in error.problems]
    more = [f"and {len(lines) - MOST_NAMED} more"] if len(lines) > MOST_NAMED else []
    return Message(
        alert_id=f"rules-{sha256(str(error).encode()).hexdigest()[:12]}",
        number=1,
        stage="rules_refused",
        headline="The rules were changed and cannot be read: those from before stay in force",
        qualifier=f"since {now:%-d %b %H:%M} UTC",
        facts=(*lines[:MOST_NAMED], *more),
        update="",
        links=(),
        footer=("Correct the files; `flightwatch check` shows what is wrong. They are read again by themselves.",),
        severity="medium",
        map=None,
    )


def many(messages: Sequence[Message]) -> Message:
    """One message for what would be too many, the severest first."""
    ordered = sorted(messages, key=lambda m: (SEVERITIES.index(m.severity), m.alert_id))
    named = sha256("\n".join(f"{m.alert_id} {m.number}" for m in ordered).encode()).hexdigest()[:12]
    more = [f"and {len(ordered) - MOST_LISTED:,} more"] if len(ordered) > MOST_LISTED else []
    return Message(
        alert_id=f"many-{named}",
        number=1,
        stage="many",
        headline=f"{len(ordered):,} more alerts at once",
        qualifier="together, because so many came out of one look at the sky: see first whether the data can be right",
        facts=(*(f"{m.headline} ({m.qualifier})" for m in ordered[:MOST_LISTED]), *more),
        update="",
        links=(),
        footer=("Each of them stands in the digest and in `flightwatch alerts list`.",),
        severity=ordered[0].severity,
        map=None,
        page=index_url(ordered[0].page),
    )
