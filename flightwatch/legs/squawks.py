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
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from flightwatch.legs.rows import CODES_FROM, MINUTE, Rows, aircraft_text, alarm_text
from flightwatch.records import BEGAN, CODE, EMERGENCY, Event, utc

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

LONGEST_PAUSE = timedelta(microseconds=PAUSE)

Open = Mapping[str, tuple[Event, ...]]


def noted(rows: Rows, before: Open) -> tuple[Open, tuple[Event, ...]]:
    """The open events, by aircraft, after a batch of rows (sorted by aircraft and time), and those of them that it changed
    and that are worth telling."""
    if not len(rows):
        return before, ()
    after = dict(before)
    changed: dict[str, Event] = {}
    for run in _runs(rows):
        mine = after.get(run.aircraft, ())
        last = next((e for e in mine if (e.kind, e.reason) == (run.kind, run.reason)), None)
        goes_on = last is not None and run.since - last.until <= LONGEST_PAUSE
        whole = _event(run, last if goes_on else None)
        after[run.aircraft] = (*(e for e in mine if e is not last), whole)
        if whole.count >= LEAST and whole.until - whole.since >= LEAST_FOR:
            changed[whole.event_id] = whole
    for name in {aircraft_text(number) for number in np.unique(rows.aircraft).tolist()}:
        after[name] = _still_open(after[name])
    return after, tuple(changed.values())


def _still_open(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """The events of an aircraft without those of codes to which nothing comes any more: later rows come after all of these."""
    newest = max(e.until for e in events if e.kind in (EMERGENCY, CODE))
    return tuple(e for e in events if e.kind not in (EMERGENCY, CODE) or newest - e.until <= LONGEST_PAUSE)


class _Run(NamedTuple):
    """Rows of one aircraft and code without a long pause: where it began (latitude, longitude), between which parallels and
    meridians it lay (south, west, north, east), and the least and greatest height (ft), NaN where none was told."""

    aircraft: str
    kind: str
    reason: str
    since: datetime
    until: datetime
    began: tuple[float, float]
    area: tuple[float, float, float, float]
    heights: tuple[float, float]
    positions: int
    feeds: frozenset[str]


def _runs(rows: Rows) -> Iterator[_Run]:
    """All runs, gone through at once: a code of ordinary traffic makes a thousand in each poll."""
    rows = rows.take(np.lexsort((rows.time, rows.alarm, rows.aircraft)))
    apart = (np.diff(rows.aircraft) != 0) | (np.diff(rows.alarm) != 0) | (np.diff(rows.time) > PAUSE)
    start = np.r_[0, np.flatnonzero(apart) + 1]
    stop = np.r_[start[1:], len(rows)]
    least, most = np.fmin.reduceat, np.fmax.reduceat
    columns = (
        *(rows.aircraft[start], rows.alarm[start], rows.time[start], rows.time[stop - 1]),
        *(least(rows.latitude, start), least(rows.longitude, start), most(rows.latitude, start), most(rows.longitude, start)),
        *(least(rows.altitude, start), most(rows.altitude, start), start, stop),
        *(rows.latitude[start], rows.longitude[start]),
    )
    words = [*rows.vocabulary["feed"], None]
    for number, alarm, since, until, south, west, north, east, lowest, highest, first, over, *began in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        feeds = frozenset(word for code in set(rows.feed[first:over].tolist()) if (word := words[code]))
        kind = CODE if alarm >= CODES_FROM else EMERGENCY
        span = utc(since), utc(until)
        area, heights = (south, west, north, east), (lowest, highest)
        where = began[0], began[1]
        yield _Run(aircraft_text(number), kind, alarm_text(alarm), *span, where, area, heights, over - first, feeds)


def _event(run: _Run, last: Event | None) -> Event:
    """The event that a run is, or that goes on with it, under the name of its first part."""
    since, count, feeds = run.since, run.positions, run.feeds
    if last is not None:
        since, count, feeds = last.since, last.count + run.positions, run.feeds.union(last.feeds)
    heights = [run.heights] if not math.isnan(run.heights[0]) else []
    heights += [(last.evidence["lowest_ft"], last.evidence["highest_ft"])] if last and "lowest_ft" in last.evidence else []
    began = (
        {name: last.evidence[name] for name in BEGAN if name in last.evidence}
        if last
        else dict(zip(BEGAN, run.began, strict=True))
    )
    south, west, north, east = run.area
    minutes = (run.until - since).total_seconds() / 60
    return Event(
        event_id=last.event_id if last else f"{run.kind}-{run.aircraft}-{run.reason}-{since:%Y%m%dT%H%M%S.%f}",
        kind=run.kind,
        reason=run.reason,
        aircraft=(run.aircraft,),
        since=since,
        until=run.until,
        south=min(last.south, south) if last else south,
        west=min(last.west, west) if last else west,
        north=max(last.north, north) if last else north,
        east=max(last.east, east) if last else east,
        count=count,
        feeds=tuple(sorted(feeds)),
        evidence=began
        | {
            name: round(fit(pair[at] for pair in heights), 1)
            for at, (name, fit) in enumerate((("lowest_ft", min), ("highest_ft", max)))
            if heights
        },
        words=f"sent {IN_WORDS.get(run.reason, run.reason)} with {count:,} positions in {minutes:.0f} min",
    )
