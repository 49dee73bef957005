"""What people are told of a feed that is out: once when it begins, once when it is over."""

from __future__ import annotations

from datetime import datetime

from flightwatch.alerts.wording import duration
from flightwatch.records import Message, Outage

WHAT = {"silent": "is silent", "stale": "sends old data", "truncated": "sends only a part"}
WAS = {"silent": "was silent", "stale": "sent old data", "truncated": "sent only a part"}
MEANING = {
    "silent": "Nothing is seen through it: flights may pass unseen, and no leg ends because of it.",
    "stale": "What it sends is not used: flights may pass unseen, and no leg ends because of it.",
    "truncated": "Aircraft that are there may be missing in it: what it does not show says nothing.",
}
ADVICE = {
    "silent": "`flightwatch doctor` shows what it answers.",
    "stale": "If its clock is right and ours is not, set ours.",
    "truncated": "Ask for smaller areas or shorter lists in `ask`, or set most_rows if the service sends more.",
}
MOST_NAMED = 3


def began(outage: Outage) -> Message:
    """The first message."""
    named = "; ".join(outage.questions[:MOST_NAMED])
    more = f" and {len(outage.questions) - MOST_NAMED} more" if len(outage.questions) > MOST_NAMED else ""
    return Message(
        alert_id=outage.subject,
        number=1,
        stage="outage",
        headline=f"Feed {outage.feed} {WHAT[outage.kind]} since {_at(outage.since)}",
        qualifier=f"feed.{outage.kind}; a fault of the feed or of the way to it, not of the sky",
        facts=(f"Concerns: {named}{more}.", f"Last answer: {outage.reason}.", MEANING[outage.kind]),
        update="",
        links=(),
        footer=(ADVICE[outage.kind],),
        severity="medium",
        map=None,
    )


def ended(outage: Outage) -> Message:
    """The second and last message."""
    over = outage.ended or outage.since
    lasted = duration(over - outage.since)
    span = f"{_at(outage.since)} to {_at(over)} ({lasted})"
    return Message(
        alert_id=outage.subject,
        number=2,
        stage="outage_over",
        headline=f"Feed {outage.feed} {WAS[outage.kind]} from {span}",
        qualifier=f"feed.{outage.kind}; over",
        facts=(MEANING[outage.kind].split(":")[0] + " until then.",),
        update=f"Over: feed {outage.feed} is well again since {_at(over)}; it {WAS[outage.kind]} for {lasted}.",
        links=(),
        footer=(),
        severity="medium",
        map=None,
    )


def in_words(outage: Outage, until: datetime) -> str:
    """One line for a digest."""
    if outage.ended is None:
        return f"feed {outage.feed} {WHAT[outage.kind]} since {_at(outage.since)} ({duration(until - outage.since)} so far)"
    return f"feed {outage.feed} {WAS[outage.kind]} from {_at(outage.since)} to {_at(outage.ended)}"


def _at(time: datetime) -> str:
    return f"{time:%-d %b %H:%M} UTC"
