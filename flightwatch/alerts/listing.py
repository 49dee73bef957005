"""The alert book to read on a terminal: the alerts with their deliveries, and the messages that reached nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from flightwatch.alerts.book import Dead, Handled, OpenAlert
from flightwatch.alerts.silences import Silence

SHOWN = 40
"""The last ones; more than that nobody reads on a terminal."""


def list_of(alerts: Sequence[OpenAlert], deliveries: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Iterator[str]:
    """The last alerts, the newest at the end: the line that says how far each has got, and what became of its messages."""
    if not alerts:
        yield "No alert."
    if len(alerts) > SHOWN:
        yield f"... and {len(alerts) - SHOWN:,} before"
    for a in alerts[-SHOWN:]:
        closed = "; closed" if a.alert.closed else ""
        yield f"{a.alert.alert_id}  {a.alert.stage.replace('_', ' ')}, as of {a.updated:%-d %b %Y %H:%M} UTC{closed}"
        yield f"    {_line(a.message.headline)} ({_line(a.message.qualifier)})"
        if by := a.alert.acknowledged:
            yield f"    {_line(by.who)} looks after it since {by.time:%-d %b %Y %H:%M} UTC" + (
                f": {_line(by.why)}" if by.why else ""
            )
        for channel, states in deliveries.get(a.alert.alert_id, {}).items():
            yield f"    {channel}: {', '.join(f'{count} {state}' for state, count in states.items())}"


def dead_ones(dead: Sequence[Dead], handled: Sequence[Handled]) -> Iterator[str]:
    """Dead messages with their numbers, and what somebody did with the last ones."""
    if not dead:
        yield "No dead message."
    for one in dead:
        yield f"{one.number}: {one.subject} to {one.channel}: {_line(one.error)}; tried {one.attempts} times"
    if dead:
        yield "`flightwatch alerts retry NUMBER` sends one again, `flightwatch alerts acknowledge NUMBER` gives it up."
    for done in handled[-SHOWN:]:
        by = f"{done.what} by {_line(done.who)}, {done.time:%-d %b %Y %H:%M} UTC"
        yield f"{done.number}: {by}: {done.subject} to {done.channel} ({_line(done.error)})"


def silences_of(silences: Sequence[Silence], now: datetime) -> Iterator[str]:
    """The silences that last, then the last ones that are over, with who wanted them and why."""
    lasting = [s for s in silences if s.holds_at(now)]
    if not lasting:
        yield "No silence is in force."
    for s in lasting:
        why = _line(s.why) or "no reason given"
        yield f"{s.number}: {s.words}, until {s.until:%-d %b %Y %H:%M} UTC, by {_line(s.who)}: {why}"
    if lasting:
        yield "`flightwatch alerts unsilence NUMBER` ends one."
    for s in [s for s in silences if s not in lasting][-SHOWN:]:
        how = f"ended by {_line(s.ended_by or '')}" if s.ended else "over"
        how += f", {s.ended or s.until:%-d %b %Y %H:%M} UTC"
        yield f"{s.number}: {s.words}: {how}"


def _line(text: str) -> str:
    """One line without control characters: callsigns are sent by strangers."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
