"""Emergency codes that aircraft send, as events: 7500, 7600, 7700, and what ADS-B says of an emergency in words.

In: positions, and the events that are open. Out: these with what the batch adds, and those that it changed. A code counts
when it was sent for a minute: receivers misread single codes, and pilots turn through these to others (plane-notify waits
as long). Where it was sent is where the reports say; whether that is believed, `suspicion` tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flightwatch.legs.rows import SECOND, usable
from flightwatch.records import EMERGENCY, Event, utc

CODES = {"7500": "unlawful interference", "7600": "radio failure", "7700": "emergency"}

SAID = {"unlawful": "7500", "nordo": "7600", "general": "7700", "minfuel": "minfuel", "downed": "downed"}
"""The words of the emergency field, as the codes that mean the same. `lifeguard` is no emergency: it has the right of way."""

IN_WORDS = {**CODES, "minfuel": "minimum fuel", "downed": "downed aircraft"}

LEAST_S = 60
"""A code that was sent for less may have been misread, or turned through."""

PAUSE_S = 1800
"""Reports of one code that lie closer together are one event, as with suspect positions."""

Open = Mapping[str, tuple[Event, ...]]


def noted(positions: pa.Table, before: Open) -> tuple[Open, tuple[Event, ...]]:
    """The open events, by aircraft, after a batch of positions (columns of `POSITIONS`), and those of them that it changed
    and that are worth telling."""
    coded = _coded(positions)
    if not len(coded):
        return before, ()
    after = dict(before)
    changed: dict[str, Event] = {}
    for event in _runs(coded):
        (name,) = event.aircraft
        mine = after.get(name, ())
        last = next((e for e in mine if e.kind == EMERGENCY and e.reason == event.reason), None)
        goes_on = last is not None and event.since - last.until <= timedelta(seconds=PAUSE_S)
        whole = _together(last, event) if last is not None and goes_on else event
        after[name] = (*(e for e in mine if e is not last), whole)
        if whole.until - whole.since >= timedelta(seconds=LEAST_S):
            changed[whole.event_id] = whole
    return after, tuple(changed.values())


def _coded(positions: pa.Table) -> pa.Table:
    """The rows that tell of an emergency, in order, each moment of an aircraft and code once."""
    flagged = pc.or_(
        pc.is_in(positions["squawk"], value_set=pa.array(list(CODES))),
        pc.is_in(positions["emergency"], value_set=pa.array(list(SAID))),
    )
    if not pc.any(flagged).as_py():
        return positions.slice(0, 0)
    table = usable(positions.filter(flagged))
    return table.sort_by([(name, "ascending") for name in ("icao24", "timestamp", "feed")])


def _reason(squawk: str | None, emergency: str | None) -> str:
    return squawk if squawk in CODES and squawk is not None else SAID[emergency or ""]


def _runs(table: pa.Table) -> Iterator[Event]:
    """One event for each run of reports of one aircraft and code without a long pause."""
    aircraft = np.array(table["icao24"].to_pylist(), dtype=object)
    reason = np.array(list(map(_reason, table["squawk"].to_pylist(), table["emergency"].to_pylist())), dtype=object)
    time = table["timestamp"].cast(pa.int64()).to_numpy(zero_copy_only=False)
    order = np.lexsort((time, reason.astype(str), aircraft.astype(str)))
    table, aircraft, reason, time = table.take(order), aircraft[order], reason[order], time[order]
    apart = (aircraft[1:] != aircraft[:-1]) | (reason[1:] != reason[:-1]) | (np.diff(time) > PAUSE_S * SECOND)
    edges = np.r_[0, np.flatnonzero(apart) + 1, len(table)].tolist()
    for first, stop in pairwise(edges):
        yield _event(str(aircraft[first]), str(reason[first]), table.slice(first, stop - first))


def _event(aircraft: str, reason: str, reports: pa.Table) -> Event:
    moments = np.unique(reports["timestamp"].cast(pa.int64()).to_numpy(zero_copy_only=False))
    latitude, longitude = (np.asarray(reports[name]) for name in ("latitude", "longitude"))
    since = utc(int(moments[0]))
    event = Event(
        event_id=f"{EMERGENCY}-{aircraft}-{reason}-{since:%Y%m%dT%H%M%S.%f}",
        kind=EMERGENCY,
        reason=reason,
        aircraft=(aircraft,),
        since=since,
        until=utc(int(moments[-1])),
        south=float(latitude.min()),
        west=float(longitude.min()),
        north=float(latitude.max()),
        east=float(longitude.max()),
        count=len(moments),
        feeds=tuple(sorted(set(reports["feed"].to_pylist()))),
    )
    return replace(event, words=_words(event))


def _words(event: Event) -> str:
    minutes = (event.until - event.since).total_seconds() / 60
    return f"{event.reason} ({IN_WORDS[event.reason]}) in {event.count:,} reports within {minutes:.0f} min"


def _together(a: Event, b: Event) -> Event:
    """Two parts of one event, under the name of the first."""
    whole = replace(
        a,
        until=max(a.until, b.until),
        south=min(a.south, b.south),
        west=min(a.west, b.west),
        north=max(a.north, b.north),
        east=max(a.east, b.east),
        count=a.count + b.count - (a.until == b.since),  # the moment that both batches tell of counts once
        feeds=tuple(sorted({*a.feeds, *b.feeds})),
    )
    return replace(whole, words=_words(whole))
