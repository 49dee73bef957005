"""A hole between two pieces in the air: one flight, or a landing and a take-off in between.

Bayes' rule over two stories. *Flying on*: the time that passed is the distance at the speed of this aircraft, give or
take. *Landed*: the time that the flying does not explain was spent on the ground, and the signal died going down and
came back going up. Both stories give a density for the unexplained time; heights and trends at both ends multiply the
odds, and so does the silence: whoever flew on, or went down and up again, did it where others are seen or are not.

The constants are judgements from turnaround times and descent profiles of scheduled traffic, checked on masked
flights of known truth (`tests/test_real_tracks.py`); none was fitted to a single file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct

from flightwatch.legs import silence
from flightwatch.legs.rows import MINUTE
from flightwatch.legs.silence import Point, Seen
from flightwatch.places import Airports
from flightwatch.places.great_circle import apart_nm, distance_nm, middle

HOUR = 60 * MINUTE

PRIOR_LANDED = 0.3
"""Of the holes that are long enough to be asked about, the share that hides a landing, before anything is known of
them."""

STAYS = ((0.65, 60.0, 0.9), (0.35, 720.0, 1.5))
"""Times on the ground as share, median (min) and spread of log-normals: turnarounds (the middle half between 33 and
110 minutes), and all the longer ones."""

APPROACH_MIN = 8.0
"""Flying time that approach and departure add to the straight line over an airport."""

SPEED_ERROR = 0.12
"""How far the mean speed across a hole strays from that at its ends: wind, climb, descent."""

DETOUR_MIN = 2.0
"""Small deviations, in any hole."""

LOITER_SHARE, LOITER_MIN = 0.04, 45.0
"""Flights that hold, circle or turn back in a hole, and for how long (e-folding)."""

LONGEST_FLIGHT_MIN, SURELY = 24 * 60.0, 0.9999
"""Scheduled flights end within 19 hours, and the longest ones of state aircraft that do not refuel in the air, too."""

NEXT_TO_NOTHING = 1e-12
"""Keeps the odds finite where neither story has an explanation."""

AIRPORT_REACH_NM = 60.0
"""An aircraft that goes down below 10,000 ft lands within this, or not at all."""

TREND_FT_MIN = 300.0
"""Less is level flight."""

HIGH_FT, LOW_FT = 20_000.0, 6_000.0


class Fix(Struct, frozen=True, gc=False):
    """One position at the edge of a piece; NaN where unknown."""

    time: int
    latitude: float
    longitude: float
    altitude: float
    groundspeed: float
    track: float
    vertical_rate: float


class Edge(Struct, frozen=True, gc=False):
    """How an aircraft was moving where its track breaks off or begins: the fix, its speed and its trend up or
    down."""

    fix: Fix
    speed_kt: float
    climb_ft_min: float


@dataclass(frozen=True, slots=True)
class Judgement:
    landed: float
    reason: str


def edge(fixes: Sequence[Fix], *, at_end: bool) -> Edge:
    """The movement at one end of a run of fixes, reported where it was, else from the positions over at least a
    minute."""
    fix = fixes[-1] if at_end else fixes[0]
    speed, climb = fix.groundspeed, fix.vertical_rate
    if not (math.isnan(speed) or math.isnan(climb)):
        return Edge(fix, speed, climb)
    others = list(reversed(fixes[:-1])) if at_end else list(fixes[1:])
    far = next((f for f in others if abs(f.time - fix.time) >= MINUTE), others[-1] if others else None)
    if far is not None and far.time != fix.time:
        hours = abs(far.time - fix.time) / HOUR
        if math.isnan(speed):
            speed = apart_nm(fix.latitude, fix.longitude, far.latitude, far.longitude) / hours
        if math.isnan(climb):
            rise = fix.altitude - far.altitude if at_end else far.altitude - fix.altitude
            climb = rise / (hours * 60)
    return Edge(fix, speed, climb)


def judge_gap(
    before: Edge,
    after: Edge,
    fastest_kt: float,
    usual_kt: float,
    airports: Airports,
    seen: Seen = silence.nothing_known,
) -> Judgement:
    """How probable it is that the aircraft was down in the hole between two edges.

    `fastest_kt` is the highest speed seen on the leg so far (NaN where none was), `usual_kt` what the type cruises
    at, `seen` how much of the traffic is seen where.
    """
    minutes = (after.fix.time - before.fix.time) / MINUTE
    distance = _distance(before.fix, after.fix)
    if minutes > LONGEST_FLIGHT_MIN:
        return Judgement(SURELY, f"{minutes / 60:,.0f} h unseen: no aircraft stays up for so long")
    speed = speed_across(before, after, fastest_kt, usual_kt)
    flying_min = distance / speed * 60
    flown = flying_density(minutes - flying_min, flying_min)
    detour_min, place, down = _way_over_an_airport(before, after, distance, speed, airports)
    stayed = stay_density(minutes - flying_min - detour_min) * place
    odds = PRIOR_LANDED / (1 - PRIOR_LANDED) * stayed / flown * going_down(before) * going_down_backwards(after)
    odds *= _silence_odds(before.fix, after.fix, minutes, down, speed, seen)
    landed = odds / (1 + odds)
    spare = max(minutes - flying_min, 0.0)
    reason = (
        f"{minutes:.0f} min unseen, {distance:.0f} nm apart: {spare:.0f} min more than flying on at {speed:.0f} kt takes; "
        f"{_words(before)} before, {_words(after)} after"
    )
    return Judgement(landed, reason)


def speed_across(before: Edge, after: Edge, fastest_kt: float, usual_kt: float) -> float:
    """The speed to expect across a hole: the better of both ends, and not far below what the aircraft has shown."""
    known = [s for s in (before.speed_kt, after.speed_kt, 0.9 * fastest_kt) if s > 60]
    return max(known, default=0.85 * usual_kt)


def flying_density(excess_min: float, flying_min: float) -> float:
    """Density (a minute) of the time that flying straight on leaves unexplained, if the aircraft flew on."""
    scale = DETOUR_MIN + SPEED_ERROR * flying_min
    straight = math.exp(-abs(excess_min) / scale) / (2 * scale)
    loitering = math.exp(-excess_min / LOITER_MIN) / LOITER_MIN if excess_min > 0 else 0.0
    return (1 - LOITER_SHARE) * straight + LOITER_SHARE * loitering + NEXT_TO_NOTHING


def stay_density(ground_min: float) -> float:
    """Density (a minute) of a time on the ground: turnarounds, and nights, weekends and overhauls."""
    if ground_min <= 0:
        return 0.0
    return sum(share * _log_normal(ground_min, median, spread) for share, median, spread in STAYS)


def _log_normal(value: float, median: float, spread: float) -> float:
    z = math.log(value / median) / spread
    return math.exp(-z * z / 2) / (value * spread * math.sqrt(2 * math.pi))


def going_down(edge: Edge) -> float:
    """How much likelier this edge is before a landing than before flying on."""
    altitude = edge.fix.altitude
    factor = 1.0
    if edge.climb_ft_min < -TREND_FT_MIN:
        factor = 5.0
    elif edge.climb_ft_min > TREND_FT_MIN:
        factor = 0.25
    elif altitude > HIGH_FT:
        factor = 0.5
    if altitude < LOW_FT:
        factor *= 3.0
    return factor


def going_down_backwards(edge: Edge) -> float:
    """The same for the edge after a hole: seen backwards, a climb is a descent."""
    return going_down(Edge(edge.fix, edge.speed_kt, -edge.climb_ft_min))


def _silence_odds(before: Fix, after: Fix, minutes: float, down: Point, speed: float, seen: Seen) -> float:
    """How much likelier nobody saw it going down to a place and up again than nobody saw it flying on. Nothing is said
    of the time on the ground."""
    ends = [(fix.latitude, fix.longitude, fix.altitude) for fix in (before, after)]
    down_up = [max(apart_nm(*end[:2], *down[:2]) / speed * 60, abs(end[2] - down[2]) / silence.SINK_FT_MIN) for end in ends]
    landed, flew_on = silence.across([[ends[0], down, ends[1]], ends], [down_up, [minutes]], seen)
    return landed / flew_on


def _way_over_an_airport(
    before: Edge, after: Edge, straight_nm: float, speed: float, airports: Airports
) -> tuple[float, float, Point]:
    """Minutes that landing somewhere between adds to the flying, a factor for whether there is a place to land, and
    that place; of an aircraft that was high at both ends, halfway."""
    if min(_height(before), _height(after)) >= 10_000:
        return APPROACH_MIN, 1.0, (*middle(*_place(before), *_place(after)), 0.0)
    lower = before.fix if _height(before) <= _height(after) else after.fix
    rows, _ = airports.near(lower.latitude, lower.longitude, AIRPORT_REACH_NM)
    if not len(rows):
        return APPROACH_MIN, 0.1, (*middle(*_place(before), *_place(after)), 0.0)
    lat, lon = airports.latitude[rows], airports.longitude[rows]
    way = distance_nm(before.fix.latitude, before.fix.longitude, lat, lon) + distance_nm(
        lat, lon, after.fix.latitude, after.fix.longitude
    )
    best = int(np.argmin(way))
    field = (float(lat[best]), float(lon[best]), float(np.nan_to_num(airports.elevation_ft[rows[best]])))
    return APPROACH_MIN / 2 + max(float(way[best]) - straight_nm, 0.0) / speed * 60, 1.0, field


def _place(edge: Edge) -> tuple[float, float]:
    return edge.fix.latitude, edge.fix.longitude


def _height(edge: Edge) -> float:
    return 0.0 if math.isnan(edge.fix.altitude) else edge.fix.altitude


def _distance(a: Fix, b: Fix) -> float:
    return apart_nm(a.latitude, a.longitude, b.latitude, b.longitude)


def _words(edge: Edge) -> str:
    height = "at an unknown height" if math.isnan(edge.fix.altitude) else f"at {edge.fix.altitude:,.0f} ft"
    if edge.climb_ft_min < -TREND_FT_MIN:
        return f"{height} descending"
    return f"{height} climbing" if edge.climb_ft_min > TREND_FT_MIN else height
