"""Emergency codes that aircraft send, as events: 7500, 7600, 7700, and what ADS-B says of an emergency in words.

In: the accepted rows that tell of an emergency, and the events that are open. Out: these with what the batch adds, and those
that it changed. Positions that are not believed raise nothing: a code says nothing of an aircraft that was not there.

One stray code proves nothing. The reply that carries it (DF 5 and 21) has no check of its own, so that a receiver may read
one wrong, servers repeat it with the next positions, and pilots turn through these codes on the way to others. So it
takes three positions, and a minute from the first to the last, as plane-notify waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np

from flightwatch.legs.rows import ALARMS, MINUTE, Rows, aircraft_text
from flightwatch.records import EMERGENCY, Event, utc

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
        last = next((e for e in mine if e.kind == EMERGENCY and e.reason == event.reason), None)
        goes_on = last is not None and event.since - last.until <= timedelta(microseconds=PAUSE)
        whole = _together(last, event) if last is not None and goes_on else event
        after[name] = (*(e for e in mine if e is not last), whole)
        if whole.count >= LEAST and whole.until - whole.since >= LEAST_FOR:
            changed[whole.event_id] = whole
    return after, tuple(changed.values())


def _runs(rows: Rows) -> Iterator[Event]:
    """One event for each run of rows of one aircraft and code without a long pause."""
    rows = rows.take(np.lexsort((rows.time, rows.alarm, rows.aircraft)))
    apart = (np.diff(rows.aircraft) != 0) | (np.diff(rows.alarm) != 0) | (np.diff(rows.time) > PAUSE)
    edges = np.r_[0, np.flatnonzero(apart) + 1, len(rows)].tolist()
    for first, stop in pairwise(edges):
        yield _event(rows.take(slice(first, stop)))


def _event(run: Rows) -> Event:
    aircraft, reason, since = aircraft_text(int(run.aircraft[0])), ALARMS[int(run.alarm[0])], utc(int(run.time[0]))
    heights = {"lowest_ft": np.fmin.reduce(run.altitude), "highest_ft": np.fmax.reduce(run.altitude)}
    words = run.vocabulary["feed"]
    return _worded(
        Event(
            event_id=f"{EMERGENCY}-{aircraft}-{reason}-{since:%Y%m%dT%H%M%S.%f}",
            kind=EMERGENCY,
            reason=reason,
            aircraft=(aircraft,),
            since=since,
            until=utc(int(run.time[-1])),
            south=float(run.latitude.min()),
            west=float(run.longitude.min()),
            north=float(run.latitude.max()),
            east=float(run.longitude.max()),
            count=len(run),
            feeds=tuple(sorted({words[c] for c in np.unique(run.feed).tolist() if c >= 0})),
            evidence={name: round(float(value), 1) for name, value in heights.items() if not np.isnan(value)},
        )
    )


def _together(a: Event, b: Event) -> Event:
    """Two parts of one event, under the name of the first."""
    lowest, highest = (
        fit(found) if (found := [e.evidence[name] for e in (a, b) if name in e.evidence]) else None
        for name, fit in (("lowest_ft", min), ("highest_ft", max))
    )
    return _worded(
        replace(
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
    )


def _worded(event: Event) -> Event:
    minutes = (event.until - event.since).total_seconds() / 60
    return replace(event, words=f"sent {IN_WORDS[event.reason]} with {event.count:,} positions in {minutes:.0f} min")
