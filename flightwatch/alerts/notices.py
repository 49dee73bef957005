"""What people are told of flightwatch itself: that the rules on the disk cannot be read, and which are in force."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from flightwatch.errors import ConfigError
from flightwatch.records import Message

MOST_NAMED = 5


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
