"""The alert book to read on a terminal: the alerts with their deliveries, and the messages that reached nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flightwatch.alerts.book import Dead, Handled, OpenAlert

SHOWN = 40
"""The last ones; more than that nobody reads on a terminal."""


def list_of(alerts: Sequence[OpenAlert], deliveries: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Iterator[str]:
    """The last alerts, the newest at the end: the line that says how far each has got, and what became of its messages."""
    if not alerts:
        yield "No alert."
    if len(alerts) > SHOWN:
        yield f"... and {len(alerts) - SHOWN:,} before"
    for a in alerts[-SHOWN:]:
        yield f"{a.alert.alert_id}  {a.alert.stage.replace('_', ' ')}, as of {a.updated:%-d %b %Y %H:%M} UTC"
        yield f"    {_line(a.message.headline)} ({_line(a.message.qualifier)})"
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


def _line(text: str) -> str:
    """One line without control characters: callsigns are sent by strangers."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
