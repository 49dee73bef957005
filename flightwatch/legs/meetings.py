"""Watched aircraft that meet: on the ground of one airport within twelve hours, or close together in the air.

In: the legs of watched aircraft, in order for each. Out: `rendezvous` events. They rest on legs alone, so the same legs
give the same meetings, live or afterwards. Only who is watched is asked about: that bounds what there is to compare.

On the ground: stays at one airport that overlap, or lie less than twelve hours apart, are one meeting, however many
aircraft come; who has stood for two days is parked, and there again as it leaves. An airport that history knows an aircraft
to go to is no meeting place for it: fleets stand at home. In the air: two legs whose thinned tracks stay within five nm and
2,000 ft for ten minutes. Between two waypoints the way is straight, and where they lie farther apart than twenty minutes
(flights of more than eight hours, holes) nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flightwatch.legs.manoeuvres import SURE
from flightwatch.places import Airports
from flightwatch.places.great_circle import distance_nm
from flightwatch.records import RENDEZVOUS, WAYPOINT, Basis, End, Event, Leg, utc

APART = timedelta(hours=12)
"""As with journeys: who leaves no longer before the other comes may have handed something over, or been seen together."""

LONGEST_STAY = timedelta(hours=48)
"""Who stands for longer, or was not seen since, is parked; those who come later do not come to meet, unless it leaves then.
So who met whom depends on the days before alone, however much is known of earlier ones."""

CLOSE_NM, CLOSE_FT, CLOSE_S = 5.0, 2000.0, 600
"""Inside the separation of controlled traffic (5 nm or 1,000 ft; reports of height differ by some 300), for longer than
two need that cross or overtake one another."""

FAR_BETWEEN_S = 1260
"""Waypoints farther apart than stretches of twenty minutes and a poll leave a way unknown."""

HOME = 0.1
"""From this share of an aircraft's flights on, an airport is where it usually goes."""

Usual = Callable[[Leg, End, str], float]
"""Tells the share of flights like a leg that have an airport as this end, by the days before."""


@dataclass(frozen=True, slots=True)
class Stay:
    """An aircraft on the ground of an airport; `until` is a bound where nobody saw it leave."""

    aircraft: str
    airport: str
    since: datetime
    until: datetime
    leg: Leg
    probability: float
    basis: Basis


def meetings(legs: Mapping[str, Sequence[Leg]], airports: Airports, usual: Usual) -> tuple[Event, ...]:
    """The meetings of aircraft, given the legs of each in order."""
    found = [*_on_the_ground(legs, airports, usual), *_in_the_air([leg for own in legs.values() for leg in own])]
    return tuple(sorted(found, key=lambda event: (event.since, event.event_id)))


# ------------------------------------------------------------------------------------------------------------------ on the ground


def _on_the_ground(legs: Mapping[str, Sequence[Leg]], airports: Airports, usual: Usual) -> Iterator[Event]:
    by_airport: dict[str, list[Stay]] = {}
    for own in legs.values():
        for stay in _stays(own, usual):
            by_airport.setdefault(stay.airport, []).append(stay)
    for ident, stays in sorted(by_airport.items()):
        for group in _grouped(sorted(stays, key=lambda stay: (stay.since, stay.aircraft))):
            if len({stay.aircraft for stay in group}) > 1:
                yield _meeting(group, ident, airports)


def _stays(legs: Sequence[Leg], usual: Usual) -> Iterator[Stay]:
    """The stays of one aircraft at places where it does not usually go: from each landing on, and where that is long ago or
    nobody knows of it, as it leaves."""
    for before, after in pairwise([None, *legs, None]):
        left = after.origin.time if after is not None else None
        landed = before.destination.time if before is not None and _is_down(before) else None
        if before is not None and landed is not None:
            until = min(left or landed + LONGEST_STAY, landed + LONGEST_STAY)
            yield from _stay(before, before.destination, landed, max(landed, until), usual)
        if after is not None and left is not None and (landed is None or left > landed + LONGEST_STAY):
            yield from _stay(after, after.origin, left, left, usual)


def _stay(leg: Leg, end: End, since: datetime, until: datetime, usual: Usual) -> Iterator[Stay]:
    if end.airport is not None and end.probability >= SURE and usual(leg, end, end.airport) < HOME:
        certainty = end.probability * (leg.landed_probability if end is leg.destination else 1.0)
        yield Stay(leg.aircraft, end.airport, since, until, leg, certainty, end.basis)


def _is_down(leg: Leg) -> bool:
    return leg.status in ("landed", "presumed_landed") and leg.landed_probability >= SURE


def _grouped(stays: Sequence[Stay]) -> Iterator[list[Stay]]:
    """Stays in order of time, those together that follow closely."""
    group: list[Stay] = []
    for stay in stays:
        if group and stay.since > max(before.until for before in group) + APART:
            yield group
            group = []
        group.append(stay)
    if group:
        yield group


def _meeting(group: Sequence[Stay], ident: str, airports: Airports) -> Event:
    place = airports.get(ident)
    latitude, longitude = (place.latitude, place.longitude) if place else (0.0, 0.0)
    best: dict[str, Stay] = {}
    for stay in group:
        best[stay.aircraft] = max(best.get(stay.aircraft, stay), stay, key=lambda s: s.probability)
    surest = sorted((stay.probability for stay in best.values()), reverse=True)
    observed = sum(stay.basis == "observed" for stay in best.values()) == len(best)
    words = f"on the ground at {ident}: " + "; ".join(
        f"{s.leg.registration or s.aircraft} {s.since:%d %b %H:%M} to {s.until:%d %b %H:%M} UTC" for s in group
    )
    return _event(
        f"{RENDEZVOUS}-{ident}-{group[0].leg.leg_id}",
        "ground",
        tuple(stay.leg for stay in group),
        (group[0].since, max(stay.until for stay in group)),
        (latitude, longitude, latitude, longitude),
        {"aircraft": len(best)},
        (ident,),
        words,
        "observed" if observed else "inferred",
        surest[0] * surest[1],
    )


# -------------------------------------------------------------------------------------------------------------------- in the air


def _in_the_air(legs: Sequence[Leg]) -> Iterator[Event]:
    flown = sorted((leg for leg in legs if len(leg.way) >= 2 * WAYPOINT.itemsize), key=lambda leg: (_times(leg)[0], leg.leg_id))
    ways = {leg.leg_id: np.frombuffer(leg.way, WAYPOINT) for leg in flown}
    aloft: list[Leg] = []
    for leg in flown:
        began = _times(leg)[0]
        aloft = [other for other in aloft if _times(other)[1] >= began + CLOSE_S]
        for other in aloft:
            if other.aircraft != leg.aircraft and _near(ways[other.leg_id], ways[leg.leg_id]):
                yield from _together(other, leg, ways[other.leg_id], ways[leg.leg_id])
        aloft.append(leg)


def _times(leg: Leg) -> tuple[int, int]:
    way = np.frombuffer(leg.way, WAYPOINT)
    return int(way["time"][0]), int(way["time"][-1])


def _near(a: NDArray[np.void], b: NDArray[np.void]) -> bool:
    """Whether the latitudes of two ways come near each other."""
    low, high = max(a["latitude"].min(), b["latitude"].min()), min(a["latitude"].max(), b["latitude"].max())
    return bool(low - high <= CLOSE_NM / 60)


def _together(first: Leg, second: Leg, a: NDArray[np.void], b: NDArray[np.void]) -> Iterator[Event]:
    """The longest time in which two legs were close together, if it was long enough."""
    times = np.unique(np.concatenate([a["time"], b["time"]])).astype(np.float64)
    (lat1, lon1, alt1), (lat2, lon2, alt2) = _at(a, times), _at(b, times)
    apart = distance_nm(lat1, lon1, lat2, lon2)
    close = (apart <= CLOSE_NM) & (np.abs(alt1 - alt2) <= CLOSE_FT)
    edges = np.flatnonzero(np.diff(np.r_[False, close, False].astype(np.int8)))
    runs = [(int(begin), int(end)) for begin, end in zip(edges[::2], edges[1::2], strict=True)]
    lasted = [float(times[end - 1] - times[begin]) for begin, end in runs]
    if not runs or max(lasted) < CLOSE_S:
        return
    begin, end = runs[int(np.argmax(lasted))]
    span = slice(begin, end)
    since, until = (utc(int(times[i]) * 1_000_000) for i in (begin, end - 1))
    nearest = float(apart[span].min())
    names = " and ".join(leg.registration or leg.aircraft for leg in (first, second))
    words = f"{names} within {float(apart[span].max()):.1f} nm for {max(lasted) / 60:.0f} min, by their thinned tracks"
    one, other = sorted((first.leg_id, second.leg_id))
    yield _event(
        f"{RENDEZVOUS}-{one}-{other}",
        "air",
        (first, second),
        (since, until),
        (float(lat1[span].min()), float(lon1[span].min()), float(lat1[span].max()), float(lon1[span].max())),
        {"minutes": max(lasted) / 60, "nearest_nm": nearest, "highest_ft": float(max(alt1[span].max(), alt2[span].max()))},
        (),
        words,
        "inferred",
        None,
    )


def _at(way: NDArray[np.void], times: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Latitude, longitude and height of a way at some times; NaN where it is not known."""
    own = way["time"].astype(np.float64)
    after = np.searchsorted(own, times)
    inside = (times >= own[0]) & (times <= own[-1])
    after = np.clip(after, 1, len(own) - 1)
    known = inside & ((own[after] - own[after - 1] <= FAR_BETWEEN_S) | (times == own[after]) | (times == own[after - 1]))
    longitude = np.interp(times, own, np.unwrap(way["longitude"].astype(np.float64), period=360))
    values = (np.interp(times, own, way["latitude"]), (longitude + 180) % 360 - 180, np.interp(times, own, way["altitude"]))
    return tuple(np.where(known, value, np.nan) for value in values)


def _event(
    name: str,
    reason: str,
    legs: Sequence[Leg],
    time: tuple[datetime, datetime],
    area: tuple[float, float, float, float],
    evidence: dict[str, float],
    about: tuple[str, ...],
    words: str,
    basis: Basis,
    probability: float | None,
) -> Event:
    south, west, north, east = area
    across = east - west > 180
    return Event(
        event_id=name,
        kind=RENDEZVOUS,
        reason=reason,
        aircraft=tuple(sorted({leg.aircraft for leg in legs})),
        since=time[0],
        until=time[1],
        south=south,
        west=-180.0 if across else west,
        north=north,
        east=180.0 if across else east,
        count=sum(leg.positions for leg in legs),
        feeds=tuple(sorted({feed for leg in legs for feed in leg.feeds})),
        evidence={name: round(float(value), 1) for name, value in sorted(evidence.items())},
        legs=tuple(dict.fromkeys(leg.leg_id for leg in legs)),
        airports=about,
        words=words,
        basis=basis,
        probability=None if probability is None else round(probability, 4),
    )
