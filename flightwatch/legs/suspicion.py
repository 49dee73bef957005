"""Positions that somebody may want to look at become events: one an aircraft, reason and interval, however many there are.

In: the refused and the degraded rows of a batch, and the events that are open. Out: these with what the batch adds, and
those that it changed. All that an event says adds up (sums, extremes, sets), and which one a refused row belongs to is
decided row by row in the order of the refusals, so nothing depends on how the positions were cut into batches.

Refused rows are told of one by one (`position.suspect`: ghost, elsewhere, spoofed, two_emitters). Degraded ones prove
nothing alone; where several aircraft in one neighbourhood fall within half an hour, somebody jams the place (jamming).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce

import numpy as np

from flightwatch.legs import cleaning
from flightwatch.legs.rows import MINUTE, SECOND, Flags, Floats, Ints, Rows, aircraft_text
from flightwatch.records import SUSPECT_POSITION, Event, utc

PAUSE = 30 * MINUTE
"""Suspect positions of one aircraft and reason that lie closer together than this are one event."""

JAMMING = "jamming"

JAMMED_AIRCRAFT = 3
"""One aircraft alone proves nothing (Flightradar24 says so of its own map), nor do two that meet."""

JAMMED_ROWS = 3
"""Single rows of low integrity come and go; three make no accident, as with heights."""

NEIGHBOURHOOD_DEG = 1.0
"""Cells of 60 by about 60 nm: a jammer reaches what flies within some 100 nm, and public maps use cells of 30 nm."""

NEIGHBOURHOOD_TIME = 30 * MINUTE

FORGOTTEN = 60 * MINUTE
"""A neighbourhood of which nothing was heard for so long gets nothing more."""

RANKS = (JAMMING, *(cleaning.REASONS[code] for code in sorted(cleaning.REASONS)))

LOWEST = ("slowest_kt", "lowest_ft", "soonest_s")
"""Evidence of which the least counts; of all else it is the greatest."""


@dataclass(frozen=True)
class Suspects:
    """The rows of a batch that `cleaning.Refused` tells of, in its order, and with what it says of them; and those degraded."""

    rows: Rows
    code: cleaning.Codes
    began: Ints
    away_nm: Floats
    unseen: Ints
    degraded: Rows

    @staticmethod
    def of(rows: Rows, verdicts: cleaning.Verdicts, refused: cleaning.Refused, known_before: Flags) -> Suspects:
        """Picks them; rows that were `known_before` and are only judged again do not count as degraded once more."""
        degraded = rows.take(np.flatnonzero(verdicts.degraded & ~known_before))
        code = verdicts.code[refused.at]
        return Suspects(rows.take(refused.at), code, refused.began, refused.away_nm, refused.unseen, degraded)


Open = Mapping[str, tuple[Event, ...]]
"""The events that may still grow: the last of each reason, by aircraft; the parts of a neighbourhood's, one an aircraft, by
its name."""


def noted(suspects: Suspects, before: Open) -> tuple[Open, tuple[Event, ...]]:
    """The open events after a batch, and those of them that it changed and that are worth telling."""
    if not len(suspects.rows) and not len(suspects.degraded):
        return before, ()
    after = dict(before)
    changed: dict[str, Event] = {}
    for event in _of_aircraft(suspects):
        (name,) = event.aircraft
        mine = after.get(name, ())
        last = _going_on(mine, event)
        whole = event if last is None else _together(last, event)
        after[name] = (*(e for e in mine if e is not last and e.reason != whole.reason), whole)
        changed[whole.event_id] = whole
    for event in _of_neighbourhoods(suspects.degraded):
        parts = {e.aircraft: e for e in after.get(event.event_id, ())}
        known = parts.get(event.aircraft)
        parts[event.aircraft] = event if known is None else _together(known, event)
        after[event.event_id] = tuple(parts[aircraft] for aircraft in sorted(parts))
        fallen = [part for part in after[event.event_id] if part.count >= JAMMED_ROWS]
        if len(fallen) >= JAMMED_AIRCRAFT:
            changed[event.event_id] = reduce(_together, fallen)
    return _without_old_neighbourhoods(after, suspects.degraded), tuple(changed.values())


def _going_on(mine: Sequence[Event], event: Event) -> Event | None:
    """The one of an aircraft's open events that another goes on with: that which its rival began, or else that of the same
    reason, if it is soon after."""
    mine = [e for e in mine if e.kind == event.kind]
    begun = next((e for e in mine if e.since == event.since), None)
    alike = (e for e in mine if e.reason == event.reason and event.since - e.until <= timedelta(microseconds=PAUSE))
    return begun or next(alike, None)


def _of_aircraft(suspects: Suspects) -> list[Event]:
    """One event for each run of refusals of a rival for one reason, in their order."""
    rows, code, began = suspects.rows, suspects.code, suspects.began
    if not len(rows):
        return []
    apart = (np.diff(rows.aircraft) != 0) | (np.diff(code) != 0) | (np.diff(began) != 0)
    edges = np.r_[0, np.flatnonzero(apart) + 1, len(rows)]
    found = []
    for first, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        own = slice(first, stop)
        part = rows.take(own)
        aircraft, reason = aircraft_text(int(part.aircraft[0])), cleaning.REASONS[int(code[first])]
        since = int(began[first])
        evidence = _evidence(part) | {
            "farthest_nm": round(float(suspects.away_nm[own].max()), 1),
            "soonest_s": round(float(np.abs(suspects.unseen[own]).min()) / SECOND, 1),
        }
        name = f"{SUSPECT_POSITION}-{aircraft}-{utc(since):%Y%m%dT%H%M%S.%f}"
        found.append(_event(name, reason, (aircraft,), since, part, dict(sorted(evidence.items()))))
    return found


def _of_neighbourhoods(rows: Rows) -> list[Event]:
    """One part of an event for each aircraft whose integrity fell, by cell and half hour."""
    if not len(rows):
        return []
    row = np.floor(rows.latitude / NEIGHBOURHOOD_DEG).astype(np.int64)
    shrunk = np.cos(np.radians((row + 0.5) * NEIGHBOURHOOD_DEG))
    column = np.floor(rows.longitude * shrunk / NEIGHBOURHOOD_DEG).astype(np.int64)
    keys = np.stack([rows.time // NEIGHBOURHOOD_TIME, row, column, rows.aircraft])
    unique, group = np.unique(keys, axis=1, return_inverse=True)
    found = []
    for g, (bucket, south, west, number) in enumerate(unique.T.tolist()):
        part = rows.take(np.flatnonzero(group.ravel() == g))
        name = f"{SUSPECT_POSITION}-{JAMMING}-{south:+03d}{west:+04d}-{utc(bucket * NEIGHBOURHOOD_TIME):%Y%m%dT%H%M}"
        found.append(
            _event(name, JAMMING, (aircraft_text(number),), int(part.time.min()), part, dict(sorted(_evidence(part).items())))
        )
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
    """Two parts of one event, under the name of the first; what was found later may say more of the reason."""
    evidence = dict(a.evidence)
    for name, value in b.evidence.items():
        evidence[name] = (min if name in LOWEST else max)(value, evidence.get(name, value))
    return replace(
        a,
        reason=max(a.reason, b.reason, key=RANKS.index),
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
    return {k: v for k, v in events.items() if v[0].reason != JAMMING or max(e.until for e in v) >= oldest}
