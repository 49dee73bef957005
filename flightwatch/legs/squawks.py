"""Codes that aircraft send, as events: 7500, 7600, 7700, what ADS-B says of an emergency in words, and the codes that somebody
asks for.

In: the accepted rows that tell of one, and the events that are open. Out: these with what the batch adds, and those
that it changed. Positions that are not believed raise nothing: a code says nothing of an aircraft that was not there.

One stray code proves nothing. The reply that carries it (DF 5 and 21) has no check of its own, so that a receiver may read
one wrong, servers repeat it with the next positions, and pilots turn through these codes on the way to others. So it
takes three positions, and a minute from the first to the last, as plane-notify waits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

import numpy as np

from flightwatch.legs.rows import CODES_FROM, MINUTE, Rows, aircraft_text, alarm_text
from flightwatch.records import CODE, EMERGENCY, Event, utc

IN_WORDS = {
    "7500": "7500 (unlawful interference)",
    "7600": "7600 (radio failure)",
    "7700": "7700 (emergency)",
    "minfuel": "minimum fuel",
    "downed": "downed aircraft",
}

LEAST, LEAST_FOR = 3, timedelta(minutes=1)

PAUSE = 30 * MINUTE
"""Positions with one code that lie closer together are one event, as with suspect positions; two polls of the slowest feed."""

Open = Mapping[str, tuple[Event, ...]]


def noted(rows: Rows, before: Open) -> tuple[Open, tuple[Event, ...]]:
    """The open events, by aircraft, after a batch of rows (sorted by aircraft and time), and those of them that it changed
    and that are worth telling."""
    if not len(rows):
        return before, ()
    after = dict(before)
    changed: dict[str, Event] = {}
    for event in _runs(rows):
        (name,) = event.aircraft
        mine = after.get(name, ())
        last = next((e for e in mine if (e.kind, e.reason) == (event.kind, event.reason)), None)
        goes_on = last is not None and event.since - last.until <= timedelta(microseconds=PAUSE)
        whole = _worded(_together(last, event) if last is not None and goes_on else event)
        after[name] = (*(e for e in mine if e is not last), whole)
        if whole.count >= LEAST and whole.until - whole.since >= LEAST_FOR:
            changed[whole.event_id] = whole
    for name in {aircraft_text(number) for number in np.unique(rows.aircraft).tolist()}:
        after[name] = _still_open(after[name])
    return after, tuple(changed.values())


def _still_open(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """The events of an aircraft without those of codes to which nothing comes any more: later rows come after all of these."""
    newest = max(e.until for e in events if e.kind in (EMERGENCY, CODE))
    over = newest - timedelta(microseconds=PAUSE)
    return tuple(e for e in events if e.kind not in (EMERGENCY, CODE) or e.until >= over)


def _runs(rows: Rows) -> Iterator[Event]:
    """One event, without its words, for each run of rows of one aircraft and code without a long pause. All runs are gone through
    at once: a code of ordinary traffic makes a thousand in each poll."""
    rows = rows.take(np.lexsort((rows.time, rows.alarm, rows.aircraft)))
    apart = (np.diff(rows.aircraft) != 0) | (np.diff(rows.alarm) != 0) | (np.diff(rows.time) > PAUSE)
    start = np.r_[0, np.flatnonzero(apart) + 1]
    stop = np.r_[start[1:], len(rows)]
    least, most = np.fmin.reduceat, np.fmax.reduceat
    columns = (
        *(rows.aircraft[start], rows.alarm[start], rows.time[start], rows.time[stop - 1]),
        *(least(rows.latitude, start), least(rows.longitude, start), most(rows.latitude, start), most(rows.longitude, start)),
        *(least(rows.altitude, start), most(rows.altitude, start), start, stop),
    )
    for number, alarm, since_us, until_us, south, west, north, east, lowest, highest, first, over in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        aircraft, since = aircraft_text(number), utc(since_us)
        kind, reason = CODE if alarm >= CODES_FROM else EMERGENCY, alarm_text(alarm)
        yield Event(
            event_id=f"{kind}-{aircraft}-{reason}-{since:%Y%m%dT%H%M%S.%f}",
            kind=kind,
            reason=reason,
            aircraft=(aircraft,),
            since=since,
            until=utc(until_us),
            south=south,
            west=west,
            north=north,
            east=east,
            count=over - first,
            feeds=_feeds(rows, first, over),
            evidence={} if math.isnan(lowest) else {"lowest_ft": round(lowest, 1), "highest_ft": round(highest, 1)},
        )


def _feeds(rows: Rows, first: int, over: int) -> tuple[str, ...]:
    words = rows.vocabulary["feed"]
    return tuple(sorted({words[code] for code in set(rows.feed[first:over].tolist()) if code >= 0}))


def _together(a: Event, b: Event) -> Event:
    """Two parts of one event, under the name of the first."""
    lowest, highest = (
        fit(found) if (found := [e.evidence[name] for e in (a, b) if name in e.evidence]) else None
        for name, fit in (("lowest_ft", min), ("highest_ft", max))
    )
    return replace(
        a,
        until=b.until,
        south=min(a.south, b.south),
        west=min(a.west, b.west),
        north=max(a.north, b.north),
        east=max(a.east, b.east),
        count=a.count + b.count,
        feeds=tuple(sorted({*a.feeds, *b.feeds})),
        evidence={} if lowest is None or highest is None else {"lowest_ft": lowest, "highest_ft": highest},
    )


def _worded(event: Event) -> Event:
    minutes = (event.until - event.since).total_seconds() / 60
    sent = IN_WORDS.get(event.reason, event.reason)
    return replace(event, words=f"sent {sent} with {event.count:,} positions in {minutes:.0f} min")
