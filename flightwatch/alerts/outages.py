"""What people are told of a feed that is out: once when it begins, once when it is over."""

from __future__ import annotations

from datetime import datetime

from flightwatch.alerts.phrases import duration
from flightwatch.records import Message, Outage

WHAT = {
    "silent": "is silent",
    "stale": "sends old data",
    "truncated": "sends only a part",
    "resting": "rests for want of credits",
}
WAS = {
    "silent": "was silent",
    "stale": "sent old data",
    "truncated": "sent only a part",
    "resting": "rested for want of credits",
}
CAUSE = {"resting": "its credits are used up, or too few to go on: that says nothing of the sky"}
USUAL_CAUSE = "a fault of the feed or of the way to it, not of the sky"
MEANING = {
    "silent": "Nothing is seen through it: flights may pass unseen, and no leg ends because of it.",
    "stale": "What it sends is not used: flights may pass unseen, and no leg ends because of it.",
    "truncated": "Aircraft that are there may be missing in it: what it does not show says nothing.",
    "resting": "Flights may pass unseen, and no leg ends because of it. A message follows when it goes on at its pace.",
}
ADVICE = {
    "silent": "`flightwatch doctor` shows what it answers.",
    "stale": "If its clock is right and ours is not, set ours.",
    "truncated": "Ask for smaller areas or shorter lists in `ask`, or set most_rows if the service sends more.",
    "resting": "Ask for less in `ask`, or less often with `every_s`, so that the credits last.",
}
AGAIN = {"silent": "is well again", "stale": "is well again", "truncated": "is well again", "resting": "is asked again"}
BEFORE = {
    "silent": "Nothing was seen through it until then.",
    "stale": "What it sent was not used until then.",
    "truncated": "Aircraft that were there may be missing in it until then.",
    "resting": "Nothing was observed through it until then, but for what it could still pay for.",
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
        qualifier=f"feed.{outage.kind}; {CAUSE.get(outage.kind, USUAL_CAUSE)}",
        facts=(f"Concerns: {named}{more}.", _why(outage), MEANING[outage.kind]),
        update="",
        links=(),
        footer=(ADVICE[outage.kind],),
        severity="medium",
        map=None,
    )


def _why(outage: Outage) -> str:
    if outage.kind == "resting":
        return f"It {outage.reason}; nothing is observed through it meanwhile."
    return f"Last answer: {outage.reason}."


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
        facts=(BEFORE[outage.kind],),
        update=f"Over: feed {outage.feed} {AGAIN[outage.kind]} since {_at(over)}; it {WAS[outage.kind]} for {lasted}.",
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
