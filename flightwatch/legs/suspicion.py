"""Positions that somebody may want to look at become events: one an aircraft, reason and interval, however many there are.

In: the refused and the degraded rows of a batch, and the events that are open. Out: these with what the batch adds, and
those that it changed. All that an event says adds up (sums, extremes, sets), so it does not depend on how the positions
were cut into batches.

Refused rows are told of one by one (`position.suspect`: ghost, spoofed, two_emitters). Degraded ones prove nothing alone;
where several aircraft in one neighbourhood fall within half an hour, somebody jams the place (reason jamming).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from flightwatch.legs import cleaning
from flightwatch.legs.rows import MINUTE, SECOND, Flags, Floats, Ints, Rows, aircraft_text
from flightwatch.records import SUSPECT_POSITION, Event, utc

PAUSE = 30 * MINUTE
"""Suspect positions of one aircraft and reason that lie closer together than this are one event."""

JAMMING = "jamming"

JAMMED_AIRCRAFT = 3
"""One aircraft alone proves nothing (Flightradar24 says so of its own map), nor do two that meet."""

NEIGHBOURHOOD_DEG = 1.0
"""Cells of 60 by about 60 nm: a jammer reaches what flies within some 100 nm, and public maps use cells of 30 nm."""

NEIGHBOURHOOD_TIME = 30 * MINUTE

FORGOTTEN = 60 * MINUTE
"""A neighbourhood of which nothing was heard for so long gets nothing more."""

LOWEST = ("slowest_kt", "lowest_ft", "soonest_s")
"""Evidence of which the least counts; of all else it is the greatest."""


@dataclass(frozen=True)
class Suspects:
    """The rows of a batch that were refused and are no mere repeats, and those degraded; what `cleaning.Verdicts` says of
    the first."""

    rows: Rows
    code: cleaning.Codes
    began: Ints
    away_nm: Floats
    unseen: Ints
    degraded: Rows

    @staticmethod
    def of(rows: Rows, verdicts: cleaning.Verdicts, known_before: Flags) -> Suspects:
        """Picks them; rows that were `known_before` and are only judged again do not count as degraded once more."""
        refused = np.flatnonzero(verdicts.code > cleaning.WAITING)
        degraded = rows.take(np.flatnonzero(verdicts.degraded & ~known_before))
        v = verdicts
        return Suspects(rows.take(refused), v.code[refused], v.began[refused], v.away_nm[refused], v.unseen[refused], degraded)


Open = Mapping[str, tuple[Event, ...]]
"""The events that may still grow: the last of each reason, by aircraft; those of a neighbourhood by its name."""


def noted(suspects: Suspects, before: Open) -> tuple[Open, tuple[Event, ...]]:
    """The open events after a batch, and those of them that it changed and that are worth telling."""
    if not len(suspects.rows) and not len(suspects.degraded):
        return before, ()
    after = dict(before)
    changed: dict[str, Event] = {}
    for event in _of_aircraft(suspects):
        (name,) = event.aircraft
        open_ = {e.reason: e for e in after.get(name, ())}
        last = open_.get(event.reason)
        if last is not None and event.since - last.until <= timedelta(microseconds=PAUSE):
            event = _together(last, event)
        after[name] = tuple((open_ | {event.reason: event}).values())
        changed[event.event_id] = event
    for event in _of_neighbourhoods(suspects.degraded):
        (last,) = after.get(event.event_id, (event,))
        event = event if last is event else _together(last, event)
        after[event.event_id] = (event,)
        if len(event.aircraft) >= JAMMED_AIRCRAFT:
            changed[event.event_id] = event
    return _without_old_neighbourhoods(after, suspects.degraded), tuple(changed.values())


def _of_aircraft(suspects: Suspects) -> list[Event]:
    """One event for each run of suspect rows of one aircraft and reason, in order of time."""
    rows = suspects.rows
    if not len(rows):
        return []
    order = np.lexsort((rows.time, suspects.code, rows.aircraft))
    rows, code, began = rows.take(order), suspects.code[order], suspects.began[order]
    apart = (np.diff(rows.aircraft) != 0) | (np.diff(code) != 0) | (began[1:] - rows.time[:-1] > PAUSE)
    edges = np.r_[0, np.flatnonzero(apart) + 1, len(rows)]
    found = []
    for first, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part, own = rows.take(slice(first, stop)), order[first:stop]
        aircraft, reason = aircraft_text(int(part.aircraft[0])), cleaning.REASONS[int(code[first])]
        since = int(began[first:stop].min())
        evidence = _evidence(part) | {
            "farthest_nm": round(float(suspects.away_nm[own].max()), 1),
            "soonest_s": round(float(np.abs(suspects.unseen[own]).min()) / SECOND, 1),
        }
        name = f"{SUSPECT_POSITION}-{aircraft}-{reason}-{utc(since):%Y%m%dT%H%M%S}"
        found.append(_event(name, reason, (aircraft,), since, part, dict(sorted(evidence.items()))))
    return found


def _of_neighbourhoods(rows: Rows) -> list[Event]:
    """One event for each cell and half hour in which the integrity of somebody fell."""
    if not len(rows):
        return []
    row = np.floor(rows.latitude / NEIGHBOURHOOD_DEG).astype(np.int64)
    shrunk = np.cos(np.radians((row + 0.5) * NEIGHBOURHOOD_DEG))
    column = np.floor(rows.longitude * shrunk / NEIGHBOURHOOD_DEG).astype(np.int64)
    keys = np.stack([rows.time // NEIGHBOURHOOD_TIME, row, column])
    unique, group = np.unique(keys, axis=1, return_inverse=True)
    found = []
    for g, (bucket, south, west) in enumerate(unique.T.tolist()):
        part = rows.take(np.flatnonzero(group.ravel() == g))
        aircraft = tuple(aircraft_text(n) for n in np.unique(part.aircraft).tolist())
        name = f"{SUSPECT_POSITION}-{JAMMING}-{south:+03d}{west:+04d}-{utc(bucket * NEIGHBOURHOOD_TIME):%Y%m%dT%H%M}"
        found.append(_event(name, JAMMING, aircraft, int(part.time.min()), part, dict(sorted(_evidence(part).items()))))
    return found


def _event(name: str, reason: str, aircraft: tuple[str, ...], since: int, part: Rows, evidence: Mapping[str, float]) -> Event:
    words = part.vocabulary["feed"]
    return Event(
        event_id=name,
        kind=SUSPECT_POSITION,
        reason=reason,
        aircraft=aircraft,
        since=utc(since),
        until=utc(int(part.time.max())),
        south=float(part.latitude.min()),
        west=float(part.longitude.min()),
        north=float(part.latitude.max()),
        east=float(part.longitude.max()),
        count=len(part),
        feeds=tuple(sorted({words[c] for c in np.unique(part.feed).tolist() if c >= 0})),
        evidence=evidence,
    )


def _evidence(part: Rows) -> dict[str, float]:
    """The extremes of what the rows say, as far as they say it."""
    said = {
        "slowest_kt": np.fmin.reduce(part.groundspeed),
        "fastest_kt": np.fmax.reduce(part.groundspeed),
        "lowest_ft": np.fmin.reduce(part.altitude),
        "highest_ft": np.fmax.reduce(part.altitude),
    }
    return {name: round(float(value), 1) for name, value in said.items() if not math.isnan(value)}


def _together(a: Event, b: Event) -> Event:
    """Two parts of one event, under the name of the first."""
    evidence = dict(a.evidence)
    for name, value in b.evidence.items():
        evidence[name] = (min if name in LOWEST else max)(value, evidence.get(name, value))
    return replace(
        a,
        aircraft=tuple(sorted({*a.aircraft, *b.aircraft})),
        since=min(a.since, b.since),
        until=max(a.until, b.until),
        south=min(a.south, b.south),
        west=min(a.west, b.west),
        north=max(a.north, b.north),
        east=max(a.east, b.east),
        count=a.count + b.count,
        feeds=tuple(sorted({*a.feeds, *b.feeds})),
        evidence=dict(sorted(evidence.items())),
    )


def _without_old_neighbourhoods(events: dict[str, tuple[Event, ...]], degraded: Rows) -> Open:
    """A neighbourhood is over when others have long gone on."""
    if not len(degraded):
        return events
    oldest = utc(int(degraded.time.max()) - FORGOTTEN)
    return {k: v for k, v in events.items() if v[0].reason != JAMMING or v[0].until >= oldest}
